"""What the checks look at: every fact is a frozen value, gathered once by ``gather``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from build_tools.cmake_args import cmake_definitions
from build_tools.config import Linkage
from build_tools.doctor.basics import Basics
from build_tools.probes import CxxRuntime

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from build_tools.binaries import FileKind
    from build_tools.errors import BuilderError
    from build_tools.protobuf.model import Description
    from build_tools.toolchain.model import Assessed, Rejected


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program that was found and asked for its version."""

    name: str
    """What it is: "cmake", "ninja", "make", "protoc"."""

    path: Path
    """Where it is."""

    version: str
    """What it says; empty where it does not answer."""

    origin: str
    """Where it was found: "PATH", "the builder's environment"."""

    problem: str = ""
    """Why it does not answer; empty: it does."""

    is_script: bool = False
    """Whether it is a script of some Python environment and not the program itself."""

    machine: str = ""
    """The processor it is for, by its file; empty for a script."""


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """A package that is installed in a Python environment."""

    name: str
    """Its name, in the normal form."""

    version: str
    """Its version."""

    protobuf: str = ""
    """What it asks of the Python protobuf, e.g. ">=4.25.1"; empty: nothing."""


@dataclass(frozen=True, kw_only=True)
class Extension:
    """A compiled module of an installed package that has to do with ONNX or protobuf."""

    package: str
    """The package it belongs to."""

    path: Path
    """The file."""

    shared_names: frozenset[str]
    """The names of ONNX, protobuf and abseil that it exports."""

    needs_protobuf: str
    """The shared protobuf that it needs, e.g. "libprotobuf.so.32"; empty: none."""

    holds_onnx_proto: bool
    """Whether it holds the description of onnx/onnx-ml.proto."""


@dataclass(frozen=True, kw_only=True)
class PythonFound:
    """One Python of this machine."""

    path: Path
    """The interpreter."""

    origin: str
    """Where it was found: "PATH", "the builder's environment"."""

    version: str = ""
    """Its version, e.g. "3.11.7"; empty where it does not answer."""

    abi: str = ""
    """The ABI part of a wheel's tag, e.g. "cp311", "cp314t"."""

    soabi: str = ""
    """The ABI part of an extension's file name; "musl" in it tells the C library."""

    prefix: Path = Path()
    """Its environment."""

    include_dir: Path = Path()
    """Where its Python.h is expected."""

    has_headers: bool = False
    """Whether Python.h is there."""

    free_threaded: bool = False
    """Whether it has no global interpreter lock."""

    is_debug: bool = False
    """Whether it is a debug build."""

    site_packages: Path = Path()
    """Where packages are installed to."""

    has_distutils: bool = False
    """Whether ``import distutils`` works, by the standard library or by setuptools."""

    distributions: tuple[Distribution, ...] = ()
    """What is installed."""

    extensions: tuple[Extension, ...] = ()
    """Compiled modules that have to do with ONNX or protobuf."""

    problem: str = ""
    """Why it does not answer; empty: it does."""

    def distribution(self, name: str) -> Distribution | None:
        """Return an installed package."""
        return next((entry for entry in self.distributions if entry.name == name), None)


@dataclass(frozen=True, kw_only=True)
class LibraryFound:
    """One protobuf library."""

    path: Path
    """The file."""

    linkage: Linkage
    """What it is, by its content."""

    kind: FileKind
    """The same, more exactly: an import library is a shared one."""

    machine: str
    """The processors it is for, joined by "+"."""

    version: str = ""
    """Its version; empty where that was not asked or not answered."""

    not_pic: str = ""
    """Why a static one cannot go into a shared object, in the linker's words; empty: it can."""

    runtime: CxxRuntime = CxxRuntime.UNKNOWN
    """The C++ run time that it was compiled for."""

    abseil: str = ""
    """The abseil release that it refers to, e.g. "20240722"; empty: none."""

    string_view: str = ""
    """Whose string_view its names have: "std" or "absl"; empty: neither."""

    msvc_runtime: str = ""
    """MSVC's run-time library that it was compiled for, e.g. "MT_StaticRelease"."""


