"""What the two kinds of wheel are made of."""

from __future__ import annotations

import importlib
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.version import Version

from build_tools.bill.components import (
    NANOBIND,
    PYBIND11,
    header_component,
    installed_in,
    libcxx_component,
    origins_of,
    protobuf_components,
    robin_map_component,
    source_component,
    unicode_component,
)
from build_tools.bill.making import ENGINE, UPSTREAM, making_of
from build_tools.bill.model import Materials
from build_tools.fetch import Fetcher

if TYPE_CHECKING:
    from build_tools.host import PythonFacts
    from build_tools.prepare import Prepared
    from build_tools.protobuf.model import ProtobufInstall
    from build_tools.recipe import Site

_FIRST_WITH_NANOBIND = Version("1.20")


def engine_materials(prepared: Prepared, python: str, build_folder: Path) -> Materials:
    """Return what a wheel of the engine is made of."""
    site = prepared.site
    pins = site.pins
    with closing(Fetcher.create(site.config, site.context)) as fetcher:
        onnx = site.cache.source(pins.pin("onnx", prepared.onnx.version), fetcher)
    crossed = [] if site.target.is_native else [libcxx_component(_zig_library())]
    return Materials(
        license="Apache-2.0",
        components=(
            *protobuf_components(site, prepared.protobuf),
            source_component(pins.pin("onnx", prepared.onnx.version), onnx),
            source_component(pins.pin("highway"), prepared.highway),
            header_component(PYBIND11, installed_in("pybind11")),
            unicode_component(site.repository),
            *crossed,
        ),
        making=making_of(site, ENGINE, python, build_folder),
    )


def upstream_materials(
    site: Site,
    version: str,
    protobuf: ProtobufInstall,
    *,
    python: str,
    packages: Path,
    build_folder: Path,
) -> Materials:
    """Return what a wheel of upstream's package is made of.

    ``packages`` is the site-packages folder of the environment that its backend ran in.
    """
    has_nanobind = Version(version) >= _FIRST_WITH_NANOBIND
    binding = [header_component(NANOBIND if has_nanobind else PYBIND11, packages)]
    binding += [robin_map_component(packages)] if has_nanobind else []
    pin = site.pins.pin("onnx", version)
    return Materials(
        license=pin.license,
        origins=origins_of(pin),
        components=(*protobuf_components(site, protobuf), *binding),
        making=making_of(site, UPSTREAM, python, build_folder),
    )


def python_text(python: PythonFacts) -> str:
    """Return what tells one Python's extensions from another's."""
    return f"{python.version} {python.soabi}"


def _zig_library() -> Path:
    return Path(str(importlib.import_module("ziglang").__file__)).parent / "lib"
