"""Commands on one clock and on lanes."""

from __future__ import annotations

from itertools import pairwise

import pytest

from build_tools.ninja_log import Command, NinjaRun
from build_tools.timeline import (
    TimedCommand,
    average_width,
    on_the_clock,
    seconds_by_project,
    slowest,
)


def command(name, start, seconds):
    return Command(start=start, seconds=seconds, outputs=(name,))


RUNS = [
    ("protobuf", NinjaRun(started=100.0, commands=(command("a.o", 0, 4), command("b.o", 0, 2)))),
    ("onnx", NinjaRun(started=110.0, commands=(command("c.o", 0, 1), command("d.o", 1, 3)))),
]


def test_runs_are_placed_on_one_clock():
    placed = on_the_clock(RUNS, zero=90.0)
    assert [(entry.output, entry.start) for entry in placed] == [
        ("a.o", 10.0),
        ("b.o", 10.0),
        ("c.o", 20.0),
        ("d.o", 21.0),
    ]


def test_what_runs_side_by_side_has_lanes_of_its_own_and_lanes_are_used_again():
    assert [entry.lane for entry in on_the_clock(RUNS, zero=0.0)] == [0, 1, 0, 0]


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_no_two_commands_on_a_lane_overlap(jobs):
    commands = tuple(
        command(f"{n}.o", (n // jobs) * 1.0 + 0.1 * (n % jobs), 0.85) for n in range(40)
    )
    placed = on_the_clock([("x", NinjaRun(started=0.0, commands=commands))], zero=0.0)
    assert max(entry.lane for entry in placed) == jobs - 1
    for lane in range(jobs):
        spans = [(entry.start, entry.end) for entry in placed if entry.lane == lane]
        assert all(end <= start + 0.02 for (_, end), (start, _) in pairwise(spans))


def test_it_survives_json():
    placed = on_the_clock(RUNS, zero=0.0)
    assert tuple(TimedCommand.from_dict(entry.as_dict()) for entry in placed) == placed


def test_figures():
    placed = on_the_clock(RUNS, zero=0.0)
    assert [entry.output for entry in slowest(placed, 2)] == ["a.o", "d.o"]
    assert seconds_by_project(placed) == {"protobuf": 6.0, "onnx": 4.0}
    assert average_width(placed) == pytest.approx(10 / 8)
    assert average_width([]) == 0.0
