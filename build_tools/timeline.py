"""When each command of the build ran, on the clock of the whole run, placed on lanes."""

from __future__ import annotations

import heapq
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from build_tools.ninja_log import NinjaRun

# Ninja's clock and the file system's differ by less; steps that overlap by it follow each other.
_OVERLAP = 0.02


@dataclass(frozen=True, kw_only=True)
class TimedCommand:
    """One command of a build, on the clock of the whole run."""

    project: str
    """What was being built, e.g. "protobuf"."""

    output: str
    """The first file it made, relative to its build folder."""

    kind: str
    """compile, archive, link or generate."""

    start: float
    """Seconds after the run was started."""

    seconds: float
    """How long it ran."""

    lane: int
    """Which of the commands that ran side by side it was, from 0."""

    @property
    def end(self) -> float:
        """When it ended, in seconds after the run was started."""
        return self.start + self.seconds

    def as_dict(self) -> dict[str, Any]:
        """Return it as values that JSON can hold, times to the millisecond."""
        return {**asdict(self), "start": round(self.start, 3), "seconds": round(self.seconds, 3)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TimedCommand:
        """Return what ``as_dict`` was made from."""
        return cls(**values)


def on_the_clock(runs: Iterable[tuple[str, NinjaRun]], zero: float) -> tuple[TimedCommand, ...]:
    """Place the commands of several calls of ninja on one clock that starts at ``zero``."""
    started = sorted(
        (
            (run.started + command.start - zero, project, command)
            for project, run in runs
            for command in run.commands
        ),
        key=lambda entry: (entry[0], entry[1], entry[2].outputs),
    )
    lanes = _lanes([(start, start + command.seconds) for start, _, command in started])
    return tuple(
        TimedCommand(
            project=project,
            output=command.outputs[0],
            kind=command.kind,
            start=start,
            seconds=command.seconds,
            lane=lane,
        )
        for (start, project, command), lane in zip(started, lanes, strict=False)
    )


def _lanes(spans: list[tuple[float, float]]) -> list[int]:
    """Give each span, in order of starting, the lowest lane that is free by then."""
    running: list[tuple[float, int]] = []
    free: list[int] = []
    chosen: list[int] = []
    for start, end in spans:
        while running and running[0][0] <= start + _OVERLAP:
            heapq.heappush(free, heapq.heappop(running)[1])
        lane = heapq.heappop(free) if free else len(running)
        heapq.heappush(running, (end, lane))
        chosen.append(lane)
    return chosen


def slowest(commands: Iterable[TimedCommand], count: int) -> tuple[TimedCommand, ...]:
    """Return the commands that took longest, longest first."""
    return tuple(sorted(commands, key=lambda command: -command.seconds)[:count])


def seconds_by_project(commands: Iterable[TimedCommand]) -> dict[str, float]:
    """Return for each project the sum over its commands, in order of first use."""
    sums: dict[str, float] = {}
    for command in commands:
        sums[command.project] = sums.get(command.project, 0.0) + command.seconds
    return sums


def average_width(commands: Iterable[TimedCommand]) -> float:
    """Return how many commands ran side by side on average, while any ran at all."""
    spans = sorted((command.start, command.end) for command in commands)
    total = sum(end - start for start, end in spans)
    covered, reached = 0.0, float("-inf")
    for start, end in spans:
        covered += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total / covered if covered else 0.0