@dataclass(frozen=True, kw_only=True)
class ProtobufFound:
    """One folder that has parts of a protobuf."""

    root: Path
    """The folder with bin/, include/ and lib/."""

    origin: str
    """Who names it."""

    protoc: Program | None
    """Its protoc."""

    include_dir: Path | None
    """Its headers' folder."""

    header_version: str
    """The version in the headers."""

    libraries: tuple[LibraryFound, ...]
    """Its libraries, lite and full, static and shared."""

    descriptions: tuple[Description, ...] = ()
    """What ``nox -s build`` would say of it, by linkage; empty where it would not look at it."""

    owner: str = ""
    """The package or environment that it belongs to."""

    @property
    def version(self) -> str:
        """Its version, by the first part that says one."""
        protoc = self.protoc.version if self.protoc else ""
        libraries = [library.version for library in self.libraries if library.version]
        return self.header_version or protoc or (libraries or [""])[0]

    def has(self, path: Path | None) -> bool:
        """Say whether a file lies below it."""
        return path is not None and path.resolve().is_relative_to(self.root.resolve())


@dataclass(frozen=True, kw_only=True)
class CMakeFinds:
    """What CMake's FindProtobuf takes where nobody says anything: each part by itself."""

    protoc: Path | None
    """The program."""

    include_dir: Path | None
    """The folder of the headers."""

    static_library: Path | None
    """The library where ONNX_USE_PROTOBUF_SHARED_LIBS is OFF."""

    shared_library: Path | None
    """The library where it is ON."""


@dataclass(frozen=True, kw_only=True)
class AbseilFound:
    """One abseil of this machine."""

    root: Path
    """The folder with include/absl/."""

    version: str
    """Its LTS release, e.g. "20240722"; "head" where it is none."""

    string_view: str
    """What absl::string_view is: "std", "absl" or "either" (as the compiler goes)."""

    owner: str = ""
    """The package or environment that it belongs to."""


@dataclass(frozen=True, kw_only=True)
class Reach:
    """A host that sources come from, and whether it answers."""

    name: str
    """What it is: an index, or the place of a release archive."""

    problem: str
    """Why it does not answer; empty: it does."""

    needed_for: tuple[str, ...] = ()
    """The sources that it has and that are not on this machine."""


@dataclass(frozen=True, kw_only=True)
class VisualStudio:
    """One installed Visual Studio."""

    name: str
    """E.g. "Visual Studio Build Tools 2022"."""

    version: str
    """E.g. "17.14.3"."""

    path: Path
    """Where it is installed."""

    toolsets: tuple[str, ...]
    """The C++ toolsets it has, e.g. "14.44.35207"; empty: the C++ workload is missing."""


@dataclass(frozen=True, kw_only=True)
class WindowsFacts:
    """What only Windows has."""

    visual_studios: tuple[VisualStudio, ...] = ()
    """Every installed Visual Studio."""

    sdks: tuple[str, ...] = ()
    """The installed Windows SDKs."""

    toolset: str = ""
    """The toolset that would be used: of the command prompt, else of the newest instance."""

    runtime: str = ""
    """The version of the installed msvcp140.dll."""

    long_paths: bool | None = None
    """Whether LongPathsEnabled is set; None: that could not be asked."""


@dataclass(frozen=True, kw_only=True)
class AppleFacts:
    """What only macOS has."""

    developer_folder: str = ""
    """What ``xcode-select -p`` says; empty: no command-line tools."""

    sdk: str = ""
    """The SDK's version."""


@dataclass(frozen=True, kw_only=True)
class SourceTree:
    """A folder that takes part in ``import`` and holds the sources of ONNX."""

    path: Path
    """The folder."""

    origin: str
    """Why it takes part: "the current folder", "PYTHONPATH"."""

    empty_submodules: tuple[str, ...] = ()
    """Submodules that ONNX needs and that are empty folders."""

    stale_debug: Path | None = None
    """A Debug folder that an earlier build has left."""


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """A question that could not be asked."""

    question: str
    """What was to be found out."""

    why: str
    """What went wrong."""


