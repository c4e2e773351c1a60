"""Getting one file over the network: quick to give up on a dead host, slow on a live one.

The only module that opens sockets. What goes wrong at one address is a ``TransferFailed``; the
fetcher collects them over all places and makes one error of them.
"""

from __future__ import annotations

import json
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2
from unearth.auth import MultiDomainBasicAuth
from unearth.fetchers.sync import PyPIClient

from build_tools.errors import BuilderError
from build_tools.index_settings import redacted
from build_tools.storage import guarded, write_json

if TYPE_CHECKING:
    from pathlib import Path

    from build_tools.index_settings import IndexSettings

CONNECT_SECONDS = 5.0
"""How long a host may take to answer at all; a fire-wall that swallows packets never does."""

_KNOWN_DEAD_SECONDS = 1.0
_KNOWN_DEAD_FOR = 24 * 3600.0
_TRIES_WITHOUT_PROGRESS = 4
_TRIES_IN_ALL = 40
_LONGEST_PAUSE = 20.0
_TRANSIENT = {408, 425, 429, 500, 502, 503, 504, 520, 522, 524}
_PORTS = {"http": 80, "https": 443}

# The library logs what it skips; every such thing has its line in our own errors.
logging.getLogger("unearth").addHandler(logging.NullHandler())


class TransferFailed(Exception):  # noqa: N818 - an outcome at one place, not an error of the run
    """One address did not give the file.

    ``transient``: trying again may help; ``pause``: after so many seconds, when the server said so;
    ``unreachable``: no connection to the host can be made.
    """

    def __init__(
        self,
        why: str,
        *,
        transient: bool = False,
        pause: float | None = None,
        unreachable: bool = False,
    ) -> None:
        super().__init__(redacted(why))
        self.transient = transient
        self.pause = pause
        self.unreachable = unreachable


Progress = Callable[[int, int | None], None]
"""Is told how many bytes are there, of how many."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How often and how fast to try again."""

    tries: int = _TRIES_WITHOUT_PROGRESS
    """Tries in a row that bring nothing new."""

    first_pause: float = 0.5
    """Seconds before the second try; doubled for each further one."""

    sleep: Callable[[float], None] = time.sleep
    """Waits."""

    def pause(self, failures: int, asked: float | None) -> None:
        """Wait after the given number of failures in a row; a server may ask for longer."""
        wanted = self.first_pause * 2 ** (failures - 1) if asked is None else asked
        self.sleep(min(wanted, _LONGEST_PAUSE))


class Hosts:
    """Remembers which hosts do not answer: for this run and, in ``memory``, a while beyond.

    A host that was dead in an earlier run is asked again, but gets less time to answer.
    """

    def __init__(self, *, proxy: str | None = None, memory: Path | None = None) -> None:
        self._proxy = proxy
        self._memory = memory
        self._verdicts: dict[tuple[str, int], str] = {}
        self._guard = threading.Lock()

    def check(self, url: str) -> None:
        """Raise TransferFailed when the host of ``url``, or its proxy, cannot be connected to."""
        address = self._address(url)
        if address is None:
            return
        with self._guard:
            if address not in self._verdicts:
                self._verdicts[address] = self._ask(address)
        if verdict := self._verdicts[address]:
            raise TransferFailed(verdict, unreachable=True)

    def is_dead(self, url: str) -> bool:
        """Return whether this run has found the host of ``url`` unreachable."""
        address = self._address(url)
        return address is not None and bool(self._verdicts.get(address))

    def _address(self, url: str) -> tuple[str, int] | None:
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname:
            return None
        proxy = self._proxy_for(parts.scheme, parts.hostname)
        if proxy:
            through = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
            return (through.hostname or "", through.port or _PORTS.get(through.scheme, 1080))
        return parts.hostname, parts.port or _PORTS[parts.scheme]

    def _proxy_for(self, scheme: str, host: str) -> str | None:
        if self._proxy:
            return self._proxy
        proxies = getproxies()
        return None if proxy_bypass(host) else proxies.get(scheme) or proxies.get("all")

    def _ask(self, address: tuple[str, int]) -> str:
        known = self._remembered()
        name = f"{address[0]}:{address[1]}"
        was_dead = 0 <= time.time() - known.get(name, 0) < _KNOWN_DEAD_FOR
        verdict = _connect(address, _KNOWN_DEAD_SECONDS if was_dead else CONNECT_SECONDS)
        if bool(verdict) != (name in known):
            self._remember({**known, name: time.time()} if verdict else _without(known, name))
        return verdict

    def _remembered(self) -> dict[str, float]:
        with suppress(OSError, ValueError, TypeError, AttributeError):
            if self._memory:
                stored = json.loads(self._memory.read_text(encoding="utf-8"))
                return {str(name): float(when) for name, when in stored.items()}
        return {}

    def _remember(self, known: dict[str, float]) -> None:
        # Only saves time; a cache that cannot be written is reported where it matters.
        with suppress(OSError):
            if self._memory:
                self._memory.parent.mkdir(parents=True, exist_ok=True)
                write_json(self._memory, known)


def _without(known: dict[str, float], name: str) -> dict[str, float]:
    return {other: when for other, when in known.items() if other != name}


def _connect(address: tuple[str, int], seconds: float) -> str:
    """Return why no connection can be made within the time; empty when one can.

    In a thread, because looking up a name knows no time limit.
    """
    host, port = address
    outcome = [f"{host} does not answer within {seconds:g} s"]

    def attempt() -> None:
        try:
            socket.create_connection(address, timeout=seconds).close()
            outcome[0] = ""
        except (OSError, UnicodeError) as error:
            outcome[0] = f"{host} port {port} cannot be reached: {error}"

    worker = threading.Thread(target=attempt, daemon=True)
    worker.start()
    worker.join(seconds)
    return outcome[0]


