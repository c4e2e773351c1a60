"""One wheel file as it lies on disk: its members, its metadata, its RECORD and its binaries."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import tempfile
import zipfile
from dataclasses import dataclass, field
from email.parser import Parser
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from build_tools.binaries import DynamicFacts, dynamic_facts, identify
from build_tools.errors import WheelError
from build_tools.hardening import Hardening, read_hardening
from build_tools.storage import sha256_of
from build_tools.symbols import exported_symbols

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from packaging.tags import Tag

_LIBRARY_MARKS = (".so", ".dylib", ".dll", ".pyd")
_UNHASHED = ("RECORD", "RECORD.jws", "RECORD.p7s")


@dataclass(frozen=True, kw_only=True)
class WheelBinary:
    """One shared object in a wheel."""

    member: str
    """Where it lies in the wheel."""

    size: int
    """Its size in bytes, unpacked."""

    exported: tuple[str, ...]
    """The names it offers to the rest of the process."""

    dynamic: DynamicFacts
    """What it needs when it is loaded."""

    hardening: Hardening = field(default_factory=Hardening)
    """How it is protected, and what it says of the machine it was made on."""

    machine: str
    """The processor it is for."""

    vendored: bool
    """Whether it is a library that was copied in (``<name>.libs/``, ``.dylibs/``), not an extension
    module."""


@dataclass(frozen=True, kw_only=True)
class WheelFile:
    """A wheel that was opened and read; raises WheelError where it is no wheel at all."""

    path: Path
    """The file."""

    name: str
    """The project's name, normalised."""

    version: str
    """The project's version."""

    tags: frozenset[Tag]
    """The tags that the file's name claims."""

    members: dict[str, int]
    """Unpacked size by name, folders left out."""

    @classmethod
    def open(cls, path: Path) -> WheelFile:
        """Read the name and the table of contents of ``path``."""
        try:
            name, version, _, tags = parse_wheel_filename(path.name)
            with zipfile.ZipFile(path) as archive:
                entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        except (InvalidWheelFilename, zipfile.BadZipFile, OSError) as error:
            raise WheelError(f"{path} is not a wheel", looked=[str(error)]) from error
        members = {entry.filename: entry.file_size for entry in entries}
        if len(members) != len(entries):
            raise WheelError(
                f"{path} holds one name twice", fix="build the wheel again with --force"
            )
        return cls(path=path, name=name, version=str(version), tags=tags, members=members)

    @property
    def platforms(self) -> tuple[str, ...]:
        """The platform tags that the file's name claims, sorted."""
        return tuple(sorted({tag.platform for tag in self.tags}))

    @property
    def sha256(self) -> str:
        """The digest of the whole file."""
        return sha256_of(self.path)

    @cached_property
    def dist_info(self) -> str:
        """The name of the metadata folder, found by what it holds and not by the file's name."""
        found = {PurePosixPath(name).parts[0] for name in self.members if ".dist-info/" in name}
        if len(found) != 1:
            raise WheelError(f"{self.path} has {len(found)} .dist-info folders instead of one")
        return found.pop()

    def read(self, member: str) -> bytes:
        """Return the content of one member."""
        with zipfile.ZipFile(self.path) as archive:
            return archive.read(member)

    def metadata(self, member: str) -> dict[str, list[str]]:
        """Return a file of the metadata folder (METADATA, WHEEL) as its headers."""
        headers = Parser().parsestr(self.read(f"{self.dist_info}/{member}").decode("utf-8"))
        return {key: [str(value) for value in headers.get_all(key, [])] for key in headers}

    def binaries(self) -> tuple[WheelBinary, ...]:
        """Read every shared object of the wheel."""
        with tempfile.TemporaryDirectory() as scratch, zipfile.ZipFile(self.path) as archive:
            names = sorted(name for name in self.members if is_library(name))
            return tuple(self._binary(name, Path(archive.extract(name, scratch))) for name in names)

    def _binary(self, member: str, unpacked: Path) -> WheelBinary:
        return WheelBinary(
            member=member,
            size=self.members[member],
            exported=exported_symbols(unpacked),
            dynamic=dynamic_facts(unpacked),
            hardening=read_hardening(unpacked),
            machine=identify(unpacked).machine,
            vendored=_is_vendored(PurePosixPath(member)),
        )

    def mentions(self, texts: Iterable[str]) -> Iterator[str]:
        """Yield every member that holds one of the texts, with the text."""
        wanted = [text.encode("utf-8") for text in texts]
        with zipfile.ZipFile(self.path) as archive:
            for name in sorted(self.members):
                content = archive.read(name)
                yield from (f"{name}: {text.decode()}" for text in wanted if text in content)

    def record_problems(self) -> Iterator[str]:
        """Yield every difference between RECORD and the members: missing, extra, altered."""
        record = f"{self.dist_info}/RECORD"
        rows = {row[0]: row for row in csv.reader(io.StringIO(self.read(record).decode("utf-8")))}
        yield from (
            f"{name} is in RECORD only" for name in sorted(rows.keys() - self.members.keys())
        )
        with zipfile.ZipFile(self.path) as archive:
            for name in sorted(self.members):
                if name not in rows:
                    yield f"{name} is not in RECORD"
                elif PurePosixPath(name).name not in _UNHASHED:
                    yield from _row_problems(rows[name], archive.read(name))

    def name_problems(self) -> Iterator[str]:
        """Yield every place where the metadata says something else than the file's name."""
        declared = self.metadata("METADATA")
        name, version = declared["Name"][0], declared["Version"][0]
        if canonicalize_name(name) != self.name:
            yield f"METADATA names the project {name}"
        if version != self.version:
            yield f"METADATA says version {version}"
        listed = set(self.metadata("WHEEL")["Tag"])
        claimed = {str(tag) for tag in self.tags}
        yield from (f"WHEEL lists {tag}, the name does not" for tag in sorted(listed - claimed))
        yield from (f"the name claims {tag}, WHEEL does not" for tag in sorted(claimed - listed))


def is_library(member: str) -> bool:
    """Say whether a member's name is that of a shared object: x.so, x.so.1, x.pyd, x.dylib."""
    name = PurePosixPath(member).name
    return name.endswith(_LIBRARY_MARKS) or ".so." in name


def _is_vendored(member: PurePosixPath) -> bool:
    """Say whether a library lies where the repair tools put those that they bring along."""
    return member.parts[0].endswith(".libs") or ".dylibs" in member.parts


def _row_problems(row: list[str], content: bytes) -> Iterator[str]:
    name, digest, size = row
    encoded = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    if digest != f"sha256={encoded}":
        yield f"{name} has another sha256 than RECORD says"
    if size != str(len(content)):
        yield f"{name} is {len(content)} bytes long, RECORD says {size}"
