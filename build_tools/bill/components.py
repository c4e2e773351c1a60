"""The third-party code of a wheel, described from the lock file and from what was really found."""

from __future__ import annotations

import importlib.metadata
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from build_tools.bill.licenses import leading_comment, license_file
from build_tools.bill.model import Component, Origin, Use
from build_tools.config import Linkage
from build_tools.errors import WheelError
from build_tools.pins import PlaceKind
from build_tools.recipe import digest_of_files
from build_tools.storage import sha256_of, walk_files

if TYPE_CHECKING:
    from build_tools.pins import Pin, Place
    from build_tools.protobuf.model import ProtobufInstall
    from build_tools.recipe import Site

_LICENSES = ("LICENSE", "LICENSE.txt", "LICENSE.TXT", "COPYING")
_UNICODE = "cpp/kernels/reference/unicode"
_LIBCXX_VERSION = re.compile(r"define _LIBCPP_VERSION (\d+)(\d\d)(\d\d)\b")


@dataclass(frozen=True, kw_only=True)
class Headers:
    """A Python package whose headers are compiled into an extension."""

    name: str
    """The project."""

    include: str
    """The folder of its headers, below site-packages."""

    license: str
    """Its licence as an SPDX expression."""


PYBIND11 = Headers(name="pybind11", include="pybind11/include", license="BSD-3-Clause")
NANOBIND = Headers(name="nanobind", include="nanobind", license="BSD-3-Clause")


def protobuf_components(site: Site, protobuf: ProtobufInstall) -> tuple[Component, ...]:
    """Return the protobuf that was linked, and the abseil that ours has inside from 22 on."""
    use = Use.SHARED if protobuf.linkage is Linkage.SHARED else Use.COMPILED
    text = _protobuf_license(protobuf)
    if not protobuf.root.is_relative_to(site.cache.root):
        return (_found_protobuf(protobuf, text, use),)
    own = site.pins.pin("protobuf", protobuf.version)
    parts = site.pins.parts(own)
    inside = (pinned_component(part, _abseil_license(site, protobuf), use) for part in parts)
    return (pinned_component(own, text, use), *inside)


def _protobuf_license(protobuf: ProtobufInstall) -> bytes:
    """Return the text that our recipe has installed, or that older headers open with."""
    installed = protobuf.root / "share/licenses/protobuf/LICENSE"
    if installed.is_file():
        return license_file([installed], "protobuf")
    return leading_comment(protobuf.include_dir / "google/protobuf/message_lite.h", "protobuf")


def _abseil_license(site: Site, protobuf: ProtobufInstall) -> bytes:
    """Return abseil's notice and the licence that it names, which is the project's own as well."""
    notice = leading_comment(protobuf.include_dir / "absl/base/config.h", "abseil-cpp")
    return notice + b"\n" + license_file([site.repository / "LICENSE"], "abseil-cpp")


def _found_protobuf(protobuf: ProtobufInstall, text: bytes, use: Use) -> Component:
    return Component(
        name="protobuf",
        version=protobuf.version,
        license="BSD-3-Clause",
        text=text,
        use=use,
        purl=f"pkg:github/protocolbuffers/protobuf@v{protobuf.version}",
        library=sha256_of(protobuf.lite_library),
    )


def pinned_component(pin: Pin, text: bytes, use: Use) -> Component:
    """Return a component that was compiled from a pinned source."""
    return Component(
        name=pin.name,
        version=pin.version,
        license=pin.license,
        text=text,
        use=use,
        purl=pin.purl,
        cpe=pin.cpe,
        origins=origins_of(pin),
    )


def origins_of(pin: Pin) -> tuple[Origin, ...]:
    """Return the archives that carry a pinned source."""
    return tuple(_origin(place) for place in pin.places)


def _origin(place: Place) -> Origin:
    of_index = f"pkg:pypi/{place.project}@{place.version}?file_name={place.filename}"
    return Origin(
        url=of_index if place.kind is PlaceKind.INDEX else str(place.url),
        filename=place.filename,
        sha256=place.sha256,
        folder=place.subdir,
    )


def source_component(pin: Pin, tree: Path) -> Component:
    """Return a component that was compiled from its unpacked tree, which carries its licence."""
    text = license_file([tree / name for name in _LICENSES], pin.name)
    return pinned_component(pin, text, Use.COMPILED)


def unicode_component(repository: Path) -> Component:
    """Return the character data that the kernels' tables were generated from."""
    folder = repository / _UNICODE
    with (folder / "tables.inc").open(encoding="utf-8") as tables:
        version = re.search(r"Unicode (\d+\.\d+\.\d+)", tables.readline())
    assert version, "make_tables.py writes the version into the first line"
    return Component(
        name="unicode-character-database",
        version=version[1],
        license="Unicode-3.0",
        text=license_file([folder / "LICENSE"], "the Unicode character database"),
        use=Use.DATA,
        library=sha256_of(folder / "tables.inc"),
    )


def header_component(headers: Headers, packages: Path) -> Component:
    """Return a Python package of headers, as it is installed in the folder ``packages``."""
    found = sorted(packages.glob(f"{headers.name}-*.dist-info"))
    if len(found) != 1:
        raise WheelError(
            f"{headers.name} is not installed once", looked=[f"{packages}: {len(found)} times"]
        )
    information = found[0]
    version = importlib.metadata.PathDistribution(information).version
    folders = (information / "licenses", information)
    return Component(
        name=headers.name,
        version=version,
        license=headers.license,
        text=license_file([folder / "LICENSE" for folder in folders], headers.name),
        use=Use.HEADERS,
        purl=f"pkg:pypi/{headers.name}@{version}",
        library=_digest(packages / headers.include),
    )


def robin_map_component(packages: Path) -> Component:
    """Return the hash map that nanobind carries; nobody says of which release it is."""
    folder = packages / "nanobind/ext/robin_map/include"
    return Component(
        name="robin-map",
        version="",
        license="MIT",
        text=leading_comment(folder / "tsl/robin_map.h", "robin-map"),
        use=Use.HEADERS,
        purl="pkg:github/Tessil/robin-map",
        library=_digest(folder),
    )


def libcxx_component(zig_library: Path) -> Component:
    """Return the C++ library that zig links into what it makes for another machine."""
    folder = zig_library / "libcxx"
    text = (folder / "include/__config").read_text(encoding="utf-8")
    version = _LIBCXX_VERSION.search(text)
    return Component(
        name="libc++",
        version=".".join(str(int(part)) for part in version.groups()) if version else "",
        license="Apache-2.0 WITH LLVM-exception",
        text=license_file([folder / name for name in _LICENSES], "libc++"),
        use=Use.COMPILED,
        purl="pkg:github/llvm/llvm-project",
        library=_digest(folder / "src"),
    )


def installed_in(module: str) -> Path:
    """Return the folder that a package of the builder's own environment is installed in."""
    return Path(str(importlib.metadata.distribution(module).locate_file("")))


def _digest(folder: Path) -> str:
    """Return one digest of the names and contents of a folder's files, byte code left out."""
    files = [path for path in walk_files(folder) if "__pycache__" not in path.parts]
    return digest_of_files(folder, files)
