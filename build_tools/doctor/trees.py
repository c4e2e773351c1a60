"""Folders that take part in ``import`` and hold ONNX's sources instead of the installed package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from build_tools.doctor.facts import SourceTree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from build_tools.host import Host

_MARK = Path("onnx/onnx.in.proto")
_SUBMODULES = ("third_party/pybind11",)


def source_trees(host: Host, current: Path) -> Iterator[SourceTree]:
    """Yield the source trees among the current folder, the shell's and those of PYTHONPATH."""
    seen: set[Path] = set()
    for origin, folder in _folders(host, current):
        try:
            real = folder.resolve()
            is_tree = (folder / _MARK).is_file()
        except (OSError, RuntimeError):
            continue
        if is_tree and real not in seen:
            seen.add(real)
            yield describe(folder, origin)


def describe(folder: Path, origin: str) -> SourceTree:
    """Describe one tree of ONNX's sources."""
    empty = [
        name for name in _SUBMODULES if (folder / name).is_dir() and not _filled(folder / name)
    ]
    stale = folder / ".setuptools-cmake-build" / "Debug"
    return SourceTree(
        path=folder,
        origin=origin,
        empty_submodules=tuple(empty),
        stale_debug=stale if stale.is_dir() else None,
    )


def _folders(host: Host, current: Path) -> Iterator[tuple[str, Path]]:
    yield "the current folder", current
    if shell := host.environ.get("PWD"):
        yield "the shell's folder", Path(shell)
    for part in host.environ.get("PYTHONPATH", "").split(host.path_separator):
        if part:
            yield "PYTHONPATH", Path(part)


def _filled(folder: Path) -> bool:
    return next(folder.iterdir(), None) is not None
