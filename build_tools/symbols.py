"""The names that a shared library or extension module offers to everything else in the process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from build_tools.binaries import macho_slices
from build_tools.errors import LinkageError

if TYPE_CHECKING:
    from pathlib import Path

    import lief


def exported_symbols(path: Path) -> tuple[str, ...]:
    """Return the names that ``path`` exports, sorted; raises LinkageError for a non-library."""
    import lief  # noqa: PLC0415 - 0.2 s to import; only needed where a binary is read

    if lief.is_macho(path):
        return _macho_exports(path)
    binary = lief.parse(path)
    if isinstance(binary, lief.ELF.Binary):
        return _elf_exports(binary)
    if isinstance(binary, lief.PE.Binary):
        table = binary.get_export()
        return tuple(sorted(str(entry.name) for entry in table.entries)) if table else ()
    raise LinkageError(f"{path} is not a shared library", fix="name an extension module or library")


def _macho_exports(path: Path) -> tuple[str, ...]:
    """Return what any slice exports; Mach-O puts an underscore before every C name."""
    symbols = (symbol for binary in macho_slices(path) for symbol in binary.exported_symbols)
    return tuple(sorted({str(symbol.name).removeprefix("_") for symbol in symbols}))


def _elf_exports(binary: lief.ELF.Binary) -> tuple[str, ...]:
    """Return what other objects can bind to; weak and GNU_UNIQUE names count like global ones.

    The linker's own marks (_init, _edata and their like) are names that every library has.
    """
    own = {"_init", "_fini", "_edata", "_end", "__bss_start", "_start", "_etext"}
    names = {str(symbol.name) for symbol in binary.exported_symbols}
    return tuple(sorted(names - own - {""}))
