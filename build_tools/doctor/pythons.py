"""Every Python of the machine, asked what it is; the one to build for also for its packages."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from build_tools.doctor.facts import Distribution, PythonFound
from build_tools.doctor.programs import path_folders, why_silent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from build_tools.host import Host
    from build_tools.process import Runner

PROGRAM = Path(__file__).with_name("python_program.py")
_NAME = re.compile(r"python(\d(\.\d+)?t?)?(\.exe)?")
_MOST = 16
_TEXTS = ("version", "abi", "soabi")
_PATHS = ("prefix", "include_dir", "site_packages")
_FLAGS = ("has_headers", "free_threaded", "is_debug", "has_distutils")


def candidates(host: Host) -> Iterator[tuple[Path, str]]:
    """Yield every interpreter: those on PATH in the shell's order, then the builder's own."""
    seen: set[Path] = set()
    for folder in path_folders(host):
        for path in _interpreters(folder):
            identity = _identity(path)
            if identity not in seen and len(seen) < _MOST:
                seen.add(identity)
                yield path, "PATH" if path.parent == folder else "pyenv"
    own = host.python.executable
    if _identity(own) not in seen:
        yield own, "the builder's environment"


def ask(
    path: Path, origin: str, host: Host, runner: Runner, *, packages: bool = False
) -> PythonFound:
    """Ask one Python what it is."""
    arguments = ["packages"] if packages else []
    said = runner.run([path, "-I", "-B", PROGRAM, *arguments], env=_clean(host))
    if not said.ok:
        return PythonFound(path=path, origin=origin, problem=why_silent(said, "", host))
    try:
        answer = json.loads(said.stdout.splitlines()[-1])
        return _read(path, origin, answer)
    except (ValueError, IndexError, KeyError, TypeError) as error:
        return PythonFound(path=path, origin=origin, problem=f"its answer makes no sense: {error}")


def distinct(found: Iterable[PythonFound]) -> tuple[PythonFound, ...]:
    """Leave out a Python that was met before under another name, as through pyenv's shims."""
    kept: dict[tuple[str, Path], PythonFound] = {}
    silent = []
    for entry in found:
        if entry.problem:
            silent.append(entry)
        else:
            kept.setdefault((entry.version, entry.prefix), entry)
    return (*kept.values(), *silent)


def choose_target(found: Sequence[PythonFound], host: Host) -> PythonFound | None:
    """Return the first Python that is not the builder's own environment, else that one."""
    own = host.python.executable.parent.parent
    answering = [entry for entry in found if not entry.problem]
    foreign = [entry for entry in answering if entry.prefix.resolve() != own.resolve()]
    return next(iter([*foreign, *answering]), None)


def _interpreters(folder: Path) -> list[Path]:
    try:
        names = [path for path in folder.iterdir() if _NAME.fullmatch(path.name)]
        # "python3" before "python3.11": the name that people type.
        found = sorted((path for path in names if path.is_file()), key=lambda path: len(path.name))
    except OSError:
        return []
    versions = folder.parent / "versions"
    if folder.name != "shims" or not versions.is_dir():
        return found
    # pyenv: scripts that look for the version that is set; most of them find that it is not.
    return [*found[:1], *sorted(versions.glob("*/bin/python3"))]


def _identity(path: Path) -> Path:
    """Return what two names of one Python have in common; a virtual environment is its folder."""
    environment = path.parent.parent
    try:
        if (environment / "pyvenv.cfg").is_file():
            return environment.resolve()
        return path.resolve()
    except (OSError, RuntimeError):
        return path


def _clean(host: Host) -> dict[str, str]:
    return {name: text for name, text in host.environ.items() if not name.startswith("PYTHON")}


def _read(path: Path, origin: str, answer: dict[str, Any]) -> PythonFound:
    values: dict[str, Any] = {name: str(answer[name]) for name in _TEXTS}
    values.update({name: Path(answer[name]) for name in _PATHS})
    values.update({name: bool(answer[name]) for name in _FLAGS})
    installed = tuple(_distribution(*entry) for entry in answer["distributions"])
    return replace(PythonFound(path=path, origin=origin, distributions=installed), **values)


def _distribution(name: str, version: str, needs: Sequence[str]) -> Distribution:
    wanted = [text for need in needs for text in _specifier(need)]
    return Distribution(
        name=canonicalize_name(name or ""), version=version, protobuf=",".join(wanted)
    )


def _specifier(need: str) -> Iterator[str]:
    try:
        requirement = Requirement(need)
    except InvalidRequirement:
        return
    applies = requirement.marker is None or "extra" not in str(requirement.marker)
    if canonicalize_name(requirement.name) == "protobuf" and applies and requirement.specifier:
        yield str(requirement.specifier)
