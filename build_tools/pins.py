"""The lock file: every source, its version, licence and sha256, and the places it can be had from.

``third_party/pins.cdx.json`` is a CycloneDX bill of materials. Each component is one pin; each of
its distribution references is one place. What CycloneDX has no field for stands in properties:

- component: ``onnxforge:kind`` (source, part, test-data, tool), ``onnxforge:default`` (the version
  taken when none is asked for), ``onnxforge:substitute-for`` (a default that this version may stand
  in for when that one cannot be had), ``onnxforge:contains`` (a file that the tree must have),
  ``onnxforge:needs`` (name and version of a part that is compiled into it)
- place: ``onnxforge:place`` (release, index), ``onnxforge:filename``, ``onnxforge:subdir`` (the
  folder of the archive that becomes the root of the tree), ``onnxforge:size``; for an index also
  ``onnxforge:project`` and ``onnxforge:version``
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.version import InvalidVersion, Version

from build_tools.errors import PinError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LOCK_FILE = Path(__file__).resolve().parent.parent / "third_party" / "pins.cdx.json"

_PREFIX = "onnxforge:"
_PLACE_TYPES = ("source-distribution", "distribution")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class PlaceKind(str, Enum):
    """What kind of place an archive is had from."""

    RELEASE = "release"
    """An address of upstream's own release archive."""

    INDEX = "index"
    """A file of a project on the Python package index, or on a mirror of it."""


class PinKind(str, Enum):
    """What a pin is for."""

    SOURCE = "source"
    """Compiled into the product."""

    PART = "part"
    """Compiled into another source's library, and fetched with it only."""

    TEST_DATA = "test-data"
    """Read by tests and by the smoke test only."""

    TOOL = "tool"
    """Linked against or run when a wheel for another system is made; no part of the product."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """One archive that carries a pinned source."""

    kind: PlaceKind
    """Where it is had from."""

    filename: str
    """The archive's file name."""

    sha256: str
    """The digest of the archive, 64 lower-case hexadecimal digits."""

    size: int | None
    """The archive's length in bytes, where known."""

    subdir: str
    """The folder inside the archive that becomes the root of the tree; empty: the whole archive."""

    url: str | None = None
    """The address of a release archive; None for a file of an index."""

    project: str = ""
    """The project on the index."""

    version: str = ""
    """The project's version on the index: not the version of the pin."""

    def __str__(self) -> str:
        if self.kind is PlaceKind.RELEASE:
            return str(self.url)
        return f"{self.filename} of {self.project} {self.version} on the package index"


@dataclass(frozen=True, kw_only=True)
class Pin:
    """One version of one source."""

    name: str
    """The source's name, e.g. "protobuf"."""

    version: str
    """The source's own version, e.g. "3.20.2"."""

    license: str
    """Its licence as an SPDX expression."""

    places: tuple[Place, ...]
    """Where it can be had from, the preferred place first."""

    kind: PinKind = PinKind.SOURCE
    """What it is for."""

    default: bool = False
    """Whether it is the version taken when none is asked for."""

    substitute_for: str = ""
    """The default version that it may stand in for when that one cannot be had."""

    contains: str = ""
    """A file that its unpacked tree must have, relative to the root."""

    needs: str = ""
    """Name and version of a part that is compiled into it, e.g. "abseil-cpp 20250512.1"."""

    purl: str = ""
    """Its package URL."""

    cpe: str = ""
    """Its name in the vulnerability data base, where it has one."""

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@dataclass(frozen=True, kw_only=True)
class Pins:
    """Everything that the lock file names."""

    path: Path
    """The lock file."""

    all: tuple[Pin, ...]
    """The pins in the order of the file."""

    def names(self, kind: PinKind | None = None) -> tuple[str, ...]:
        """Return the names of all sources, or of those of one kind, each once."""
        chosen = (pin.name for pin in self.all if kind is None or pin.kind is kind)
        return tuple(dict.fromkeys(chosen))

    def versions(self, name: str) -> tuple[str, ...]:
        """Return the pinned versions of a source, newest first.

        Raises PinError when no source has that name.
        """
        found = [pin.version for pin in self.all if pin.name == name]
        if not found:
            raise self._unknown_name(name)
        return tuple(sorted(found, key=Version, reverse=True))

    def pin(self, name: str, version: str | None = None) -> Pin:
        """Return a source at a version, or at its default version.

        Raises PinError when the lock file does not have it.
        """
        versions = self.versions(name)
        mine = [pin for pin in self.all if pin.name == name]
        for pin in mine:
            if pin.version == version or (version is None and pin.default):
                return pin
        raise PinError(
            f"{name} {version} is not pinned",
            looked=[f"{self.path}: it has {name} {', '.join(versions)}"],
            fix=[f"ask for one of {', '.join(versions)}", "or add it to the lock file"],
        )

    def substitutes(self, pin: Pin) -> tuple[Pin, ...]:
        """Return the pins that may stand in for a default one, in the order of preference."""
        return tuple(
            other
            for other in self.all
            if other.name == pin.name and other.substitute_for == pin.version
        )

    def parts(self, pin: Pin) -> tuple[Pin, ...]:
        """Return what is compiled into the library of a pin beside its own sources."""
        return tuple(other for other in self.all if str(other) == pin.needs)

    def _unknown_name(self, name: str) -> PinError:
        close = get_close_matches(name, self.names(), n=1)
        hint = [f"did you mean {close[0]}?"] if close else []
        known = ", ".join(self.names())
        return PinError(
            f"{name!r} is not pinned", looked=[f"{self.path}: it has {known}"], fix=hint
        )


