"""Compiled modules in a Python environment that carry ONNX or protobuf into every process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from build_tools.binaries import contains, dynamic_facts
from build_tools.doctor.facts import Extension
from build_tools.errors import LinkageError
from build_tools.symbols import exported_symbols

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGES = (
    *("onnx", "onnxoptimizer", "onnxsim", "onnxruntime", "sentencepiece", "google", "torch"),
    *("tensorflow", "paddle", "paddle2onnx", "onnx_tool", "tensorrt", "onnxruntime_extensions"),
)
"""The folders of packages that are known to carry one of the two."""

_MARKS = ("4onnx", "6google8protobuf", "4absl")
_SUFFIXES = (".so", ".pyd", ".dylib")
_PROTO = b"onnx/onnx-ml.proto"
_LARGEST = 48 << 20  # reading the table of a bigger one would take longer than the rest together
_DEPTH = 3


def extensions(site_packages: Path) -> Iterator[Extension]:
    """Yield the compiled modules of the known packages that are installed."""
    for package in PACKAGES:
        folder = site_packages / package
        if folder.is_dir():
            for path in _binaries(folder, _DEPTH):
                found = _describe(package, path)
                if found is not None:
                    yield found


def _binaries(folder: Path, depth: int) -> Iterator[Path]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            if depth > 1:
                yield from _binaries(Path(entry.path), depth - 1)
        elif entry.name.endswith(_SUFFIXES) and entry.stat().st_size <= _LARGEST:
            yield Path(entry.path)


def _describe(package: str, path: Path) -> Extension | None:
    """Describe one module; None for one that has to do with neither."""
    try:
        marked, described = contains(path, b"google8protobuf", _PROTO)
        if not (marked or described or contains(path, b"4onnx")[0]):
            return None
        names = exported_symbols(path)
        needed = [name for name in dynamic_facts(path).needed if "protobuf" in name.lower()]
    except (LinkageError, OSError, ValueError):
        return None
    return Extension(
        package=package,
        path=path,
        shared_names=frozenset(name for name in names if any(mark in name for mark in _MARKS)),
        needs_protobuf=next(iter(needed), ""),
        holds_onnx_proto=described,
    )
