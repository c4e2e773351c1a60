"""One target of the matrix: its libraries once, then its wheel for one Python after the other.

All Pythons of a target share one build folder, so that the engine is compiled once and each further
Python costs the extension module alone.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from build_tools.audit import Expectation, audit
from build_tools.bill.attach import attach_bill
from build_tools.bill.materials import engine_materials
from build_tools.config import Linkage
from build_tools.durations import Spent, Stopwatch
from build_tools.onnx import provide_onnx
from build_tools.prepare import Prepared
from build_tools.protobuf.provide import provide_protobuf_across
from build_tools.repair import repair
from build_tools.storage import guarded, remove_tree
from build_tools.toolchain.launcher import with_compiler_cache
from build_tools.toolchain.zig import zig_toolchain
from build_tools.wheel import WheelPlan, make_wheel

if TYPE_CHECKING:
    from pathlib import Path

    from build_tools.audit import Audit
    from build_tools.cmake import CacheValue
    from build_tools.protobuf.model import ProtobufInstall
    from build_tools.python_headers import TargetPython
    from build_tools.recipe import Site
    from build_tools.target import Target

PACKAGE = "onnxforge"


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """Everything that the wheels of one target stand on."""

    prepared: Prepared
    """The cross compiler and the libraries for the target."""

    spent: Spent
    """What they took; next to nothing where the cache had them."""

    @property
    def site(self) -> Site:
        """Settings, machine, cross compiler, tools, cache."""
        return self.prepared.site

    @property
    def target(self) -> Target:
        """The target."""
        return self.prepared.site.target


@dataclass(frozen=True, kw_only=True)
class Made:
    """One wheel, checked."""

    path: Path
    """The file, not yet where it is published."""

    audit: Audit
    """What was proved of it."""

    spent: Spent
    """What it took, proofs included."""


def open_workshop(
    native: Site, target: Target, builders: ProtobufInstall, highway: Path
) -> Workshop:
    """Have compiler and libraries for ``target``; ``native``, ``builders``: this machine's."""
    watch = Stopwatch()
    context, config = native.context, native.config
    toolchain = zig_toolchain(
        target, context.host, context.runner, context.record, config.cache_dir
    )
    asked, asked_by = config.compiler_cache, native.resolved.origins["compiler_cache"]
    toolchain = with_compiler_cache(toolchain, asked, asked_by, context.host, context.record)
    site = replace(native, toolchain=toolchain, target=target)
    protobuf = provide_protobuf_across(site, builders)
    onnx = provide_onnx(site, protobuf)
    prepared = Prepared(site=site, protobuf=protobuf, onnx=onnx, highway=highway)
    return Workshop(prepared=prepared, spent=watch.spent())


def make(workshop: Workshop, python: TargetPython) -> Made:
    """Compile, pack, repair and prove the wheel for one Python."""
    watch, site, target = Stopwatch(), workshop.site, workshop.target
    version = python.version
    folder = site.config.build_dir.absolute() / "wheels" / target.name
    plan = WheelPlan(
        source_dir=site.repository,
        build_dir=folder / "tree",
        build_type=str(site.config.build_type),
        definitions={**workshop.prepared.definitions(), **python_definitions(python, target)},
        cmake_args=workshop.prepared.arguments,
        jobs=site.jobs,
        cross_tag=f"{python.tag}-{python.tag}-{target.raw_tag}",
    )
    cmake = workshop.prepared.cmake
    log = site.logs / f"wheel-{version}.log"
    raw = make_wheel(plan, _empty(folder / "raw"), log, cmake, site.context)
    into = _empty(folder / "repaired")
    log = site.logs / f"repair-{version}.log"
    final = repair(raw, into, (), log, site.context, target=target)
    attach_bill(final, engine_materials(workshop.prepared, version, folder / "tree"))
    with site.context.record.step(f"{target} {version}: audit"):
        proved = audit(final, expectation(site), site.context)
    return Made(path=final, audit=proved, spent=watch.spent())


def python_definitions(python: TargetPython, target: Target) -> dict[str, CacheValue]:
    """Return the cache entries that describe a Python which nothing here can ask."""
    pybind11 = importlib.import_module("pybind11").get_cmake_dir()
    entries: dict[str, CacheValue] = {
        "Python_INCLUDE_DIR": python.include_dir,
        "pybind11_DIR": str(pybind11),
        "PYTHON_MODULE_EXTENSION": target.extension_suffix(python.version),
        "PYTHON_MODULE_DEBUG_POSTFIX": "",
        "PYTHON_IS_DEBUG": False,
    }
    if python.library:
        entries["Python_LIBRARY"] = python.library
    return entries


def expectation(site: Site) -> Expectation:
    """Return what a wheel for the site's target must be."""
    config = site.config
    return Expectation(
        package=PACKAGE,
        protobuf=Linkage.STATIC,
        repaired=True,
        target=site.target,
        foreign_folders=(
            site.repository,
            config.build_dir.absolute(),
            config.cache_dir.absolute(),
        ),
    )


def _empty(folder: Path) -> Path:
    with guarded(folder, "clear a folder of the build"):
        remove_tree(folder)
        folder.mkdir(parents=True)
    return folder
