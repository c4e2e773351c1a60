"""Models of one node or a few, with sequences and bodies, for the property tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import GraphProto, NodeProto, TypeProto, ValueInfoProto, helper, numpy_helper

import onnxforge

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


def type_of(value: Any, dtype: np.dtype | None = None) -> TypeProto:
    """The type of an array, or of a list of arrays; an empty list needs `dtype` for it."""
    if isinstance(value, list):
        return helper.make_sequence_type_proto(type_of(value[0]) if value else any_shape(dtype))
    return any_shape(np.asarray(value).dtype, np.ndim(value))


def any_shape(dtype: np.dtype | None, rank: int | None = None) -> TypeProto:
    """A tensor type whose extents are open."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return helper.make_tensor_type_proto(kind, None if rank is None else [None] * rank)


def named(name: str, kind: TypeProto | None = None) -> ValueInfoProto:
    return helper.make_value_info(name, TypeProto() if kind is None else kind)


def graph(
    nodes: Sequence[NodeProto],
    inputs: Mapping[str, TypeProto],
    outputs: Mapping[str, TypeProto] | Sequence[str],
) -> GraphProto:
    """A graph; outputs without types are found out."""
    kinds = outputs if isinstance(outputs, Mapping) else dict.fromkeys(outputs)
    results = [named(name, kind) for name, kind in kinds.items()]
    return helper.make_graph(nodes, "g", [named(*item) for item in inputs.items()], results)


def run_graph(
    body: GraphProto, feeds: Mapping[str, Any], *, opset: int, tier: str, domain: str = ""
) -> list[Any]:
    opsets = [helper.make_opsetid("", 21 if domain else opset)]
    opsets += [helper.make_opsetid(domain, opset)] if domain else []
    model = helper.make_model(body, opset_imports=opsets, ir_version=10)
    return list(onnxforge.Session(model, tier=tier).run(dict(feeds)).values())


def run_node(
    op_type: str,
    inputs: Sequence[Any],
    attributes: Mapping[str, Any] | None = None,
    *,
    opset: int = 21,
    domain: str = "",
    outputs: Sequence[str] = ("y0",),
    tier: str = "reference",
    constants: Collection[int] = (),
) -> list[Any]:
    """Run one node on arrays and lists of arrays (None: left out), some of them initializers."""
    names = [f"x{i}" if value is not None else "" for i, value in enumerate(inputs)]
    node = helper.make_node(op_type, names, outputs, domain=domain, **(attributes or {}))
    fixed = {names[i]: inputs[i] for i in constants if inputs[i] is not None}
    feeds = {n: v for n, v in zip(names, inputs, strict=True) if v is not None and n not in fixed}
    body = graph([node], {n: type_of(v) for n, v in feeds.items()}, [o for o in outputs if o])
    body.initializer.extend(numpy_helper.from_array(v, n) for n, v in fixed.items())
    return run_graph(body, feeds, opset=opset, tier=tier, domain=domain)
