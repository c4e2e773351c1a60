"""What a bill of materials is composed from, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Use(str, Enum):
    """How a component got into the wheel."""

    COMPILED = "compiled in"
    """Its code was compiled and linked into the extension."""

    HEADERS = "headers"
    """Its headers were compiled into the extension; it has no library of its own."""

    SHARED = "shared library"
    """The extension needs it at run time; a self-contained wheel brings it along."""

    DATA = "data"
    """Tables of the extension were generated from it."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """One archive that carries the sources of a component; any of them gives the same files."""

    url: str
    """Its address, or the package URL of a file of the package index."""

    filename: str
    """Its name."""

    sha256: str
    """Its digest."""

    folder: str = ""
    """The folder inside that holds the component; empty: the whole archive."""


@dataclass(frozen=True, kw_only=True)
class Component:
    """One piece of third-party code in a wheel."""

    name: str
    """Its name, in small letters."""

    version: str
    """Its version."""

    license: str
    """Its licence as an SPDX expression."""

    text: bytes
    """The text of its licence."""

    use: Use
    """How it got in."""

    purl: str = ""
    """Its package URL."""

    cpe: str = ""
    """Its name in the vulnerability data base, where it has one."""

    origins: tuple[Origin, ...] = ()
    """Where its sources come from; empty for one that was found installed."""

    library: str = ""
    """sha256 of the library that was linked, for one that was found installed."""

    @property
    def ref(self) -> str:
        """Its reference inside the bill of materials."""
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, kw_only=True)
class Tool:
    """One program that took part in the making."""

    name: str
    """Its name."""

    version: str
    """Its version."""


@dataclass(frozen=True, kw_only=True)
class Making:
    """How a wheel was made: all that a rebuild has to have the same."""

    tools: tuple[Tool, ...]
    """Compiler first, then what drives it and packs."""

    facts: Mapping[str, str]
    """What was chosen and found, by name: settings, flags, digests of lock and sources."""


@dataclass(frozen=True, kw_only=True)
class Materials:
    """Everything that a bill of materials says beside what the finished wheel itself shows."""

    license: str
    """The licence of the package itself, as an SPDX expression."""

    components: tuple[Component, ...]
    """The third-party code in its extension."""

    origins: tuple[Origin, ...] = ()
    """Where the sources of the package itself come from, where they are another's."""

    making: Making
    """How it was made."""
