"""Unpacking an archive whose content nobody has to be trusted for.

Nothing is written outside the target: no absolute name, no ``..``, no device, no link that leads
out. How much is written is limited. The target appears whole, by one rename, or not at all. Every
file gets the same fixed time, so that unpacking twice gives the same tree and no build tool sees
the future.
"""

from __future__ import annotations

import gzip
import os
import posixpath
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import PureWindowsPath
from typing import IO, TYPE_CHECKING, cast

from build_tools.errors import UnpackError
from build_tools.storage import PARTIAL, guarded, remove_tree, rename

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FIXED_TIME = 315_619_200
"""1980-01-02 UTC: the time of every unpacked file; a zip archive can hold nothing older."""

_CHUNK = 1 << 16
_MAX_LINK = 4096
_DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)
_ADVICE = (
    "get the archive again from a source you trust: its sha256 says which one is meant",
    "an archive that was made to do harm is not to be unpacked by other means",
)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much one archive may unpack to."""

    files: int = 100_000
    """Members of any kind."""

    size: int = 1 << 30
    """Bytes in all."""

    ratio: int = 200
    """Bytes in all for one byte of the archive; source code packs to a tenth, not a thousandth."""

    def bytes_for(self, archive: Path) -> int:
        """Return how many bytes an archive may unpack to; 1 MiB is always fine."""
        return min(self.size, max(1 << 20, self.ratio * archive.stat().st_size))


@dataclass(frozen=True, kw_only=True)
class Unpacked:
    """What was written."""

    files: int
    """Files and links."""

    size: int
    """Bytes in the files."""


class _Kind(Enum):
    FILE = "file"
    FOLDER = "folder"
    SYMLINK = "symbolic link"
    HARDLINK = "hard link"


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """One member of an archive of any format; ``chunks`` must be read before the next one."""

    name: str
    kind: _Kind
    executable: bool = False
    size: int = 0
    target: str = ""
    chunks: Callable[[], Iterator[bytes]] = lambda: iter(())


Parts = tuple[str, ...]


def unpack(
    archive: Path, into: Path, *, subdir: str = "", contains: str = "", limits: Limits | None = None
) -> Unpacked:
    """Unpack a .tar.gz, .zip or .whl; ``into`` is replaced by the tree, or left as it was.

    ``subdir`` is the folder of the archive that becomes the root of the tree; the rest is looked
    at, but not written. ``contains`` is a file the tree must have.

    Raises UnpackError for an archive that is damaged, unsafe, too large or not the expected one;
    CacheError or DiskFullError when the tree cannot be written.
    """
    staging = into.with_name(into.name + PARTIAL)
    doing = f"unpack {archive.name}"
    with guarded(into, doing):
        remove_tree(staging)
        staging.mkdir(parents=True)
    try:
        tree = _Tree(archive=archive, root=staging, subdir=_plain_parts(subdir))
        with guarded(staging, doing):
            tree.fill(limits or Limits())
        if not tree.files or (contains and not (staging / contains).is_file()):
            missing = contains or subdir or "a file"
            raise UnpackError(f"{archive.name} does not have {missing}", looked=[str(archive)])
        with guarded(into, doing):
            remove_tree(into)
            rename(staging, into)
    finally:
        remove_tree(staging)
    return Unpacked(files=tree.files, size=tree.size)


@dataclass(kw_only=True)
class _Tree:
    """The tree while it grows. Links are made last, so that no file is ever written through one."""

    archive: Path
    root: Path
    subdir: Parts
    files: int = 0
    size: int = 0
    folders: set[Parts] = field(default_factory=set)
    written: set[Parts] = field(default_factory=set)
    symlinks: list[tuple[Parts, str]] = field(default_factory=list)

    def fill(self, limits: Limits) -> None:
        """Write every member below ``subdir``."""
        budget = _Budget(self.archive, limits)
        for entry in _entries(self.archive, budget):
            budget.member()
            parts = self._inside(_safe_parts(entry.name, self.archive))
            if parts is not None:
                self._add(parts, entry)
        for parts, target in self.symlinks:
            self._make_symlink(parts, target)
        for folder in sorted(self.folders, reverse=True):
            os.utime(self.root.joinpath(*folder), (FIXED_TIME, FIXED_TIME))

    def _inside(self, parts: Parts) -> Parts | None:
        depth = len(self.subdir)
        return parts[depth:] if parts[:depth] == self.subdir else None

    def _add(self, parts: Parts, entry: _Entry) -> None:
        if entry.kind is _Kind.FOLDER:
            self._make_folder(parts)
            return
        if not parts or parts in self.written or parts in self.folders:
            raise self._unsafe(entry.name, "is there twice")
        self._make_folder(parts[:-1])
        self.written.add(parts)
        self.files += 1
        if entry.kind is _Kind.FILE:
            self._write(parts, entry)
        elif entry.kind is _Kind.HARDLINK:
            self._copy(parts, entry)
        else:
            self.symlinks.append((parts, self._checked_target(parts, entry)))

    def _make_folder(self, parts: Parts) -> None:
        for depth in range(1, len(parts) + 1):
            folder = parts[:depth]
            if folder in self.folders:
                continue
            if folder in self.written:
                raise self._unsafe("/".join(parts), "lies below something that is not a folder")
            self.root.joinpath(*folder).mkdir(mode=0o755)
            self.folders.add(folder)

    def _write(self, parts: Parts, entry: _Entry) -> None:
        path = self.root.joinpath(*parts)
        mode = 0o755 if entry.executable else 0o644
        with os.fdopen(os.open(path, _CREATE_ONLY, mode), "wb") as sink:
            for chunk in entry.chunks():
                sink.write(chunk)
                self.size += len(chunk)
            if sink.tell() != entry.size:
                raise _damaged(self.archive, f"{entry.name} is cut short")
        os.utime(path, (FIXED_TIME, FIXED_TIME))

    def _copy(self, parts: Parts, entry: _Entry) -> None:
        """A hard link becomes a copy: the cache may lie on a file system without links."""
        source = None if _why_unsafe(entry.target) else self._inside(_plain_parts(entry.target))
        if (
            source is None
            or source not in self.written
            or source in {link for link, _ in self.symlinks}
        ):
            raise self._unsafe(entry.name, f"is a hard link to {entry.target}, outside the tree")
        origin, path = self.root.joinpath(*source), self.root.joinpath(*parts)
        shutil.copyfile(origin, path)
        path.chmod(stat.S_IMODE(origin.stat().st_mode))
        os.utime(path, (FIXED_TIME, FIXED_TIME))
        self.size += path.stat().st_size

    def _checked_target(self, parts: Parts, entry: _Entry) -> str:
        """Return where a symbolic link leads, when by its words that is inside the tree."""
        target = entry.target
        resolved = posixpath.normpath(posixpath.join(*parts[:-1], target))
        leaves = resolved == ".." or resolved.startswith(("../", "/"))
        if not target or leaves or _is_foreign(target):
            raise self._unsafe(entry.name, f"is a link that leads out of the tree, to {target!r}")
        return target

    def _make_symlink(self, parts: Parts, target: str) -> None:
        path = self.root.joinpath(*parts)
        try:
            path.symlink_to(target)
        except (OSError, NotImplementedError):
            if hasattr(os, "geteuid"):
                raise
            self._copy_link_target(path, target)  # Windows lets few users make links
            return
        # Words alone do not say where a link leads whose target goes through another link.
        if not path.resolve().is_relative_to(self.root.resolve()):
            raise self._unsafe("/".join(parts), f"is a link that leads out of the tree: {target}")

    def _copy_link_target(self, path: Path, target: str) -> None:
        source = (path.parent / target).resolve()
        if source.is_file() and source.is_relative_to(self.root.resolve()):
            shutil.copyfile(source, path)

    def _unsafe(self, name: str, why: str) -> UnpackError:
        return _refused(self.archive, name, why)


_CREATE_ONLY = (
    os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
)


class _Budget:
    """Counts what an archive has given and stops it at the limits."""

    def __init__(self, archive: Path, limits: Limits) -> None:
        self._archive = archive
        self._bytes = self._allowed = limits.bytes_for(archive)
        self._files = limits.files

    def take(self, count: int) -> None:
        """Count bytes."""
        self._bytes -= count
        if self._bytes < 0:
            raise UnpackError(
                f"{self._archive.name} unpacks to more than {self._allowed / 1e6:.0f} MB",
                looked=[f"{self._archive}: {self._archive.stat().st_size} bytes"],
                fix=_ADVICE,
            )

    def member(self) -> None:
        """Count a member."""
        self._files -= 1
        if self._files < 0:
            what = f"{self._archive.name} has too many members"
            raise UnpackError(what, looked=[str(self._archive)], fix=_ADVICE)


def _entries(archive: Path, budget: _Budget) -> Iterator[_Entry]:
    """Yield the members of an archive, whose format is told by its first bytes."""
    with archive.open("rb") as source:
        magic = source.read(4)
        source.seek(0)
        if magic[:2] == b"\x1f\x8b":
            yield from _tar_entries(archive, source, budget)
        elif magic == b"PK\x03\x04":
            yield from _zip_entries(archive, source, budget)
        else:
            raise _damaged(archive, "it is neither a .tar.gz nor a .zip")


@contextmanager
def _reading(archive: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGED as error:
        raise _damaged(archive, str(error) or type(error).__name__) from error


class _CountedStream:
    """A decompressed stream that is stopped at the limit: not even a header may be endless."""

    def __init__(self, source: IO[bytes], budget: _Budget) -> None:
        self._source = source
        self._budget = budget

    def read(self, size: int) -> bytes:
        """Return at most ``size`` bytes."""
        chunk = self._source.read(size)
        self._budget.take(len(chunk))
        return chunk


def _tar_entries(archive: Path, source: IO[bytes], budget: _Budget) -> Iterator[_Entry]:
    plain = cast("IO[bytes]", gzip.GzipFile(fileobj=source, mode="rb"))
    stream = _CountedStream(plain, budget)
    with _reading(archive):
        tar = tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r|")  # noqa: SIM115 - the stream is the caller's
    while True:
        with _reading(archive):
            member = tar.next()
        if member is None:
            break
        yield _tar_entry(archive, tar, member)
    with _reading(archive):
        # The checksum stands at the very end: a cut-off archive is noticed only there.
        while stream.read(_CHUNK):
            pass


def _tar_entry(archive: Path, tar: tarfile.TarFile, member: tarfile.TarInfo) -> _Entry:
    def chunks() -> Iterator[bytes]:
        with _reading(archive):
            data = cast("IO[bytes]", tar.extractfile(member))
            while chunk := data.read(_CHUNK):
                yield chunk

    kinds = (
        (member.isreg() and not member.issparse(), _Kind.FILE),
        (member.isdir(), _Kind.FOLDER),
        (member.issym(), _Kind.SYMLINK),
        (member.islnk(), _Kind.HARDLINK),
    )
    kind = next((kind for fits, kind in kinds if fits), None)
    if kind is None:
        raise _refused(archive, member.name, "is neither a file, a folder nor a link")
    return _Entry(
        name=member.name,
        kind=kind,
        executable=bool(member.mode & 0o111),
        size=member.size,
        target=member.linkname,
        chunks=chunks,
    )


def _zip_entries(archive: Path, source: IO[bytes], budget: _Budget) -> Iterator[_Entry]:
    with _reading(archive):
        packed = zipfile.ZipFile(source)
    with packed:
        for member in packed.infolist():
            yield _zip_entry(archive, packed, member, budget)


def _zip_entry(
    archive: Path, packed: zipfile.ZipFile, member: zipfile.ZipInfo, budget: _Budget
) -> _Entry:
    def chunks() -> Iterator[bytes]:
        with _reading(archive), packed.open(member) as data:
            while chunk := data.read(_CHUNK):
                budget.take(len(chunk))
                yield chunk

    mode = member.external_attr >> 16
    kind = _zip_kind(archive, member, stat.S_IFMT(mode))
    target = ""
    if kind is _Kind.SYMLINK:
        if member.file_size > _MAX_LINK:
            raise _refused(archive, member.filename, "is a link with an endless name")
        target = os.fsdecode(b"".join(chunks()))
    return _Entry(
        name=member.orig_filename,
        kind=kind,
        executable=bool(mode & 0o111),
        size=member.file_size,
        target=target,
        chunks=chunks,
    )


def _zip_kind(archive: Path, member: zipfile.ZipInfo, mode: int) -> _Kind:
    if member.is_dir():
        return _Kind.FOLDER
    if mode == stat.S_IFLNK:
        return _Kind.SYMLINK
    if mode in {0, stat.S_IFREG}:
        return _Kind.FILE
    raise _refused(archive, member.filename, "is neither a file, a folder nor a link")


def _safe_parts(name: str, archive: Path) -> Parts:
    """Return the parts of a member's name, when it can only lie inside the tree on every system."""
    if why := _why_unsafe(name):
        raise _refused(archive, name, why)
    return _plain_parts(name)


def _why_unsafe(name: str) -> str:
    if name.startswith("/") or _is_foreign(name):
        return "is an absolute name or one of another system"
    return "leads out of the tree" if ".." in name.split("/") else ""


def _plain_parts(name: str) -> Parts:
    return tuple(part for part in name.split("/") if part not in {"", "."})


def _is_foreign(name: str) -> bool:
    return "\\" in name or "\0" in name or bool(PureWindowsPath(name).drive)


def _refused(archive: Path, name: str, why: str) -> UnpackError:
    what = f"{archive.name} is not unpacked: its member {name!r} {why}"
    return UnpackError(what, looked=[str(archive)], fix=_ADVICE)


def _damaged(archive: Path, why: str) -> UnpackError:
    what = f"{archive.name} is damaged or cut short: {why}"
    return UnpackError(what, looked=[str(archive)], fix=_ADVICE[:1])
