"""What this build is made of."""

from __future__ import annotations

from dataclasses import dataclass

from . import _core
from ._version import __version__


@dataclass(frozen=True, kw_only=True)
class BuildInfo:
    """Versions and abilities of the engine in use."""

    version: str
    onnx: str
    """Of the ONNX library that is linked in."""
    protobuf: str
    compiler: str
    tiers: tuple[str, ...]
    """Names that `Session(tier=…)` takes on this machine."""
    passes: tuple[str, ...]
    """Rewrites of the graph, in order: what `Session(disable_passes=…)` may name."""


def build_info() -> BuildInfo:
    """Describe the engine in use."""
    raw = _core.build_info()
    return BuildInfo(
        version=__version__,
        onnx=raw["onnx"],
        protobuf=raw["protobuf"],
        compiler=raw["compiler"],
        tiers=tuple(raw["tiers"]),
        passes=tuple(raw["passes"]),
    )
