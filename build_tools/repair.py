"""Making a wheel self-contained: shared libraries copied in, the widest true platform tag given.

Each system has its own tool for that; a new system is one more entry in ``_REPAIRS``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from build_tools.errors import WheelError
from build_tools.process import tail

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from build_tools.context import Context
    from build_tools.host import Host, System
    from build_tools.target import Target


@dataclass(frozen=True, kw_only=True)
class _Tool:
    """One system's tool."""

    name: str
    """The module that is run."""

    arguments: Callable[[Path, Path, tuple[Path, ...]], list[str | Path]]
    """What it is told: the wheel, the folder for the result, the folders of libraries."""

    search: str
    """The variable that names the folders in which it looks for libraries; empty: an argument."""

    reason: str
    """Why the tag that comes out is the right one."""


def repair(
    wheel: Path,
    into: Path,
    library_dirs: Iterable[Path],
    log: Path,
    context: Context,
    *,
    target: Target,
) -> Path:
    """Return the repaired copy of ``wheel`` in ``into``.

    ``into`` is a folder without wheels, or one that does not exist yet;
    ``library_dirs`` are the folders of the shared libraries that the wheel was linked with.
    """
    tool = (_REPAIRS if target.is_native else _CROSS_REPAIRS)[target.system]
    with context.record.step("wheel: repair") as step:
        into.mkdir(parents=True, exist_ok=True)
        step.write_log(log)
        folders = tuple(library_dirs)
        python = context.host.python.executable
        result = context.runner.stream(
            [python, "-m", tool.name, *tool.arguments(wheel, into, folders)],
            log=log,
            on_line=lambda _line: None,
            env=_environment(tool, context.host, folders),
        )
    made = sorted(into.glob("*.whl"))
    if not result.ok or len(made) != 1:
        raise WheelError(
            f"{tool.name} could not make {wheel.name} self-contained",
            looked=[f"the end of {log}:\n{tail(log)}"],
            fix="--no-repair leaves the wheel as it is, for this machine only",
        )
    tag = made[0].stem.rpartition("-")[2]
    context.record.decide("platform tag", tag, tool.reason, tool.name.partition(".")[0])
    return made[0]


def _environment(tool: _Tool, host: Host, folders: tuple[Path, ...]) -> dict[str, str]:
    """Return the environment: the tool's helpers on PATH, dates as said, libraries found."""
    environ = dict(host.environ)
    separator = host.path_separator
    if tool.search:
        found = [str(folder) for folder in folders]
        inherited = environ.get(tool.search, "")
        environ[tool.search] = separator.join([*found, *([inherited] if inherited else [])])
    beside_python = str(host.python.executable.parent)
    environ["PATH"] = separator.join([beside_python, environ.get("PATH", os.defpath)])
    environ["SOURCE_DATE_EPOCH"] = host.source_date_epoch
    # With it, delocate fails where a library needs a newer macOS; without it, it raises the tag.
    environ.pop("MACOSX_DEPLOYMENT_TARGET", None)
    return environ


def _auditwheel(wheel: Path, into: Path, _folders: tuple[Path, ...]) -> list[str | Path]:
    return ["repair", "--wheel-dir", into, wheel]


def _delvewheel(wheel: Path, into: Path, folders: tuple[Path, ...]) -> list[str | Path]:
    places = os.pathsep.join(str(folder) for folder in folders)
    return ["repair", *(["--add-path", places] if places else []), "--wheel-dir", into, wheel]


def _delocate(wheel: Path, into: Path, _folders: tuple[Path, ...]) -> list[str | Path]:
    return ["--check-archs", "--verbose", "--wheel-dir", into, wheel]


def _repairwheel(wheel: Path, into: Path, folders: tuple[Path, ...]) -> list[str | Path]:
    places = [word for folder in folders for word in ("--lib-dir", folder)]
    return [wheel, "-o", into, *places]


_REPAIRS: dict[System, _Tool] = {
    "linux": _Tool(
        name="auditwheel",
        arguments=_auditwheel,
        search="LD_LIBRARY_PATH",
        reason="the widest that is true",
    ),
    "windows": _Tool(
        name="delvewheel",
        arguments=_delvewheel,
        search="",
        reason="Windows has one for each processor",
    ),
    "darwin": _Tool(
        name="delocate.cmd.delocate_wheel",
        arguments=_delocate,
        search="DYLD_LIBRARY_PATH",
        reason="raised to the oldest macOS that all its libraries run on",
    ),
}

# On another machine than the wheel's, one tool does what delvewheel and delocate do on their own.
_REPAIRWHEEL = _Tool(
    name="repairwheel",
    arguments=_repairwheel,
    search="",
    reason="what the binaries say",
)
_CROSS_REPAIRS: dict[System, _Tool] = {
    "linux": _REPAIRS["linux"],
    "windows": _REPAIRWHEEL,
    "darwin": _REPAIRWHEEL,
}
