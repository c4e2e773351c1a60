"""What has to be there before the engine can be compiled: compiler, tools, sources, libraries."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from build_tools.cache import Cache
from build_tools.cmake import CMakeBuild
from build_tools.fetch import Fetcher, resolve
from build_tools.jobs import plan_jobs
from build_tools.onnx import protobuf_identity, provide_onnx
from build_tools.pins import load_pins
from build_tools.protobuf.provide import cmake_arguments, provide_protobuf
from build_tools.recipe import Site
from build_tools.target import native_target
from build_tools.toolchain import find_toolchain
from build_tools.toolchain.launcher import with_compiler_cache
from build_tools.tools import find_tools

if TYPE_CHECKING:
    from pathlib import Path

    from build_tools.cmake import CacheValue
    from build_tools.config import BuildConfig
    from build_tools.context import Context
    from build_tools.onnx import OnnxInstall
    from build_tools.protobuf.model import ProtobufInstall
    from build_tools.record import Record
    from build_tools.sources import Resolved


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Everything that compiling the engine stands on."""

    site: Site
    """Settings, machine, compiler, tools, cache."""

    protobuf: ProtobufInstall
    """The protobuf that is linked."""

    onnx: OnnxInstall
    """ONNX's C++ library on it."""

    highway: Path
    """Highway's sources; it is compiled with the engine."""

    @property
    def config(self) -> BuildConfig:
        """The settings."""
        return self.site.config

    @property
    def context(self) -> Context:
        """The machine, the way to run programs, the record."""
        return self.site.context

    @property
    def record(self) -> Record:
        """The record of this run."""
        return self.site.context.record

    @property
    def cmake(self) -> CMakeBuild:
        """CMake at work with the chosen compiler."""
        return CMakeBuild(
            tools=self.site.tools,
            toolchain=self.site.toolchain,
            runner=self.context.runner,
            record=self.record,
            host=self.context.host,
            verbose=self.config.verbose,
        )

    @property
    def libraries(self) -> dict[str, str]:
        """What identifies each library that is compiled in, for keys."""
        return {
            "protobuf": protobuf_identity(self.protobuf),
            "onnx": self.onnx.key,
            "highway": self.highway.name,
        }

    @property
    def arguments(self) -> tuple[str, ...]:
        """The user's arguments for CMake that are something to the engine."""
        return cmake_arguments(self.config, "ONNXFORGE_PROTOBUF", "ONNXFORGE_ONNX")

    def definitions(self) -> dict[str, CacheValue]:
        """Return the cache entries that make CMake use what was prepared."""
        return {
            "ONNXFORGE_PROTOBUF_PREFIX": self.protobuf.root,
            "ONNXFORGE_ONNX_PREFIX": self.onnx.prefix,
            "ONNXFORGE_HIGHWAY_SOURCE": self.highway,
            "ONNX_USE_PROTOBUF_SHARED_LIBS": self.protobuf.use_shared_libs,
            "ONNXFORGE_LTO": self.config.lto,
        }

    def work_dir(self) -> Path:
        """Return the folder for compiling the engine; each combination has its own."""
        facts = (self.site.toolchain.identity(), *self.libraries.values())
        digest = hashlib.sha256("\0".join(facts).encode()).hexdigest()[:8]
        words = (
            self.context.host.python.abi,
            self.site.toolchain.compiler.family.value,
            str(self.protobuf.linkage),
            str(self.config.build_type).lower(),
            *(["lto"] if self.config.lto else []),
            digest,
        )
        return self.config.build_dir.absolute() / "-".join(words)


def prepare(site: Site) -> Prepared:
    """Fetch or build the libraries; everything is recorded."""
    try:
        protobuf = provide_protobuf(site)
        onnx = provide_onnx(site, protobuf)
        highway = provide_highway(site)
    finally:
        site.fetcher.close()
    return Prepared(site=site, protobuf=protobuf, onnx=onnx, highway=highway)


def settle(resolved: Resolved, context: Context) -> Site:
    """Settle everything that comes before the first library: compiler, tools, jobs."""
    config, host, record = resolved.config, context.host, context.record
    asked_by = resolved.origins["compiler"]
    with record.step("compiler and tools"):
        toolchain = find_toolchain(
            config.compiler, host, context.runner, record, config.cache_dir, asked_by=asked_by
        )
        asked_by = resolved.origins["compiler_cache"]
        toolchain = with_compiler_cache(toolchain, config.compiler_cache, asked_by, host, record)
        tools = find_tools(config, host, context.runner)
    for reason, name in zip(tools.reasons, ("cmake", "ninja"), strict=True):
        choice, _, why = reason.partition(": ")
        record.decide(name, choice, why, resolved.origins[name])
    jobs = plan_jobs(host, config.jobs, resolved.origins["jobs"])
    record.decide("compile jobs", str(jobs.jobs), jobs.reason, jobs.source)
    if jobs.warning:
        record.warn(jobs.warning)
    return Site(
        resolved=resolved,
        context=context,
        toolchain=toolchain,
        tools=tools,
        jobs=jobs.jobs,
        cache=Cache.create(config, context),
        fetcher=Fetcher.create(config, context),
        pins=load_pins(),
        target=native_target(host),
    )


def provide_highway(site: Site) -> Path:
    """Return Highway's sources."""
    source = resolve(site.pins, "highway", site.fetcher)
    site.context.record.decide("Highway", str(source.pin), source.reason)
    return site.cache.source(source.pin, site.fetcher)