@dataclass(frozen=True, kw_only=True)
class Facts(Basics):
    """Everything the checks look at."""

    compilers: tuple[Assessed | Rejected, ...] = ()
    """Every compiler, described and probed."""

    no_toolchain: BuilderError | None = None
    """Why no compiler can be used; None: one can."""

    no_tools: BuilderError | None = None
    """Why CMake or Ninja cannot be used as they would be; None: they can."""

    programs: tuple[Program, ...] = ()
    """Every CMake, Ninja and Make, in the order of PATH."""

    pythons: tuple[PythonFound, ...] = ()
    """Every Python, in the order of PATH."""

    target: PythonFound | None = None
    """The Python of the environment that the wheel is for."""

    protobufs: tuple[ProtobufFound, ...] = ()
    """Every protobuf, in the order in which they are looked for."""

    cmake_finds: CMakeFinds | None = None
    """What upstream's CMake would take; None: that could not be asked."""

    abseils: tuple[AbseilFound, ...] = ()
    """Every abseil."""

    reaches: tuple[Reach, ...] = ()
    """The hosts that sources come from."""

    loader_folders: tuple[Path, ...] = ()
    """The folders in which a program's loader looks by itself."""

    source_trees: tuple[SourceTree, ...] = ()
    """Folders with ONNX's sources that take part in ``import``."""

    repository: Path = Path()
    """Where onnxforge lies."""

    emulated: str = ""
    """The processor that emulates this machine's programs; empty: none does."""

    windows: WindowsFacts | None = None
    """What only Windows has."""

    apple: AppleFacts | None = None
    """What only macOS has."""

    runtime: CxxRuntime = CxxRuntime.UNKNOWN
    """The C++ run time that the compiler compiles for."""

    owners: Mapping[Path, str] = field(default_factory=dict)
    """The package or environment of each file that was asked about."""

    troubles: tuple[Trouble, ...] = ()
    """The questions that could not be asked."""

    seconds: float = 0.0
    """How long it took to gather."""

    def protobuf_with(self, path: Path | None) -> ProtobufFound | None:
        """Return the protobuf that a file belongs to: the one with the longest root."""
        having = [found for found in self.protobufs if found.has(path)]
        return max(having, key=lambda found: len(found.root.parts), default=None)

    def library(self, path: Path | None) -> LibraryFound | None:
        """Return what is known of a protobuf library."""
        wanted = path.resolve() if path else None
        return next((lib for lib in self.libraries() if lib.path.resolve() == wanted), None)

    def libraries(self) -> Iterator[LibraryFound]:
        """Yield every protobuf library."""
        for found in self.protobufs:
            yield from found.libraries

    @property
    def wants_shared(self) -> bool:
        """Whether a shared protobuf is asked for."""
        return self.config.protobuf is Linkage.SHARED

    @property
    def taken_library(self) -> Path | None:
        """The library that upstream's CMake would link."""
        finds = self.cmake_finds
        if finds is None or self.builds_own_protobuf:
            return None
        # FindProtobuf prefers an archive where it is told to, and takes what there is otherwise.
        preferred, other = finds.static_library, finds.shared_library
        return (other or preferred) if self.wants_shared else (preferred or other)

    @property
    def builds_own_protobuf(self) -> bool:
        """Whether upstream's build is told to build protobuf itself, and can."""
        wish = self.cmake_settings.get("ONNX_BUILD_CUSTOM_PROTOBUF", "OFF").upper()
        can = self.release is not None and self.release.custom_protobuf_option
        return can and wish in {"ON", "1", "TRUE", "YES", "Y"}

    @property
    def cmake_settings(self) -> Mapping[str, str]:
        """The cache entries of CMAKE_ARGS."""
        return cmake_definitions(self.config.cmake_args)

    @property
    def gencode(self) -> str:
        """The protobuf release that upstream's build generates code with; empty: it cannot."""
        finds = self.cmake_finds
        found = self.protobuf_with(finds.protoc) if finds and not self.builds_own_protobuf else None
        if found and found.protoc and found.protoc.version:
            return found.protoc.version
        return self.release.own_protobuf if self.release else ""
