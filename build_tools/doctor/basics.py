"""The facts that cost next to nothing: settings, files that are there or not, room on devices.

They are what ``nox -s build`` knows anyway before it begins; ``facts`` has those that take seconds.
"""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from build_tools.doctor.packages import manager
from build_tools.errors import PinError
from build_tools.pins import PinKind, load_pins
from build_tools.releases import release_of
from build_tools.storage import sha256_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from build_tools.config import BuildConfig
    from build_tools.host import Host
    from build_tools.jobs import JobPlan
    from build_tools.pins import Pin, Pins
    from build_tools.releases import Release
    from build_tools.sources import Resolved
    from build_tools.toolchain.model import Toolchain
    from build_tools.tools import Tools

_PROTOBUF_HEADERS = Path("google/protobuf/message_lite.h")
# What the compiler looks into before the -isystem of an imported library: not CPLUS_INCLUDE_PATH,
# which comes after it, and not -iquote and -idirafter.
_HEADER_PATHS = ("CPATH",)
_HEADER_FLAGS = ("CPPFLAGS", "CXXFLAGS")
_FOLDER_FLAGS = ("-isystem", "-I")


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A folder that a build writes to."""

    role: str
    """What it is for: "cache", "build", "result", "temporary files"."""

    path: Path
    """The folder."""

    free: int
    """Free bytes on its device; -1 where that cannot be asked."""

    problem: str = ""
    """Why nothing can be written there; empty: it can."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """One pinned source that the build needs, and where it is at hand."""

    pin: Pin
    """The source."""

    at_hand: str
    """Where its archive is on this machine: "the cache", a folder; empty: nowhere."""

    substitutes: tuple[Source, ...] = ()
    """Releases that may stand in for it."""

    @property
    def usable(self) -> bool:
        """Whether it, or something that may stand in for it, is on this machine."""
        return bool(self.at_hand) or any(other.at_hand for other in self.substitutes)


@dataclass(frozen=True, kw_only=True)
class Basics:
    """What a build knows before it does anything long."""

    host: Host
    """The machine, its environment, the Python of the builder."""

    resolved: Resolved
    """The settings and who made them."""

    toolchain: Toolchain | None
    """The compiler that would be used; None: there is none."""

    tools: Tools | None
    """CMake and Ninja as they would be used; None: they are not usable."""

    jobs: JobPlan
    """Compile jobs at a time."""

    folders: tuple[Folder, ...]
    """The folders that are written to."""

    sources: tuple[Source, ...] | PinError
    """What is compiled; an error: one of it is not pinned."""

    python_headers: Path | None
    """Python.h of the builder's Python; None: it is not there."""

    foreign_headers: tuple[str, ...] = ()
    """Folders with protobuf's headers that the environment puts before all others, with who does
    it: "CPATH: /opt/conda/include"."""

    has_built: bool = False
    """Whether an earlier build has left ONNX's library in the cache: little is left to do then."""

    package_manager: str = ""
    """What installs packages here, e.g. "apt"; empty where that is not known."""

    upstream: bool = False
    """Whether upstream's own way to build is judged instead of ``nox -s build``."""

    @property
    def config(self) -> BuildConfig:
        """The settings."""
        return self.resolved.config

    @property
    def release(self) -> Release | None:
        """What is known of the ONNX release; None for one that nothing is known of."""
        return release_of(self.config.onnx_version)


def basics(
    resolved: Resolved,
    host: Host,
    toolchain: Toolchain | None,
    tools: Tools | None,
    jobs: JobPlan,
    *,
    upstream: bool = False,
) -> Basics:
    """Put together what a build knows before it does anything long."""
    config, headers = resolved.config, host.python.include_dir / "Python.h"
    return Basics(
        host=host,
        resolved=resolved,
        toolchain=toolchain,
        tools=tools,
        jobs=jobs,
        folders=tuple(folders(config)),
        sources=sources(config),
        python_headers=headers if headers.is_file() else None,
        foreign_headers=tuple(foreign_headers(host, config)),
        has_built=any((config.cache_dir / "prefixes").glob(f"onnx-{config.onnx_version}-*")),
        package_manager=manager(host),
        upstream=upstream,
    )


