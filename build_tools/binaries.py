"""What a library or program file really is, by its content and never by its name.

A ``.a`` may be a linker script, a ``.lib`` may be the import library of a DLL, a ``.so`` may be a
text file that names another one. Whoever decides how to link asks here.
"""

from __future__ import annotations

import mmap
import re
import struct
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, BinaryIO

from build_tools.config import Linkage
from build_tools.errors import LinkageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import lief

_AR_MAGIC = b"!<arch>\n"
_THIN_MAGIC = b"!<thin>\n"
_AR_HEADER = struct.Struct("16s12s6s6s8s10s2s")
_AR_END = b"`\n"
_HEAD_BYTES = 4096
_LINKER_SCRIPT_WORDS = (b"INPUT", b"GROUP", b"OUTPUT_FORMAT", b"/* GNU ld script")
_SCRIPT_DEPTH = 4

_ELF_MACHINES = {
    3: "i386",
    20: "ppc",
    21: "ppc64",
    22: "s390x",
    40: "arm",
    62: "x86_64",
    183: "aarch64",
    243: "riscv64",
    258: "loongarch64",
}
_MACHO_MACHINES = {0x01000007: "x86_64", 0x0100000C: "aarch64", 7: "i386", 12: "arm"}
# A member of an import library: no object, but one name and the DLL that it is in.
_SHORT_IMPORT = struct.Struct("<HHHHIIHH")
_SHORT_IMPORT_MARK = b"\0\0\xff\xff"
_DLL_NAME = re.compile(rb"([\w.+-]+\.(?:dll|pyd|exe))\0", re.I)
_PE_MACHINES = {0x8664: "x86_64", 0xAA64: "aarch64", 0x014C: "i386", 0x01C4: "arm"}
_MACHO_MAGICS = {0xFEEDFACE: ">", 0xFEEDFACF: ">", 0xCEFAEDFE: "<", 0xCFFAEDFE: "<"}
_MACHO_FAT = b"\xca\xfe\xba\xbe"
_MACHO_KINDS = {2: "executable", 6: "shared", 8: "shared", 9: "shared"}


class FileKind(Enum):
    """The kinds of file that a linker or a shell may be handed."""

    STATIC_LIBRARY = "static library"
    THIN_STATIC_LIBRARY = "thin static library (it needs the object files beside it)"
    SHARED_LIBRARY = "shared library"
    IMPORT_LIBRARY = "import library of a DLL"
    TEXT_STUB = "text stub of a shared library"
    EXECUTABLE = "executable"
    SCRIPT = "script"
    OBJECT = "object file"
    UNKNOWN = "neither a library nor a program"


_TEXT_MARKS = (
    (_THIN_MAGIC, FileKind.THIN_STATIC_LIBRARY),
    (b"#!", FileKind.SCRIPT),
    (b"--- !tapi-tbd", FileKind.TEXT_STUB),
)

_LINKAGES = {
    FileKind.STATIC_LIBRARY: Linkage.STATIC,
    FileKind.THIN_STATIC_LIBRARY: Linkage.STATIC,
    FileKind.SHARED_LIBRARY: Linkage.SHARED,
    FileKind.IMPORT_LIBRARY: Linkage.SHARED,
    FileKind.TEXT_STUB: Linkage.SHARED,
}


@dataclass(frozen=True, kw_only=True)
class BinaryFile:
    """One file and what its content says it is."""

    path: Path
    """The file that was asked about."""

    real: Path
    """The file that decides: symbolic links and linker scripts followed."""

    kind: FileKind
    """What it is."""

    machine: str
    """The processor it is for (``x86_64``, ``aarch64``…), several joined by ``+``; may be empty."""

    @property
    def linkage(self) -> Linkage | None:
        """How something linked with this file is linked; None if it is no library."""
        return _LINKAGES.get(self.kind)


@dataclass(frozen=True, kw_only=True)
class ArchiveMember:
    """One member of a static library, special ones (symbol table, long names) included."""

    name: str
    offset: int
    size: int


