"""Pins, an index and a fetcher for the tests, all on this machine."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from build_tools.fetch import Fetcher
from build_tools.index import PackageIndex
from build_tools.index_settings import IndexSettings, Location
from build_tools.pins import Pin, Pins, Place, PlaceKind
from build_tools.record import Record
from build_tools.transfer import Hosts, Patience
from tests.build_tools.archives import sha256, source_archive
from tests.build_tools.support import Watcher

DATA = source_archive()
HURRY = Patience(tries=3, first_pause=0.0)


def release(url: str, data: bytes = DATA, *, size: bool = False, **changes) -> Place:
    return Place(
        kind=PlaceKind.RELEASE,
        filename="lib-1.0.tar.gz",
        sha256=sha256(data),
        size=len(data) if size else None,
        subdir="lib-1.0",
        url=url,
        **changes,
    )


def on_index(data: bytes = DATA, filename: str = "carrier-2.0.tar.gz") -> Place:
    return Place(
        kind=PlaceKind.INDEX,
        filename=filename,
        sha256=sha256(data),
        size=len(data),
        subdir="lib-1.0",
        project="Carrier_Pigeon",
        version="2.0",
    )


def pin(
    *places: Place, version: str = "1.0", default: bool = False, substitute_for: str = ""
) -> Pin:
    return Pin(
        name="lib",
        version=version,
        license="MIT",
        places=places,
        default=default,
        substitute_for=substitute_for,
        contains="src/lib.cc",
    )


def pins(*all_pins: Pin) -> Pins:
    return Pins(path=Path("pins.cdx.json"), all=all_pins)


def page(*files: tuple[str, str, str]) -> bytes:
    """A project's page in JSON: file name, address, sha256."""
    rows = [{"filename": n, "url": u, "hashes": {"sha256": s} if s else {}} for n, u, s in files]
    return json.dumps({"meta": {"api-version": "1.0"}, "files": rows}).encode()


JSON_PAGE = "application/vnd.pypi.simple.v1+json"


@dataclass
class Bench:
    """A fetcher and everything around it."""

    cache_dir: Path
    locations: tuple[Location, ...] = ()
    archives: tuple[Path, ...] = ()
    offline: bool = False
    timeout: float = 5.0
    patience: Patience = HURRY
    watcher: Watcher = field(default_factory=Watcher)
    record: Record = field(init=False)
    hosts: Hosts = field(init=False)
    fetcher: Fetcher = field(init=False)

    def __post_init__(self) -> None:
        self.record = Record(observer=self.watcher)
        self.hosts = Hosts()
        settings = IndexSettings(locations=self.locations, timeout=self.timeout)
        self.fetcher = Fetcher(
            cache_dir=self.cache_dir,
            record=self.record,
            index=PackageIndex(settings, self.hosts, self.patience),
            hosts=self.hosts,
            archives=self.archives,
            offline=self.offline,
            patience=self.patience,
        )

    def kept(self) -> list[str]:
        folder = self.cache_dir / "archives"
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def index_at(url: str) -> Location:
    return Location(url=url, origin="a test")


def links_at(url: str) -> Location:
    return Location(url=url, origin="a test", find_links=True)
