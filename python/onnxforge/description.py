"""What is known of a model and its values before a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._core import IoDict, SummaryDict, TypeDict


@dataclass(frozen=True, kw_only=True)
class TypeInfo:
    """The type of a value, as far as the model says."""

    kind: str
    """"tensor", "sequence", "optional", "map", "sparse_tensor" or "unknown"."""
    dtype: str | None
    """NumPy's name of the element type ("float32", "bfloat16", "str"); of a map's keys."""
    shape: tuple[int | str | None, ...] | None
    """One entry per axis: an extent, the name of one ("batch"), or None; None without a rank."""
    element: TypeInfo | None
    """What a sequence, an optional or a map holds."""
    text: str
    """The type in one line: "float32[batch, 3, ?]"."""

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, kw_only=True)
class ValueInfo(TypeInfo):
    """A graph input or output."""

    name: str

    def __str__(self) -> str:
        return f"{self.name}: {self.text}"


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A model in numbers."""

    ir_version: int
    producer: str
    opsets: dict[str, int]
    """Operator set versions by domain; "" is ai.onnx."""
    inputs: tuple[ValueInfo, ...]
    """Without those that have a default (an initialiser)."""
    outputs: tuple[ValueInfo, ...]
    operators: dict[str, int]
    """How often each operator occurs, most frequent first, bodies included."""
    nodes: int
    parameters: int
    """Elements of all initialisers."""
    parameter_bytes: int


def type_info(raw: TypeDict) -> TypeInfo:
    """A type as the engine describes it."""
    return TypeInfo(
        kind=raw["kind"],
        dtype=raw["dtype"],
        shape=raw["shape"],
        element=None if raw["element"] is None else type_info(raw["element"]),
        text=raw["text"],
    )


def value_info(raw: IoDict) -> ValueInfo:
    """A graph input or output as the engine describes it."""
    info = type_info(raw)
    return ValueInfo(
        name=raw["name"],
        kind=info.kind,
        dtype=info.dtype,
        shape=info.shape,
        element=info.element,
        text=info.text,
    )


def summary(raw: SummaryDict) -> Summary:
    """A model's numbers as the engine gives them."""
    return Summary(
        ir_version=raw["ir_version"],
        producer=raw["producer"],
        opsets=dict(raw["opsets"]),
        inputs=tuple(map(value_info, raw["inputs"])),
        outputs=tuple(map(value_info, raw["outputs"])),
        operators=dict(raw["operators"]),
        nodes=raw["nodes"],
        parameters=raw["parameters"],
        parameter_bytes=raw["parameter_bytes"],
    )
