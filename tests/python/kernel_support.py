"""One-node models: how the kernels are tested through the public API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TypeProto, ValueInfoProto, helper, numpy_helper

import onnxforge

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

TIERS = ("reference", "auto")
"""Every kernel is tested in the oracle's tier and in the one that sessions take by default."""


def run_op(
    op_type: str,
    inputs: Sequence[np.ndarray | None],
    attributes: Mapping[str, Any] | None = None,
    *,
    opset: int = 21,
    domain: str = "",
    outputs: int = 1,
    tier: str = "reference",
    constants: Collection[int] = (),
) -> list[Any]:
    """Run one node on arrays (None: an input left out) and return its outputs.

    `constants`: the inputs that the model holds as initializers, so that a kernel is made for their
    values.
    """
    names = [f"x{i}" if value is not None else "" for i, value in enumerate(inputs)]
    results = [f"y{i}" for i in range(outputs)]
    node = helper.make_node(op_type, names, results, domain=domain, **(attributes or {}))
    values = {name: value for name, value in zip(names, inputs, strict=True) if value is not None}
    held = {f"x{i}" for i in constants}
    feeds = {name: value for name, value in values.items() if name not in held}
    graph = helper.make_graph(
        [node],
        "one_node",
        [_value_info(name, value) for name, value in feeds.items()],
        [_unknown(name) for name in results],
        [numpy_helper.from_array(values[name], name) for name in held & set(values)],
    )
    opsets = [helper.make_opsetid("", opset)]
    if domain:
        opsets = [helper.make_opsetid("", 21), helper.make_opsetid(domain, opset)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    found = onnxforge.Session(model, tier=tier).run(feeds)
    return [found[name] for name in results]


def _value_info(name: str, value: np.ndarray) -> ValueInfoProto:
    dtype = np.dtype(object) if value.dtype.kind in "OUS" else value.dtype
    return helper.make_tensor_value_info(
        name, helper.np_dtype_to_tensor_dtype(dtype), [None] * value.ndim
    )


def _unknown(name: str) -> ValueInfoProto:
    return helper.make_value_info(name, TypeProto())
