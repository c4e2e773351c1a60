"""What the engine can run, operator version by operator version."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from . import _core


class Support(str, Enum):
    """How a node of an operator version is run."""

    KERNEL = "kernel"
    """By a kernel of the engine."""

    FUNCTION = "function body"
    """As a graph: the one that the ONNX standard gives, or for a contributed operator our own."""

    MISSING = "missing"
    """Not at all: a model that holds one is refused when a session is made."""


@dataclass(frozen=True)
class OperatorInfo:
    """One operator version of the ONNX schema registry, or a contributed operator."""

    domain: str
    """`""` is ai.onnx."""

    op_type: str
    since_version: int
    """The opset that introduced this version."""

    deprecated: bool
    """Whether the standard withdrew the operator with this version."""

    support: Support


def operators() -> tuple[OperatorInfo, ...]:
    """Return every operator version that ONNX knows, and the contributed ones that run here.

    They are in the order of domain, name and version.
    """
    rows = (
        OperatorInfo(
            domain=row["domain"],
            op_type=row["op_type"],
            since_version=row["since_version"],
            deprecated=row["deprecated"],
            support=_support(kernel=row["has_kernel"], function=row["has_function_body"]),
        )
        for row in _core.operators()
    )
    return tuple(sorted(rows, key=lambda row: (row.domain, row.op_type, row.since_version)))


def _support(*, kernel: bool, function: bool) -> Support:
    if kernel:
        return Support.KERNEL
    return Support.FUNCTION if function else Support.MISSING
