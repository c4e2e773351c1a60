# ruff: noqa: RUF009 - _setting is dataclasses.field with this module's metadata
"""Every setting of the builder, resolved; the text under each field is its manual and ``--help``.

Where a value comes from (command line, environment, pyproject.toml, default) is settled in
``build_tools.sources``; nothing else looks at those places.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


class Linkage(str, Enum):
    """How a library is linked."""

    STATIC = "static"
    SHARED = "shared"

    def __str__(self) -> str:
        return self.value


class BuildType(str, Enum):
    """CMake's build types."""

    RELEASE = "Release"
    REL_WITH_DEB_INFO = "RelWithDebInfo"
    MIN_SIZE_REL = "MinSizeRel"
    DEBUG = "Debug"

    def __str__(self) -> str:
        return self.value


class GeneratorName(str, Enum):
    """The generators of CMake that everything can be built with."""

    NINJA = "Ninja"
    VISUAL_STUDIO_2019 = "Visual Studio 16 2019"
    VISUAL_STUDIO_2022 = "Visual Studio 17 2022"

    def __str__(self) -> str:
        return self.value


class Group(str, Enum):
    """The sections of ``--help``."""

    TOOLCHAIN = "compiler and tools"
    PROTOBUF = "protobuf and ONNX"
    UPSTREAM = "upstream's onnx package"
    SOURCES = "where the sources come from"
    RESULT = "what is made, and where"
    OUTPUT = "what is shown"


def default_cache_dir() -> Path:
    """Return the user's cache folder for this project."""
    import platformdirs  # noqa: PLC0415 - only needed when no folder was named

    return Path(platformdirs.user_cache_dir("onnxforge", appauthor=False))