def folders(config: BuildConfig) -> Iterator[Folder]:
    """Yield the folders that a build writes to."""
    yield describe_folder("cache", config.cache_dir)
    yield describe_folder("build", config.build_dir)
    yield describe_folder("result", config.out_dir)
    try:
        yield describe_folder("temporary files", Path(tempfile.gettempdir()))
    except OSError as error:
        why = error.strerror or str(error)
        yield Folder(role="temporary files", path=Path(), free=-1, problem=why)


def describe_folder(role: str, path: Path) -> Folder:
    """Say how much room there is and whether something can be written, without writing."""
    try:
        absolute = path.absolute()
    except OSError as error:
        return Folder(role=role, path=path, free=-1, problem=f"the current folder: {error}")
    existing = next((part for part in (absolute, *absolute.parents) if _exists(part)), None)
    if existing is None:
        return Folder(role=role, path=absolute, free=-1, problem="there is no such device")
    problem = ""
    if not existing.is_dir():
        problem = f"{existing} is a file"
    elif not os.access(existing, os.W_OK | os.X_OK):
        problem = f"{existing} cannot be written to by this user"
    try:
        free = shutil.disk_usage(existing).free
    except OSError:
        free = -1
    return Folder(role=role, path=absolute, free=free, problem=problem)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a folder above it may not be looked into
        return False


def sources(config: BuildConfig) -> tuple[Source, ...] | PinError:
    """Return the sources that a build needs and where each is on this machine."""
    try:
        pins = load_pins()
        protobuf = pins.pin("protobuf", config.protobuf_version)
        needed = [protobuf, pins.pin("onnx", config.onnx_version), pins.pin("highway")]
    except PinError as error:
        return error
    if config.smoke:
        needed.append(pins.pin("magika"))
    return tuple(_source(pin, pins, config) for pin in needed)


def _source(pin: Pin, pins: Pins, config: BuildConfig) -> Source:
    # Only what nobody asked for by its version is replaced.
    others = pins.substitutes(pin) if pin.default and config.protobuf_version is None else ()
    return Source(
        pin=pin,
        at_hand=_at_hand(pin, config),
        substitutes=tuple(Source(pin=other, at_hand=_at_hand(other, config)) for other in others),
    )


def _at_hand(pin: Pin, config: BuildConfig) -> str:
    for place in pin.places:
        if (config.cache_dir / "archives" / place.sha256).is_file():
            return "the cache"
    # What is only read needs no archive any more once it is unpacked.
    if pin.kind is PinKind.TEST_DATA and any((config.cache_dir / "sources").glob(f"{pin.name}-*")):
        return "the cache"
    wanted = {place.sha256 for place in pin.places}
    for folder in config.archives:
        if any(_digest(path) in wanted for path in _likely(folder, pin)):
            return str(folder)
    return ""


def _digest(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError:
        return ""


def _likely(folder: Path, pin: Pin) -> Iterator[Path]:
    """Yield the files that may be an archive of a pin: reading everything would take long."""
    sizes = {place.size for place in pin.places}
    names = {place.filename for place in pin.places}
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return
    for path in entries:
        if path.is_file() and (path.name in names or path.stat().st_size in sizes):
            yield path


def foreign_headers(host: Host, config: BuildConfig) -> Iterator[str]:
    """Yield the folders with protobuf's headers that the environment puts before all others.

    Those of the protobuf that is to be used are no foreign ones.
    """
    own = None if config.protobuf_root is None else config.protobuf_root / "include"
    for name, folder in _header_folders(host):
        try:
            found = (folder / _PROTOBUF_HEADERS).is_file() and not (own and folder.samefile(own))
        except OSError:
            found = False
        if found:
            yield f"{name}: {folder}"


def _header_folders(host: Host) -> Iterator[tuple[str, Path]]:
    for name in _HEADER_PATHS:
        for part in host.environ.get(name, "").split(host.path_separator):
            if part:
                yield name, Path(part)
    for name in _HEADER_FLAGS:
        words = iter(_words(host.environ.get(name, "")))
        for word in words:
            flag = next((flag for flag in _FOLDER_FLAGS if word.startswith(flag)), None)
            if flag:
                yield name, Path(word[len(flag) :] or next(words, ""))


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()
