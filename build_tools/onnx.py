"""Upstream's ONNX C++ library: unpatched, on lite protobuf, as a cached prefix, and proved."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from build_tools import probes
from build_tools.errors import CompileError, LinkageError
from build_tools.fetch import resolve
from build_tools.protobuf.provide import cmake_arguments
from build_tools.recipe import Recipe, build_prefix
from build_tools.storage import sha256_of
from build_tools.toolchain.dialect import MSVC_DIALECT
from build_tools.toolchain.families import traits_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from build_tools.protobuf.model import ProtobufInstall
    from build_tools.recipe import Site

_RECIPE_MODULES = (
    "LibraryFile.cmake",
    "Options.cmake",
    "Protobuf.cmake",
    "Reproducible.cmake",
    "ThirdParty.cmake",
)
_LIBRARY, _MESSAGES = "onnx", "onnx_proto"
"""The first holds what the second does, too: upstream builds both from the same objects."""

_PARTS = (
    "lib/cmake/ONNX/ONNXTargets.cmake",
    "include/onnx/onnx_pb.h",
    "include/onnx/checker.h",
)
_FILE = Path("share/onnxforge/onnx.json")


@dataclass(frozen=True, kw_only=True)
class OnnxInstall:
    """ONNX's C++ library, installed."""

    prefix: Path
    """The folder with include/ and lib/."""

    version: str
    """The release."""

    protobuf: ProtobufInstall
    """The protobuf that it was built on, and that its users must be linked with."""

    key: str
    """What it was built from and how, as a digest."""

    hit: bool
    """Whether an earlier run had built it."""


def provide_onnx(site: Site, protobuf: ProtobufInstall) -> OnnxInstall:
    """Return ONNX's C++ library on ``protobuf``, built when it is not in the cache.

    Raises LinkageError or CompileError where the result is not what it must be, and what fetching
    and building raise.
    """
    record = site.context.record
    asked = site.config.onnx_version
    source = resolve(site.pins, "onnx", site.fetcher, asked)
    recipe = Recipe(
        name="onnx",
        source=source,
        variant=str(protobuf.linkage),
        settings={
            "ONNXFORGE_PROTOBUF_PREFIX": protobuf.root,
            "ONNX_USE_PROTOBUF_SHARED_LIBS": protobuf.use_shared_libs,
            # CMake must not pick an interpreter of its own: it only runs ONNX's proto generator.
            "Python3_EXECUTABLE": site.context.host.python.executable,
            "Python_EXECUTABLE": site.context.host.python.executable,
            **({} if site.target.joins_files else {"ONNX_USE_UNITY_BUILD": False}),
        },
        modules=_RECIPE_MODULES,
        arguments=cmake_arguments(site.config, "ONNXFORGE_PROTOBUF_PREFIX"),
        built_on={"protobuf": protobuf_identity(protobuf)},
    )
    origin = site.resolved.origins["onnx_version"]
    record.decide("ONNX", f"{source.pin}, unpatched, on lite protobuf", source.reason, origin)

    def prove(prefix: Path) -> None:
        evidence = _prove(site, prefix, recipe, protobuf)
        file = prefix / _FILE
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"needed": evidence}), encoding="utf-8")

    prefix = build_prefix(site, recipe, prove)
    known = json.loads((prefix.path / _FILE).read_text(encoding="utf-8"))
    record.prove(
        f"ONNX: all of it links into a shared object on {protobuf.linkage} protobuf",
        known["needed"],
    )
    return OnnxInstall(
        prefix=prefix.path,
        version=source.pin.version,
        protobuf=protobuf,
        key=prefix.key,
        hit=prefix.hit,
    )


def protobuf_identity(protobuf: ProtobufInstall) -> str:
    """Return what tells one protobuf from another, whatever folder it lies in next time."""
    parts = (protobuf.version, protobuf.linkage.value, str(protobuf.root))
    return " ".join([*parts, sha256_of(protobuf.lite_library)])


def _prove(site: Site, prefix: Path, recipe: Recipe, protobuf: ProtobufInstall) -> str:
    """Check the parts and link all of it into a shared object; return what that then needs."""
    library, messages = (f"lib/{_file_name(site, name)}" for name in (_LIBRARY, _MESSAGES))
    parts = (library, messages, *_PARTS)
    missing = [part for part in parts if not (prefix / part).is_file()]
    if missing:
        raise CompileError(
            f"{recipe} was built, but parts of it are missing",
            looked=[f"{prefix / part}: not there" for part in missing],
            fix="take out of CMAKE_ARGS what changes the parts of ONNX that are built or installed",
        )
    with site.context.record.step(f"{recipe}: prove"):
        finding = probes.links_into_extension(prefix / library, protobuf.lite_library, site.bench())
    if not finding.ok:
        raise LinkageError(
            f"{recipe} cannot be linked into a Python extension with {protobuf}",
            looked=[finding.evidence],
            fix="take flags that change how code is generated out of CXXFLAGS and CMAKE_ARGS",
        )
    check_needed(finding.value.split(), protobuf, f"an extension of all of {recipe}")
    return finding.evidence


def _file_name(site: Site, library: str) -> str:
    """Return what CMake calls a static library made by the compiler at hand."""
    msvc = traits_of(site.toolchain.compiler.family).dialect is MSVC_DIALECT
    return f"{library}.lib" if msvc else f"lib{library}.a"


def check_needed(needed: Sequence[str], protobuf: ProtobufInstall, what: str) -> None:
    """Hold what a binary needs at run time against the linkage; raises LinkageError.

    A protobuf library must be needed exactly when the protobuf is a shared one, and by its name.
    """
    expected = {library.name for library in protobuf.runtime_libraries}
    found = {name for name in needed if "protobuf" in name.lower()}
    if found != expected:
        raise LinkageError(
            f"{what} is not linked as decided: {protobuf.linkage}",
            looked=[
                f"needed at run time: {', '.join(needed) or 'nothing'}",
                f"expected of protobuf: {', '.join(sorted(expected)) or 'nothing'}",
            ],
            fix="see which library the linker took: --verbose shows its command line",
        )
