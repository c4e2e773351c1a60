"""Finding one pinned file on the package index, in the places that pip's and uv's settings name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from packaging.utils import canonicalize_name
from unearth.collector import (
    LinkCollectError,
    fetch_page,
    is_secure_origin,
    parse_html_page,
    parse_json_response,
)
from unearth.link import Link

from build_tools.index_settings import redacted
from build_tools.transfer import Hosts, Patience, TransferFailed, connect, network_failures

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unearth.fetchers import Fetcher as LinkFetcher
    from unearth.fetchers.sync import PyPIClient

    from build_tools.index_settings import IndexSettings, Location
    from build_tools.pins import Place


@dataclass(frozen=True, kw_only=True)
class Found:
    """A place that has the file."""

    url: str
    """Where to get it; may hold credentials."""

    origin: str
    """The location that lists it, for a person, without credentials."""


@dataclass(frozen=True, kw_only=True)
class Missed:
    """A place that does not have the file."""

    reason: str
    """Which place, and what it said, without credentials."""

    other_file: bool = False
    """Whether it has a file of that name with another digest."""


class PackageIndex:
    """Looks files up; each page is asked for once in a run."""

    def __init__(
        self, settings: IndexSettings, hosts: Hosts, patience: Patience | None = None
    ) -> None:
        self.settings = settings
        self._hosts = hosts
        self._patience = patience or Patience()
        self._client: PyPIClient | None = None
        self._pages: dict[str, list[Link] | TransferFailed] = {}

    @property
    def client(self) -> PyPIClient:
        """The client that goes through the user's proxy, certificates and credentials."""
        if self._client is None:
            self._client = connect(self.settings)
        return self._client

    def close(self) -> None:
        """Close all connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def look_up(self, place: Place, *, offline: bool) -> Iterator[Found | Missed]:
        """Yield, location by location, where the file of ``place`` is or why it is not there.

        Offline, only folders and file: addresses of this machine are looked at.
        """
        locations = self.settings.locations
        if not locations:
            yield Missed(reason="pip or uv is told to use no index, and no folder of links is set")
        for location in locations:
            if offline and not _is_local(location.url):
                yield Missed(reason=f"{location}: not asked, because of --offline")
                continue
            try:
                yield from self._look_at(location, place)
            except TransferFailed as failed:
                yield Missed(reason=f"{location}: {failed}")

    def _look_at(self, location: Location, place: Place) -> Iterator[Found | Missed]:
        found = False
        for link in self._links(location, place):
            if link.filename == place.filename:
                found = True
                yield _judged(link, location, place)
        if not found:
            yield Missed(reason=f"{location}: no {place.filename}")

    def _links(self, location: Location, place: Place) -> list[Link]:
        folder = _folder(location.url)
        if location.find_links and folder is not None and not _is_page(folder):
            file = folder if folder.name == place.filename else folder / place.filename
            return [Link.from_path(file.absolute())] if file.is_file() else []
        return self._page(self._page_url(location, folder, place))

    def _page_url(self, location: Location, folder: Path | None, place: Place) -> str:
        if location.find_links:
            return location.url if folder is None else folder.absolute().as_uri()
        project = canonicalize_name(place.project)
        if folder is not None:
            return (folder.absolute() / project / "index.html").as_uri()
        return f"{location.url.rstrip('/')}/{project}/"

    def _page(self, url: str) -> list[Link]:
        if url not in self._pages:
            self._pages[url] = self._fetch_patiently(url)
        page = self._pages[url]
        if isinstance(page, TransferFailed):
            raise page
        return page

    def _fetch_patiently(self, url: str) -> list[Link] | TransferFailed:
        page, failures = self._attempt(url), 0
        while isinstance(page, TransferFailed):
            failures += 1
            if not page.transient or failures >= self._patience.tries:
                break
            self._patience.pause(failures, page.pause)
            page = self._attempt(url)
        return page

    def _attempt(self, url: str) -> list[Link] | TransferFailed:
        try:
            return self._fetch(url)
        except TransferFailed as failed:
            return failed

    def _fetch(self, url: str) -> list[Link]:
        link = Link(url)
        # Its type names more than it has to; the library itself passes it this way.
        client = cast("LinkFetcher", self.client)
        if not is_secure_origin(client, link):
            raise TransferFailed("neither https nor one of pip's trusted hosts")
        self._hosts.check(url)
        try:
            with network_failures():
                page = fetch_page(client, link)
            is_json = page.content_type.lower().startswith("application/vnd.pypi.simple.v1+json")
            return list(parse_json_response(page) if is_json else parse_html_page(page))
        except LinkCollectError as error:
            raise TransferFailed(str(error), transient="Server Error" in str(error)) from error
        except (json.JSONDecodeError, UnicodeDecodeError, LookupError, ValueError) as error:
            raise TransferFailed(f"its page makes no sense: {error}") from error


def _judged(link: Link, location: Location, place: Place) -> Found | Missed:
    listed = (link.hashes or {}).get("sha256") or (
        link.hash if link.hash_name == "sha256" else None
    )
    if listed and listed != place.sha256:
        reason = f"{location}: its {place.filename} has sha256 {listed}, not {place.sha256}"
        return Missed(reason=reason, other_file=True)
    return Found(url=link.url_without_fragment, origin=redacted(str(location)))


def _is_local(url: str) -> bool:
    return _folder(url) is not None


def _folder(url: str) -> Path | None:
    """Return the path that a location of this machine names; None for one on the network."""
    if url.startswith("file:"):
        return Link(url).file_path
    # A drive letter looks like a scheme.
    return Path(url) if len(urlsplit(url).scheme) < 2 else None


def _is_page(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in {".html", ".htm"}