def _setting(
    default: Any, group: Group, *, metavar: str = "", environment: tuple[str, ...] = ()
) -> Any:
    """Declare a setting; ``environment`` names variables that set it beside ONNXFORGE_<FIELD>."""
    metadata = {"group": group, "metavar": metavar, "environment": environment}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class BuildConfig:
    """All settings of one run of the builder."""

    compiler: str | None = _setting(None, Group.TOOLCHAIN, metavar="NAME|PATH")
    """The C++ compiler: a name (g++-13, clang++), a family (gcc, clang, msvc) or a path. Not given:
    CC and CXX; else the first of those on PATH (g++, clang++, versioned names; on Windows cl and
    clang-cl before them) that passes the probes."""

    compiler_cache: str = _setting("auto", Group.TOOLCHAIN, metavar="auto|off|NAME|PATH")
    """A program that keeps what the compiler has made: ccache or sccache where one is installed,
    this one, or none. Both can share what they keep with other machines (docs/wheels.md)."""

    build_type: BuildType = _setting(BuildType.RELEASE, Group.TOOLCHAIN)
    """CMake's build type for everything that is compiled."""

    generator: GeneratorName = _setting(GeneratorName.NINJA, Group.TOOLCHAIN)
    """CMake's generator for protobuf, ONNX and the wheel alike. Those of Visual Studio are for
    Windows; they are told Python's processor (-A)."""

    lto: bool = _setting(False, Group.TOOLCHAIN)
    """Optimise across translation units when linking the extension."""

    jobs: int | None = _setting(
        None,
        Group.TOOLCHAIN,
        metavar="N",
        environment=("CMAKE_BUILD_PARALLEL_LEVEL", "MAX_JOBS"),
    )
    """Compile jobs at a time. Not given: what processors and free memory allow, 750 MB a job."""

    cmake: str = _setting("pinned", Group.TOOLCHAIN, metavar="pinned|system|PATH")
    """The CMake to use: the pinned one of the package index, the first on PATH, or this one."""

    ninja: str = _setting("pinned", Group.TOOLCHAIN, metavar="pinned|system|PATH")
    """The Ninja to use: the pinned one of the package index, the first on PATH, or this one."""

    cmake_args: tuple[str, ...] = _setting(
        (), Group.TOOLCHAIN, metavar="ARG", environment=("CMAKE_ARGS",)
    )
    """One more argument for every configure step, written --cmake-arg=-DNAME=VALUE; may be given
    several times. CMAKE_ARGS holds several, separated by blanks. All places add up, and the
    command line wins."""

    protobuf: Linkage = _setting(Linkage.STATIC, Group.PROTOBUF)
    """static: build protobuf as a position-independent archive and link it in. shared: link a
    shared protobuf: the one in --protobuf-root, else a matching one of the system, else our own."""

    protobuf_root: Path | None = _setting(None, Group.PROTOBUF, metavar="DIR")
    """An installed protobuf to use: the folder with bin/, include/ and lib/."""

    protobuf_version: str | None = _setting(None, Group.PROTOBUF, metavar="VERSION")
    """The protobuf to use. Not given: 3.20.2; where its archive cannot be had, the nearest pinned
    release that can, with a warning."""

    use_shared_env: bool | None = _setting(
        None, Group.PROTOBUF, environment=("ONNX_USE_PROTOBUF_SHARED_LIBS",)
    )
    """What ONNX_USE_PROTOBUF_SHARED_LIBS says in the environment or in CMAKE_ARGS. It stands in for
    --protobuf where that is not given; it is contradicted aloud where it is wrong."""

    onnx_version: str = _setting("1.23.2", Group.PROTOBUF, metavar="VERSION")
    """The ONNX release whose C++ library is linked."""

    pythons: tuple[str, ...] = _setting((), Group.UPSTREAM, metavar="VERSION|PATH")
    """A Python to build upstream's package for: a version (3.12, 3.13t) or the path of an
    interpreter. May be given several times. Not given: the one that runs the builder."""

    protobuf_runtime: str | None = _setting(None, Group.UPSTREAM, metavar="RANGE")
    """The Python protobufs that the wheel shall work with, e.g. '>=3.20.2'. It is written into the
    wheel's Requires-Dist and proved with the lowest and the highest of them. Not given: what the
    release itself requires."""

    archives: tuple[Path, ...] = _setting((), Group.SOURCES, metavar="DIR")
    """A folder with source archives; files are known by their sha256, under any name. May be given
    several times; the environment's list is written like PATH. All places add up."""

    bundle: Path | None = _setting(None, Group.SOURCES, metavar="FILE")
    """A file that `nox -s bundle` has written. All sources and packages come from it, verified, and
    the network is never asked."""

    offline: bool = _setting(False, Group.SOURCES)
    """Never ask the network: what is neither in the cache nor in --archives is an error."""

    cache_dir: Path = _setting(default_cache_dir, Group.SOURCES, metavar="DIR")
    """Where fetched sources and built libraries are kept between runs."""

    build_dir: Path = _setting(Path("build"), Group.RESULT, metavar="DIR")
    """Where the project itself is compiled."""

    out_dir: Path = _setting(Path("dist"), Group.RESULT, metavar="DIR")
    """Where the wheel and the reports go."""

    repair: bool = _setting(True, Group.RESULT)
    """Make the wheel self-contained and give it the widest true platform tag."""

    smoke: bool = _setting(True, Group.RESULT)
    """Install the wheel into a fresh virtual environment and run a real model there."""

    force: bool = _setting(False, Group.RESULT)
    """Do everything again, even what an earlier run has left in the cache."""

    preflight: bool = _setting(True, Group.RESULT)
    """Ask the doctor's quick questions first, and begin nothing that will fail; with --no-preflight
    its findings are warnings."""

    verbose: bool = _setting(False, Group.OUTPUT)
    """Show every proof and the reason of every decision; write each compiler's command line into
    the logs."""

    json: bool = _setting(False, Group.OUTPUT)
    """Write the result to standard output as JSON, and everything else to standard error."""


@cache
def field_docs() -> Mapping[str, str]:
    """Return the text under each field of BuildConfig, by field name, on one line."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(BuildConfig))).body[0]
    assert isinstance(tree, ast.ClassDef)
    docs: dict[str, str] = {}
    for declared, text in pairwise(tree.body):
        if not isinstance(declared, ast.AnnAssign) or not isinstance(declared.target, ast.Name):
            continue
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            docs[declared.target.id] = " ".join(str(text.value.value).split())
    return docs


def settings() -> tuple[dataclasses.Field[Any], ...]:
    """Return the declared settings in the order of the manual."""
    return dataclasses.fields(BuildConfig)


def fields_of(group: Group) -> tuple[str, ...]:
    """Return the names of the settings of one section."""
    return tuple(entry.name for entry in settings() if entry.metadata["group"] is group)