@dataclass(frozen=True, kw_only=True)
class Slice:
    """The code for one processor in a library or program."""

    machine: str
    """The processor, as in ``BinaryFile.machine``."""

    oldest_macos: tuple[int, int] | None = None
    """The first macOS that loads it (Mach-O ``minos``); None for other systems."""


@dataclass(frozen=True, kw_only=True)
class DynamicFacts:
    """What a shared library or program says it needs when it is loaded."""

    needed: tuple[str, ...]
    """The libraries it must find (ELF ``DT_NEEDED``, Mach-O load commands, PE imports)."""

    name: str
    """The name it is known by to others (ELF ``DT_SONAME``, Mach-O id); empty if it has none."""

    search: tuple[str, ...]
    """The folders it brings along for the search (ELF run path and rpath, Mach-O rpath)."""

    slices: tuple[Slice, ...] = ()
    """What it has code for; not asked of ELF files, whose ``machine`` says it all."""

    linker: tuple[int, int] | None = None
    """The version of the linker that made it, where the file says so (PE): Microsoft's is that of
    its C++ tools, e.g. (14, 44)."""


def identify(path: Path) -> BinaryFile:
    """Return what ``path`` is; raises LinkageError where it cannot be read."""
    real = _follow(path, _SCRIPT_DEPTH)
    try:
        kind, machine = _classify(real, _read_head(real))
    except struct.error:  # cut off in the middle of a header
        kind, machine = FileKind.UNKNOWN, ""
    return BinaryFile(path=path, real=real, kind=kind, machine=machine)


def glance(path: Path) -> tuple[FileKind, str]:
    """Return kind and processor of a program by its first bytes alone; its tables are not read.

    Raises LinkageError where it cannot be read.
    """
    head = _read_head(path)
    if head.startswith(b"#!"):
        return FileKind.SCRIPT, ""
    try:
        return _classify_image(head)
    except struct.error:  # cut off in the middle of a header
        return FileKind.UNKNOWN, ""


def real_linkage(path: Path) -> Linkage:
    """Return how a user of the library ``path`` is linked; raises LinkageError for other files."""
    found = identify(path)
    if found.linkage is None:
        raise LinkageError(
            f"{path} is not a library",
            looked=[f"{found.real}: {found.kind.value}"],
            fix="name the folder that protobuf was really installed to",
        )
    return found.linkage


def archive_members(path: Path) -> Iterator[ArchiveMember]:
    """Yield the members of a static library in order; stops at the first damaged header."""
    with path.open("rb") as source:
        magic = source.read(len(_AR_MAGIC))
        if magic not in (_AR_MAGIC, _THIN_MAGIC):
            return
        offset = source.tell()
        while len(header := source.read(_AR_HEADER.size)) == _AR_HEADER.size:
            raw_name, *_, raw_size, end = _AR_HEADER.unpack(header)
            if end != _AR_END or not raw_size.strip().isdigit():
                return
            name, size = raw_name.decode("latin-1").strip(), int(raw_size)
            offset += _AR_HEADER.size
            yield ArchiveMember(name=name, offset=offset, size=size)
            stored = magic == _AR_MAGIC or _is_special(name)
            offset += size + size % 2 if stored else 0
            source.seek(offset)


def contains(path: Path, *markers: bytes) -> tuple[bool, ...]:
    """Return for each marker whether the file's bytes contain it."""
    with path.open("rb") as source:
        if not path.stat().st_size:
            return tuple(False for _ in markers)
        with mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return tuple(content.find(marker) >= 0 for marker in markers)


def dynamic_facts(path: Path) -> DynamicFacts:
    """Return what the dynamic section of a shared library or program says."""
    import lief  # noqa: PLC0415 - 0.2 s to import; only needed where a binary is read

    if lief.is_macho(path):
        return _macho_facts(path)
    binary = lief.parse(path)
    if isinstance(binary, lief.ELF.Binary):
        return _elf_facts(binary)
    if isinstance(binary, lief.PE.Binary):
        return _pe_facts(binary, path)
    raise LinkageError(
        f"{path} has no dynamic section",
        looked=[f"{path}: {identify(path).kind.value}"],
        fix="name a shared library or a program",
    )


def _elf_facts(binary: lief.ELF.Binary) -> DynamicFacts:
    import lief  # noqa: PLC0415 - as above

    search: list[str] = []
    name = ""
    for entry in binary.dynamic_entries:
        if isinstance(entry, lief.ELF.DynamicEntryRunPath | lief.ELF.DynamicEntryRpath):
            search.extend(str(path) for path in entry.paths)
        elif isinstance(entry, lief.ELF.DynamicSharedObject):
            name = str(entry.name)
    needed = tuple(str(library) for library in binary.libraries)
    return DynamicFacts(needed=needed, name=name, search=tuple(search))


def _pe_facts(binary: lief.PE.Binary, path: Path) -> DynamicFacts:
    header = binary.optional_header
    delayed = (str(entry.name) for entry in binary.delay_imports)
    return DynamicFacts(
        needed=tuple(sorted({*(str(name) for name in binary.libraries), *delayed})),
        name=path.name,
        search=(),
        slices=(Slice(machine=identify(path).machine),),
        linker=(header.major_linker_version, header.minor_linker_version),
    )


def _macho_facts(path: Path) -> DynamicFacts:
    """Return what all slices of a Mach-O file need together, and what each runs on."""
    import lief  # noqa: PLC0415 - as above

    slices = macho_slices(path)
    own = lief.MachO.LoadCommand.TYPE.ID_DYLIB
    commands = [command for binary in slices for command in binary.libraries]
    names = [str(command.name) for command in commands if command.command == own]
    needed = (str(command.name) for command in commands if command.command != own)
    search = (str(command.path) for binary in slices for command in binary.rpaths)
    return DynamicFacts(
        needed=tuple(dict.fromkeys(needed)),
        name=names[0] if names else "",
        search=tuple(dict.fromkeys(search)),
        slices=tuple(_slice(binary) for binary in slices),
    )


def macho_slices(path: Path) -> list[lief.MachO.Binary]:
    """Return the parts of a Mach-O file, one for each processor."""
    import lief  # noqa: PLC0415 - as above

    fat = lief.MachO.parse(path)
    if fat is None:
        raise LinkageError(f"{path} is damaged: its load commands cannot be read")
    # Iterating over the file itself would let go of it too early, and of its slices with it.
    found = (fat.at(index) for index in range(fat.size))
    return [binary for binary in found if binary is not None]


def _slice(binary: lief.MachO.Binary) -> Slice:
    machine = _MACHO_MACHINES.get(int(binary.header.cpu_type.value), "unknown")
    if binary.build_version is not None:
        version = binary.build_version.minos
    elif binary.version_min is not None:
        version = binary.version_min.version
    else:
        return Slice(machine=machine)
    return Slice(machine=machine, oldest_macos=(int(version[0]), int(version[1])))


def imported_dll(path: Path) -> str:
    """Return the name of the DLL that an import library stands for; empty for another file."""
    if identify(path).kind is not FileKind.IMPORT_LIBRARY:
        return ""
    with path.open("rb") as source:
        for member in archive_members(path):
            if not _is_special(member.name):
                source.seek(member.offset)
                found = _DLL_NAME.search(source.read(member.size))
                if found:
                    return found[1].decode("ascii")
    return ""


def file_version(path: Path) -> str:
    """Return the version that a program or DLL of Windows says it is; empty: it says none."""
    import lief  # noqa: PLC0415 - as above

    binary = lief.PE.parse(path)
    resources = binary.resources_manager if binary is not None else None
    # Without resources lief returns an error value instead of a manager.
    if not isinstance(resources, lief.PE.ResourcesManager) or not resources.has_version:
        return ""
    infos = [entry.file_info for entry in resources.version]
    if not infos or infos[0] is None:
        return ""
    high, low = infos[0].file_version_ms, infos[0].file_version_ls
    return ".".join(str(number) for number in (high >> 16, high & 0xFFFF, low >> 16, low & 0xFFFF))


