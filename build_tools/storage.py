"""The few things done to the file system that must not go wrong: locks, digests, atomic writes.

Readers of the cache never see a half-written file or folder: what is written gets its final name
last, by one rename, after its content has reached the device.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from build_tools.errors import CacheError, DiskFullError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from build_tools.record import Record

_CHUNK = 1 << 20
_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
_ELSEWHERE = "name another folder with --cache-dir DIR or ONNXFORGE_CACHE_DIR"
PARTIAL = ".partial"
"""How the name of something unfinished ends."""


@contextmanager
def guarded(path: Path, doing: str) -> Iterator[None]:
    """Turn what the file system refuses inside the block into DiskFullError or CacheError.

    ``doing`` completes "cannot …", e.g. "unpack protobuf 3.20.2".
    """
    try:
        yield
    except OSError as error:
        raise file_system_error(error, path, doing) from error


def file_system_error(error: OSError, path: Path, doing: str) -> CacheError | DiskFullError:
    """Say what the file system refused, at which path, and what to change."""
    where = error.filename if isinstance(error.filename, str) else str(path)
    looked = [f"{where}: {error.strerror or error}"]
    if error.errno in _FULL:
        fix = [
            f"free some room ({_free_room(path)})",
            "`python -m build_tools cache prune` drops what has not been used lately",
            _ELSEWHERE,
        ]
        return DiskFullError(f"cannot {doing}: no room left on the device", looked=looked, fix=fix)
    fix = ["make the folder writable for this user", _ELSEWHERE]
    return CacheError(f"cannot {doing}: {error.strerror or error}", looked=looked, fix=fix)


def _free_room(path: Path) -> str:
    for folder in (path, *path.parents):
        with suppress(OSError):
            free = shutil.disk_usage(folder).free
            return f"{free / 1e6:.0f} MB are free at {folder}"
    return f"at {path}"


@contextmanager
def locked(path: Path, what: str, record: Record) -> Iterator[None]:
    """Hold the lock at ``path``; wait, and say so, while another process or thread holds it.

    The operating system drops the lock of a process that dies, however it dies.
    """
    with guarded(path, f"lock {what}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            with record.step(f"{what}: waiting for another run that is at it"):
                lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def locked_at_once(path: Path) -> Iterator[bool]:
    """Hold the lock at ``path`` if nobody else does; the value says whether it is held."""
    with guarded(path, "lock an entry of the cache"):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            yield False
            return
    try:
        yield True
    finally:
        lock.release()


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as source:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def copy_with_digest(source: Path, target: Path) -> str:
    """Copy a file's content and return the sha256 of what was copied."""
    digest = hashlib.sha256()
    with source.open("rb") as reader, target.open("wb") as writer:
        while chunk := reader.read(_CHUNK):
            digest.update(chunk)
            writer.write(chunk)
    return digest.hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file that is either the old one or the whole new one, whatever happens."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False))


def write_text(path: Path, text: str) -> None:
    """Write a text file that is either the old one or the whole new one, whatever happens."""
    partial = path.with_name(f"{path.name}.{os.getpid()}{PARTIAL}")
    try:
        with partial.open("w", encoding="utf-8") as sink:
            sink.write(text)
            sink.flush()
            os.fsync(sink.fileno())
        rename(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def rename(source: Path, target: Path) -> None:
    """Give a finished file or folder its final name, and make the name last."""
    source.replace(target)
    sync(target.parent)


def sync(path: Path) -> None:
    """Have the device hold what was written to a file or folder, where it can be asked to."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return  # Windows opens no folders
    try:
        with suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """Have the device hold everything below a folder."""
    for path in walk_files(folder):
        if not path.is_symlink():
            sync(path)
    sync(folder)


def walk_files(folder: Path) -> Iterator[Path]:
    """Yield every file and symbolic link below a folder, sorted, following no link."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            path = folder / entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from walk_files(path)
            else:
                yield path


def size_of_tree(folder: Path) -> int:
    """Return how many bytes the files below a folder have."""
    return sum(path.lstat().st_size for path in walk_files(folder))


def remove_tree(path: Path) -> None:
    """Remove a file or a whole folder, read-only parts included; nothing there is fine."""
    if path.is_symlink() or path.is_file():
        path.unlink(missing_ok=True)
    elif path.exists():
        shutil.rmtree(path, onerror=_make_writable_and_retry)


def _make_writable_and_retry(remove: Callable[[str], Any], path: str, _info: Any) -> None:
    with suppress(FileNotFoundError):
        os.chmod(path, stat.S_IRWXU)  # noqa: PTH101 - shutil hands over a string
        remove(path)
