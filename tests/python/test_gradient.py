"""Gradient: every rule against differences of the function itself, in float64."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

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
    for optimize in (True, False):
        model = model_of(nodes, inputs, ["loss", *names], constants, opset)
        session = onnxforge.Session(model, optimize=optimize)
        found = session.run(inputs)
        for name in of:
            expected = differences(session, dict(inputs), name)
            assert found[f"d{name}"].dtype == inputs[name].dtype
            np.testing.assert_allclose(found[f"d{name}"], expected, rtol=1e-6, atol=1e-7)


def node(op_type: str, inputs: list[str], **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op_type, inputs, ["y"], **attributes)


def real(*shape: int) -> np.ndarray:
    return np.asarray(rng.standard_normal(shape))


def positive(*shape: int) -> np.ndarray:
    return np.asarray(rng.random(shape) + 0.5)


@pytest.mark.parametrize(
    ("op_type", "x", "attributes"),
    [
        *((op, real(2, 3), {}) for op in ("Abs", "Cos", "Erf", "Exp", "Identity", "Neg", "Relu")),
        *((op, real(2, 3), {}) for op in ("Sigmoid", "Sin", "Softplus", "Tanh", "Transpose")),
        *((op, positive(2, 3), {}) for op in ("Log", "Reciprocal", "Sqrt")),
        ("LeakyRelu", real(2, 3), {"alpha": 0.2}),
        ("Cast", real(2, 3), {"to": TensorProto.DOUBLE}),
        ("Transpose", real(2, 3, 4), {"perm": [2, 0, 1]}),
        ("Flatten", real(2, 3, 2), {"axis": 2}),
        ("Softmax", real(2, 3, 2), {"axis": 1}),
        ("LogSoftmax", real(2, 3), {}),
        ("ReduceSum", real(2, 3), {"keepdims": 0}),
        ("ReduceMean", real(2, 3), {}),
        ("GlobalAveragePool", real(2, 3, 4), {}),
    ],
)
def test_one_variable(op_type, x, attributes):
    check([node(op_type, ["x"], **attributes)], {"x": x})


@pytest.mark.parametrize(
    "shapes", [((2, 3), (2, 3)), ((2, 3), (3,)), ((1, 3), (2, 1)), ((), (2,)), ((2, 3), (4, 1, 1))]
)
@pytest.mark.parametrize("op_type", ["Add", "Sub", "Mul", "Div", "Pow", "Sum"])
def test_two_variables_with_broadcasting(op_type, shapes):
    check([node(op_type, ["a", "b"])], {"a": positive(*shapes[0]), "b": positive(*shapes[1])})


@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("op_type", ["ReduceSum", "ReduceMean"])
def test_reductions_along_axes(op_type, keepdims):
    axes = {"axes": np.array([0, -1])}
    check([node(op_type, ["x", "axes"], keepdims=keepdims)], {"x": real(2, 3, 4)}, axes)


def test_axes_that_are_attributes():
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], axes=[1]),
        node("Squeeze", ["m"], axes=[1]),
    ]
    shape = (2, 4)
    weights = {"weights": real(*shape)}
    nodes += [
        helper.make_node("Mul", ["y", "weights"], ["weighted"]),
        helper.make_node("ReduceSum", ["weighted"], ["loss"], axes=[0, 1], keepdims=0),
        gradient(["x"], "loss", ["dx"]),
    ]
    x = real(2, 3, 4)
    session = onnxforge.Session(model_of(nodes, {"x": x}, ["loss", "dx"], weights, opset=12))
    found = session.run({"x": x})["dx"]
    np.testing.assert_allclose(found, differences(session, {"x": x}, "x"), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("shapes", [((2, 3), (3, 4)), ((5, 2, 3), (3, 4)), ((1, 2, 3), (5, 3, 2))])
def test_matmul(shapes):
    check([node("MatMul", ["a", "b"])], {"a": real(*shapes[0]), "b": real(*shapes[1])})


@pytest.mark.parametrize("transposed", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_gemm(transposed):
    a, b = real(2, 3), real(3, 4)
    feeds = {"a": a.T if transposed[0] else a, "b": b.T if transposed[1] else b, "c": real(4)}
    feeds = {name: np.ascontiguousarray(value) for name, value in feeds.items()}
    options = {"transA": transposed[0], "transB": transposed[1], "alpha": 0.5, "beta": 2.0}
    check([node("Gemm", ["a", "b", "c"], **options)], feeds)


def test_shapes():
    x = {"x": real(2, 3)}
    check([node("Reshape", ["x", "s"])], x, {"s": np.array([3, -1])})
    check([node("Unsqueeze", ["x", "s"])], x, {"s": np.array([0, 2])})
    check([node("Squeeze", ["x"])], {"x": real(2, 1, 3, 1)})
    check([node("Expand", ["x", "s"])], {"x": real(2, 1)}, {"s": np.array([4, 2, 3])})
    check([node("Concat", ["a", "b", "a"], axis=1)], {"a": real(2, 1), "b": real(2, 3)})
    check([node("Gather", ["x", "i"])], x, {"i": np.array([[0, 1], [1, -1]])})


def test_choices():
    feeds = {"a": real(2, 3), "b": real(3)}
    check([node("Where", ["c", "a", "b"])], feeds, {"c": np.array([[True], [False]])})
    limits = {"low": np.array(-0.5), "high": np.array(0.5)}
    check([node("Clip", ["a", "low", "high"])], {"a": real(4, 5)}, limits)


@pytest.mark.parametrize(
    ("spatial", "kernel", "options"),
    [
        ((5, 6), (3, 2), {}),
        ((7, 6), (3, 3), {"strides": [2, 3], "pads": [1, 0, 2, 1]}),
        ((8, 7), (2, 3), {"dilations": [2, 1], "strides": [1, 2], "pads": [1, 1, 1, 1]}),
        ((9,), (3,), {"strides": [4]}),
    ],
)
def test_conv(spatial, kernel, options):
    feeds = {"x": real(2, 3, *spatial), "w": real(4, 3, *kernel), "b": real(4)}
    check([node("Conv", ["x", "w", "b"], kernel_shape=kernel, **options)], feeds)


def test_values_that_are_used_twice_and_values_that_are_held():
    nodes = [helper.make_node("Mul", ["x", "x"], ["s"]), helper.make_node("Mul", ["s", "x"], ["c"])]
    check([*nodes, node("Add", ["c", "z"])], {"x": real(3), "z": real(3)}, of=["x"])


def test_a_value_within_the_graph():
    """The derivative with respect to what the first node makes."""
    nodes = [
        helper.make_node("Mul", ["a", "b"], ["h"]),
        helper.make_node("Exp", ["h"], ["y"]),
        gradient(["h"], "y", ["dh"]),
    ]
    feeds = {"a": real(3), "b": real(3)}
    found = onnxforge.Session(model_of(nodes, feeds, ["y", "dh"])).run(feeds)
    np.testing.assert_allclose(found["dh"], found["y"])


def test_at_another_point_than_the_graphs():
    nodes = [
        helper.make_node("Mul", ["x", "x"], ["y"]),
        gradient(["x"], "y", ["dx"], inputs=["p"]),
    ]
    feeds = {"x": real(3), "p": real(3)}
    found = onnxforge.Session(model_of(nodes, feeds, ["y", "dx"])).run(feeds)
    np.testing.assert_allclose(found["dx"], 2 * feeds["p"])
    np.testing.assert_allclose(found["y"], feeds["x"] ** 2)


def test_a_gradient_of_a_gradient():
    nodes = [
        helper.make_node("Tanh", ["x"], ["t"]),
        helper.make_node("Mul", ["t", "x"], ["y"]),
        gradient(["x"], "y", ["d"]),
        gradient(["x"], "d", ["dd"]),
        gradient(["x"], "dd", ["ddd"]),
    ]
    x = real(5)
    found = onnxforge.Session(model_of(nodes, {"x": x}, ["d", "dd", "ddd"])).run({"x": x})
    t, s = np.tanh(x), 1 / np.cosh(x) ** 2
    np.testing.assert_allclose(found["d"], s * x + t, rtol=1e-12)
    np.testing.assert_allclose(found["dd"], 2 * s - 2 * t * s * x, rtol=1e-12)
    np.testing.assert_allclose(found["ddd"], -6 * t * s - 2 * x * s * (s - 2 * t * t), rtol=1e-10)


def test_an_output_that_is_not_wanted_and_a_variable_without_effect():
    nodes = [
        helper.make_node("Neg", ["a"], ["n"]),
        helper.make_node("Mul", ["b", "floor"], ["z"]),
        helper.make_node("Floor", ["c"], ["floor"]),
        helper.make_node("Add", ["n", "z"], ["y"]),
        gradient(["a", "b", "c"], "y", ["", "db", "dc"]),
    ]
    feeds = {name: real(2) for name in "abc"}
    found = onnxforge.Session(model_of(nodes, feeds, ["db", "dc"])).run(feeds)
    np.testing.assert_array_equal(found["db"], np.floor(feeds["c"]))
    np.testing.assert_array_equal(found["dc"], [0, 0])


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        (
            [node("Acosh", ["x"]), gradient(["x"], "y", ["d"])],
            r"through Acosh \(node 'y'\).*no rule",
        ),
        (
            [node("Conv", ["x", "x"]), gradient(["x"], "y", ["d"])],
            "without the attribute 'kernel_shape'",
        ),
        ([node("Gather", ["x", "i"], axis=1), gradient(["x"], "y", ["d"])], "another axis"),
        ([node("Neg", ["x"]), gradient(["x"], "z", ["d"])], "'z' depends on none"),
        ([node("Neg", ["x"]), gradient(["x"], "y", ["d"], inputs=["x", "x"])], "2 inputs"),
        ([node("Neg", ["x"]), gradient(["x"], "y", ["d", "e"])], "2 outputs"),
        ([node("Add", ["x", "y"]), gradient(["x"], "y", ["d"])], "."),
    ],
    ids=["no rule", "form", "axis", "independent", "inputs", "outputs", "circle"],
)
def test_what_cannot_be_differentiated_is_named(nodes, said):
    feeds = {"x": positive(2, 2), "i": np.array([0])}
    with pytest.raises(onnxforge.Error, match=said):
        onnxforge.Session(model_of(nodes, feeds, ["d"]))
