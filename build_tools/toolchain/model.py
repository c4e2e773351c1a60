"""What is known about a compiler, as plain values: candidate, description, probes, choice."""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import TYPE_CHECKING

from build_tools.toolchain.dialect import GNU_DIALECT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from build_tools.toolchain.dialect import Dialect

FLAG_VARIABLES = ("CPPFLAGS", "CFLAGS", "CXXFLAGS", "LDFLAGS")
"""Variables of the environment that change what CMake and the probes compile."""


class Family(str, Enum):
    """The compilers the builder knows how to talk to."""

    GCC = "gcc"
    CLANG = "clang"
    APPLE_CLANG = "apple-clang"
    MSVC = "msvc"
    CLANG_CL = "clang-cl"

    def __str__(self) -> str:
        return _NAMES[self.value]


_NAMES = {
    "gcc": "GCC",
    "clang": "Clang",
    "apple-clang": "Apple Clang",
    "msvc": "MSVC",
    "clang-cl": "clang-cl",
}


@dataclass(frozen=True, kw_only=True)
class FamilyTraits:
    """What has to be known of a family before and after one of its compilers is found."""

    family: Family
    """The family."""

    wanted_as: tuple[str, ...]
    """The names by which ``--compiler`` asks for the whole family."""

    drivers: tuple[tuple[str, str], ...]
    """Names of the C and the C++ driver that belong together, without version."""

    recognise: Callable[[Mapping[str, str]], str | None]
    """Returns the version from the predefined macros; None for another family's compiler."""

    lto_flags: tuple[str, ...]
    """What turns link-time optimisation on, for compiling and for linking."""

    lto_link_flags: tuple[str, ...] = ()
    """What the linker itself is told beside it."""

    dialect: Dialect = GNU_DIALECT
    """How its drivers are spoken to."""

    cxx20: tuple[str, ...] = ("c++20",)
    """The names it has had for C++20, the right one first."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A compiler that may be used, before anything was asked of it."""

    cc: Path
    """The C driver."""

    cxx: Path
    """The C++ driver."""

    origin: str
    """Who named it: "environment CXX", "--compiler on the command line", "PATH"."""

    cc_arguments: tuple[str, ...] = ()
    """Arguments that came with the C driver (CC="gcc -m64")."""

    cxx_arguments: tuple[str, ...] = ()
    """Arguments that came with the C++ driver."""

    launcher: Path | None = None
    """A program that runs the compiler (CC="ccache gcc")."""


@dataclass(frozen=True, kw_only=True)
class Compiler:
    """A candidate that answered, described."""

    family: Family
    """Whose compiler it is, by its predefined macros, whatever its name says."""

    version: str
    """Its version, e.g. "12.2.0"."""

    target: str
    """What it compiles for, e.g. "x86_64-linux-gnu"."""

    cc: Path
    """The C driver."""

    cxx: Path
    """The C++ driver."""

    origin: str
    """Who named it."""

    cc_arguments: tuple[str, ...] = ()
    """Arguments that belong to every call of the C driver."""

    cxx_arguments: tuple[str, ...] = ()
    """Arguments that belong to every call of the C++ driver."""

    launcher: Path | None = None
    """A program that runs the compiler, e.g. ccache."""

    @property
    def label(self) -> str:
        """The compiler in words: "GCC 12.2.0 (/usr/bin/g++, x86_64-linux-gnu)"."""
        return f"{self.family} {self.version} ({self.cxx}, {self.target})"

    @property
    def for_windows(self) -> bool:
        """Whether its programs end in .exe and its shared libraries in .dll."""
        return "windows" in self.target or "mingw" in self.target

    @property
    def cxx_command(self) -> tuple[str, ...]:
        """The start of every command that compiles C++."""
        return (str(self.cxx), *self.cxx_arguments)


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One question that was put to a compiler by letting it work."""

    ok: bool
    """Whether the compiler can do it."""

    why: str
    """What was done and what came of it; of a failure the compiler's first words."""


