"""Builds one of our recipes (``third_party/<name>``) into a cached prefix.

The same recipe is part of the wheel's own build where no prefix is given; here it is built by
itself, once per source, compiler and settings.
"""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from build_tools.cmake import CMakeBuild
from build_tools.generator import NINJA
from build_tools.probes import Bench, msvc_runtime
from build_tools.storage import remove_tree, walk_files
from build_tools.toolchain.families import traits_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from build_tools.cache import Cache, Prefix
    from build_tools.cmake import CacheValue
    from build_tools.config import BuildConfig
    from build_tools.context import Context
    from build_tools.fetch import Fetcher
    from build_tools.fetch import Resolved as ResolvedSource
    from build_tools.generator import Generator
    from build_tools.pins import Pin, Pins
    from build_tools.sources import Resolved
    from build_tools.target import Target
    from build_tools.toolchain.model import Toolchain
    from build_tools.toolchain.runtime import MsvcRuntime
    from build_tools.tools import Tools

REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, kw_only=True)
class Site:
    """Everything that is settled before the first library is found or built."""

    resolved: Resolved
    """The settings and who made them."""

    context: Context
    """The machine, the way to run programs, the record."""

    toolchain: Toolchain
    """The compiler."""

    tools: Tools
    """CMake and Ninja."""

    jobs: int
    """Compile jobs at a time."""

    cache: Cache
    """Where built libraries are kept."""

    fetcher: Fetcher
    """Gets the sources."""

    pins: Pins
    """The lock file."""

    target: Target
    """What is built for."""
    generator: Generator = NINJA
    """CMake's generator."""

    runtime: MsvcRuntime | None = None
    """Microsoft's C++ runtime library, where there is one to choose."""

    repository: Path = REPOSITORY
    """The tree with third_party/ and build_tools/cmake/."""

    @property
    def config(self) -> BuildConfig:
        """The settings."""
        return self.resolved.config

    @property
    def logs(self) -> Path:
        """The folder for the output of long steps."""
        folder = self.config.build_dir.absolute() / "logs"
        return folder if self.target.is_native else folder / self.target.name

    def bench(self) -> Bench:
        """Return the bench that probes are made on: the compiler with the environment's flags."""
        chain, flags = self.toolchain, dict(self.toolchain.flags)
        dialect = traits_of(chain.compiler.family).dialect
        words = [word for name in dialect.compiling for word in shlex.split(flags.get(name, ""))]
        return Bench(
            cxx=chain.compiler.cxx,
            runner=self.context.runner,
            system=self.target.system,
            environment=self.context.host.environ,
            flags=(*chain.compiler.cxx_arguments, *chain.setting_flags, *words),
            dialect=dialect,
            runtime=msvc_runtime(self.runtime.flag) if self.runtime else None,
            processors=chain.processors,
        )

    def cmake(self) -> CMakeBuild:
        """Return CMake at work with everything that was settled."""
        return CMakeBuild(
            tools=self.tools,
            toolchain=self.toolchain,
            runner=self.context.runner,
            record=self.context.record,
            host=self.context.host,
            verbose=self.config.verbose,
            generator=self.generator,
            build_type=str(self.config.build_type),
        )


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One library to be built, and everything that makes a difference to it."""

    name: str
    """The library's name, and its folder in third_party/ unless ``folder`` names another."""

    source: ResolvedSource
    """The version and its archive."""

    variant: str
    """What tells its builds apart, for people: "static"."""

    settings: Mapping[str, CacheValue]
    """Cache entries; the user's arguments do not win over these."""

    modules: tuple[str, ...]
    """The modules of build_tools/cmake that the recipe includes."""

    arguments: tuple[str, ...] = ()
    """The user's own arguments for CMake."""

    built_on: Mapping[str, str] = field(default_factory=dict)
    """Other libraries that it is built on, as they enter the key."""

    folder: str = ""
    """The folder in third_party/ where it is not the library's name."""

    parts: tuple[ResolvedSource, ...] = ()
    """Further sources that are compiled into the library."""

    @property
    def version(self) -> str:
        """The library's version."""
        return self.source.pin.version

    @property
    def place(self) -> str:
        """Its folder in third_party/."""
        return self.folder or self.name

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def build_prefix(site: Site, recipe: Recipe, prove: Callable[[Path], None]) -> Prefix:
    """Return the recipe's prefix, built when it is not in the cache.

    ``prove`` is handed the finished prefix; when it raises, the prefix is not kept. Raises what
    configuring, compiling and the cache raise.
    """
    with site.context.record.step(f"{recipe}") as step:
        prefix = site.cache.prefix(
            recipe.name,
            recipe.version,
            key_inputs(site, recipe),
            lambda path: _build_into(site, recipe, path, prove),
        )
        if prefix.hit:
            step.cached()
    return prefix


