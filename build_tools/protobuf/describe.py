"""What one candidate holds: its files are found, classified by content, and probed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from build_tools import probes
from build_tools.binaries import dynamic_facts, identify, imported_dll
from build_tools.config import Linkage
from build_tools.errors import LinkageError
from build_tools.probes import dll_folders
from build_tools.protobuf.model import Candidate, Description, ProtobufInstall, RuntimeLibrary
from build_tools.record import Proof

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from build_tools.host import Host
    from build_tools.probes import Bench, Finding

_LIBRARY_NAMES = ("lib{}.so", "lib{}.dylib", "lib{}.a", "lib{}.dll.a", "{}.lib", "lib{}.lib")
# What upstream's build calls the libraries of a Debug build. On Windows one cannot stand in for the
# other (LNK2038: _ITERATOR_DEBUG_LEVEL); elsewhere the plain ones serve both.
_DEBUG_SUFFIX = "d"
_LITE, _FULL = "protobuf-lite", "protobuf"


@dataclass(frozen=True, kw_only=True)
class Files:
    """The files of one candidate for one linkage; None for what is not there."""

    protoc: Path | None
    include_dir: Path | None
    lite_library: Path | None
    library: Path | None
    others: tuple[Path, ...]
    """The protobuf libraries of the other linkage."""


def find_files(root: Path, linkage: Linkage, host: Host, *, debug: bool = False) -> Files:
    """Find protoc, headers and libraries below ``root``; nothing else is searched.

    ``debug`` looks for the libraries of a Debug build before those of the others.
    """
    lite = list(_libraries(root, _LITE, host, debug=debug))
    full = list(_libraries(root, _FULL, host, debug=debug))
    protocs = (root / folder / f"protoc{host.exe_suffix}" for folder in ("bin", "tools/protobuf"))
    include_dir = root / "include"
    return Files(
        protoc=next((path for path in protocs if path.is_file()), None),
        include_dir=include_dir if (include_dir / "google/protobuf").is_dir() else None,
        lite_library=next((path for path, kind in lite if kind is linkage), None),
        library=next((path for path, kind in full if kind is linkage), None),
        others=tuple(path for path, kind in (*lite, *full) if kind is not linkage),
    )


def describe(
    candidate: Candidate, linkage: Linkage, host: Host, bench: Bench, *, debug: bool = False
) -> Description:
    """Describe the protobuf of one linkage at ``candidate``, asking one probe after the other."""
    files = find_files(candidate.root, linkage, host, debug=debug)
    if not (files.protoc and files.include_dir and files.lite_library):
        missing = tuple(_missing(candidate.root, files, linkage))
        return Description(candidate=candidate, linkage=linkage, install=None, problems=missing)
    questions = _Questions()
    protoc = questions.ask("protoc runs", probes.protoc_version(files.protoc, bench))
    headers = questions.ask("headers are there", probes.headers_version(files.include_dir))
    front = probes.headers_in_front(files.include_dir, bench)
    questions.ask("the compiler takes these headers and no others", front)
    for library in (files.lite_library, files.library):
        if library is not None:
            _ask_about_library(questions, library, linkage, bench, headers.value)
    if protoc.ok and headers.ok:
        questions.ask("protoc and headers are of one version", _same_version(protoc, headers))
    if not questions.problems:
        runs = probes.trial(files.protoc, files.include_dir, files.lite_library, bench)
        questions.ask("protoc, headers and library work together", runs)
    install = ProtobufInstall(
        root=candidate.root,
        version=headers.value or protoc.value,
        protoc=files.protoc,
        protoc_version=protoc.value,
        include_dir=files.include_dir,
        header_version=headers.value,
        lite_library=files.lite_library,
        library=files.library,
        linkage=linkage,
        origin=candidate.origin,
        runtime_libraries=tuple(_runtime_libraries(files.lite_library, linkage)),
    )
    return Description(
        candidate=candidate,
        linkage=linkage,
        install=install,
        problems=tuple(questions.problems),
        proofs=tuple(questions.proofs),
    )


class _Questions:
    """Collects answers: bad ones are problems, good ones are proofs."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.proofs: list[Proof] = []

    def ask(self, claim: str, finding: Finding) -> Finding:
        if finding.ok:
            evidence = f"{finding.evidence} ({finding.seconds:.2f} s)"
            self.proofs.append(Proof(claim=f"protobuf: {claim}", evidence=evidence))
        else:
            self.problems.append(f"not true that {claim}: {finding.evidence}")
        return finding