def connect(settings: IndexSettings) -> PyPIClient:
    """Return a client that goes through the user's proxy, certificates and credentials."""
    client = PyPIClient(
        trusted_hosts=settings.trusted_hosts,
        verify=_tls(settings),
        proxy=settings.proxy,
        timeout=httpx2.Timeout(settings.timeout, connect=CONNECT_SECONDS, pool=CONNECT_SECONDS),
        follow_redirects=True,
        headers={"User-Agent": "onnxforge"},
    )
    indexes = [location.url for location in settings.locations if not location.find_links]
    client.auth = MultiDomainBasicAuth(prompting=False, index_urls=indexes)
    return client


def _tls(settings: IndexSettings) -> ssl.SSLContext | bool:
    if settings.cert is None and settings.client_cert is None:
        return True
    cert = settings.cert
    context = ssl.create_default_context(
        cafile=str(cert) if cert and cert.is_file() else None,
        capath=str(cert) if cert and cert.is_dir() else None,
    )
    if settings.client_cert:
        context.load_cert_chain(str(settings.client_cert))
    return context


@contextmanager
def network_failures() -> Iterator[None]:
    """Turn what the network does inside the block into TransferFailed."""
    try:
        yield
    except httpx2.TimeoutException as error:
        raise TransferFailed(
            f"no answer in time ({type(error).__name__})", transient=True
        ) from error
    except httpx2.TransportError as error:
        # A wrong certificate stays wrong; a broken connection may be whole the next time.
        lasting = "CERTIFICATE" in str(error) or isinstance(error, httpx2.UnsupportedProtocol)
        raise TransferFailed(str(error) or type(error).__name__, transient=not lasting) from error
    except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
        raise TransferFailed(str(error) or type(error).__name__) from error


def download(
    client: PyPIClient,
    url: str,
    part: Path,
    *,
    size: int | None,
    progress: Progress,
    patience: Patience,
) -> None:
    """Bring ``url`` into the file ``part``, going on from what an earlier try has left there.

    ``size`` is the expected length, where known. Raises TransferFailed when the address does not
    give the file, DiskFullError or CacheError when it cannot be written.
    """
    tries, failures, best = 0, 0, _length(part)
    while failed := _failure_of_one_try(client, url, part, size, progress):
        tries, reached = tries + 1, _length(part)
        failures, best = (1, reached) if reached > best else (failures + 1, best)
        if not failed.transient or failures >= patience.tries or tries >= _TRIES_IN_ALL:
            raise failed
        patience.pause(failures, failed.pause)


def _failure_of_one_try(
    client: PyPIClient, url: str, part: Path, size: int | None, progress: Progress
) -> TransferFailed | None:
    try:
        _try_once(client, url, part, size, progress)
    except TransferFailed as failed:
        return failed
    return None


def _length(part: Path) -> int:
    try:
        return part.stat().st_size
    except OSError:
        return 0


def _try_once(
    client: PyPIClient,
    url: str,
    part: Path,
    size: int | None,
    progress: Progress,
) -> None:
    done = _length(part)
    if size is not None and done >= size:
        return  # whether these bytes are the right ones, their digest says
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={done}-"} if done else {})}
    with network_failures(), client.stream("GET", url, headers=headers) as response:
        start = _start_of(response, done, part)
        total = size if size is not None else _announced(response, start)
        _receive(response, part, start, total, progress)
    reached = _length(part)
    if total is not None and reached < total:
        raise TransferFailed(f"the transfer ended after {reached} of {total} bytes", transient=True)
    if total is not None and reached > total:
        part.unlink(missing_ok=True)
        raise TransferFailed(f"the server sends more than the {total} bytes expected")


def _start_of(response: httpx2.Response, done: int, part: Path) -> int:
    """Return from where on the answer carries the file: 0 unless the server goes on at ``done``."""
    status = response.status_code
    if status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {done}-"):
        return done
    if status == 200:
        return 0
    if status in {206, 416}:
        part.unlink(missing_ok=True)
        raise TransferFailed("the server has another file than the one begun", transient=True)
    pause = response.headers.get("Retry-After", "")
    raise TransferFailed(
        f"answer {status} {response.reason_phrase}".rstrip(),
        transient=status in _TRANSIENT,
        pause=float(pause) if pause.isdigit() else None,
    )


def _announced(response: httpx2.Response, start: int) -> int | None:
    length = response.headers.get("Content-Length", "")
    return start + int(length) if length.isdigit() else None


def _receive(
    response: httpx2.Response,
    part: Path,
    start: int,
    total: int | None,
    progress: Progress,
) -> None:
    with guarded(part, f"write {part.name}"):
        sink = part.open("ab" if start else "wb")
    done = start
    try:
        # Pieces as they come: what is gathered into larger ones is lost when the transfer breaks.
        for chunk in response.iter_raw():
            _write(sink.write, chunk, part)
            done += len(chunk)
            progress(done, total)
            if total is not None and done > total:
                break
    finally:
        _write(lambda _: sink.close(), b"", part)


def _write(write: Callable[[bytes], object], chunk: bytes, part: Path) -> None:
    """Write; on a full device give back the room that the unfinished file takes."""
    try:
        with guarded(part, f"write {part.name}"):
            write(chunk)
    except BuilderError:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise
