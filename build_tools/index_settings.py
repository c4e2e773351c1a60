"""Which package index to ask: what pip's and uv's own settings say, so that a mirror counts.

Precedence, the strongest first: pip's variables, uv's variables, pip's files, uv's files. Every
file is pinned by its sha256, so it does not matter which index it comes from; but where an index
was set, the public one is not contacted.
"""

from __future__ import annotations

import configparser
import importlib
import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit, urlunsplit

from unearth import PackageFinder

from build_tools.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from build_tools.host import System

DEFAULT_INDEX = PackageFinder().sources[0]["url"].rstrip("/")
"""The public index, which pip and uv ask when nothing else is set; unearth knows it too."""

# The standard library has it since Python 3.11; tomli is the same module for 3.10.
_toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
_DEFAULT_TIMEOUT = 30.0
_PIP_SECTIONS = ("global", "install", "download")
_TRUE = {"1", "true", "yes", "on", "y", "t"}


@dataclass(frozen=True, kw_only=True)
class Location:
    """One place that lists files: an index, or a folder or page of links."""

    url: str
    """Its address; a path of this machine for a folder."""

    origin: str
    """Which setting names it."""

    find_links: bool = False
    """Whether it lists files of all projects, like pip's find-links."""

    def __str__(self) -> str:
        return f"{redacted(self.url)} ({self.origin})"


@dataclass(frozen=True, kw_only=True)
class IndexSettings:
    """Where to look for files of the package index, and how to get through to it."""

    locations: tuple[Location, ...]
    """Folders of links first, then the default index, then the extra ones."""

    trusted_hosts: tuple[str, ...] = ()
    """Hosts, with or without a port, whose certificate is not checked."""

    cert: Path | None = None
    """Certificates to check servers with, instead of the system's."""

    client_cert: Path | None = None
    """A certificate to show to servers."""

    proxy: str | None = None
    """A proxy for every request, instead of the environment's."""

    timeout: float = _DEFAULT_TIMEOUT
    """Seconds to wait for a server that has stopped sending."""


def redacted(url: str) -> str:
    """Return an address without the credentials it may hold."""
    return re.sub(r"(?<=://)[^/@\s]+@", "***@", url)


def read_index_settings(
    environ: Mapping[str, str],
    *,
    system: System,
    home: Path | None = None,
    prefix: Path | None = None,
    root: Path = Path("/"),
) -> IndexSettings:
    """Merge pip's and uv's settings of this user, this Python and this machine.

    Raises ConfigError when one of their files cannot be read.
    """
    folders = _Folders(
        environ=environ,
        system=system,
        home=home or Path.home(),
        prefix=prefix or Path(sys.prefix),
        root=root,
    )
    tools = (
        _pip_environment(environ),
        _uv_environment(environ),
        _pip_files(folders),
        _uv_files(folders),
    )
    return _merged(tools, environ)


@dataclass(kw_only=True)
class _Raw:
    """What one tool says in one kind of place."""

    index: Location | None = None
    extra: list[Location] = field(default_factory=list)
    links: list[Location] = field(default_factory=list)
    no_index: bool | None = None
    trusted: list[str] = field(default_factory=list)
    cert: str = ""
    client_cert: str = ""
    proxy: str = ""
    timeout: str = ""


def _merged(tools: Sequence[_Raw], environ: Mapping[str, str]) -> IndexSettings:
    named = [tool.index for tool in tools if tool.index]
    default = named[0] if named else Location(url=DEFAULT_INDEX, origin="the default index")
    indexes = [default, *(location for tool in tools for location in tool.extra)]
    if next((tool.no_index for tool in tools if tool.no_index is not None), False):
        indexes = []
    links = [location for tool in tools for location in tool.links]
    cert = _first(tool.cert for tool in tools) or environ.get("SSL_CERT_FILE", "")
    client_cert = _first(tool.client_cert for tool in tools)
    return IndexSettings(
        locations=_without_repeats([*links, *indexes]),
        trusted_hosts=tuple(dict.fromkeys(host for tool in tools for host in tool.trusted)),
        cert=_existing(cert, "certificates") if cert else None,
        client_cert=_existing(client_cert, "the client certificate") if client_cert else None,
        proxy=_first(tool.proxy for tool in tools) or None,
        timeout=_seconds(_first(tool.timeout for tool in tools)),
    )


def _first(values: Iterator[str]) -> str:
    return next((value for value in values if value), "")


def _without_repeats(locations: Sequence[Location]) -> tuple[Location, ...]:
    kept: dict[str, Location] = {}
    for location in locations:
        kept.setdefault(location.url.rstrip("/"), location)
    return tuple(kept.values())


def _existing(name: str, what: str) -> Path:
    path = Path(name).expanduser()
    if not path.exists():
        raise ConfigError(
            f"{what} for the package index cannot be found: {path}",
            looked=["PIP_CERT, PIP_CLIENT_CERT, SSL_CERT_FILE, pip's and uv's configuration files"],
            fix="correct the setting, or take it out",
        )
    return path


def _seconds(text: str) -> float:
    try:
        return max(1.0, float(text)) if text else _DEFAULT_TIMEOUT
    except ValueError as error:
        raise ConfigError(f"pip's timeout is not a number: {text!r}") from error


# pip


def _pip_environment(environ: Mapping[str, str]) -> _Raw:
    def origin(key: str) -> str:
        return "environment " + ("PIP_" + key.upper().replace("-", "_"))

    values = {
        name[4:].lower().replace("_", "-"): value
        for name, value in environ.items()
        if name.startswith("PIP_") and value
    }
    return _pip_values(values, {key: origin(key) for key in values})


def _pip_files(folders: _Folders) -> _Raw:
    merged: dict[str, dict[str, tuple[str, str]]] = {section: {} for section in _PIP_SECTIONS}
    for path in folders.pip_files():
        if not path.is_file():
            continue
        parser = _read_ini(path)
        for section in _PIP_SECTIONS:
            if parser.has_section(section):
                for key, value in parser.items(section):
                    merged[section][key.lower().replace("_", "-")] = (value, str(path))
    # As in pip, the section of the command is stronger than [global], whichever file each is in.
    final = {key: pair for section in _PIP_SECTIONS for key, pair in merged[section].items()}
    values = {key: value for key, (value, _) in final.items()}
    return _pip_values(values, {key: origin for key, (_, origin) in final.items()})


def _read_ini(path: Path) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(path.read_text(encoding="utf-8", errors="replace"), source=str(path))
    except (configparser.Error, OSError) as error:
        raise _unreadable(path, error) from error
    return parser


def _pip_values(values: Mapping[str, str], origins: Mapping[str, str]) -> _Raw:
    def locations(key: str, *, find_links: bool = False) -> list[Location]:
        return [
            Location(url=_expanded(url), origin=origins[key], find_links=find_links)
            for url in values.get(key, "").split()
        ]

    index = locations("index-url")
    return _Raw(
        index=index[0] if index else None,
        extra=locations("extra-index-url"),
        links=locations("find-links", find_links=True),
        no_index=values["no-index"].lower() in _TRUE if "no-index" in values else None,
        trusted=values.get("trusted-host", "").split(),
        cert=values.get("cert", ""),
        client_cert=values.get("client-cert", ""),
        proxy=values.get("proxy", ""),
        timeout=values.get("timeout", "") or values.get("default-timeout", ""),
    )


def _expanded(url: str) -> str:
    return str(Path(url).expanduser()) if url.startswith("~") else url


# uv


def _uv_environment(environ: Mapping[str, str]) -> _Raw:
    def locations(name: str, *, find_links: bool = False) -> list[Location]:
        # A comma separates folders of links, a blank separates indexes.
        separator = r"[,\s]+" if find_links else r"\s+"
        entries = [entry for entry in re.split(separator, environ.get(name, "")) if entry]
        return [
            _uv_location(entry, f"environment {name}", environ, find_links=find_links)
            for entry in entries
        ]

    default = [*locations("UV_DEFAULT_INDEX"), *locations("UV_INDEX_URL")]
    no_index = environ.get("UV_NO_INDEX")
    return _Raw(
        index=default[0] if default else None,
        extra=[*locations("UV_INDEX"), *locations("UV_EXTRA_INDEX_URL")],
        links=locations("UV_FIND_LINKS", find_links=True),
        no_index=no_index.lower() in _TRUE if no_index else None,
        trusted=environ.get("UV_INSECURE_HOST", "").split(),
        timeout=environ.get("UV_HTTP_TIMEOUT", ""),
    )


def _uv_location(
    entry: str, origin: str, environ: Mapping[str, str], *, find_links: bool = False
) -> Location:
    """Read ``name=address`` or a bare address; a name may have credentials in variables."""
    named = re.fullmatch(r"([A-Za-z0-9_.-]+)=(\S+)", entry)
    name, url = named.groups() if named else ("", entry)
    return Location(
        url=_with_uv_credentials(_expanded(url), name, environ),
        origin=origin,
        find_links=find_links,
    )


def _with_uv_credentials(url: str, name: str, environ: Mapping[str, str]) -> str:
    variable = "UV_INDEX_" + re.sub(r"[^A-Za-z0-9]", "_", name).upper()
    user, password = environ.get(f"{variable}_USERNAME"), environ.get(f"{variable}_PASSWORD")
    parts = urlsplit(url)
    if not name or not (user or password) or "@" in parts.netloc:
        return url
    login = f"{quote(user or '', safe='')}:{quote(password or '', safe='')}"
    return urlunsplit(parts._replace(netloc=f"{login}@{parts.netloc}"))