def needed(path: Path) -> tuple[str, ...]:
    """Return the libraries that ``path`` must find when it is loaded, in its own order."""
    return dynamic_facts(path).needed


def _follow(path: Path, depth: int) -> Path:
    """Follow symbolic links and linker scripts to the file that decides."""
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise LinkageError(
            f"{path} cannot be read: {error}", fix="name a file that exists and can be read"
        ) from error
    target = _script_target(_read_head(real))
    if not target or depth == 0:
        return real
    beside = real.parent / target
    return _follow(beside, depth - 1) if beside.exists() else real


def _script_target(head: bytes) -> str:
    """Return the first library that a linker script names, or nothing if it is none."""
    if not head.lstrip().startswith(_LINKER_SCRIPT_WORDS):
        return ""
    for word in head.replace(b"(", b" ( ").replace(b")", b" ) ").split():
        name = word.decode("utf-8", errors="replace")
        if ".so" in name or name.endswith(".a"):
            return name
    return ""


def _read_head(path: Path) -> bytes:
    try:
        with path.open("rb") as source:
            return source.read(_HEAD_BYTES)
    except OSError as error:
        raise LinkageError(
            f"{path} cannot be read: {error}", fix="name a file that exists and can be read"
        ) from error


def _classify(path: Path, head: bytes) -> tuple[FileKind, str]:
    """Classify a file by its first bytes, and by its members or dynamic section where they tell."""
    if head.startswith(_AR_MAGIC):
        return _classify_archive(path)
    if head.startswith(_MACHO_FAT):
        return _classify_fat(path, head)
    for mark, kind in _TEXT_MARKS:
        if head.startswith(mark):
            return kind, ""
    kind, machine = _classify_image(head)
    if kind is FileKind.EXECUTABLE and head.startswith(b"\x7fELF") and dynamic_facts(path).name:
        # glibc's own library can be run, too: what others know by a name is a library.
        return FileKind.SHARED_LIBRARY, machine
    return kind, machine


def _classify_archive(path: Path) -> tuple[FileKind, str]:
    members = list(archive_members(path))
    with path.open("rb") as source:
        objects = [_head_of(source, member) for member in members if not _is_special(member.name)]
    machines = "+".join(sorted({_machine_of(head) for head in objects} - {""}))
    imports = any(head.startswith(_SHORT_IMPORT_MARK) for head in objects)
    is_import = imports or _imports_a_dll(path, members)
    return FileKind.IMPORT_LIBRARY if is_import else FileKind.STATIC_LIBRARY, machines


def _machine_of(head: bytes) -> str:
    """Return the processor of one member of a library."""
    if head.startswith(_SHORT_IMPORT_MARK) and len(head) >= _SHORT_IMPORT.size:
        return _PE_MACHINES.get(_SHORT_IMPORT.unpack_from(head)[3], "")
    return _classify_image(head)[1]


def _head_of(source: BinaryIO, member: ArchiveMember) -> bytes:
    """Return the first bytes of a member, past the long name that BSD archives put before it."""
    source.seek(member.offset)
    inline = int(member.name[3:]) if member.name.startswith("#1/") else 0
    return source.read(inline + 64)[inline:]


def _imports_a_dll(path: Path, members: list[ArchiveMember]) -> bool:
    """Say whether the symbol table has what only an import library defines (MSVC, then MinGW)."""
    table = next((member for member in members if member.name in ("/", "/SYM64/")), None)
    if table is None:
        return False
    with path.open("rb") as source:
        source.seek(table.offset)
        names = source.read(table.size)
    return b"__IMPORT_DESCRIPTOR_" in names or (b"_head_" in names and b"__imp_" in names)


def _is_special(name: str) -> bool:
    return name in ("/", "//", "/SYM64/", "/<ECSYMBOLS>/") or name.startswith("__.SYMDEF")


