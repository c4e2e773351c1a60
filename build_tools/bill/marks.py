"""Which third-party code a binary holds, by its own bytes; stripped ones included.

Names: run-time type information and a few messages outlive every linker and tell a library apart
from all others. Versions: the builder's own binaries carry a line for each component, made from the
component's headers (``cpp/base/include/onnxforge/base/component_mark.h``,
``cmake/UpstreamOnnx.cmake``); of other people's, abseil and zlib say theirs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from build_tools.probes import version_of_number

if TYPE_CHECKING:
    from collections.abc import Iterator

_MARK = re.compile(rb"onnxforge\.component ([a-z0-9-]+) ([0-9][0-9A-Za-z.+-]*)")

# Type information is named by the mangled name without its prefix: N6google8protobuf…E; by
# Microsoft's compiler from the inside out: .?AVMessageLite@protobuf@google@@.
_TRACES: tuple[tuple[str, re.Pattern[bytes]], ...] = (
    (
        "protobuf",
        re.compile(
            rb"N6google8protobuf11MessageLiteE|\[libprotobuf %s %s:%d\]"
            rb"|\.\?AVMessageLite@protobuf@google@@"
        ),
    ),
    ("onnx", re.compile(rb"N4onnx(?:8OpSchema|10ModelProto|14InferenceError)|\.\?AV\w+@onnx@@")),
    ("abseil-cpp", re.compile(rb"(?:N4absl\d+|@)lts_(?P<version>\d{8})(?:\d|@absl@@)")),
    ("highway", re.compile(rb"N3hwy\d|N_AVX3_ZEN4|hwy/targets\.cc")),
    ("pybind11", re.compile(rb"__pybind11_internals_v\d+")),
    ("nanobind", re.compile(rb"Critical nanobind error|N8nanobind12python_errorE")),
    ("libc++", re.compile(rb"NSt3__1\d")),
    ("zlib", re.compile(rb"inflate (?P<version>\d+(?:\.\d+)+) Copyright")),
)

KNOWN = frozenset(name for name, _ in _TRACES)
"""The components that leave a trace wherever they are."""


@dataclass(frozen=True, kw_only=True)
class Trace:
    """One component that a binary holds."""

    name: str
    """The component."""

    version: str
    """Its version, where the bytes tell; else empty."""

    evidence: str
    """The bytes that give it away."""


def traces_in(content: bytes) -> tuple[Trace, ...]:
    """Return every component that the bytes of a binary give away, each with all its versions."""
    marked = tuple(_marked(content))
    named = {trace.name for trace in marked}
    unmarked = (trace for trace in _unmarked(content) if trace.name not in named)
    return tuple(sorted((*marked, *unmarked), key=lambda trace: (trace.name, trace.version)))


def _marked(content: bytes) -> Iterator[Trace]:
    for line in sorted(set(_MARK.findall(content))):
        name, version = (part.decode("ascii") for part in line)
        if name == "protobuf":
            version = version_of_number(int(version))
        yield Trace(name=name, version=version, evidence=f"its line for {name}")


def _unmarked(content: bytes) -> Iterator[Trace]:
    for name, pattern in _TRACES:
        found = pattern.search(content)
        if found:
            version = found.groupdict().get("version") or b""
            yield Trace(
                name=name,
                version=version.decode("ascii"),
                evidence=found[0].decode("ascii", "replace"),
            )