def _uv_files(folders: _Folders) -> _Raw:
    raw = _Raw()
    for path in folders.uv_files():
        if path.is_file():
            _add_uv_file(raw, path, folders.environ)
    return raw


def _add_uv_file(raw: _Raw, path: Path, environ: Mapping[str, str]) -> None:
    """Add a file's settings; what an earlier, stronger file says stays."""
    try:
        document = _toml.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    for table in (document, document.get("pip", {})):
        found = _uv_table(table, str(path), environ)
        raw.index = raw.index or found.index
        raw.no_index = found.no_index if raw.no_index is None else raw.no_index
        raw.extra += found.extra
        raw.links += found.links
        raw.trusted += found.trusted


def _uv_table(table: Mapping[str, Any], origin: str, environ: Mapping[str, str]) -> _Raw:
    def location(url: str, name: str = "") -> Location:
        return Location(url=_with_uv_credentials(url, name, environ), origin=origin)

    # An index marked explicit is only for the packages that name it.
    indexes = [entry for entry in table.get("index", ()) if not entry.get("explicit")]
    default = [
        location(entry["url"], entry.get("name", "")) for entry in indexes if entry.get("default")
    ]
    default += [location(table["index-url"])] if "index-url" in table else []
    others = [
        location(entry["url"], entry.get("name", ""))
        for entry in indexes
        if not entry.get("default")
    ]
    return _Raw(
        index=default[0] if default else None,
        extra=[*others, *(location(url) for url in table.get("extra-index-url", ()))],
        links=[
            Location(url=url, origin=origin, find_links=True) for url in table.get("find-links", ())
        ],
        no_index=table.get("no-index"),
        trusted=list(table.get("allow-insecure-host", ())),
    )


def _unreadable(path: Path, error: Exception) -> ConfigError:
    return ConfigError(
        f"a configuration file of pip or uv cannot be read: {path}",
        looked=[redacted(str(error))],
        fix="correct the file",
    )


@dataclass(frozen=True, kw_only=True)
class _Folders:
    """Where pip and uv keep their configuration files on each system."""

    environ: Mapping[str, str]
    system: System
    home: Path
    prefix: Path
    root: Path

    def pip_files(self) -> tuple[Path, ...]:
        """Return pip's configuration files, the weakest first."""
        chosen = self.environ.get("PIP_CONFIG_FILE")
        if chosen == os.devnull:
            return ()  # pip's own way to say: no file at all
        name = "pip.ini" if self.system == "windows" else "pip.conf"
        legacy = self.home / ("pip" if self.system == "windows" else ".pip") / name
        folders = [*self._machine("pip"), self._user("pip"), self.prefix]
        files = [folder / name for folder in folders]
        files.insert(-2, legacy)
        return (*files, *([Path(chosen)] if chosen else []))

    def uv_files(self) -> tuple[Path, ...]:
        """Return uv's configuration files, the strongest first."""
        if self.environ.get("UV_NO_CONFIG", "").lower() in _TRUE:
            return ()
        if chosen := self.environ.get("UV_CONFIG_FILE"):
            return (Path(chosen),)
        if self.system == "windows":
            folders = [self._variable("APPDATA"), self._variable("PROGRAMDATA")]
        else:
            folders = [self._xdg_home(), *self._xdg_machine(), self.root / "etc"]
        return tuple(folder / "uv" / "uv.toml" for folder in folders)

    def _machine(self, tool: str) -> list[Path]:
        if self.system == "windows":
            return [self._variable("PROGRAMDATA") / tool]
        if self.system == "darwin":
            return [self.root / "Library" / "Application Support" / tool]
        return [*(folder / tool for folder in self._xdg_machine()), self.root / "etc"]

    def _user(self, tool: str) -> Path:
        if self.system == "windows":
            return self._variable("APPDATA") / tool
        library = self.home / "Library" / "Application Support" / tool
        if self.system == "darwin" and library.is_dir():
            return library
        return (self.home / ".config" if self.system == "darwin" else self._xdg_home()) / tool

    def _xdg_home(self) -> Path:
        chosen = self.environ.get("XDG_CONFIG_HOME")
        return Path(chosen) if chosen else self.home / ".config"

    def _xdg_machine(self) -> list[Path]:
        chosen = self.environ.get("XDG_CONFIG_DIRS")
        return [Path(part) for part in chosen.split(":")] if chosen else [self.root / "etc" / "xdg"]

    def _variable(self, name: str) -> Path:
        return Path(self.environ.get(name) or self.home)
