"""The Python that runs upstream's build backend: a virtual environment with exact requirements."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from build_tools.errors import WheelError
from build_tools.storage import remove_tree, write_text

if TYPE_CHECKING:
    from pathlib import Path

    from build_tools.context import Context
    from build_tools.host import PythonFacts
    from build_tools.process import Result

FRONTEND = "build==1.2.2.post1"
"""What runs upstream's build backend."""

_MARK = "onnxforge-installed.txt"


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A virtual environment."""

    folder: Path
    """Where it is."""

    python: Path
    """Its interpreter."""


def build_environment(
    folder: Path, python: PythonFacts, requires: tuple[str, ...], context: Context
) -> Environment:
    """Return the environment in ``folder``, made again unless it has just these requirements.

    Raises WheelError where the environment cannot be made or a requirement cannot be had.
    """
    wanted = (FRONTEND, *requires)
    digest = hashlib.sha256("\n".join((str(python.executable), *wanted)).encode()).hexdigest()
    mark = folder / _MARK
    environment = Environment(folder=folder, python=_interpreter(folder, context))
    if mark.is_file() and mark.read_text(encoding="utf-8") == digest:
        return environment
    with context.record.step(f"build environment for Python {python.version}"):
        remove_tree(folder)
        make_environment(folder, python, context)
        install(environment, wanted, context)
        write_text(mark, digest)
    return environment


def make_environment(folder: Path, python: PythonFacts, context: Context) -> Environment:
    """Make a virtual environment without any package in it."""
    made = context.runner.run(
        [python.executable, "-m", "venv", "--without-pip", folder], env=_clean(context)
    )
    _require(made, f"Python {python.version} cannot make a virtual environment")
    return Environment(folder=folder, python=_interpreter(folder, context))


def install(environment: Environment, requirements: tuple[str, ...], context: Context) -> None:
    """Install requirements with the builder's own pip; raises WheelError."""
    said = pip(environment, ("install", *requirements), context)
    _require(said, f"{', '.join(requirements)} cannot be installed")


def pip(environment: Environment, arguments: tuple[str, ...], context: Context) -> Result:
    """Run the builder's own pip on an environment and return what it said."""
    quiet = ("--quiet", "--disable-pip-version-check", "--no-input")
    command: list[str | Path] = [context.host.python.executable, "-m", "pip"]
    command += ["--python", environment.python, *quiet, *arguments]
    return context.runner.run(command, env=_clean(context))


def packages_of(environment: Environment) -> Path:
    """Return the folder that an environment's packages are installed in."""
    found = sorted(environment.folder.glob("[Ll]ib/**/site-packages"))
    if len(found) != 1:
        raise WheelError(
            "the build environment has no folder of packages", looked=[str(environment.folder)]
        )
    return found[0]


def _interpreter(folder: Path, context: Context) -> Path:
    windows = context.host.system == "windows"
    return folder / ("Scripts/python.exe" if windows else "bin/python")


def _clean(context: Context) -> dict[str, str]:
    """Return the environment without what would lend another Python our packages."""
    dropped = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    return {name: value for name, value in context.host.environ.items() if name not in dropped}


def _require(said: Result, what: str) -> None:
    if not said.ok:
        raise WheelError(
            what,
            looked=[f"{said.command}\n{said.text}"],
            fix="see that pip can reach its index, or set PIP_FIND_LINKS",
        )
