"""The values that the search for a protobuf is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from build_tools.config import Linkage

if TYPE_CHECKING:
    from pathlib import Path

    from build_tools.record import Proof


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A folder that may hold a protobuf."""

    root: Path
    """The folder with bin/, include/ and lib/."""

    origin: str
    """Who named it, e.g. "--protobuf-root on the command line", "CONDA_PREFIX"."""


@dataclass(frozen=True, kw_only=True)
class RuntimeLibrary:
    """A shared library that must be found when the result is loaded."""

    name: str
    """The name the loader looks for, e.g. "libprotobuf-lite.so.32"."""

    path: Path
    """The file that has it; a self-contained wheel carries a copy of this file."""


@dataclass(frozen=True, kw_only=True)
class ProtobufInstall:
    """One protobuf whose protoc, headers and library come from one folder and belong together."""

    root: Path
    """The folder with bin/, include/ and lib/."""

    version: str
    """The release, as protoc spells it: "3.20.2", "25.1"."""

    protoc: Path
    """The compiler of .proto files."""

    protoc_version: str
    """The version protoc says it is."""

    include_dir: Path
    """The folder with google/protobuf/."""

    header_version: str
    """The version in the headers."""

    lite_library: Path
    """The lite runtime: what ONNX and the engine are linked with."""

    library: Path | None
    """The full runtime, where it is installed with the same linkage."""

    linkage: Linkage
    """What ``lite_library`` is by its content, whatever its name or anybody's wish."""

    origin: str
    """Who named the folder, or how it was built."""

    runtime_libraries: tuple[RuntimeLibrary, ...] = ()
    """The shared libraries a wheel must carry along; empty for a static protobuf."""

    @property
    def use_shared_libs(self) -> bool:
        """What ONNX_USE_PROTOBUF_SHARED_LIBS must be: a fact about the file, not a wish."""
        return self.linkage is Linkage.SHARED

    @property
    def library_folders(self) -> tuple[Path, ...]:
        """The folders a loader or a wheel repair tool must look into for ``runtime_libraries``."""
        return tuple(dict.fromkeys(library.path.parent for library in self.runtime_libraries))

    def __str__(self) -> str:
        return f"protobuf {self.version}, {self.linkage} ({self.lite_library})"


@dataclass(frozen=True, kw_only=True)
class Description:
    """What was found at one candidate for one linkage."""

    candidate: Candidate
    """Where was looked."""

    linkage: Linkage
    """Which kind of library was looked for."""

    install: ProtobufInstall | None
    """The protobuf, if all its parts are there; ``problems`` may still rule it out."""

    problems: tuple[str, ...] = ()
    """Why it cannot be used, each with the evidence; empty if nothing speaks against it."""

    proofs: tuple[Proof, ...] = ()
    """What was asked and answered well."""

    @property
    def usable(self) -> bool:
        """Whether all parts are there and every probe was content."""
        return self.install is not None and not self.problems

    def __str__(self) -> str:
        return f"{self.candidate.root} ({self.candidate.origin}), {self.linkage}"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a protobuf must be to be chosen."""

    linkage: Linkage
    """The linkage that is asked for."""

    version: str | None
    """The release that is asked for; None: any that ONNX can be built with."""

    explicit: bool
    """Whether a person chose the linkage for this builder, so that no other may stand in for it."""

    who: str
    """Who asked for the linkage: "--protobuf on the command line", "default"…"""


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """One description that was not chosen, and why."""

    description: Description
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.description}: " + "; ".join(self.reasons)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The outcome of choosing among descriptions."""

    chosen: Description | None
    """The one to use; None if none can be."""

    reason: str
    """Why that one."""

    rejected: tuple[Rejected, ...]
    """Every other one that was looked at, in order."""

    contradicts: str = ""
    """What was asked for and is not followed, because the files say otherwise; empty if nothing."""
