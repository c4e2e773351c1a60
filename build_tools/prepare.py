"""What has to be there before the engine can be compiled: compiler, tools, sources, libraries."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from build_tools.cache import Cache
from build_tools.errors import ConfigError
from build_tools.fetch import Fetcher, resolve
from build_tools.generator import driving, ignored_settings, settle_generator
from build_tools.jobs import plan_jobs
from build_tools.onnx import protobuf_identity, provide_onnx
from build_tools.paths import cache_warnings, choose_build_folder
from build_tools.pins import load_pins
from build_tools.protobuf.provide import cmake_arguments, provide_protobuf
from build_tools.recipe import Site
from build_tools.target import native_target
from build_tools.toolchain import find_toolchain, vsenv
from build_tools.toolchain.launcher import with_compiler_cache
from build_tools.toolchain.platform_settings import settle as settle_platform
from build_tools.tools import find_tools

if TYPE_CHECKING:
    from build_tools.cmake import CacheValue, CMakeBuild
    from build_tools.config import BuildConfig
    from build_tools.context import Context
    from build_tools.generator import Generator
    from build_tools.onnx import OnnxInstall
    from build_tools.protobuf.model import ProtobufInstall
    from build_tools.record import Record
    from build_tools.sources import Resolved
    from build_tools.toolchain.platform_settings import Settled


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
        return self.site.cmake()

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
            *(["vs"] if self.site.generator.multi_config else []),
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
    resolved = _in_short_folder(resolved, context)
    config, record = resolved.config, context.record
    with record.step("compiler and tools"):
        generator, context = _settle_generator(resolved, context)
        settled = _settle_toolchain(resolved, context)
        tools = find_tools(config, context.host, context.runner)
    for reason, name in zip(tools.reasons, ("cmake", "ninja"), strict=True):
        choice, _, why = reason.partition(": ")
        record.decide(name, choice, why, resolved.origins[name])
    jobs = plan_jobs(context.host, config.jobs, resolved.origins["jobs"])
    record.decide("compile jobs", str(jobs.jobs), jobs.reason, jobs.source)
    if jobs.warning:
        record.warn(jobs.warning)
    return Site(
        resolved=resolved,
        context=context,
        toolchain=settled.toolchain,
        tools=tools,
        jobs=jobs.jobs,
        generator=generator,
        runtime=settled.runtime,
        cache=Cache.create(config, context),
        fetcher=Fetcher.create(config, context),
        pins=load_pins(),
        target=native_target(context.host),
    )


def _in_short_folder(resolved: Resolved, context: Context) -> Resolved:
    """Return the settings with a build folder that compilers can work in, and say where it is."""
    config, host, record = resolved.config, context.host, context.record
    given = resolved.given("build_dir")
    folder = choose_build_folder(config.build_dir.absolute(), host, given=given)
    for warning in (*folder.warnings, *cache_warnings(host, config.cache_dir)):
        record.warn(warning)
    if not folder.reason:
        return resolved
    record.decide("build folder", folder.path, folder.reason)
    return replace(resolved, config=replace(config, build_dir=Path(folder.path)))


def _settle_generator(resolved: Resolved, context: Context) -> tuple[Generator, Context]:
    """Return the generator, and the context with the environment that its compiler needs."""
    config, host, record = resolved.config, context.host, context.record
    origin = resolved.origins["generator"]
    generator = settle_generator(config.generator, host, origin)
    for warning in ignored_settings(generator, host.environ):
        record.warn(warning)
    if host.system == "windows":
        if vsenv.wants_visual_studio(config.compiler, host.environ):
            host = vsenv.enter(host, context.runner, record, generator)
        elif generator.major is not None:
            raise ConfigError(
                f"{generator} compiles with Visual Studio's own compiler",
                looked=["--compiler, or CXX and CC in the environment, name another one"],
                fix="leave one of the two out; --generator Ninja works with every compiler",
            )
        generator = driving(generator, vsenv.recognise_prompt(host.environ).installation)
        record.decide("CMake generator", str(generator), "the same for all projects", origin)
    return generator, replace(context, host=host)


def _settle_toolchain(resolved: Resolved, context: Context) -> Settled:
    config, host, record = resolved.config, context.host, context.record
    found = find_toolchain(
        config.compiler,
        host,
        context.runner,
        record,
        config.cache_dir,
        asked_by=resolved.origins["compiler"],
    )
    asked_by = resolved.origins["compiler_cache"]
    found = with_compiler_cache(found, config.compiler_cache, asked_by, host, record)
    return settle_platform(found, config, host, context.runner, record)


def provide_highway(site: Site) -> Path:
    """Return Highway's sources."""
    source = resolve(site.pins, "highway", site.fetcher)
    site.context.record.decide("Highway", str(source.pin), source.reason)
    return site.cache.source(source.pin, site.fetcher)
