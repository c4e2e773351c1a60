"""The timeline: every step and every command of a run as a bar on one axis."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from build_tools.durations import duration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from build_tools.timeline import TimedCommand

_COLORS = 4
_TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
_MOST_TICKS = 9


def project_classes(commands: Sequence[TimedCommand]) -> dict[str, str]:
    """Give each project a colour class, in order of first use; the last is shared if need be."""
    names = list(dict.fromkeys(command.project for command in commands))
    return {name: f"p{min(index, _COLORS - 1)}" for index, name in enumerate(names)}


def draw_chart(
    steps: Sequence[Mapping[str, Any]], commands: Sequence[TimedCommand], whole: float
) -> str:
    """Return the chart: the steps on top, nested ones below them, then one lane per job."""
    span = max([whole, *(command.end for command in commands), 0.1])
    classes = project_classes(commands)
    depths = range(1 + max((int(step["depth"]) for step in steps), default=0))
    step_lanes = [
        "".join(_step_bar(step, span) for step in steps if step["depth"] == depth)
        for depth in depths
    ]
    jobs = range(1 + max((command.lane for command in commands), default=-1))
    job_lanes = [
        "".join(
            _command_bar(command, classes[command.project], span)
            for command in commands
            if command.lane == lane
        )
        for lane in jobs
    ]
    names = [*("steps" if depth == 0 else "" for depth in depths), *(f"job {n + 1}" for n in jobs)]
    return _legend(classes) + _frame(names, step_lanes, job_lanes, span)


def _frame(names: list[str], steps: list[str], jobs: list[str], span: float) -> str:
    labels = "".join(f"<div>{escape(name)}</div>" for name in names)
    lanes = "".join(f'<div class="lane">{bars}</div>' for bars in steps)
    first = " jobs-first"
    for bars in jobs:
        lanes += f'<div class="lane{first}">{bars}</div>'
        first = ""
    return (
        f'<div class="chart"><div class="names">{labels}<div class="axis"></div></div>'
        f'<div class="scroll"><div class="lanes" id="lanes">{_ticks(span)}{lanes}'
        '<div class="axis"></div></div></div></div>'
    )


def _legend(classes: Mapping[str, str]) -> str:
    entries = ['<span><i class="step"></i>step of the run</span>']
    entries += [
        f'<span><i class="{css}"></i>{escape(name)}</span>' for name, css in classes.items()
    ]
    darker = "<span>darker: archive or link</span>" if classes else ""
    zoom = (
        '<label>zoom <input id="zoom" type="range" min="1" max="12" step="0.5" value="1"></label>'
    )
    return f'<div class="legend">{"".join(entries)}{darker}{zoom}</div>'


def _ticks(span: float) -> str:
    step = next((width for width in _TICKS if span / width <= _MOST_TICKS), _TICKS[-1])
    count = int(span / step)
    marks = []
    for index in range(count + 1):
        at = index * step
        last = " last" if at / span > 0.95 else ""
        marks.append(
            f'<div class="tick{last}" style="left:{at / span:.4%}">'
            f"<span>{escape(_tick_label(at, step))}</span></div>"
        )
    return "".join(marks)


def _tick_label(at: float, step: float) -> str:
    if step < 1:
        return f"{at:.1f} s"
    minutes, seconds = divmod(round(at), 60)
    return f"{minutes}:{seconds:02d}" if minutes or step >= 10 else f"{seconds} s"


def _step_bar(step: Mapping[str, Any], span: float) -> str:
    state = " (from the cache)" if step["cached"] else ""
    css = "step failed" if step["failed"] else "step"
    tip = f"{step['name']}{state}\n{duration(step['seconds'])}"
    start, seconds = step["start"], step["seconds"]
    return _bar(css, step["name"], tip, start=start, seconds=seconds, span=span)


def _command_bar(command: TimedCommand, css: str, span: float) -> str:
    name = command.output.rpartition("/")[2].removesuffix(".o")
    tip = f"{command.project}: {command.output}\n{command.kind}, {duration(command.seconds)}"
    start, seconds = command.start, command.seconds
    return _bar(f"{css} {command.kind}", name, tip, start=start, seconds=seconds, span=span)


def _bar(css: str, name: str, tip: str, *, start: float, seconds: float, span: float) -> str:
    place = f"left:{max(0.0, start) / span:.4%};width:{seconds / span:.4%}"
    return (
        f'<div class="bar {css}" style="{place}" title="{escape(tip)}"><b>{escape(name)}</b></div>'
    )
