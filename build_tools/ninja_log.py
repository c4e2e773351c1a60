"""Ninja's own record of what it ran, and when: ``.ninja_log``.

The format (versions 5 to 7): a header, then one line per output with tab-separated start and end in
milliseconds since that ninja was started, modification time, output and a hash of the command.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

LOG_NAME = ".ninja_log"
_HEADER = "# ninja log v"
_VERSIONS = ("5", "6", "7")


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command that ninja ran."""

    start: float
    """Seconds after ninja was started."""

    seconds: float
    """How long it ran."""

    outputs: tuple[str, ...]
    """The files it made, relative to the build folder."""

    @property
    def kind(self) -> str:
        """What sort of work it was, told from what it made: compile, archive, link or generate."""
        return _KINDS.get(PurePosixPath(self.outputs[0]).suffix, "generate")


_KINDS = {
    ".o": "compile",
    ".obj": "compile",
    ".gch": "compile",
    ".pch": "compile",
    ".a": "archive",
    ".lib": "archive",
    ".so": "link",
    ".dll": "link",
    ".pyd": "link",
    ".dylib": "link",
    ".exe": "link",
}


@dataclass(frozen=True, kw_only=True)
class NinjaRun:
    """What one call of ninja did."""

    started: float
    """When ninja was started, in seconds since the epoch."""

    commands: tuple[Command, ...]
    """What it ran, in order of starting."""


def read_lines(build_dir: Path) -> tuple[str, ...]:
    """Return the lines of a build folder's log; none where there is no log of a known version."""
    try:
        text = (build_dir / LOG_NAME).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ()
    header, *lines = text.splitlines() or [""]
    return tuple(lines) if header.removeprefix(_HEADER) in _VERSIONS else ()


def last_run(build_dir: Path, before: tuple[str, ...] = ()) -> NinjaRun | None:
    """Return what was run since the log had the lines ``before``; None where that is nothing.

    Ninja does not write down when it was started; but it writes each line as the command ends, so
    the file's own time is that of the last end.
    """
    known = set(before)
    commands = parse([line for line in read_lines(build_dir) if line not in known])
    if not commands:
        return None
    last_end = max(command.start + command.seconds for command in commands)
    written = (build_dir / LOG_NAME).stat().st_mtime
    return NinjaRun(started=written - last_end, commands=commands)


def parse(lines: list[str]) -> tuple[Command, ...]:
    """Turn lines of a log into commands; the outputs of one command, one line each, are joined."""
    outputs: dict[tuple[int, int, str], list[str]] = {}
    for line in lines:
        fields = line.split("\t")
        if len(fields) == 5 and fields[0].isdigit() and fields[1].isdigit():
            start, end, _, output, command = fields
            outputs.setdefault((int(start), int(end), command), []).append(output)
    return tuple(
        Command(start=start / 1000, seconds=max(0, end - start) / 1000, outputs=tuple(made))
        for (start, end, _), made in sorted(outputs.items())
    )
