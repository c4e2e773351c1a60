"""CMake and Ninja: the pinned ones of the package index, or the user's own.

The packages' real executables are used, never the scripts beside them: such a script on PATH
belongs to some Python environment and fails outside it.
"""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from build_tools.errors import ToolchainError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from build_tools.config import BuildConfig
    from build_tools.host import Host
    from build_tools.process import Runner

PINNED, SYSTEM = "pinned", "system"
_TIMEOUT = 60.0


@dataclass(frozen=True, kw_only=True)
class Tools:
    """The CMake and the Ninja that are used."""

    cmake: Path
    """CMake's executable."""

    cmake_version: str
    """Its version."""

    ninja: Path
    """Ninja's executable."""

    ninja_version: str
    """Its version."""

    reasons: tuple[str, ...]
    """Why these: one line each."""


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """One tool and what is needed of it."""

    name: str
    module: str
    folder_variable: str
    minimum: tuple[int, ...]


_CMAKE = _Wanted(name="cmake", module="cmake", folder_variable="CMAKE_BIN_DIR", minimum=(3, 26))
_NINJA = _Wanted(name="ninja", module="ninja", folder_variable="BIN_DIR", minimum=(1, 10))


def find_tools(config: BuildConfig, host: Host, runner: Runner) -> Tools:
    """Find CMake and Ninja as the settings say; raises ToolchainError where they do not work."""
    cmake, cmake_version, cmake_reason = _find(_CMAKE, config.cmake, host, runner)
    ninja, ninja_version, ninja_reason = _find(_NINJA, config.ninja, host, runner)
    return Tools(
        cmake=cmake,
        cmake_version=cmake_version,
        ninja=ninja,
        ninja_version=ninja_version,
        reasons=(cmake_reason, ninja_reason),
    )


def _find(wanted: _Wanted, asked: str, host: Host, runner: Runner) -> tuple[Path, str, str]:
    looked: list[str] = []
    for path, reason in _candidates(wanted, asked, host):
        version, complaint = _version(wanted, path, host, runner)
        if version:
            return path, version, f"{wanted.name} {version}: {reason}"
        looked.append(f"{path}: {complaint}")
    raise ToolchainError(
        f"no usable {wanted.name} was found for --{wanted.name} {asked}",
        looked=looked or [_nowhere(wanted, asked)],
        fix=[
            f"pip install {wanted.name}  (then --{wanted.name} pinned uses it)",
            f"or --{wanted.name} PATH, or ONNXFORGE_{wanted.name.upper()} in the environment",
        ],
    )


def _candidates(wanted: _Wanted, asked: str, host: Host) -> Iterator[tuple[Path, str]]:
    name = wanted.name + host.exe_suffix
    if asked == PINNED:
        folder = _package_folder(wanted)
        if folder is not None:
            yield folder / name, "the package of the builder's environment"
    elif asked == SYSTEM:
        for part in host.environ.get("PATH", "").split(host.path_separator):
            if part and (Path(part) / name).is_file():
                yield Path(part) / name, "the first on PATH that works"
    else:
        yield Path(asked).expanduser().absolute(), "asked for"


def _package_folder(wanted: _Wanted) -> Path | None:
    try:
        module = importlib.import_module(wanted.module)
    except ImportError:
        return None
    folder = getattr(module, wanted.folder_variable, None)
    return None if folder is None else Path(folder)


def _version(wanted: _Wanted, path: Path, host: Host, runner: Runner) -> tuple[str, str]:
    """Return the version of a tool that works and is new enough, else "" and what is wrong."""
    said = runner.run([path, "--version"], env=host.environ, timeout=_TIMEOUT)
    match = re.search(r"(\d+(?:\.\d+)+)", said.stdout)
    if not said.ok or match is None:
        complaint = said.text.strip().splitlines()
        return "", f"does not answer --version: {complaint[-1] if complaint else 'it said nothing'}"
    version = match.group(1)
    if tuple(int(part) for part in version.split(".")) < wanted.minimum:
        return "", f"{version} is older than {'.'.join(map(str, wanted.minimum))}"
    return version, ""


def _nowhere(wanted: _Wanted, asked: str) -> str:
    if asked == PINNED:
        return f"the Python package {wanted.module} is not installed beside the builder"
    return f"PATH: no {wanted.name}"
