"""How a compiler driver is told what to do: the words of GCC and Clang, and those of cl.

The questions that are put to a compiler are the same for all; only their wording is here.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

_GNU_INCLUDED = re.compile(r"^\. (.+)$", re.MULTILINE)
# In preprocessed text a line says where the next ones are from, alike in every language: cl's is
# `#line 1 "C:\\x.h"`, clang-cl's is `# 1 "C:\\x.h" 1`.
_MSVC_INCLUDED = re.compile(r'^#(?:line)? \d+ "(.+?)"', re.MULTILINE)


class Dialect(Protocol):
    """The wording of one kind of driver."""

    variables: tuple[str, ...]
    """Variables of the environment that the driver itself reads as flags."""

    compiling: tuple[str, ...]
    """Variables of the environment whose flags may stand anywhere in a command."""

    def standard(self, name: str) -> tuple[str, ...]:
        """Return what asks for a standard ("c++17") and makes exceptions and __cplusplus normal."""

    def program(
        self,
        output: str,
        sources: Iterable[str],
        flags: Sequence[str] = (),
        libraries: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
    ) -> tuple[str, ...]:
        """Return the arguments that compile and link; ``environ`` gives the user's own flags."""

    def shared(self) -> tuple[str, ...]:
        """Return the flags that make ``program`` a shared object that hides what is not shown."""

    def include(self, folder: Path) -> tuple[str, ...]:
        """Return the flags that search ``folder`` as CMake has third-party headers searched."""

    def preprocess(self, source: str) -> tuple[str, ...]:
        """Return the arguments that preprocess ``source`` and tell which files it includes."""

    def included(self, stdout: str, stderr: str, name: str) -> str:
        """Return the path of the header ``name`` from what ``preprocess`` said; empty: none."""

    def quick(self) -> tuple[str, ...]:
        """Return the flags for the least optimisation and no warnings."""

    def optimised(self) -> tuple[str, ...]:
        """Return the flags for the usual optimisation."""


class GnuDialect:
    """The words of GCC and Clang."""

    variables: tuple[str, ...] = ()
    compiling: tuple[str, ...] = ("CPPFLAGS", "CXXFLAGS", "LDFLAGS")

    def standard(self, name: str) -> tuple[str, ...]:
        """Return what asks for a standard."""
        return (f"-std={name}",)

    def program(
        self,
        output: str,
        sources: Iterable[str],
        flags: Sequence[str] = (),
        libraries: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
    ) -> tuple[str, ...]:
        """Return the arguments that compile and link."""
        given = environ or {}
        compiling = (*_words(given, "CPPFLAGS"), *_words(given, "CXXFLAGS"), *flags, *sources)
        return (*compiling, "-o", output, *_words(given, "LDFLAGS"), *libraries)

    def shared(self) -> tuple[str, ...]:
        """Return the flags for a shared object."""
        return ("-fPIC", "-fvisibility=hidden", "-shared")

    def include(self, folder: Path) -> tuple[str, ...]:
        """Return the flags that search ``folder``; CPATH stays in front of it, as in CMake."""
        # The compiler's own folders must not be named: their order among each other matters.
        implicit = folder.as_posix() in ("/usr/include", "/usr/local/include")
        return () if implicit else ("-isystem", str(folder))

    def preprocess(self, source: str) -> tuple[str, ...]:
        """Return the arguments that preprocess ``source``; -H lists what is included."""
        return ("-E", "-H", source, "-o", "preprocessed.ii")

    def included(self, stdout: str, stderr: str, name: str) -> str:  # noqa: ARG002
        """Return the first header that -H lists."""
        found = _GNU_INCLUDED.search(stderr)
        return found[1] if found else ""

    def quick(self) -> tuple[str, ...]:
        """Return the flags for the least optimisation and no warnings."""
        return ("-O0", "-w")

    def optimised(self) -> tuple[str, ...]:
        """Return the flags for the usual optimisation."""
        return ("-O2",)


class MsvcDialect:
    """The words of Microsoft's cl, which clang-cl understands, too."""

    variables: tuple[str, ...] = ("CL", "_CL_", "LINK", "_LINK_")
    compiling: tuple[str, ...] = ("CPPFLAGS", "CXXFLAGS")

    def standard(self, name: str) -> tuple[str, ...]:
        """Return what asks for a standard, and for the exceptions and __cplusplus of all others."""
        return (f"/std:{name}", "/Zc:__cplusplus", "/EHsc", "/utf-8")

    def program(
        self,
        output: str,
        sources: Iterable[str],
        flags: Sequence[str] = (),
        libraries: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
    ) -> tuple[str, ...]:
        """Return the arguments that compile and link; the linker's own come after /link."""
        given = environ or {}
        # cl takes .cc for an object file unless it is told that everything is C++.
        compiling = ("/nologo", "/TP", *_words(given, "CPPFLAGS"), *_words(given, "CXXFLAGS"))
        linking = (*_words(given, "LDFLAGS"), *libraries)
        return (
            *compiling,
            *flags,
            *sources,
            f"/Fe:{output}",
            *(("/link", *linking) * bool(linking)),
        )

    def shared(self) -> tuple[str, ...]:
        """Return the flag for a DLL; it shows what is marked dllexport and nothing else."""
        return ("/LD",)

    def include(self, folder: Path) -> tuple[str, ...]:
        """Return the flag that searches ``folder``."""
        return (f"/I{folder}",)

    def preprocess(self, source: str) -> tuple[str, ...]:
        """Return the arguments that preprocess ``source`` to standard output."""
        return ("/nologo", "/TP", "/E", source)

    def included(self, stdout: str, stderr: str, name: str) -> str:  # noqa: ARG002
        """Return the first file of that name that the preprocessed text comes from."""
        paths = (path.replace("\\\\", "\\") for path in _MSVC_INCLUDED.findall(stdout))
        return next((path for path in paths if path.replace("\\", "/").endswith(name)), "")

    def quick(self) -> tuple[str, ...]:
        """Return the flags for the least optimisation and no warnings."""
        return ("/Od", "/w")

    def optimised(self) -> tuple[str, ...]:
        """Return the flags for the usual optimisation."""
        return ("/O2",)


GNU_DIALECT = GnuDialect()
MSVC_DIALECT = MsvcDialect()


def speaks_msvc(driver: Path) -> bool:
    """Say by its name whether a driver is to be spoken to as cl; what it is, it says itself."""
    return driver.stem.lower() in {"cl", "clang-cl"}


def _words(environ: Mapping[str, str], variable: str) -> list[str]:
    return shlex.split(environ.get(variable, ""))
