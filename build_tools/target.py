"""What the product is made for: the only place that knows how a target's files are called.

``Host`` is the machine that builds; a ``Target`` is the machine that the wheel runs on. A build
without a cross compiler has the host's target.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from build_tools.host import Host, System

Libc = Literal["glibc", "musl", ""]

_CMAKE_SYSTEMS: dict[System, str] = {"linux": "Linux", "darwin": "Darwin", "windows": "Windows"}
_CMAKE_PROCESSORS = {("windows", "x86_64"): "AMD64", ("darwin", "aarch64"): "arm64"}
WINDOWS_MACHINES = {"win_amd64": "x86_64", "win_arm64": "aarch64", "win32": "i386"}
"""The processor of each of Windows' platform tags."""

_TAG = re.compile(
    r"(?:linux|manylinux\d+|(?:many|musl)linux_\d+_\d+|macosx_\d+_\d+)_(?P<machine>\w+)"
)
_MACHINE_NAMES = {"arm64": "aarch64"}


@dataclass(frozen=True, kw_only=True)
class Target:
    """One kind of machine that a wheel can be for."""

    name: str
    """Its platform tag, e.g. "manylinux2014_aarch64"; "native" for the builder's own machine."""

    system: System
    """The operating system's family."""

    machine: str
    """The processor, spelled as binaries are described: "x86_64", "aarch64"."""

    libc: Libc = ""
    """The C library of a Linux target; empty where it makes no difference."""

    zig: str = ""
    """Zig's name for it, e.g. "aarch64-linux-gnu.2.17"; empty: the native compiler."""

    oldest_system: str = ""
    """macOS: the oldest release that must load the wheel, e.g. "11.0"."""

    numpy: str = ""
    """The NumPy its wheel is tried with, where the newest does not run there."""

    @property
    def is_native(self) -> bool:
        """Whether the machine's own compiler builds for it."""
        return not self.zig

    @property
    def joins_files(self) -> bool:
        """Whether related files may be compiled together.

        The headers of Windows define names of protobuf and ONNX as macros, for all that follows.
        """
        return self.system != "windows"

    @property
    def cmake_system(self) -> str:
        """What CMake calls the system."""
        return _CMAKE_SYSTEMS[self.system]

    @property
    def cmake_processor(self) -> str:
        """What CMake calls the processor on that system."""
        return _CMAKE_PROCESSORS.get((self.system, self.machine), self.machine)

    @property
    def raw_tag(self) -> str:
        """The platform tag of a wheel before it was made self-contained."""
        return f"linux_{self.machine}" if self.system == "linux" else self.name

    def extension_suffix(self, python: str) -> str:
        """Return how an extension's file name ends for a CPython, e.g. "3.13"."""
        digits = python.replace(".", "")
        if self.system == "windows":
            return f".cp{digits}-{self.name}.pyd"
        if self.system == "darwin":
            return f".cpython-{digits}-darwin.so"
        libc = {"musl": "musl"}.get(self.libc, "gnu")
        return f".cpython-{digits}-{self.machine}-linux-{libc}.so"

    def __str__(self) -> str:
        return self.name


def target_of_tag(tag: str) -> Target:
    """Return what a wheel with a platform tag is for; raises ValueError for a tag of no system."""
    if tag.startswith("win"):
        return Target(name=tag, system="windows", machine=WINDOWS_MACHINES.get(tag, ""))
    match = _TAG.fullmatch(tag)
    if match is None:
        raise ValueError(f"{tag} names no system")
    machine = _MACHINE_NAMES.get(match["machine"], match["machine"])
    if tag.startswith("macosx"):
        return Target(name=tag, system="darwin", machine=machine)
    libc: Libc = "musl" if tag.startswith("musl") else "glibc"
    return Target(name=tag, system="linux", machine=machine, libc=libc)


def native_target(host: Host) -> Target:
    """Return the target of a build with the machine's own compiler."""
    machine = _MACHINE_NAMES.get(host.machine, host.machine)
    return Target(name="native", system=host.system, machine=machine)
