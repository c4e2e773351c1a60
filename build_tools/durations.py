"""Times: taken, and like sizes in the form in which people read them."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What a piece of work has cost."""

    seconds: float
    """The time that passed, however busy the machine was with other work."""

    processor: float
    """What processors worked for it, all together."""


class Stopwatch:
    """Tells what was spent since it was made, by this process and by those that it waited for."""

    def __init__(self) -> None:
        self._start = _now()

    def spent(self) -> Spent:
        """Return what was spent until now."""
        start, now = self._start, _now()
        return Spent(seconds=now.seconds - start.seconds, processor=now.processor - start.processor)


def _now() -> Spent:
    work = os.times()
    own, children = work.user + work.system, work.children_user + work.children_system
    return Spent(seconds=time.perf_counter(), processor=own + children)


def duration(seconds: float) -> str:
    """Return a time for a person: "0.4 s", "12 s", "4 min 05 s", "1 h 02 min"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if round(seconds) < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def size(count: float) -> str:
    """Return a number of bytes for a person, in powers of a thousand: "812 B", "3.2 MB"."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.2f} GB"
