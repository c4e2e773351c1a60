"""What makes a binary hard to abuse, hard to clash with, and silent about where it was made."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import lief

_SOURCE_SUFFIX = re.compile(rb"\.(?:cc|cpp|cxx|c|h|hpp|hh|inc)(?!\.?\w)")
_ABSOLUTE_PATH = re.compile(rb"(?<![\w./:+-])(?:/|[A-Za-z]:[\\/])(?:[\w.+ -]+[\\/])+[\w.+-]+\Z")
_LONGEST_PATH = 4096


@dataclass(frozen=True, kw_only=True)
class Hardening:
    """What was found out about one binary."""

    lacks: tuple[str, ...] = ()
    """The protections it could have and has not, in words."""

    unique: tuple[str, ...] = ()
    """The names it binds for the whole process, even when it is loaded privately (GNU_UNIQUE)."""

    source_paths: tuple[str, ...] = ()
    """The absolute paths of source files that it names."""


def read_hardening(path: Path) -> Hardening:
    """Read one binary; a file of a kind that is not known lacks nothing."""
    import lief  # noqa: PLC0415 - 0.2 s to import; only needed where a binary is read

    paths = tuple(sorted(set(source_paths(path.read_bytes()))))
    binary = None if lief.is_macho(path) else lief.parse(path)
    if isinstance(binary, lief.ELF.Binary):
        return Hardening(lacks=_elf_lacks(binary), unique=_unique(binary), source_paths=paths)
    if isinstance(binary, lief.PE.Binary):
        return Hardening(lacks=_pe_lacks(binary), source_paths=paths)
    return Hardening(source_paths=paths)


def source_paths(content: bytes) -> Iterator[str]:
    """Yield every absolute path that ends like a source file's: what __FILE__ leaves behind.

    Looked for from the end: a binary has few such suffixes, and very many slashes.
    """
    for suffix in _SOURCE_SUFFIX.finditer(content):
        start = max(0, suffix.end() - _LONGEST_PATH)
        path = _ABSOLUTE_PATH.search(content[start : suffix.end()])
        if path:
            yield path[0].decode("utf-8", "replace")


def _elf_lacks(binary: lief.ELF.Binary) -> tuple[str, ...]:
    import lief  # noqa: PLC0415 - as above

    kinds = {segment.type for segment in binary.segments}
    stacks = [s for s in binary.segments if s.type == lief.ELF.Segment.TYPE.GNU_STACK]
    runs_stack = not stacks or any(bool(s.flags & lief.ELF.Segment.FLAGS.X) for s in stacks)
    protections = {
        "RELRO": lief.ELF.Segment.TYPE.GNU_RELRO in kinds,
        "BIND_NOW": _binds_now(binary),
        "a stack that is not executable": not runs_stack,
    }
    return tuple(name for name, there in protections.items() if not there)


def _binds_now(binary: lief.ELF.Binary) -> bool:
    import lief  # noqa: PLC0415 - as above

    tags = lief.ELF.DynamicEntry.TAG
    if binary.has(tags.BIND_NOW):
        return True
    flags = binary.get(tags.FLAGS) if binary.has(tags.FLAGS) else None
    flags_1 = binary.get(tags.FLAGS_1) if binary.has(tags.FLAGS_1) else None
    bind_now, now = 0x8, 0x1  # DF_BIND_NOW and DF_1_NOW
    return bool((flags and flags.value & bind_now) or (flags_1 and flags_1.value & now))


def _unique(binary: lief.ELF.Binary) -> tuple[str, ...]:
    import lief  # noqa: PLC0415 - as above

    unique = lief.ELF.Symbol.BINDING.GNU_UNIQUE
    names = {str(symbol.name) for symbol in binary.dynamic_symbols if symbol.binding == unique}
    return tuple(sorted(names))


def _pe_lacks(binary: lief.PE.Binary) -> tuple[str, ...]:
    import lief  # noqa: PLC0415 - as above

    wanted = {
        "address randomisation (DYNAMIC_BASE)": "DYNAMIC_BASE",
        "data that is not executable (NX_COMPAT)": "NX_COMPAT",
    }
    kinds = lief.PE.OptionalHeader.DLL_CHARACTERISTICS
    header = binary.optional_header
    return tuple(words for words, name in wanted.items() if not header.has(getattr(kinds, name)))
