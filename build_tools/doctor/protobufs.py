"""Every protobuf of the machine, part by part: protoc, headers, libraries."""

from __future__ import annotations

import mmap
import re
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

from build_tools import probes
from build_tools.binaries import identify
from build_tools.config import Linkage
from build_tools.doctor import programs
from build_tools.doctor.facts import LibraryFound, ProtobufFound
from build_tools.protobuf.describe import describe, find_files
from build_tools.protobuf.search import candidates as named_candidates

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from build_tools.host import Host
    from build_tools.probes import Bench
    from build_tools.process import Runner
    from build_tools.protobuf.model import Candidate, Description
    from build_tools.sources import Resolved

_ABSEIL = re.compile(rb"absl\d*lts_(\d{8})")
_MSVC_RUNTIME = re.compile(rb"RuntimeLibrary=(\w+)")
# As they stand in mangled names, behind their length.
_STD_STRING_VIEW, _ABSL_STRING_VIEW = b"17basic_string_view", b"11string_view"


def candidates(resolved: Resolved, host: Host) -> tuple[Candidate, ...]:
    """Return every folder that may hold a protobuf: the one that was named first, then the rest."""
    config = resolved.config
    anywhere = replace(config, protobuf_root=None)
    both = chain(
        named_candidates(config, host, resolved.origins),
        named_candidates(anywhere, host, resolved.origins),
    )
    return tuple({candidate.root.resolve(): candidate for candidate in reversed([*both])}.values())[
        ::-1
    ]


def libraries(candidate: Candidate, host: Host) -> tuple[Path, ...]:
    """Return the protobuf libraries in one folder, the full ones first: they say the version."""
    files = [find_files(candidate.root, linkage, host) for linkage in Linkage]
    found = [*(entry.library for entry in files), *(entry.lite_library for entry in files)]
    return tuple(path for path in found if path is not None)


def survey(
    candidate: Candidate, host: Host, runner: Runner, bench: Bench | None, *, thorough: bool
) -> ProtobufFound | None:
    """Return the parts of a protobuf in one folder, without its libraries; None: there are none.

    ``thorough``: also what ``nox -s build`` would say of it, with every probe it makes.
    """
    files = find_files(candidate.root, Linkage.STATIC, host)
    headers = probes.headers_version(files.include_dir) if files.include_dir else None
    if not (files.protoc or libraries(candidate, host) or (headers and headers.ok)):
        return None
    protoc = None
    if files.protoc:
        protoc = programs.ask("protoc", files.protoc, candidate.origin, host, runner)
        protoc = replace(protoc, version=_release(protoc.version))
    hangs = protoc is not None and protoc.problem.startswith("it was still running")
    return ProtobufFound(
        root=candidate.root,
        origin=candidate.origin,
        protoc=protoc,
        include_dir=files.include_dir,
        header_version=headers.value if headers else "",
        libraries=(),
        descriptions=tuple(_described(candidate, host, bench)) if thorough and not hangs else (),
    )


def _described(candidate: Candidate, host: Host, bench: Bench | None) -> Iterator[Description]:
    if bench is not None:
        for linkage in Linkage:
            yield describe(candidate, linkage, host, bench)


def library(path: Path, bench: Bench | None, *, ask_version: bool) -> LibraryFound:
    """Describe one library by its file, and by what the linker says where there is a compiler."""
    found = identify(path)
    assert found.linkage is not None
    described = LibraryFound(
        path=path,
        linkage=found.linkage,
        kind=found.kind,
        machine=found.machine,
        runtime=probes.library_runtime(path),
        **_names_in(found.real),
    )
    return described if bench is None else _probed(described, bench, ask_version=ask_version)


def _probed(library: LibraryFound, bench: Bench, *, ask_version: bool) -> LibraryFound:
    not_pic = version = ""
    if library.linkage is Linkage.STATIC:
        pic = probes.position_independent(library.path, bench)
        not_pic = "" if pic.ok else pic.evidence
    # A library that refers to abseil cannot be linked without it, and then says nothing.
    if ask_version and not library.abseil:
        version = probes.library_version(library.path, bench).value
    return replace(library, not_pic=not_pic, version=version)


def _names_in(file: Path) -> dict[str, str]:
    """Return what the names in a library tell, whatever its format."""
    if not file.stat().st_size:
        return {}
    with file.open("rb") as source, mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as text:
        abseil, msvc = _ABSEIL.search(text), _MSVC_RUNTIME.search(text)
        own = text.find(_ABSL_STRING_VIEW) >= 0
        standard = text.find(_STD_STRING_VIEW) >= 0
        return {
            "abseil": abseil.group(1).decode() if abseil else "",
            "msvc_runtime": msvc.group(1).decode() if msvc else "",
            "string_view": "absl" if own else "std" if standard else "",
        }


def _release(version: str) -> str:
    return probes.release_of(version) if version else ""
