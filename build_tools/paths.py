"""How long paths may get: where to compile on Windows, and whether the wheel can be installed.

Windows programs cannot open a file whose path has more than 259 characters, nor make a folder with
more than 247, unless long paths are switched on and the program knows of them; compilers do not.
Everywhere else the limits are out of reach, and nothing here says a word.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import PureWindowsPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from build_tools.host import Host

LONGEST_FILE = 259
LONGEST_FOLDER = 247
LONGEST_OBJECT = 250
"""How long the path of an object file may be for CMake, which leaves room for other files."""

LONGEST_IN_BUILD = 170
"""The longest path of an object file below a build folder: one of protobuf's, with the digest of 32
characters that CMake puts in the place of the sources' folder where that would not fit."""

LONGEST_IN_CACHE = 175
"""The longest path below the cache folder: test data in the sources of older releases of ONNX."""

_BUILD_FOLDER = "onnxforge-build"


@dataclass(frozen=True, kw_only=True)
class Budget:
    """A folder and the longest path below it."""

    folder: str
    """The folder."""

    longest: str
    """The longest path below it, or its length in words."""

    length: int
    """The length of both together."""

    limit: int
    """How long it may be."""

    @property
    def ok(self) -> bool:
        """Whether it fits."""
        return self.length <= self.limit

    def __str__(self) -> str:
        return (
            f"{self.folder}, and {self.longest} below it: {self.length} of {self.limit} characters"
        )


@dataclass(frozen=True, kw_only=True)
class BuildFolder:
    """Where everything is compiled."""

    path: str
    """The folder."""

    reason: str
    """Why there; empty where it is simply the one that was asked for."""

    warnings: tuple[str, ...] = ()
    """What may go wrong all the same."""


def build_budget(folder: str) -> Budget:
    """Return what compiling in ``folder`` takes."""
    return Budget(
        folder=folder,
        longest=f"{LONGEST_IN_BUILD} characters",
        length=len(folder) + 1 + LONGEST_IN_BUILD,
        limit=LONGEST_OBJECT,
    )


def cache_budget(folder: str) -> Budget:
    """Return what unpacking the sources below a cache folder takes."""
    return Budget(
        folder=folder,
        longest=f"{LONGEST_IN_CACHE} characters",
        length=len(folder) + 1 + LONGEST_IN_CACHE,
        limit=LONGEST_FILE,
    )


def cache_warnings(host: Host, folder: Path) -> Iterator[str]:
    """Yield a warning where sources cannot be unpacked below the cache folder of this Windows."""
    budget = cache_budget(str(folder))
    if host.system == "windows" and not host.long_paths and not budget.ok:
        yield f"the cache folder is too long: {budget}; name a short one with --cache-dir"


def install_budgets(site_packages: str, members: Iterable[str]) -> tuple[Budget, Budget]:
    """Return what installing the members of a wheel takes: for files, and for their folders."""
    files = sorted(members, key=len)
    folders = sorted({member.rpartition("/")[0] for member in files}, key=len)
    return (
        _below(site_packages, files[-1] if files else "", LONGEST_FILE),
        _below(site_packages, folders[-1] if folders else "", LONGEST_FOLDER),
    )


def install_warnings(host: Host, site_packages: str, members: Iterable[str]) -> Iterator[str]:
    """Yield a warning for each limit that installing a wheel on this Windows would break."""
    if host.system != "windows" or host.long_paths:
        return
    for budget in install_budgets(site_packages, members):
        if not budget.ok:
            yield f"the wheel cannot be installed here: {budget}; {_SWITCH}"


def choose_build_folder(wanted: Path, host: Host, *, given: bool) -> BuildFolder:
    """Return where to compile: the folder that is wanted, unless compilers stumble there.

    One that somebody named (``given``) is used as it is, with warnings. A pure function.
    """
    against = tuple(_against(str(wanted))) if host.system == "windows" else ()
    if given or not against:
        warnings = tuple(f"--build-dir {wanted}: {what}" for what in against)
        return BuildFolder(path=str(wanted), reason="", warnings=warnings)
    name = hashlib.sha256(str(wanted).encode()).hexdigest()[:8]
    for place in _short_places(host.environ):
        short = str(place / _BUILD_FOLDER / name)
        if not any(_against(short)):
            return BuildFolder(path=short, reason=f"{wanted} will not do: {'; '.join(against)}")
    warnings = tuple(f"{wanted}: {what}; name a short one with --build-dir" for what in against)
    return BuildFolder(path=str(wanted), reason="", warnings=warnings)


_SWITCH = (
    "switch long paths on (LongPathsEnabled in the registry), or install into a shorter folder"
)


def _against(folder: str) -> Iterator[str]:
    """Yield why compilers and their helpers stumble in a folder."""
    if " " in folder:
        yield "it has a blank in it"
    budget = build_budget(folder)
    if not budget.ok:
        yield f"paths get too long ({budget.length} of {budget.limit} characters)"


def _short_places(environ: Mapping[str, str]) -> Iterator[PureWindowsPath]:
    """Yield folders in which everybody may make one; the drive comes last."""
    for variable in ("LOCALAPPDATA", "TEMP", "PUBLIC"):
        if environ.get(variable):
            yield PureWindowsPath(environ[variable])
    yield PureWindowsPath(environ.get("SYSTEMDRIVE", "C:") + "\\")


def _below(folder: str, longest: str, limit: int) -> Budget:
    length = len(folder) + 1 + len(longest)
    return Budget(folder=folder, longest=longest, length=length, limit=limit)
