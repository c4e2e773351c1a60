"""A compiler cache in front of the compiler: used where one is installed, named or ruled out."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from build_tools.errors import ToolchainError

if TYPE_CHECKING:
    from build_tools.host import Host
    from build_tools.record import Record
    from build_tools.toolchain.model import Toolchain

AUTO, OFF = "auto", "off"
_KNOWN = ("ccache", "sccache")
# Precompiled headers are not kept otherwise; neither setting concerns what a compiler makes here,
# where no source asks for the time.
_SLOPPINESS = "pch_defines,time_macros"
_PROJECT = Path(__file__).resolve().parents[2]
"""Paths below it are taken relative, so that a clone in another folder finds the same objects."""


def with_compiler_cache(
    toolchain: Toolchain, asked: str, asked_by: str, host: Host, record: Record
) -> Toolchain:
    """Return the toolchain with a compiler cache, as asked, and record which.

    A launcher that was named with the compiler (CC="ccache gcc") stays. Raises ToolchainError for
    one that was named and is not there.
    """
    compiler = toolchain.compiler
    if compiler.launcher:
        record.decide("compiler cache", str(compiler.launcher), "named with the compiler")
        return toolchain
    found = None if asked == OFF else _find(asked, host)
    if found is None:
        why = "ruled out" if asked == OFF else f"neither {' nor '.join(_KNOWN)} is installed"
        record.decide("compiler cache", "none", why, asked_by)
        return toolchain
    why = "asked for" if asked != AUTO else "it is installed; --compiler-cache off rules it out"
    record.decide("compiler cache", str(found), why, asked_by)
    return replace(
        toolchain,
        compiler=replace(compiler, launcher=found),
        launcher_environment=_environment(found, toolchain, host),
    )


def _find(asked: str, host: Host) -> Path | None:
    # A package of the index lies beside the builder's Python, which need not be on PATH.
    beside = str(host.python.executable.parent)
    path = host.path_separator.join([host.environ.get("PATH", ""), beside])
    for name in _KNOWN if asked == AUTO else (asked,):
        found = shutil.which(name, path=path)
        if found:
            return Path(found)
    if asked == AUTO:
        return None
    raise ToolchainError(
        f"there is no compiler cache {asked!r}",
        looked=[f"PATH and {beside}: no program {asked}"],
        fix=["install it", f"or --compiler-cache {AUTO}, or {OFF}"],
    )


def _environment(program: Path, toolchain: Toolchain, host: Host) -> dict[str, str]:
    """Return what ccache has to be told, unless the user has told it."""
    if program.stem != "ccache":
        return {}
    # What a file includes is read from the list that the compiler writes of it, and not found by
    # running the preprocessor first: a twentieth of the time of a build that finds nothing.
    wanted = {
        "CCACHE_SLOPPINESS": _SLOPPINESS,
        "CCACHE_BASEDIR": str(_PROJECT),
        "CCACHE_DEPEND": "true",
    }
    if toolchain.toolchain_file:
        # It goes by the compiler's name, and the wrappers of zig are called cc and c++.
        wanted["CCACHE_COMPILERTYPE"] = "clang"
    return {name: value for name, value in wanted.items() if name not in host.environ}
