"""What is on this machine, as tables: for people and, row by row, for programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from build_tools.durations import size
from build_tools.errors import PinError
from build_tools.toolchain.model import Assessed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from build_tools.doctor.facts import Facts, LibraryFound, ProtobufFound
    from build_tools.toolchain.model import Rejected

Row = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Section:
    """One table."""

    key: str
    """Its name in the JSON."""

    title: str
    """Its name for people."""

    columns: tuple[str, ...]
    """The names of its columns, for both."""

    rows: Callable[[Facts], Iterator[Row]]
    """Yields its rows."""

    def as_dicts(self, facts: Facts) -> list[dict[str, str]]:
        """Return the rows for a program."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows(facts)]


def _compilers(facts: Facts) -> Iterator[Row]:
    used = facts.toolchain.compiler.cxx if facts.toolchain else None
    for item in facts.compilers:
        if isinstance(item, Assessed):
            yield _compiler(item, facts, is_used=item.compiler.cxx == used)
        else:
            yield _rejected(item)


def _compiler(item: Assessed, facts: Facts, *, is_used: bool) -> Row:
    probes, compiler = item.probes, item.compiler
    standards = [name for name, probe in (("17", probes.cxx17), ("20", probes.cxx20)) if probe.ok]
    other = ("filesystem_link", "shared_objects", "visibility", "lto")
    cannot = [name for name, probe in probes.named() if name in other and not probe.ok]
    return (
        f"{compiler.family} {compiler.version}",
        str(compiler.cxx),
        compiler.target,
        ", ".join(f"C++{standard}" for standard in standards) or "none that is needed",
        ", ".join(cannot) or "nothing that is needed",
        facts.owners.get(compiler.cxx, ""),
        "used" if is_used else "",
    )


def _rejected(item: Rejected) -> Row:
    return ("?", item.cxx, "", "", item.why.splitlines()[0], "", "does not work")


def _programs(facts: Facts) -> Iterator[Row]:
    if facts.tools is not None:
        tools = facts.tools
        yield ("cmake", tools.cmake_version, str(tools.cmake), "", "used")
        yield ("ninja", tools.ninja_version, str(tools.ninja), "", "used")
    used = {facts.tools.cmake, facts.tools.ninja} if facts.tools else set()
    for program in facts.programs:
        if program.path not in used:
            state = program.problem or ("a script" if program.is_script else "")
            owner = facts.owners.get(program.path, "")
            yield (program.name, program.version or "?", str(program.path), owner, state)


def _pythons(facts: Facts) -> Iterator[Row]:
    target = facts.target
    for entry in facts.pythons:
        marks = ["free-threaded"] if entry.free_threaded else []
        marks += ["debug"] if entry.is_debug else []
        marks += ["built for"] if target and target.prefix == entry.prefix else []
        marks += ["runs this"] if entry.path == facts.host.python.executable else []
        headers = "yes" if entry.has_headers else "no"
        yield (
            entry.version or "?",
            entry.soabi or entry.abi,
            "" if entry.problem else headers,
            str(entry.path),
            facts.owners.get(entry.path, ""),
            entry.problem or ", ".join(marks),
        )


def _protobufs(facts: Facts) -> Iterator[Row]:
    for found in facts.protobufs:
        origin = f"{found.root} ({found.origin})"
        if found.protoc is not None:
            version = found.protoc.version or "?"
            state = found.protoc.problem or _winner(facts, "protoc", found.protoc.path)
            yield ("protoc", version, str(found.protoc.path), "", found.owner, origin, state)
        if found.header_version:
            state = _winner(facts, "headers", found.include_dir)
            where = str(found.include_dir)
            yield ("headers", found.header_version, where, "", found.owner, origin, state)
        for library in found.libraries:
            yield _library(facts, found, library, origin)


def _library(facts: Facts, found: ProtobufFound, library: LibraryFound, origin: str) -> Row:
    code = ""
    if library.linkage.value == "static":
        code = "not position independent" if library.not_pic else "position independent"
    kind = f"{library.kind.value}, {library.machine}".rstrip(", ")
    return (
        "library",
        library.version or "?",
        str(library.path),
        f"{kind}{f', {code}' if code else ''}",
        found.owner,
        origin,
        _winner(facts, "library", library.path),
    )