def _classify_image(head: bytes) -> tuple[FileKind, str]:
    """Classify one object, library or program from its first bytes."""
    if head.startswith(b"\x7fELF"):
        return _classify_elf(head)
    if head.startswith(b"MZ"):
        return _classify_pe(head)
    if len(head) >= 32:
        (magic,) = struct.unpack(">I", head[:4])
        if magic in _MACHO_MAGICS:
            return _classify_macho(head, _MACHO_MAGICS[magic])
    return _classify_coff_object(head)


def _classify_elf(head: bytes) -> tuple[FileKind, str]:
    order = ">" if head[5:6] == b"\x02" else "<"
    kind, machine = struct.unpack(order + "HH", head[16:20])
    name = _ELF_MACHINES.get(machine, f"machine {machine}")
    if machine == 21 and order == "<":
        name = "ppc64le"
    # A position-independent program is ET_DYN too: only a program names an interpreter.
    is_program = kind == 2 or (kind == 3 and _names_interpreter(head, order))
    kinds = {1: FileKind.OBJECT, 3: FileKind.SHARED_LIBRARY}
    return FileKind.EXECUTABLE if is_program else kinds.get(kind, FileKind.UNKNOWN), name


def _names_interpreter(head: bytes, order: str) -> bool:
    wide = head[4:5] == b"\x02"
    layout = (32, "Q", 54) if wide else (28, "I", 42)
    (table,) = struct.unpack_from(order + layout[1], head, layout[0])
    size, count = struct.unpack_from(order + "HH", head, layout[2])
    starts = range(table, min(table + size * count, len(head) - 4), size or 1)
    pt_interp = 3
    return any(struct.unpack_from(order + "I", head, at)[0] == pt_interp for at in starts)


def _classify_pe(head: bytes) -> tuple[FileKind, str]:
    (at,) = struct.unpack_from("<I", head, 0x3C) if len(head) >= 0x40 else (0,)
    if head[at : at + 4] != b"PE\0\0":
        return FileKind.UNKNOWN, ""
    machine, flags = struct.unpack_from("<H", head, at + 4)[0], head[at + 22 : at + 24]
    is_dll = bool(int.from_bytes(flags, "little") & 0x2000)
    name = _PE_MACHINES.get(machine, f"machine {machine:#x}")
    return FileKind.SHARED_LIBRARY if is_dll else FileKind.EXECUTABLE, name


def _classify_macho(head: bytes, order: str) -> tuple[FileKind, str]:
    machine, _, kind = struct.unpack_from(order + "III", head, 4)
    name = _MACHO_MACHINES.get(machine, f"machine {machine:#x}")
    kinds = {"shared": FileKind.SHARED_LIBRARY, "executable": FileKind.EXECUTABLE}
    return kinds.get(_MACHO_KINDS.get(kind, ""), FileKind.OBJECT), name


def _classify_fat(path: Path, head: bytes) -> tuple[FileKind, str]:
    """Classify a universal file by its first slice; the machines are those of all slices."""
    (count,) = struct.unpack_from(">I", head, 4)
    if not 0 < count <= 16:  # Java class files share the magic and have a large number here
        return FileKind.UNKNOWN, ""
    slices = [struct.unpack_from(">IIIII", head, 8 + 20 * index) for index in range(count)]
    names = {_MACHO_MACHINES.get(cpu, f"machine {cpu:#x}") for cpu, *_ in slices}
    with path.open("rb") as source:
        source.seek(slices[0][2])
        first = source.read(64)
    is_archive = first.startswith(_AR_MAGIC)
    kind = FileKind.STATIC_LIBRARY if is_archive else _classify_image(first)[0]
    return kind, "+".join(sorted(names))


def _classify_coff_object(head: bytes) -> tuple[FileKind, str]:
    machine = int.from_bytes(head[:2], "little")
    if machine in _PE_MACHINES and len(head) >= 20:
        return FileKind.OBJECT, _PE_MACHINES[machine]
    return FileKind.UNKNOWN, ""
