"""Holds gradients against differences of the function itself, in float64."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

import onnxforge

if TYPE_CHECKING:
    from collections.abc import Mapping

TRAINING = "ai.onnx.preview.training"
rng = np.random.default_rng(0)


def model_of(
    nodes: list[onnx.NodeProto],
    inputs: Mapping[str, np.ndarray],
    outputs: list[str],
    constants: Mapping[str, np.ndarray] | None = None,
    opset: int = 21,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [
            helper.make_tensor_value_info(
                n, helper.np_dtype_to_tensor_dtype(v.dtype), [None] * v.ndim
            )
            for n, v in inputs.items()
        ],
        [helper.make_value_info(n, onnx.TypeProto()) for n in outputs],
        [numpy_helper.from_array(v, n) for n, v in (constants or {}).items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(TRAINING, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def gradient(
    xs: list[str], y: str, outputs: list[str], zs: list[str] | None = None, **options: Any
):
    inputs = options.pop("inputs", [*xs, *(zs or [])])
    attributes = {"xs": xs, "y": y, **({"zs": zs} if zs else {})}
    return helper.make_node("Gradient", inputs, outputs, domain=TRAINING, **attributes)


def differences(session: onnxforge.Session, feeds: dict[str, np.ndarray], name: str) -> np.ndarray:
    """d loss / d feeds[name], by central differences."""
    step = 1e-6
    out = np.zeros_like(feeds[name])
    for at in np.ndindex(*out.shape):
        values = []
        for sign in (1, -1):
            moved = np.array(feeds[name])
            moved[at] += sign * step
            values.append(float(session.run({**feeds, name: moved}, ["loss"])["loss"]))
        out[at] = (values[0] - values[1]) / (2 * step)
    return out


def check(nodes, inputs, constants=None, *, opset=21, of=None) -> None:
    """Hold the gradient of a weighted sum of `y` against differences."""
    of = list(inputs) if of is None else of
    shape = (
        onnxforge.Session(model_of(nodes, inputs, ["y"], constants, opset)).run(inputs)["y"].shape
    )
    constants = {**(constants or {}), "weights": rng.standard_normal(shape)}
    nodes = [
        *nodes,
        helper.make_node("Mul", ["y", "weights"], ["weighted"]),
        helper.make_node("ReduceSum", ["weighted"], ["loss"], keepdims=0),
    ]
    names = [f"d{name}" for name in of]
    fixed = [name for name in inputs if name not in of]
    nodes.append(gradient(of, "loss", names, fixed))
    model = model_of(nodes, inputs, ["loss", *names], constants, opset)
    sessions = [onnxforge.Session(model, optimize=optimize) for optimize in (True, False)]
    expect = {name: differences(sessions[0], dict(inputs), name) for name in of}
    for session in sessions:
        found = session.run(inputs)
        for name, expected in expect.items():
            assert found[f"d{name}"].dtype == inputs[name].dtype
            np.testing.assert_allclose(found[f"d{name}"], expected, rtol=1e-6, atol=1e-7)


def node(op_type: str, inputs: list[str], **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op_type, inputs, ["y"], **attributes)


def real(*shape: int) -> np.ndarray:
    return np.asarray(rng.standard_normal(shape))


def positive(*shape: int) -> np.ndarray:
    return np.asarray(rng.random(shape) + 0.5)