def load_pins(path: Path = LOCK_FILE) -> Pins:
    """Read and check a lock file.

    Raises PinError when it cannot be read or says something that cannot be true.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PinError(f"the lock file cannot be read: {error}", looked=[str(path)]) from error
    try:
        pins = tuple(_read_pin(component) for component in document["components"])
        _check_pins(pins)
    except (KeyError, TypeError, ValueError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise PinError(f"the lock file is wrong: {reason}", looked=[str(path)]) from error
    return Pins(path=path, all=pins)


def _read_pin(component: Mapping[str, Any]) -> Pin:
    properties = _properties(component)
    name, version = component["name"], component["version"]
    where = f"{name} {version}"
    references = component["externalReferences"]
    return Pin(
        name=name,
        version=_checked_version(version, where),
        license=_read_license(component["licenses"], where),
        places=tuple(_read_place(ref, where) for ref in references if ref["type"] in _PLACE_TYPES),
        kind=PinKind(properties["kind"]),
        default=properties.get("default") == "true",
        substitute_for=properties.get("substitute-for", ""),
        contains=properties.get("contains", ""),
        needs=properties.get("needs", ""),
        purl=component.get("purl", ""),
        cpe=component.get("cpe", ""),
    )


def _read_place(reference: Mapping[str, Any], where: str) -> Place:
    properties = _properties(reference)
    kind = PlaceKind(properties["place"])
    size = properties.get("size")
    is_index = kind is PlaceKind.INDEX
    return Place(
        kind=kind,
        filename=_checked_filename(properties["filename"], where),
        sha256=_read_sha256(reference["hashes"], where),
        size=None if size is None else int(size),
        subdir=properties.get("subdir", ""),
        url=None if is_index else reference["url"],
        project=properties["project"] if is_index else "",
        version=properties["version"] if is_index else "",
    )


def _properties(entry: Mapping[str, Any]) -> dict[str, str]:
    pairs = ((item["name"], item["value"]) for item in entry.get("properties", ()))
    return {name[len(_PREFIX) :]: value for name, value in pairs if name.startswith(_PREFIX)}


def _checked_version(version: str, where: str) -> str:
    try:
        Version(version)
    except InvalidVersion as error:
        raise ValueError(f"{where}: {error}") from error
    return version


def _checked_filename(filename: str, where: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", filename):
        raise ValueError(f"{where}: {filename!r} is not a plain file name")
    return filename


def _read_license(licenses: Iterable[Mapping[str, Any]], where: str) -> str:
    names = [
        entry["expression"] if "expression" in entry else entry["license"]["id"]
        for entry in licenses
    ]
    if not names:
        raise ValueError(f"{where}: no licence")
    return " AND ".join(names)


def _read_sha256(hashes: Iterable[Mapping[str, str]], where: str) -> str:
    digests = [entry["content"] for entry in hashes if entry["alg"] == "SHA-256"]
    if len(digests) != 1 or not _SHA256.fullmatch(digests[0]):
        raise ValueError(f"{where}: each place needs one SHA-256 of 64 lower-case hex digits")
    return digests[0]


def _check_pins(pins: tuple[Pin, ...]) -> None:
    seen: set[tuple[str, str]] = set()
    for pin in pins:
        if (pin.name, pin.version) in seen:
            raise ValueError(f"{pin} is there twice")
        seen.add((pin.name, pin.version))
        if not pin.places:
            raise ValueError(f"{pin} has no place to get it from")
    for name in {pin.name for pin in pins}:
        defaults = [pin.version for pin in pins if pin.name == name and pin.default]
        if len(defaults) != 1:
            raise ValueError(f"{name} needs exactly one default version, not {len(defaults)}")
    for pin in pins:
        if pin.substitute_for and (pin.name, pin.substitute_for) not in seen:
            raise ValueError(f"{pin} stands in for {pin.substitute_for}, which is not pinned")
        if pin.needs and pin.needs not in map(str, pins):
            raise ValueError(f"{pin} needs {pin.needs}, which is not pinned")
