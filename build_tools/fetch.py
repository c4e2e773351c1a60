"""Getting the archive of a pinned source from one of its places, and believing only its sha256.

The order is: the cache, the user's ``--archives``, then the places of the lock file in its order,
those whose host has not answered in this run last.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from build_tools.errors import (
    BuilderError,
    ChecksumError,
    ConfigError,
    NetworkError,
    OfflineError,
)
from build_tools.index import Found, Missed, PackageIndex
from build_tools.index_settings import read_index_settings, redacted
from build_tools.pins import PlaceKind
from build_tools.storage import (
    PARTIAL,
    copy_with_digest,
    guarded,
    locked,
    rename,
    sha256_of,
    sync,
)
from build_tools.transfer import Hosts, Patience, TransferFailed, download

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from build_tools.config import BuildConfig
    from build_tools.context import Context
    from build_tools.pins import Pin, Pins, Place
    from build_tools.record import Record, RunningStep

PART = ".part"
"""How the name of a transfer that can be gone on with ends."""


@dataclass(frozen=True, kw_only=True)
class Archive:
    """An archive whose sha256 is the pinned one."""

    path: Path
    """The file, in the cache."""

    pin: Pin
    """The source it carries."""

    place: Place
    """The place of the pin that it is the archive of."""

    origin: str
    """Where it was had from in this run, without credentials: "the cache", a folder, an address."""


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """Which version of a source is used, and why."""

    pin: Pin
    """The version."""

    archive: Archive
    """Its archive."""

    reason: str
    """Why this one, in words for a person."""

    substituted: bool = False
    """Whether it stands in for a default that could not be had."""


def resolve(pins: Pins, name: str, fetcher: Fetcher, version: str | None = None) -> Resolved:
    """Return the version that was asked for, or what ``resolve_default`` returns.

    Raises PinError for a version that is not pinned; NetworkError, OfflineError or ChecksumError
    for one that cannot be had from any of its places.
    """
    if version is None:
        return resolve_default(pins, name, fetcher)
    return resolve_pin(pins.pin(name, version), fetcher)


def resolve_pin(pin: Pin, fetcher: Fetcher) -> Resolved:
    """Return a pin with its archive; raises what ``resolve`` does for one that cannot be had."""
    return Resolved(pin=pin, archive=fetcher.fetch(pin), reason="the version that was asked for")


def resolve_default(pins: Pins, name: str, fetcher: Fetcher) -> Resolved:
    """Return the default version, or with a warning the first substitute that can be had.

    Only a default that cannot be reached is replaced; a wrong digest is never a reason to take
    something else. Raises NetworkError or OfflineError that names every place of every candidate.
    """
    default = pins.pin(name)
    try:
        return Resolved(pin=default, archive=fetcher.fetch(default), reason="the default version")
    except (NetworkError, OfflineError) as error:
        missing = error
    looked = list(missing.looked)
    for pin in pins.substitutes(default):
        try:
            archive = fetcher.fetch(pin)
        except (NetworkError, OfflineError) as error:
            looked += error.looked
            continue
        tried = "; ".join(missing.looked[1:])  # the first line is about the cache
        why = f"{default}, the default, cannot be had ({tried})"
        fetcher.record.warn(
            f"{why}; using {pin}, the nearest pinned release that can be had. To have the default, "
            f"put {default.places[0].filename} into a folder and name it with --archives; "
            f"to settle on {pin.version}, ask for it by its version."
        )
        return Resolved(pin=pin, archive=archive, reason=why, substituted=True)
    if len(looked) == len(missing.looked):
        raise missing
    raise type(missing)(
        f"neither {default} nor a release that can stand in for it can be had",
        looked=looked,
        fix=missing.fix,
    ) from missing


@dataclass
class _Attempts:
    """What every place that was tried has said."""

    looked: list[str] = field(default_factory=list)
    wrong_digest: bool = False

    def add(self, line: str, *, wrong_digest: bool = False) -> None:
        if line not in self.looked:
            self.looked.append(line)
        self.wrong_digest = self.wrong_digest or wrong_digest


class Fetcher:
    """Fetches archives into the cache."""

    def __init__(
        self,
        *,
        cache_dir: Path,
        record: Record,
        index: PackageIndex,
        hosts: Hosts,
        archives: Sequence[Path] = (),
        offline: bool = False,
        patience: Patience | None = None,
    ) -> None:
        self.record = record
        self._store = cache_dir / "archives"
        self._locks = cache_dir / "locks"
        self._index = index
        self._hosts = hosts
        self._archives = _existing_folders(archives)
        self._offline = offline
        self._patience = patience or Patience()
        self._digests: dict[Path, str] = {}

    @classmethod
    def create(cls, config: BuildConfig, context: Context) -> Fetcher:
        """Return the fetcher for the settings of one run."""
        settings = read_index_settings(context.host.environ, system=context.host.system)
        hosts = Hosts(proxy=settings.proxy, memory=config.cache_dir / "unreachable-hosts.json")
        return cls(
            cache_dir=config.cache_dir,
            record=context.record,
            index=PackageIndex(settings, hosts),
            hosts=hosts,
            archives=config.archives,
            offline=config.offline,
        )

    def close(self) -> None:
        """Close all connections."""
        self._index.close()

    def fetch(self, pin: Pin) -> Archive:
        """Return the archive of a pin, its sha256 checked.

        Raises ChecksumError when a place has another file and no place has the right one;
        OfflineError or NetworkError, naming every place tried, when none has it; CacheError or
        DiskFullError when it cannot be kept.
        """
        attempts = _Attempts()
        found = self._from_cache(pin) or self._from_archives(pin, attempts)
        if found:
            return found
        for place in self._ordered(pin):
            with locked(self._locks / f"archive-{place.sha256}.lock", str(pin), self.record):
                found = self._from_cache(pin) or self._from_place(pin, place, attempts)
            if found:
                return found
        raise self._failure(pin, attempts)

    # The cache

    def _from_cache(self, pin: Pin) -> Archive | None:
        for place in pin.places:
            path = self._store / place.sha256
            if not path.is_file():
                continue
            with guarded(path, f"read {pin} from the cache"):
                digest = sha256_of(path)
            if digest == place.sha256:
                with suppress(OSError):  # says when it was last used; a read-only cache is fine
                    os.utime(path)
                return Archive(path=path, pin=pin, place=place, origin="the cache")
            self.record.warn(f"{path} in the cache is damaged (sha256 {digest}); fetching it again")
            with guarded(path, f"replace the damaged archive of {pin}"):
                path.unlink(missing_ok=True)
        return None

    # The user's own archives

    def _from_archives(self, pin: Pin, attempts: _Attempts) -> Archive | None:
        wanted = {place.sha256: place for place in pin.places}
        for path in self._own_files(pin):
            digest = self._digest(path)
            if digest in wanted:
                return self._import(path, pin, wanted[digest])
            if path.name in {place.filename for place in pin.places}:
                attempts.add(f"{path}: sha256 {digest}, not the pinned one", wrong_digest=True)
        for folder in self._archives:
            attempts.add(f"{folder}: no file with a sha256 that is pinned for {pin}")
        return None

    def _own_files(self, pin: Pin) -> Iterator[Path]:
        names = {place.filename for place in pin.places}
        sizes = {place.size for place in pin.places}
        for folder in self._archives:
            with guarded(folder, "read the folder given with --archives"):
                files = sorted(path for path in folder.iterdir() if path.is_file())
            for path in files:
                # The digest decides; the length only spares reading what cannot be meant.
                if None in sizes or path.name in names or path.stat().st_size in sizes:
                    yield path

    def _digest(self, path: Path) -> str:
        if path not in self._digests:
            with guarded(path, "read an archive given with --archives"):
                self._digests[path] = sha256_of(path)
        return self._digests[path]

    def _import(self, path: Path, pin: Pin, place: Place) -> Archive:
        with locked(self._locks / f"archive-{place.sha256}.lock", str(pin), self.record):
            target = self._store / place.sha256
            partial = target.with_name(target.name + PARTIAL)
            try:
                with guarded(target, f"keep {path.name} in the cache"):
                    self._store.mkdir(parents=True, exist_ok=True)
                    digest = copy_with_digest(path, partial)
                    if digest == place.sha256:
                        sync(partial)
                        rename(partial, target)
            finally:
                with suppress(OSError):
                    partial.unlink(missing_ok=True)
        if digest != place.sha256:
            raise _wrong_digest(pin, place, digest, str(path))
        return Archive(path=target, pin=pin, place=place, origin=str(path))

    # The network

    def _ordered(self, pin: Pin) -> list[Place]:
        """Return the places, those last whose host has not answered in this run."""
        return sorted(pin.places, key=lambda place: bool(place.url and self._is_dead(place)))

    def _is_dead(self, place: Place) -> bool:
        return place.url is not None and self._hosts.is_dead(place.url)

    def _from_place(self, pin: Pin, place: Place, attempts: _Attempts) -> Archive | None:
        for found in self._addresses(place):
            if isinstance(found, Missed):
                attempts.add(found.reason, wrong_digest=found.other_file)
                continue
            try:
                path = self._download(pin, place, found)
            except TransferFailed as failed:
                attempts.add(f"{redacted(found.url)}: {failed}")
            except ChecksumError as wrong:
                self.record.warn(f"{wrong.what}; looking elsewhere")
                attempts.add(wrong.what, wrong_digest=True)
            else:
                return Archive(path=path, pin=pin, place=place, origin=redacted(found.url))
        return None

    def _addresses(self, place: Place) -> Iterator[Found | Missed]:
        if place.kind is PlaceKind.INDEX:
            yield from self._index.look_up(place, offline=self._offline)
        elif self._offline and not str(place.url).startswith("file:"):
            yield Missed(reason=f"{place}: not asked, because of --offline")
        else:
            yield Found(url=str(place.url), origin=str(place))

    def _download(self, pin: Pin, place: Place, found: Found) -> Path:
        self._hosts.check(found.url)
        target = self._store / place.sha256
        part = target.with_name(target.name + PART)
        with guarded(target, f"keep {place.filename} in the cache"):
            self._store.mkdir(parents=True, exist_ok=True)
        with self.record.step(f"{pin}: fetch", total=place.size) as step:
            resumed = part.exists()
            digest = self._transfer(place, found, part, step)
            if digest != place.sha256 and resumed:
                # What an earlier run left need not be the beginning of this file.
                digest = self._transfer(place, found, part, step)
            if digest != place.sha256:
                raise _wrong_digest(pin, place, digest, redacted(found.url))
            with guarded(target, f"keep {place.filename} in the cache"):
                sync(part)
                rename(part, target)
        return target

    def _transfer(self, place: Place, found: Found, part: Path, step: RunningStep) -> str:
        """Bring the file into ``part`` and return its digest; a wrong file is dropped at once."""
        source = redacted(found.url)
        download(
            self._index.client,
            found.url,
            part,
            size=place.size,
            progress=lambda done, total: step.advance(done, total, source),
            patience=self._patience,
        )
        with guarded(part, f"check {place.filename}"):
            digest = sha256_of(part)
            if digest != place.sha256:
                part.unlink()
        return digest

    # What to say when nothing helped

    def _failure(self, pin: Pin, attempts: _Attempts) -> BuilderError:
        looked = [f"{self._store}: not in the cache", *attempts.looked]
        names = " or ".join(dict.fromkeys(f"{p.filename} (sha256 {p.sha256})" for p in pin.places))
        fix = [f"bring {names} to this machine, and name its folder with --archives DIR"]
        if attempts.wrong_digest:
            fix.append("find out who changed the file: a proxy's error page, a mirror, or worse")
            what = f"{pin}: what was found is not the pinned file"
            return ChecksumError(what, looked=looked, fix=fix)
        if self._offline:
            fix.append("or run once without --offline: the archive is then kept in the cache")
            return OfflineError(f"{pin} cannot be had offline", looked=looked, fix=fix)
        if any(place.kind is PlaceKind.INDEX for place in pin.places):
            fix.append("a mirror of the package index is found through pip's or uv's settings")
        fix.append("a proxy is taken from pip's settings or HTTPS_PROXY")
        return NetworkError(f"{pin} cannot be had from any place", looked=looked, fix=fix)


def _existing_folders(folders: Sequence[Path]) -> tuple[Path, ...]:
    for folder in folders:
        if not folder.is_dir():
            raise ConfigError(
                f"--archives {folder}: no such folder",
                looked=[str(folder.absolute())],
                fix="name a folder that holds the archives",
            )
    return tuple(folders)


def _wrong_digest(pin: Pin, place: Place, digest: str, source: str) -> ChecksumError:
    return ChecksumError(
        f"{pin}: {source} has sha256 {digest}, but {place.sha256} is pinned for {place.filename}",
        looked=[source],
        fix="do not use that file",
    )
