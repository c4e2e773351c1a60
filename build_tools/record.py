"""What was decided, proved and how long it took: everything reports into one ``Record``.

The record is plain data. Showing it is the business of an ``Observer`` (the console, a report).
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from build_tools.ninja_log import NinjaRun


@dataclass(frozen=True, kw_only=True)
class Decision:
    """One choice, why it was made and who made it."""

    subject: str
    """What was decided, e.g. "compiler"."""

    choice: str
    """What was chosen, e.g. "GCC 12.2.0 (/usr/bin/g++)"."""

    reason: str
    """Why, in words for a person."""

    source: str = ""
    """Who made it: "--protobuf on the command line", "environment CC", "default", "probe"."""


@dataclass(frozen=True, kw_only=True)
class Proof:
    """One claim about the result and the evidence for it."""

    claim: str
    """What is claimed, e.g. "only PyInit_* is exported"."""

    evidence: str
    """What was looked at and what it said."""

    ok: bool = True
    """Whether the evidence bears the claim out."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One finished step and the time it took."""

    name: str
    """The step, as shown to a person, e.g. "protobuf: compile"."""

    started: float
    """When it started, in seconds since the epoch."""

    seconds: float
    """How long it took."""

    cached: bool
    """Whether the work had been done by an earlier run."""

    log: Path | None
    """Where the output of the step's command is."""

    depth: int = 0
    """How many other steps it ran inside; a sum over steps counts those of depth 0 only."""

    failed: bool = False
    """Whether it ended with an error."""


class Observer(Protocol):
    """Whoever shows the record while it grows."""

    def on_decision(self, decision: Decision) -> None:
        """Show one decision."""

    def on_proof(self, proof: Proof) -> None:
        """Show one proof."""

    def on_warning(self, text: str) -> None:
        """Show one warning."""

    def on_step_start(self, name: str, total: int | None, depth: int) -> None:
        """Show that a step started; ``total`` is the number of units of work, where known."""

    def on_progress(self, name: str, done: int, total: int | None, detail: str) -> None:
        """Show how far a step is."""

    def on_step_end(self, step: Step) -> None:
        """Show that a step ended."""


class SilentObserver:
    """Shows nothing: for tests and for machine-readable output."""

    def on_decision(self, decision: Decision) -> None:
        """Show nothing."""

    def on_proof(self, proof: Proof) -> None:
        """Show nothing."""

    def on_warning(self, text: str) -> None:
        """Show nothing."""

    def on_step_start(self, name: str, total: int | None, depth: int) -> None:
        """Show nothing."""

    def on_progress(self, name: str, done: int, total: int | None, detail: str) -> None:
        """Show nothing."""

    def on_step_end(self, step: Step) -> None:
        """Show nothing."""


class RunningStep:
    """The handle on a step while it runs."""

    def __init__(self, name: str, total: int | None, observer: Observer) -> None:
        self.name = name
        self.total = total
        self.log: Path | None = None
        self.was_cached = False
        self._observer = observer

    def advance(self, done: int, total: int | None = None, detail: str = "") -> None:
        """Say that ``done`` of ``total`` units of work are done; ``detail`` names the last one."""
        self.total = self.total if total is None else total
        self._observer.on_progress(self.name, done, self.total, detail)

    def cached(self) -> None:
        """Say that an earlier run had done the work."""
        self.was_cached = True

    def write_log(self, path: Path) -> None:
        """Say where the output of the step's command goes."""
        self.log = path


@dataclass
class _Depth(threading.local):
    value: int = 0


@dataclass(kw_only=True)
class Record:
    """Everything that was decided, proved, warned of and done in one run, in order.

    Steps may nest and may run in several threads; each thread has its own nesting.
    """

    observer: Observer = field(default_factory=SilentObserver)
    decisions: list[Decision] = field(default_factory=list)
    proofs: list[Proof] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    compiles: list[tuple[str, NinjaRun]] = field(default_factory=list)
    _depth: _Depth = field(default_factory=_Depth, repr=False)

    def decide(self, subject: str, choice: str, reason: str, source: str = "") -> Decision:
        """Record one decision."""
        decision = Decision(subject=subject, choice=choice, reason=reason, source=source)
        self.decisions.append(decision)
        self.observer.on_decision(decision)
        return decision

    def prove(self, claim: str, evidence: str, ok: bool = True) -> Proof:
        """Record one proof, or with ``ok=False`` one failed attempt at it."""
        proof = Proof(claim=claim, evidence=evidence, ok=ok)
        self.proofs.append(proof)
        self.observer.on_proof(proof)
        return proof

    def warn(self, text: str) -> None:
        """Record one warning; the same text is shown once."""
        if text in self.warnings:
            return
        self.warnings.append(text)
        self.observer.on_warning(text)

    def compiled(self, project: str, run: NinjaRun | None) -> None:
        """Keep what one call of ninja ran for ``project``; None: it had nothing to do."""
        if run is not None:
            self.compiles.append((project, run))

    @contextmanager
    def step(self, name: str, total: int | None = None) -> Iterator[RunningStep]:
        """Time the block as one step; a block that raises is recorded as failed."""
        running = RunningStep(name, total, self.observer)
        depth, self._depth.value = self._depth.value, self._depth.value + 1
        started, clock, failed = time.time(), time.perf_counter(), True
        self.observer.on_step_start(name, total, depth)
        try:
            yield running
            failed = False
        finally:
            self._depth.value = depth
            step = Step(
                name=name,
                started=started,
                seconds=time.perf_counter() - clock,
                cached=running.was_cached,
                log=running.log,
                depth=depth,
                failed=failed,
            )
            self.steps.append(step)
            self.observer.on_step_end(step)

    def as_dict(self) -> dict[str, Any]:
        """Return the whole record as values that JSON can hold."""
        return {
            "decisions": [to_json(decision) for decision in self.decisions],
            "proofs": [to_json(proof) for proof in self.proofs],
            "warnings": list(self.warnings),
            "steps": [to_json(step) for step in self.steps],
        }


def to_json(value: Decision | Proof | Step) -> dict[str, Any]:
    """Return one entry of the record as values that JSON can hold; paths become strings."""
    raw = {entry.name: getattr(value, entry.name) for entry in fields(value)}
    return {name: str(item) if isinstance(item, Path) else item for name, item in raw.items()}
