"""The last proof: the wheel, installed as a user would, runs real models where nothing else is.

A fresh virtual environment and an empty folder: neither the source tree nor the builder's own
packages can stand in for something that the wheel lacks.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from build_tools.errors import SmokeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from build_tools.context import Context
    from build_tools.process import Result

PROGRAM = Path(__file__).with_name("smoke_program.py")
_FOREIGN = ("PYTHON", "LD_LIBRARY_PATH", "DYLD_", "VIRTUAL_ENV", "CONDA_PREFIX")


@dataclass(frozen=True, kw_only=True)
class Smoke:
    """What is needed to try a wheel."""

    wheel: Path
    """The wheel."""

    model: Path
    """The folder with the real model and the names of its classes."""

    wheels: Path
    """Where the wheels that it depends on are kept between runs."""

    offline: bool
    """Whether the package index must not be asked."""

    library_dirs: tuple[Path, ...] = ()
    """Folders of shared libraries that the wheel does not bring along."""


def smoke(plan: Smoke, context: Context) -> dict[str, Any]:
    """Install the wheel and run its models; raises SmokeError where they do not run."""
    with tempfile.TemporaryDirectory(prefix="onnxforge smoke ") as scratch:
        room = Path(scratch)
        python = make_environment(room / "environment", context)
        with context.record.step("smoke: install the wheel"):
            _install(plan, python, context)
        with context.record.step("smoke: run real models"):
            seen = _run(plan, python, room, context)
    context.record.prove(
        "installed alone, it runs real models with the right results", _evidence(seen)
    )
    return seen


def make_environment(folder: Path, context: Context) -> Path:
    """Make a virtual environment without any package; return its interpreter."""
    with context.record.step("smoke: fresh virtual environment"):
        builder = context.host.python.executable
        made = context.runner.run(
            [builder, "-m", "venv", "--without-pip", folder], env=_clean(context, ())
        )
        _require(made, "no virtual environment can be made", "install Python's venv module")
    windows = context.host.system == "windows"
    return folder / ("Scripts/python.exe" if windows else "bin/python")


def _install(plan: Smoke, python: Path, context: Context) -> None:
    """Install from what earlier runs have kept; where that fails, fetch the dependencies."""
    plan.wheels.mkdir(parents=True, exist_ok=True)
    kept: list[str | Path] = ["--no-index", "--find-links", plan.wheels]
    installing: list[str | Path] = [
        "--python",
        python,
        "install",
        "--no-compile",
        *kept,
        plan.wheel,
    ]
    installed = _pip(installing, context)
    if installed.ok:
        return
    fetching: list[str | Path] = ["download", "--only-binary", ":all:", "--dest", plan.wheels]
    fetching += ["--no-index"] if plan.offline else []
    _require(
        _pip([*fetching, plan.wheel], context),
        f"what {plan.wheel.name} depends on cannot be had",
        "see that pip can reach its index, or set PIP_FIND_LINKS; --no-smoke leaves this out",
    )
    _require(_pip(installing, context), f"{plan.wheel.name} cannot be installed", "")


def _pip(arguments: Sequence[str | Path], context: Context) -> Result:
    quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
    command = [context.host.python.executable, "-m", "pip", *quiet, *arguments]
    return context.runner.run(command, env=context.host.environ)


def _run(plan: Smoke, python: Path, room: Path, context: Context) -> dict[str, Any]:
    empty = room / "empty folder"
    empty.mkdir()
    # Isolated mode: neither the folder, nor PYTHONPATH, nor the user's packages are looked at.
    command: list[str | Path] = [python, "-I", "-B", PROGRAM.resolve()]
    command += [plan.model / "model.onnx", plan.model / "config.min.json"]
    command += plan.library_dirs if context.host.system == "windows" else []
    environ = _clean(context, plan.library_dirs)
    result = context.runner.run(command, cwd=empty, env=environ, timeout=300)
    _require(
        result,
        f"{plan.wheel.name} does not run a real model",
        "the traceback above names the step; --no-smoke leaves this out",
    )
    seen: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return seen


def _clean(context: Context, library_dirs: Iterable[Path]) -> dict[str, str]:
    """Return the environment without what would lend the wheel a library or a module."""
    kept = {
        name: value
        for name, value in context.host.environ.items()
        if not name.upper().startswith(_FOREIGN)
    }
    folders = context.host.path_separator.join(str(folder) for folder in library_dirs)
    variable = {"linux": "LD_LIBRARY_PATH", "darwin": "DYLD_LIBRARY_PATH"}
    name = variable.get(context.host.system)
    if folders and name:
        known = kept.get(name)
        kept[name] = context.host.path_separator.join([folders, *([known] if known else [])])
    return kept


def _require(result: Result, what: str, fix: str) -> None:
    if not result.ok:
        said = f"{result.command}\n{result.text}".strip()
        raise SmokeError(what, looked=[said], fix=fix or ())


def _evidence(seen: dict[str, Any]) -> str:
    magika, kinds = seen["magika"], ", ".join(seen["magika"]["recognised"])
    return (
        f"fresh Python {seen['python']}, numpy {seen['numpy']}: magika tells {kinds} apart as "
        f"onnxruntime does ({magika['run_ms']} ms a run, {magika['session_ms']} ms to make the "
        "session); x·w + b is exact"
    )