@dataclass(frozen=True, kw_only=True)
class Probes:
    """Everything that was proved by compiling, linking and running."""

    runs: Probe
    """A program it made runs on this machine."""

    cxx17: Probe
    """It compiles C++17."""

    cxx20: Probe
    """It compiles C++20."""

    filesystem_link: Probe
    """A program with <filesystem> links and runs."""

    shared_objects: Probe
    """It makes shared objects that can be loaded."""

    visibility: Probe
    """What is not marked as shown is hidden, and what is marked is shown."""

    lto: Probe
    """Link-time optimisation links and runs."""

    filesystem_library: str = ""
    """The library that <filesystem> needs on the link line, without -l; empty: none."""

    standard_library: str = ""
    """The C++ standard library that was compiled with, e.g. "libstdc++ 12 (20220819)"."""

    def missing(self) -> Iterator[tuple[str, Probe]]:
        """Yield what this project cannot do without and the compiler cannot do."""
        for name in ("runs", "cxx17", "filesystem_link", "shared_objects", "visibility"):
            probe: Probe = getattr(self, name)
            if not probe.ok:
                yield name, probe

    def named(self) -> Iterator[tuple[str, Probe]]:
        """Yield every probe with its name."""
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, Probe):
                yield entry.name, value


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """A compiler that was looked at and not taken."""

    cxx: str
    """The compiler, as it was named."""

    origin: str
    """Who named it."""

    why: str
    """Why it cannot be used."""

    def __str__(self) -> str:
        return f"{self.cxx} ({self.origin}): {self.why}"


@dataclass(frozen=True, kw_only=True)
class Assessed:
    """A described compiler with what it proved."""

    compiler: Compiler
    """The compiler."""

    probes: Probes
    """What it can do."""


@dataclass(frozen=True, kw_only=True)
class Toolchain:
    """The compiler that everything is built with."""

    compiler: Compiler
    """The compiler."""

    probes: Probes
    """What it proved to be able to do."""

    reasons: tuple[str, ...]
    """Why it was taken."""

    rejected: tuple[Rejected, ...] = ()
    """What was looked at before and not taken."""

    flags: tuple[tuple[str, str], ...] = ()
    """CPPFLAGS, CFLAGS, CXXFLAGS and LDFLAGS of the environment, where set."""

    toolchain_file: Path | None = None
    """What tells CMake about a cross compiler; None for a native one."""

    cross: Mapping[str, str] = field(default_factory=dict)
    """The cache entries that the toolchain file reads."""

    launcher_environment: Mapping[str, str] = field(default_factory=dict)
    """What the compiler's launcher has to be told."""
    settings: tuple[tuple[str, str], ...] = ()
    """Cache entries that everything is compiled with: the C++ runtime library on Windows, SDK,
    deployment target and processors on macOS."""

    variables: tuple[tuple[str, str], ...] = ()
    """Variables of the environment that go with ``settings``."""

    setting_flags: tuple[str, ...] = ()
    """What the compiler is told because of ``settings`` where it is called without CMake."""

    processors: tuple[str, ...] = ()
    """The processors that a library must be for to be linked, as in ``binaries``; empty: whatever
    the linker takes."""

    def environment(self) -> dict[str, str]:
        """Return the variables to set over the environment for a build with this compiler."""
        return {
            **self.launcher_environment,
            "CC": _command_line(self.compiler, self.compiler.cc, self.compiler.cc_arguments),
            "CXX": _command_line(self.compiler, self.compiler.cxx, self.compiler.cxx_arguments),
            **dict(self.variables),
        }

    def cmake_cache(self) -> dict[str, str]:
        """Return the cache entries that make CMake use this compiler."""
        compiler = self.compiler
        # A list is the compiler and the arguments it cannot do without (CMake >= 3.19).
        cache = {
            "CMAKE_C_COMPILER": _cmake_list(compiler.cc, compiler.cc_arguments),
            "CMAKE_CXX_COMPILER": _cmake_list(compiler.cxx, compiler.cxx_arguments),
            **self.cross,
        }
        if self.toolchain_file:
            cache["CMAKE_TOOLCHAIN_FILE"] = self.toolchain_file.as_posix()
        if compiler.launcher:
            cache["CMAKE_C_COMPILER_LAUNCHER"] = compiler.launcher.as_posix()
            cache["CMAKE_CXX_COMPILER_LAUNCHER"] = compiler.launcher.as_posix()
        return {**cache, **dict(self.settings)}

    def identity(self) -> str:
        """Return what distinguishes this compiler's products from another's: for cache keys."""
        compiler = self.compiler
        facts = (
            str(compiler.cxx.resolve()),
            *compiler.cc_arguments,
            *compiler.cxx_arguments,
            self.probes.standard_library,
            *(f"{name}={value}" for name, value in (*self.flags, *self.settings)),
        )
        digest = hashlib.sha256("\0".join(facts).encode()).hexdigest()[:12]
        return f"{compiler.family.value}-{compiler.version}-{compiler.target}-{digest}"


def _command_line(compiler: Compiler, driver: Path, arguments: tuple[str, ...]) -> str:
    """Return a command as CC and CXX hold it; on Windows only double quotation marks quote."""
    words = [str(driver), *arguments]
    if not compiler.for_windows:
        return shlex.join(words)
    return " ".join(f'"{word}"' if " " in word else word for word in words)


def _cmake_list(driver: Path, arguments: tuple[str, ...]) -> str:
    return ";".join([driver.as_posix(), *arguments])
