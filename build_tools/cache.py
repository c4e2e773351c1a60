"""What is kept between runs, found by its content: archives, unpacked sources, built libraries.

::

    <root>/archives/<sha256>                          an archive, named after what it is
    <root>/sources/<name>-<version>-<key>/            its tree
    <root>/prefixes/<name>-<version>-<key>/           what was built and installed from it
    <root>/<sources|prefixes>/<name>-<version>-<key>.json   the entry's manifest, written last
    <root>/locks/                                     one lock per entry, held while it is made

An entry without a manifest does not exist: whoever was making it was killed, and the next run
starts it again. A library is therefore installed under its final path right away, and every
absolute path that its CMake and pkg-config files hold stays true.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from build_tools.errors import CacheError
from build_tools.fetch import PART
from build_tools.storage import (
    PARTIAL,
    guarded,
    locked,
    locked_at_once,
    remove_tree,
    sha256_of,
    sync_tree,
    walk_files,
    write_json,
)
from build_tools.unpack import unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from build_tools.config import BuildConfig
    from build_tools.context import Context
    from build_tools.fetch import Fetcher
    from build_tools.pins import Pin, Place
    from build_tools.record import Record

_SCHEMA = 1
_LAYOUT = "1"
"""Part of every source's key: to be raised when the same archive unpacks to another tree."""

_TAG = "CACHEDIR.TAG"
_TAG_TEXT = (
    "Signature: 8a477f597d28d172789f06886806bc55\n"
    "# A cache of onnxforge; backups may leave it out. https://bford.info/cachedir/\n"
)


class Kind(str, Enum):
    """What an entry is."""

    ARCHIVE = "archive"
    SOURCE = "source"
    PREFIX = "prefix"


_FOLDERS = {Kind.ARCHIVE: "archives", Kind.SOURCE: "sources", Kind.PREFIX: "prefixes"}


