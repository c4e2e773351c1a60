"""The record keeps decisions, proofs and steps in order, and hands them to its observer."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from build_tools.record import Record
from tests.build_tools.support import Watcher


@pytest.fixture
def watcher():
    return Watcher()


@pytest.fixture
def record(watcher):
    return Record(observer=watcher)


def test_decisions_and_proofs_are_kept_and_shown(record, watcher):
    decision = record.decide("compiler", "GCC 12", "the first on PATH", "PATH")
    proof = record.prove("hidden", "nm shows 1 name", ok=False)
    assert record.decisions == [decision] == watcher.of("decision")
    assert record.proofs == [proof] == watcher.of("proof")
    assert (decision.source, proof.ok) == ("PATH", False)


def test_the_same_warning_is_said_once(record, watcher):
    record.warn("twice")
    record.warn("twice")
    assert record.warnings == ["twice"] == watcher.of("warning")


def test_a_step_is_timed_and_reports_its_progress(record, watcher):
    with record.step("compile", total=10) as step:
        step.advance(3)
        step.advance(4, 12, "a.cc")
        step.write_log(Path("x.log"))
    (done,) = record.steps
    assert (done.name, done.cached, done.failed, done.log) == (
        "compile",
        False,
        False,
        Path("x.log"),
    )
    assert done.seconds >= 0
    assert done.started > 1e9
    assert watcher.of("progress") == [("compile", 3, 10, ""), ("compile", 4, 12, "a.cc")]


def test_nested_steps_know_their_depth_so_that_sums_are_not_doubled(record):
    with record.step("outer"), record.step("inner"):
        pass
    with record.step("next"):
        pass
    assert [(step.name, step.depth) for step in record.steps] == [
        ("inner", 1),
        ("outer", 0),
        ("next", 0),
    ]


def test_a_step_that_raises_is_recorded_as_failed(record):
    with pytest.raises(ValueError, match="boom"), record.step("compile"):
        raise ValueError("boom")
    assert record.steps[0].failed
    with record.step("after") as step:
        step.cached()
    assert (record.steps[1].depth, record.steps[1].cached) == (0, True)


def test_threads_nest_by_themselves(record):
    def work():
        with record.step("elsewhere"):
            pass

    with record.step("here"):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert {step.name: step.depth for step in record.steps} == {"elsewhere": 0, "here": 0}


def test_the_whole_record_survives_json(record):
    record.decide("a", "b", "c", "d")
    record.prove("e", "f")
    record.warn("g")
    with record.step("h") as step:
        step.write_log(Path("logs") / "h.log")
    facts = json.loads(json.dumps(record.as_dict()))
    assert facts["decisions"] == [{"subject": "a", "choice": "b", "reason": "c", "source": "d"}]
    assert facts["proofs"] == [{"claim": "e", "evidence": "f", "ok": True}]
    assert facts["warnings"] == ["g"]
    assert facts["steps"][0]["log"] == str(Path("logs") / "h.log")
