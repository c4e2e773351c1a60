"""How many compile jobs run at a time: as many as processors *and* memory allow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from build_tools.host import Host

PER_JOB_BYTES = 750_000_000
"""The measured peak of the largest translation units of protobuf and ONNX, rounded up."""


@dataclass(frozen=True, kw_only=True)
class JobPlan:
    """The number of jobs and why."""

    jobs: int
    """Jobs at a time, at least 1."""

    reason: str
    """Why, in words for a person."""

    source: str
    """Who decided: "--jobs on the command line", "environment MAX_JOBS", "probe"."""

    warning: str = ""
    """What may go wrong with a number that somebody asked for; empty: nothing."""


def plan_jobs(
    host: Host,
    asked: int | None,
    origin: str = "default",
    per_job_bytes: int = PER_JOB_BYTES,
) -> JobPlan:
    """Return how many jobs to run; a number that was asked for is kept, with a warning if high."""
    fitting = max(1, host.memory_available // per_job_bytes)
    memory = f"{_giga(host.memory_available)} of memory hold {fitting} of {_giga(per_job_bytes)}"
    if asked is None:
        reason = f"{_count(host.cpus, 'processor')}; {memory}"
        return JobPlan(jobs=min(host.cpus, fitting), reason=reason, source="probe")
    warning = (
        f"{asked} jobs were asked for, but {memory}: a compiler may be killed"
        if asked > fitting
        else ""
    )
    return JobPlan(jobs=asked, reason="asked for", source=origin, warning=warning)


def _giga(size: int) -> str:
    return f"{size / 1e9:.2f} GB"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