@dataclass(frozen=True, kw_only=True)
class Prefix:
    """An installed library."""

    path: Path
    """The folder with its bin/, include/ and lib/."""

    key: str
    """What it was built from and how, as a digest."""

    hit: bool
    """Whether an earlier run had built it."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One thing in the cache."""

    kind: Kind
    """What it is."""

    path: Path
    """The file or folder."""

    size: int
    """Its bytes."""

    used: float
    """When it was last used, in seconds since the epoch."""

    finished: bool = True
    """Whether it was made to the end."""

    inputs: Mapping[str, str]
    """What it was made from."""

    @property
    def name(self) -> str:
        """The name of the file or folder."""
        return self.path.name


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a close look at one entry has found."""

    entry: Entry
    """The entry."""

    problems: tuple[str, ...]
    """What is wrong with it; empty for a sound one."""

    removed: bool
    """Whether it was taken out, so that the next run makes it again."""


class Cache:
    """The cache of one user; safe to use by several runs at once."""

    def __init__(self, root: Path, record: Record, *, force: bool = False) -> None:
        self.root = root.absolute()
        self._record = record
        self._force = force
        self._made: set[Path] = set()

    @classmethod
    def create(cls, config: BuildConfig, context: Context) -> Cache:
        """Return the cache for the settings of one run."""
        return cls(config.cache_dir, context.record, force=config.force)

    # Making and finding

    def source(self, pin: Pin, fetcher: Fetcher) -> Path:
        """Return the unpacked tree of a pin, fetched and unpacked when it is not there yet.

        The tree looks the same whichever place its archive came from. It must not be written to.
        """
        for place in pin.places:
            path, inputs = self._source_entry(pin, place)
            if self._is_sound(path, inputs):
                return path
        archive = fetcher.fetch(pin)
        path, inputs = self._source_entry(pin, archive.place)

        def fill(folder: Path) -> None:
            with self._record.step(f"{pin}: unpack"):
                unpack(archive.path, folder, subdir=archive.place.subdir, contains=pin.contains)

        self._provide(Kind.SOURCE, path, inputs, f"{pin} (sources)", fill)
        return path

    def prefix(
        self,
        name: str,
        version: str,
        key_inputs: Mapping[str, str],
        build: Callable[[Path], None],
    ) -> Prefix:
        """Return the library built from ``key_inputs``; ``build(path)`` installs it when missing.

        ``key_inputs`` must name everything that makes a difference to the result. ``build`` is
        handed the empty folder to install into, which is also where the library stays; when it
        raises, nothing remains. Of two runs that want the same library one builds, the other waits.
        """
        inputs = {**key_inputs, "name": name, "version": version}
        key = _key(inputs)
        path = self._folder(Kind.PREFIX) / f"{_plain(name)}-{_plain(version)}-{key}"
        made = self._provide(Kind.PREFIX, path, inputs, f"{name} {version}", build)
        return Prefix(path=path, key=key, hit=not made)

    def _source_entry(self, pin: Pin, place: Place) -> tuple[Path, dict[str, str]]:
        inputs = {
            "name": pin.name,
            "version": pin.version,
            "archive": place.sha256,
            "filename": place.filename,
            "subdir": place.subdir,
            "contains": pin.contains,
            "layout": _LAYOUT,
        }
        name = f"{_plain(pin.name)}-{_plain(pin.version)}-{_key(inputs)}"
        return self._folder(Kind.SOURCE) / name, inputs

    def _provide(
        self,
        kind: Kind,
        path: Path,
        inputs: Mapping[str, str],
        what: str,
        make: Callable[[Path], None],
    ) -> bool:
        """Have the entry there; return whether this call has made it."""
        if not self._must_make(kind, path) and self._is_sound(path, inputs):
            return False
        with locked(self._lock(path), what, self._record):
            if not self._must_make(kind, path) and self._is_sound(path, inputs):
                return False  # the run that held the lock has made it
            self._make(kind, path, inputs, what, make)
        self._made.add(path)
        return True

    def _must_make(self, kind: Kind, path: Path) -> bool:
        return self._force and kind is Kind.PREFIX and path not in self._made

    def _make(
        self,
        kind: Kind,
        path: Path,
        inputs: Mapping[str, str],
        what: str,
        make: Callable[[Path], None],
    ) -> None:
        doing = f"keep {what} in the cache"
        with guarded(path, doing):
            self._mark_root()
            _discard(path)
            path.mkdir(parents=True)
        try:
            with guarded(path, f"make {what}"):
                make(path)
            with guarded(path, doing):
                files = _survey(path)
                if not files:
                    raise CacheError(
                        f"{what} was made, but its folder is empty", looked=[str(path)]
                    )
                if kind is Kind.PREFIX:  # a tree is unpacked again in a second, a library is not
                    sync_tree(path)
                write_json(_manifest_path(path), _manifest(kind, inputs, files))
        except BaseException:
            with suppress(OSError):
                _discard(path)
            raise

    def _is_sound(self, path: Path, inputs: Mapping[str, str]) -> bool:
        """Return whether an entry is there, whole by the look of it, and note that it was used."""
        manifest = _read_manifest(path)
        if manifest is None or manifest["inputs"] != dict(inputs):
            return False
        if problem := _first_difference(path, manifest["files"]):
            self._record.warn(f"{path} in the cache is damaged ({problem}); making it again")
            return False
        with suppress(OSError):  # a read-only cache is fine
            os.utime(_manifest_path(path))
        return True

    def _mark_root(self) -> None:
        tag = self.root / _TAG
        if not tag.exists():
            self.root.mkdir(parents=True, exist_ok=True)
            tag.write_text(_TAG_TEXT, encoding="ascii")

    def _folder(self, kind: Kind) -> Path:
        return self.root / _FOLDERS[kind]

    def _lock(self, path: Path) -> Path:
        prefix = "archive-" if path.parent == self._folder(Kind.ARCHIVE) else ""
        # A manifest and its unfinished copy belong to the entry they stand beside.
        name = path.name.removesuffix(PART).removesuffix(PARTIAL).partition(".json")[0]
        return self.root / "locks" / f"{prefix}{name}.lock"

    # Looking after it

    def entries(self) -> tuple[Entry, ...]:
        """Return everything in the cache, also what was not made to the end."""
        with guarded(self.root, "read the cache"):
            return tuple(entry for kind in Kind for entry in self._entries_of(kind))

    def _entries_of(self, kind: Kind) -> Iterator[Entry]:
        folder = self._folder(kind)
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            with suppress(FileNotFoundError):  # another run may be pruning
                if kind is Kind.ARCHIVE or path.name.endswith(PARTIAL):
                    yield _plain_entry(kind, path)
                elif path.is_dir():
                    yield _tree_entry(kind, path)

    def verify(self, *, remove: bool = True) -> tuple[Verdict, ...]:
        """Read every byte in the cache; take out what is not what its name or manifest says.

        What another run is making right now is left alone and reported as sound.
        """
        entries = [entry for entry in self.entries() if entry.finished]
        verdicts = []
        with self._record.step("cache: verify", total=len(entries)) as step:
            for done, entry in enumerate(entries, start=1):
                verdicts.append(self._verdict(entry, remove=remove))
                step.advance(done, detail=entry.name)
        return tuple(verdicts)

    def _verdict(self, entry: Entry, *, remove: bool) -> Verdict:
        with guarded(entry.path, f"verify {entry.name}"):
            problems = _problems(entry)
            removed = bool(problems) and remove and self._remove(entry)
        return Verdict(entry=entry, problems=problems, removed=removed)

    def prune(self, *, unused_for: float) -> tuple[Entry, ...]:
        """Remove what was not used for so many seconds, and whatever a killed run has left.

        What another run is making right now stays. Returns what was removed.
        """
        oldest = time.time() - unused_for
        chosen = [entry for entry in self.entries() if _is_prunable(entry, oldest)]
        return tuple(entry for entry in chosen if self._remove(entry))

    def _remove(self, entry: Entry) -> bool:
        with locked_at_once(self._lock(entry.path)) as held:
            if held:
                with guarded(entry.path, f"remove {entry.name}"):
                    _discard(entry.path)
        return held


def _key(inputs: Mapping[str, str]) -> str:
    """Return a digest of names and values, short enough for a path: 80 bits."""
    text = json.dumps(dict(inputs), sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:20]


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._+]", "_", name)


def _manifest_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _manifest(
    kind: Kind, inputs: Mapping[str, str], files: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    return {
        "schema": _SCHEMA,
        "kind": kind.value,
        "inputs": dict(inputs),
        "made": time.time(),
        "size": sum(file.get("size", 0) for file in files.values()),
        "files": files,
    }


def _read_manifest(path: Path) -> dict[str, Any] | None:
    """Return an entry's manifest; None when there is none that this version can read."""
    try:
        manifest = json.loads(_manifest_path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    is_mine = isinstance(manifest, dict) and manifest.get("schema") == _SCHEMA
    return manifest if is_mine and {"inputs", "files", "size"} <= manifest.keys() else None


def _discard(path: Path) -> None:
    """Remove an entry: first the manifest, so that it is gone before its first file is."""
    _manifest_path(path).unlink(missing_ok=True)
    remove_tree(path)


def _survey(folder: Path) -> dict[str, dict[str, Any]]:
    return {
        path.relative_to(folder).as_posix(): (
            {"link": os.readlink(path)}  # noqa: PTH115 - the words of the link, not a path
            if path.is_symlink()
            else {"size": path.stat().st_size, "sha256": sha256_of(path)}
        )
        for path in walk_files(folder)
    }


def _first_difference(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> str:
    """Compare presence and length, which a crash of the machine spoils first; empty when equal."""
    for name, file in files.items():
        try:
            found = (folder / name).lstat()
        except OSError:
            return f"{name} is missing"
        if "size" in file and found.st_size != file["size"]:
            return f"{name} has {found.st_size} bytes instead of {file['size']}"
    return ""


def _problems(entry: Entry) -> tuple[str, ...]:
    if entry.kind is Kind.ARCHIVE:
        digest = sha256_of(entry.path)
        return () if digest == entry.name else (f"its sha256 is {digest}",)
    manifest = _read_manifest(entry.path)
    if manifest is None:
        return ("its manifest cannot be read",)
    expected, found = manifest["files"], _survey(entry.path)
    changed = [
        f"{name} is changed"
        for name in expected
        if found.get(name, expected[name]) != expected[name]
    ]
    missing = [f"{name} is missing" for name in expected if name not in found]
    added = [
        f"{name} was added" for name in found if name not in expected and not _is_harmless(name)
    ]
    return (*missing, *changed, *added)


def _is_harmless(name: str) -> bool:
    """Python leaves its byte code beside the scripts of a source tree that a build runs."""
    return "__pycache__" in name.split("/")


def _is_prunable(entry: Entry, oldest: float) -> bool:
    # An unfinished transfer can be gone on with; an unfinished tree is only in the way.
    is_transfer = entry.path.name.endswith(PART)
    return entry.used < oldest or not (entry.finished or is_transfer)


def _plain_entry(kind: Kind, path: Path) -> Entry:
    status = path.stat()
    is_finished = not path.name.endswith((PART, PARTIAL))
    size = (
        sum(file.lstat().st_size for file in walk_files(path)) if path.is_dir() else status.st_size
    )
    return Entry(
        kind=kind, path=path, size=size, used=status.st_mtime, finished=is_finished, inputs={}
    )


def _tree_entry(kind: Kind, path: Path) -> Entry:
    manifest = _read_manifest(path)
    if manifest is None:
        size = sum(file.lstat().st_size for file in walk_files(path))
        used = path.stat().st_mtime
        has_file = _manifest_path(path).exists()
        return Entry(kind=kind, path=path, size=size, used=used, finished=has_file, inputs={})
    used = _manifest_path(path).stat().st_mtime
    return Entry(kind=kind, path=path, size=manifest["size"], used=used, inputs=manifest["inputs"])