def key_inputs(site: Site, recipe: Recipe) -> dict[str, str]:
    """Return everything that makes a difference to the built library, by name."""
    return {
        "archive": recipe.source.archive.place.sha256,
        "subdir": recipe.source.archive.place.subdir,
        "recipe": recipe_digest(site.repository, recipe),
        "compiler": site.toolchain.identity(),
        "cmake": site.tools.cmake_version,
        "build_type": str(site.config.build_type),
        **_generator_key(site.generator),
        "arguments": "\n".join(recipe.arguments),
        "variant": recipe.variant,
        **{f"on {name}": key for name, key in recipe.built_on.items()},
        **{part.pin.name: part.archive.place.sha256 for part in recipe.parts},
    }


def _generator_key(generator: Generator) -> dict[str, str]:
    """Ninja, which nearly everybody uses, leaves the keys as they were without a choice."""
    return {} if generator == NINJA else {"generator": str(generator)}


def recipe_digest(repository: Path, recipe: Recipe) -> str:
    """Return a digest of every file of the recipe and of the modules that it includes."""
    # A folder of its own shares files with the one that bears the library's name.
    folders = [
        repository / "third_party" / name for name in dict.fromkeys((recipe.place, recipe.name))
    ]
    files = [path for folder in folders for path in walk_files(folder)]
    modules = (repository / "build_tools" / "cmake" / name for name in recipe.modules)
    return digest_of_files(repository, [*files, *modules])


def digest_of_files(root: Path, files: Iterable[Path]) -> str:
    """Return one digest of the names below ``root`` and the contents of files."""
    digest = hashlib.sha256()
    for path in files:
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _build_into(site: Site, recipe: Recipe, prefix: Path, prove: Callable[[Path], None]) -> None:
    """Configure, compile, install and prove; what a killed run has left is gone on with."""
    sources = {
        _source_entry(part.pin): site.cache.source(part.pin, site.fetcher)
        for part in (recipe.source, *recipe.parts)
    }
    # The last part of the key keeps two variants that are built at once apart.
    folder = site.config.build_dir.absolute() / "third_party" / prefix.name
    settings: dict[str, CacheValue] = {
        "CMAKE_BUILD_TYPE": str(site.config.build_type),
        "CMAKE_INSTALL_PREFIX": prefix,
        "CMAKE_INSTALL_LIBDIR": "lib",
        **sources,
        **recipe.settings,
    }
    label, log = str(recipe), f"{recipe.name}-{recipe.version}-{recipe.variant}"
    cmake = site.cmake()
    cmake.configure(
        label,
        site.repository / "third_party" / recipe.place,
        folder,
        settings,
        log=site.logs / f"{log}-configure.log",
        arguments=recipe.arguments,
        fixed=settings.keys(),
    )
    cmake.build(label, folder, jobs=site.jobs, log=site.logs / f"{log}-compile.log")
    cmake.install(label, folder, prefix, log=site.logs / f"{log}-install.log")
    prove(prefix)
    remove_tree(folder)


def _source_entry(pin: Pin) -> str:
    """Return the cache entry that a recipe reads a source's folder from."""
    return f"{pin.name.replace('-', '_').upper()}_SOURCE"