def _ask_about_library(
    questions: _Questions, library: Path, linkage: Linkage, bench: Bench, headers: str
) -> None:
    name = library.name
    if linkage is Linkage.STATIC:
        pic = probes.position_independent(library, bench)
        if not questions.ask(f"{name} is position independent", pic).ok:
            return  # it cannot be used, whatever else it is
    processors = probes.for_processors(library, bench)
    if bench.processors and not questions.ask(f"{name} is for the right processors", processors).ok:
        return  # the linker would say the same of one symbol after the other
    runtime = probes.same_runtime(library, bench)
    questions.ask(f"{name} and the compiler have one C++ runtime", runtime)
    if not runtime.ok:
        return  # the link below could only fail for this reason, and say it less clearly
    version = probes.library_version(library, bench)
    if questions.ask(f"{name} can be linked and run", version).ok and headers:
        found = probes.Finding(ok=True, value=headers, evidence=f"the headers are {headers}")
        questions.ask(f"{name} and headers are of one version", _same_version(version, found))


def _same_version(one: Finding, other: Finding) -> Finding:
    evidence = f"{one.evidence}; {other.evidence}"
    return probes.Finding(ok=one.value == other.value, value=one.value, evidence=evidence)


def _missing(root: Path, files: Files, linkage: Linkage) -> Iterator[str]:
    if not root.is_dir():
        yield f"there is no folder {root}"
        return
    if files.protoc is None:
        yield "no protoc in bin or tools/protobuf"
    if files.include_dir is None:
        yield "no headers in include/google/protobuf"
    if files.lite_library is None:
        beside = f", only {', '.join(path.name for path in files.others)}" if files.others else ""
        yield f"no {linkage} lite library (lib{_LITE}) in lib, lib64 or lib/<triplet>{beside}"


def _libraries(root: Path, name: str, host: Host, *, debug: bool) -> Iterator[tuple[Path, Linkage]]:
    """Yield the libraries of that name with what each is by content."""
    names = (f"{name}{_DEBUG_SUFFIX}", name) if debug else (name,)
    for folder in _library_folders(root, host):
        for spelt in names:
            for pattern in _LIBRARY_NAMES:
                path = folder / pattern.format(spelt)
                linkage = _linkage_of(path)
                if linkage is not None:
                    yield path, linkage


def _linkage_of(path: Path) -> Linkage | None:
    try:
        return identify(path).linkage if path.exists() else None
    except LinkageError:
        return None


def _library_folders(root: Path, host: Host) -> Iterator[Path]:
    yield from (root / "lib", root / "lib64")
    yield from sorted((root / "lib").glob(f"{host.machine}-linux-*"))


def _runtime_libraries(library: Path, linkage: Linkage) -> Iterator[RuntimeLibrary]:
    """Yield the protobuf libraries that a user of a shared ``library`` needs at run time."""
    if linkage is Linkage.STATIC:
        return
    dll = imported_dll(library)
    if dll:
        places = (folder / dll for folder in dll_folders(library))
        yield RuntimeLibrary(name=dll, path=next((it for it in places if it.is_file()), library))
        return
    real = identify(library).real
    name = dynamic_facts(real).name or library.name
    versioned = library.parent / name
    yield RuntimeLibrary(name=name, path=versioned if versioned.exists() else real)
