"""Whether the hosts answer that the missing sources come from; nothing is fetched."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from build_tools.doctor.facts import Reach
from build_tools.index_settings import read_index_settings
from build_tools.pins import PlaceKind
from build_tools.transfer import Hosts, TransferFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from build_tools.config import BuildConfig
    from build_tools.doctor.basics import Source
    from build_tools.host import Host
    from build_tools.pins import Pin, Place

_OFFLINE = "not asked, because of --offline"


def questions(
    sources: Sequence[Source], config: BuildConfig, host: Host
) -> Iterator[Callable[[], Reach]]:
    """Yield one question per host; each may take seconds, so they are asked at once."""
    settings = read_index_settings(host.environ, system=host.system)
    hosts = Hosts(proxy=settings.proxy, memory=config.cache_dir / "unreachable-hosts.json")
    entries = (entry for source in sources for entry in (source, *source.substitutes))
    missing = [entry.pin for entry in entries if not entry.at_hand]
    on_index = [str(pin) for pin in missing if _places(pin, PlaceKind.INDEX)]
    for location in settings.locations:
        if "://" in location.url and not location.url.startswith("file:"):
            yield _question(str(location), location.url, on_index, hosts, config)
    for name, (url, pins) in _by_host(missing).items():
        yield _question(name, url, pins, hosts, config)


def _by_host(missing: Sequence[Pin]) -> dict[str, tuple[str, list[str]]]:
    """Return for each host of release archives one address and the sources it has."""
    found: dict[str, tuple[str, list[str]]] = {}
    for pin in missing:
        for place in _places(pin, PlaceKind.RELEASE):
            name = urlsplit(str(place.url)).netloc
            found.setdefault(name, (str(place.url), []))[1].append(str(pin))
    return found


def _places(pin: Pin, kind: PlaceKind) -> list[Place]:
    return [place for place in pin.places if place.kind is kind]


def _question(
    name: str, url: str, needed_for: Sequence[str], hosts: Hosts, config: BuildConfig
) -> Callable[[], Reach]:
    def ask() -> Reach:
        if config.offline:
            return Reach(name=name, problem=_OFFLINE, needed_for=tuple(needed_for))
        try:
            hosts.check(url)
        except TransferFailed as failed:
            return Reach(name=name, problem=str(failed), needed_for=tuple(needed_for))
        return Reach(name=name, problem="", needed_for=tuple(needed_for))

    return ask