def _winner(facts: Facts, part: str, path: object) -> str:
    finds = facts.cmake_finds
    if finds is None:
        return ""
    wins = {"protoc": finds.protoc, "headers": finds.include_dir, "library": facts.taken_library}
    return "CMake finds it first" if path is not None and path == wins[part] else ""


def _abseils(facts: Facts) -> Iterator[Row]:
    for found in facts.abseils:
        yield (found.version, str(found.root), f"{found.string_view}::string_view", found.owner)


def _studios(facts: Facts) -> Iterator[Row]:
    if facts.windows is not None:
        for studio in facts.windows.visual_studios:
            tools = ", ".join(studio.toolsets) or "no C++ workload"
            yield (studio.name, studio.version, str(studio.path), tools)
        for sdk in facts.windows.sdks:
            yield ("Windows SDK", sdk, "", "")
    if facts.apple is not None:
        yield ("macOS SDK", facts.apple.sdk, facts.apple.developer_folder, "")


def _machine(facts: Facts) -> Iterator[Row]:
    host = facts.host
    yield ("system", f"{host.system} {host.machine}", facts.emulated)
    yield ("processors", str(host.cpus), "that this process may use")
    yield ("free memory", size(host.memory_available), "machine and control group, the lesser")
    yield ("free swap", size(host.swap_available), "")
    if host.process_memory is not None:
        yield ("memory of one process", size(host.process_memory), "ulimit")
    for folder in facts.folders:
        room = size(folder.free) if folder.free >= 0 else "?"
        yield (f"room for {folder.role}", room, folder.problem or str(folder.path))
    if facts.target is not None and facts.release is not None:
        site = len(str(facts.target.site_packages)) + 1
        longest = site + facts.release.longest_member
        yield (
            "longest path of ONNX's wheel",
            f"{longest} characters",
            str(facts.target.site_packages),
        )


def _sources(facts: Facts) -> Iterator[Row]:
    if isinstance(facts.sources, PinError):
        yield (facts.sources.what, "not pinned", "")
        return
    for source in facts.sources:
        for entry in (source, *source.substitutes):
            stands_in = "" if entry is source else f"may stand in for {source.pin}"
            yield (str(entry.pin), entry.at_hand or "not on this machine", stands_in)


def _reaches(facts: Facts) -> Iterator[Row]:
    for reach in facts.reaches:
        yield (reach.name, reach.problem or "answers", ", ".join(reach.needed_for))


SECTIONS: tuple[Section, ...] = (
    Section(
        key="compilers",
        title="Compilers",
        columns=("compiler", "path", "target", "standards", "cannot", "owner", "state"),
        rows=_compilers,
    ),
    Section(
        key="tools",
        title="CMake, Ninja, Make",
        columns=("tool", "version", "path", "owner", "state"),
        rows=_programs,
    ),
    Section(
        key="pythons",
        title="Pythons",
        columns=("version", "abi", "headers", "path", "owner", "state"),
        rows=_pythons,
    ),
    Section(
        key="protobufs",
        title="protobuf",
        columns=("part", "version", "path", "kind", "owner", "found", "state"),
        rows=_protobufs,
    ),
    Section(
        key="abseils",
        title="abseil",
        columns=("release", "path", "string_view", "owner"),
        rows=_abseils,
    ),
    Section(
        key="sdks",
        title="Visual Studio, SDKs",
        columns=("name", "version", "path", "toolsets"),
        rows=_studios,
    ),
    Section(key="machine", title="Machine", columns=("what", "value", "where"), rows=_machine),
    Section(key="sources", title="Sources", columns=("source", "where", "note"), rows=_sources),
    Section(
        key="network",
        title="Hosts",
        columns=("host", "state", "needed for"),
        rows=_reaches,
    ),
)
"""Every table, in the order in which they are shown."""
