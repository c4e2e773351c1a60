"""A real site (compiler, cache, fetcher) with a chosen command line and environment."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from build_tools.cache import Cache
from build_tools.config import BuildConfig
from build_tools.context import Context
from build_tools.fetch import Fetcher
from build_tools.host import detect_host
from build_tools.pins import load_pins
from build_tools.process import SystemRunner
from build_tools.recipe import Site
from build_tools.record import Record
from build_tools.sources import resolve
from build_tools.target import native_target
from build_tools.toolchain import Toolchain, find_toolchain
from build_tools.tools import find_tools

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

# Settings of the developer's shell that would change what is tested.
_FOREIGN = ("ONNX", "CMAKE", "CONDA", "CC", "CXX", "Protobuf", "LDFLAGS", "CPPFLAGS", "CPATH")


def clean_environment(**changes: str) -> dict[str, str]:
    """The environment without anything that steers a build, with some variables set."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(_FOREIGN)}
    return {**kept, **changes}


@cache
def toolchain(compiler: str | None, cache_dir: Path) -> Toolchain:
    """A real compiler, probed once in a run of the tests."""
    host = detect_host(clean_environment())
    return find_toolchain(compiler, host, SystemRunner(), Record(), cache_dir)


def make_site(
    folder: Path,
    *arguments: str | Path,
    environ: Mapping[str, str] | None = None,
    compiler: str | None = None,
    cache_dir: Path | None = None,
    probed: Path | None = None,
    runner: SystemRunner | None = None,
) -> Site:
    """A site whose cache and build folders are below ``folder`` unless given.

    ``probed`` is where the compiler's probes are remembered.
    """
    kept = cache_dir or folder / "cache"
    folders: Sequence[str] = ("--cache-dir", str(kept), "--build-dir", str(folder / "build"))
    environment = clean_environment(**(environ or {}))
    resolved = resolve([*folders, *map(str, arguments)], environment, {})
    host = replace(detect_host(environment), cpus=2)
    context = Context(host=host, runner=runner or SystemRunner(), record=Record())
    return Site(
        resolved=resolved,
        context=context,
        toolchain=toolchain(compiler, probed or kept),
        tools=find_tools(BuildConfig(), host, context.runner),
        jobs=2,
        cache=Cache.create(resolved.config, context),
        fetcher=Fetcher.create(resolved.config, context),
        pins=load_pins(),
        target=native_target(host),
    )
