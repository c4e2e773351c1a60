"""Making a wheel self-contained: shared libraries copied in, the widest true platform tag given.

Each system has its own tool for that; a new system is one more entry in ``_REPAIRS``.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from build_tools.errors import WheelError
from build_tools.process import tail

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from build_tools.context import Context
    from build_tools.target import Target


def repair(
    wheel: Path,
    into: Path,
    library_dirs: Iterable[Path],
    log: Path,
    context: Context,
    *,
    target: Target,
) -> Path:
    """Return the repaired copy of ``wheel`` in ``into``, or ``wheel`` where nothing can be done.

    ``into`` is a folder without wheels, or one that does not exist yet;
    ``library_dirs`` are the folders of the shared libraries that the wheel was linked with.
    """
    tool = _REPAIRS.get(target.system)
    if tool is None or (target.is_native and tool is _repairwheel):
        context.record.decide(
            "repair", "none", f"no tool copies libraries into a wheel on {context.host.system}"
        )
        return wheel
    with context.record.step("wheel: repair") as step:
        into.mkdir(parents=True, exist_ok=True)
        step.write_log(log)
        return tool(wheel, into, tuple(library_dirs), log, context)


def _auditwheel(
    wheel: Path, into: Path, library_dirs: tuple[Path, ...], log: Path, context: Context
) -> Path:
    python = context.host.python.executable
    result = context.runner.stream(
        [python, "-m", "auditwheel", "repair", "--wheel-dir", into, wheel],
        log=log,
        on_line=lambda _line: None,
        env=_auditwheel_environment(context, library_dirs),
    )
    made = sorted(into.glob("*.whl"))
    if not result.ok or len(made) != 1:
        raise WheelError(
            f"auditwheel could not make {wheel.name} self-contained",
            looked=[f"the end of {log}:\n{tail(log)}"],
            fix="--no-repair leaves the wheel as it is, for this machine only",
        )
    _decide_tag(made[0], "auditwheel", context)
    return made[0]


def _repairwheel(
    wheel: Path, into: Path, library_dirs: tuple[Path, ...], log: Path, context: Context
) -> Path:
    """What delvewheel and delocate do, on any machine and for any."""
    folders = [word for folder in library_dirs for word in ("--lib-dir", folder)]
    result = context.runner.stream(
        [context.host.python.executable.with_name("repairwheel"), wheel, "-o", into, *folders],
        log=log,
        on_line=lambda _line: None,
        env=_auditwheel_environment(context, library_dirs),
    )
    made = sorted(into.glob("*.whl"))
    if not result.ok or len(made) != 1:
        raise WheelError(
            f"repairwheel could not make {wheel.name} self-contained",
            looked=[f"the end of {log}:\n{tail(log)}"],
            fix="install the group `wheels` of pyproject.toml, which has repairwheel",
        )
    _decide_tag(made[0], "repairwheel", context)
    return made[0]


def _decide_tag(wheel: Path, tool: str, context: Context) -> None:
    tag = wheel.stem.rpartition("-")[2]
    context.record.decide("platform tag", tag, "the widest that is true", tool)


def _auditwheel_environment(context: Context, library_dirs: tuple[Path, ...]) -> dict[str, str]:
    """auditwheel finds libraries like the loader does, patchelf on PATH, and dates as said."""
    environ = dict(context.host.environ)
    separator = context.host.path_separator
    found = [str(folder) for folder in library_dirs]
    inherited = environ.get("LD_LIBRARY_PATH", "")
    environ["LD_LIBRARY_PATH"] = separator.join([*found, *([inherited] if inherited else [])])
    beside_python = str(context.host.python.executable.parent)
    environ["PATH"] = separator.join([beside_python, environ.get("PATH", os.defpath)])
    environ["SOURCE_DATE_EPOCH"] = context.host.source_date_epoch
    return environ


_REPAIRS: dict[str, Callable[[Path, Path, tuple[Path, ...], Path, Context], Path]] = {
    "linux": _auditwheel,
    "windows": _repairwheel,
    "darwin": _repairwheel,
}
