"""Jobs follow processors and memory; what was asked for is respected and warned of."""

from __future__ import annotations

import pytest

from build_tools.jobs import plan_jobs
from tests.build_tools.support import make_host

GB = 1_000_000_000


@pytest.mark.parametrize(
    ("cpus", "memory", "jobs"),
    [(16, 24 * GB, 16), (16, 3 * GB, 4), (2, 24 * GB, 2), (8, GB // 10, 1), (1, 0, 1)],
)
def test_the_scarcer_of_processors_and_memory_decides(cpus, memory, jobs):
    plan = plan_jobs(make_host(cpus=cpus, memory_available=memory), None)
    assert (plan.jobs, plan.source, plan.warning) == (jobs, "probe", "")


def test_the_reason_gives_the_figures():
    plan = plan_jobs(make_host(cpus=1, memory_available=3 * GB), None)
    assert plan.reason == "1 processor; 3.00 GB of memory hold 4 of 0.75 GB"


def test_what_was_asked_for_is_kept_with_its_source():
    plan = plan_jobs(make_host(cpus=2, memory_available=24 * GB), 8, "environment MAX_JOBS")
    assert (plan.jobs, plan.source, plan.warning) == (8, "environment MAX_JOBS", "")


def test_more_than_memory_holds_is_warned_of():
    plan = plan_jobs(make_host(cpus=8, memory_available=2 * GB), 8)
    assert plan.jobs == 8
    assert "8 jobs were asked for" in plan.warning
    assert "hold 2" in plan.warning


def test_the_memory_of_a_job_can_be_told():
    host = make_host(cpus=8, memory_available=2 * GB)
    assert plan_jobs(host, None, per_job_bytes=GB // 4).jobs == 8
