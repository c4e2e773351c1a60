"""Gradient: every rule against differences of the function itself, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

import onnxforge
from tests.python.gradient_checks import (
    check,
    differences,
    gradient,
    model_of,
    node,
    positive,
    real,
)


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
        ("GlobalMaxPool", real(2, 3, 4), {}),
        *((op, real(2, 3), {}) for op in ("Asinh", "Atan", "Cosh", "Sinh", "Softsign", "Tan")),
        *((op, real(2, 3) / 9, {}) for op in ("Acos", "Asin", "Atanh")),
        ("Acosh", positive(2, 3) + 1, {}),
        *((op, real(3, 4), {"alpha": 0.7}) for op in ("Celu", "Elu", "ThresholdedRelu")),
        *((op, real(3, 4), {}) for op in ("Gelu", "Mish", "Selu", "Softplus")),
        ("Gelu", real(3, 4), {"approximate": "tanh"}),
        *((op, 4 * real(4, 5), {}) for op in ("HardSigmoid", "HardSwish", "Shrink")),
        ("HardSigmoid", real(3, 4), {"alpha": 0.4, "beta": 0.3}),
        ("Shrink", real(4, 5), {"lambd": 0.3, "bias": 0.1}),
        ("LpNormalization", real(3, 4), {}),
        ("LpNormalization", real(3, 4), {"axis": 0, "p": 1}),
        ("DepthToSpace", real(1, 8, 2, 3), {"blocksize": 2, "mode": "CRD"}),
        ("SpaceToDepth", real(1, 2, 4, 6), {"blocksize": 2}),
        ("Dropout", real(3, 4), {}),
        ("Trilu", real(2, 4, 5), {"upper": 0}),
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


@pytest.mark.parametrize(
    ("op_type", "x"),
    [
        *((op, real(2, 3, 4)) for op in ("ReduceL1", "ReduceL2", "ReduceLogSumExp")),
        *((op, real(2, 3, 4)) for op in ("ReduceMax", "ReduceMin", "ReduceSumSquare")),
        ("ReduceLogSum", positive(2, 3, 4)),
        ("ReduceProd", real(2, 3, 4)),
        ("ReduceProd", real(2, 3, 4) * (real(2, 3, 4) > -0.7)),
    ],
)
@pytest.mark.parametrize("keepdims", [0, 1])
def test_other_reductions(op_type, x, keepdims):
    check([node(op_type, ["x"], keepdims=keepdims)], {"x": x})
    check([node(op_type, ["x", "axes"], keepdims=keepdims)], {"x": x}, {"axes": np.array([0, -1])})


@pytest.mark.parametrize("op_type", ["ReduceMax", "ReduceSumSquare"])
def test_reductions_whose_axes_are_an_attribute(op_type):
    check([node(op_type, ["x"], axes=[1], keepdims=0)], {"x": real(2, 3, 4)}, opset=12)


@pytest.mark.parametrize("op_type", ["Max", "Mean", "Min"])
def test_several_variables(op_type):
    check([node(op_type, ["a", "b", "c"])], {"a": real(2, 3), "b": real(3), "c": real(4, 1, 1)})


def test_those_that_are_equal_share_a_maximum():
    nodes = [node("Max", ["a", "b"]), gradient(["a", "b"], "y", ["da", "db"])]
    feeds = {"a": np.array([1.0, 2.0]), "b": np.array([1.0, 5.0])}
    found = onnxforge.Session(model_of(nodes, feeds, ["da", "db"])).run(feeds)
    np.testing.assert_array_equal(found["da"], [0.5, 0])
    np.testing.assert_array_equal(found["db"], [0.5, 1])


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("ij,jk->ik", [(2, 3), (3, 4)]),
        ("bij,bjk->bik", [(2, 2, 3), (2, 3, 4)]),
        ("bij,bjk->bik", [(1, 2, 3), (2, 3, 4)]),
        ("bqhd,bkhd->bhqk", [(2, 2, 3, 2), (2, 3, 3, 2)]),
        ("ij->i", [(2, 3)]),
        ("i,j,ij->", [(2,), (3,), (2, 3)]),
    ],
)
def test_einsum(equation, shapes):
    names = ["a", "b", "c"][: len(shapes)]
    feeds = {name: real(*shape) for name, shape in zip(names, shapes, strict=True)}
    check([node("Einsum", names, equation=equation)], feeds)


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("ij,jk", [(2, 3), (3, 4)]),
        ("ba", [(2, 3)]),
        ("...ij,...jk->...ik", [(2, 2, 3), (3, 4)]),
        ("...ij,...jk", [(2, 1, 2, 3), (4, 3, 2)]),
        ("i...j,j->...i", [(2, 4, 3), (3,)]),
        ("i...j,...jk->k...i", [(2, 4, 3), (2, 1, 3, 2)]),
        ("i...,i->i...", [(2, 3), (2,)]),
    ],
)
def test_einsum_without_an_arrow_or_with_dots(equation, shapes):
    feeds = {name: real(*shape) for name, shape in zip("ab", shapes, strict=False)}
    check([node("Einsum", list(feeds), equation=equation)], feeds)


def test_einsum_along_a_diagonal_is_refused():
    nodes = [node("Einsum", ["x"], equation="ii->i"), gradient(["x"], "y", ["d"])]
    with pytest.raises(onnxforge.Error, match="derivative of Einsum along a diagonal"):
        onnxforge.Session(model_of(nodes, {"x": real(2, 2)}, ["d"]))


@pytest.mark.parametrize("op_type", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("axis", [None, 0, 2, -2])
def test_softmax_that_takes_several_axes_for_one(op_type, axis):
    attributes = {} if axis is None else {"axis": axis}
    check([node(op_type, ["x"], **attributes)], {"x": real(2, 3, 2)}, opset=12)


@pytest.mark.parametrize("sign", [1, -1])
def test_mod(sign):
    feeds = {"x": 5 * real(3, 4), "m": sign * (positive(4) + 1)}
    check([node("Mod", ["x", "m"], fmod=1)], feeds)


def test_range():
    feeds = {"a": np.array(0.5), "b": np.array(4.3), "c": np.array(0.7)}
    check([node("Range", ["a", "b", "c"])], feeds)


def test_bounds_of_clip():
    feeds = {"x": real(4, 5), "low": np.array(-0.6), "high": np.array(0.4)}
    check([node("Clip", list(feeds))], feeds)
    check([node("Clip", ["x", "", "high"])], {k: feeds[k] for k in ("x", "high")})
    check([node("Clip", ["x", "low"])], {k: feeds[k] for k in ("x", "low")})
    crossed = {"x": real(4, 5), "low": np.array(0.6), "high": np.array(-0.4)}
    check([node("Clip", list(crossed))], crossed)


def test_what_a_pad_fills_in():
    feeds = {"x": real(2, 3), "value": np.array(0.7)}
    check([node("Pad", ["x", "pads", "value"])], feeds, {"pads": whole(1, -1, 0, 2)})


@pytest.mark.parametrize("axis", [-1, 0])
def test_the_values_of_one_hot(axis):
    constants = {"i": np.array([[0, 2, 5], [1, -1, 1]]), "n": np.array(3)}
    check([node("OneHot", ["i", "n", "v"], axis=axis)], {"v": real(2)}, constants)


@pytest.mark.parametrize("mode", ["linear", "circular"])
def test_a_cache_that_is_written_to(mode):
    feeds = {"past": real(2, 1, 5, 2), "new": real(2, 1, 2, 2)}
    at = {"at": np.array([1, 3 if mode == "linear" else 4])}
    check([node("TensorScatter", ["past", "new", "at"], mode=mode)], feeds, at, opset=24)


@pytest.mark.parametrize("trains", [True, False])
def test_dropout_that_is_told_whether_to_train(trains):
    dropped = helper.make_node("Dropout", ["x", "ratio", "t"], ["y", "mask"], seed=3)
    nodes = [dropped, gradient(["x"], "y", ["d"])]
    constants = {"ratio": np.array(0.3), "t": np.array(trains)}
    feeds = {"x": positive(5, 8)}
    found = onnxforge.Session(model_of(nodes, feeds, ["y", "d"], constants)).run(feeds)
    np.testing.assert_allclose(found["d"], found["y"] / feeds["x"])
    assert (found["y"] == 0).any() == trains
    dropped.output.pop()
    with pytest.raises(onnxforge.Error, match="without its second output, the mask"):
        onnxforge.Session(model_of(nodes, feeds, ["d"], constants))


def test_batch_normalization_in_training():
    feeds = {"x": real(2, 3, 4), "s": real(3), "b": real(3)}
    constants = {"m": real(3), "v": positive(3)}
    batch = helper.make_node("BatchNormalization", [*feeds, *constants], ["y", "rm", "rv"],
                             epsilon=0.01, training_mode=1)  # fmt: skip
    check([batch], feeds, constants)
    nodes = [batch, gradient(["x"], "rm", ["d"], ["s", "b"])]
    with pytest.raises(onnxforge.Error, match="of BatchNormalization but of its first output"):
        onnxforge.Session(model_of(nodes, feeds, ["d"], constants))


def test_prelu():
    check([node("PRelu", ["x", "s"])], {"x": real(2, 3, 4), "s": real(3, 1)})


def test_swish():
    check([node("Swish", ["x"], alpha=0.7)], {"x": real(3, 4)}, opset=24)


@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
def test_cumulative_sums(exclusive, reverse):
    options = {"exclusive": exclusive, "reverse": reverse}
    check([node("CumSum", ["x", "axis"], **options)], {"x": real(2, 4)}, {"axis": np.array(1)})


def whole(*values: int) -> np.ndarray:
    return np.array(values)


@pytest.mark.parametrize(
    ("op_type", "constants", "attributes"),
    [
        ("Slice", [whole(3, 1), whole(0, 4), whole(0, 1), whole(-2, 1)], {}),
        ("Slice", [whole(1), whole(-1)], {}),
        ("Tile", [whole(2, 3)], {}),
        ("Pad", [whole(1, 0, 2, 3)], {}),
        ("Pad", [whole(-1, 0, 2, -1), np.array(7.0)], {}),
        ("Pad", [whole(1, 2, 2, 3)], {"mode": "reflect"}),
        ("Pad", [whole(1, 0, 2, 3)], {"mode": "edge"}),
        ("Gather", [np.array([[4, 0], [1, -1]])], {"axis": 1}),
        ("GatherElements", [np.array([[0, 3], [1, 1], [-1, 0]])], {"axis": 1}),
        ("GatherND", [np.array([[0, 4], [3, 1], [0, 4]])], {}),
        ("Compress", [np.array([True, False, True])], {"axis": 0}),
        ("ReverseSequence", [whole(2, 4, 1, 3, 4)], {}),
        ("CenterCropPad", [whole(2, 7)], {}),
        ("Trilu", [np.array(1)], {}),
        ("Resize", ["", np.array([2.0, 1.5], np.float32)], {}),
        ("Resize", ["", "", whole(2, 8)], {"nearest_mode": "floor"}),
    ],
)
def test_selections(op_type, constants, attributes):
    named = {f"c{i}": value for i, value in enumerate(constants) if not isinstance(value, str)}
    inputs = ["x", *(f"c{i}" if f"c{i}" in named else "" for i in range(len(constants)))]
    check([node(op_type, inputs, **attributes)], {"x": real(4, 5)}, named)


def test_slices_whose_places_are_attributes():
    check([node("Slice", ["x"], starts=[1], ends=[3], axes=[1])], {"x": real(2, 4)}, opset=9)


def test_outputs_of_which_one_some_or_all_are_used():
    for used in (["p"], ["q", "r"], ["r", "p", "q", "p"]):
        split = helper.make_node("Split", ["x", "sizes"], ["p", "q", "r"], axis=1)
        nodes = [split, node("Concat", used, axis=1)]
        check(nodes, {"x": real(2, 6)}, {"sizes": whole(1, 3, 2)})


@pytest.mark.parametrize("largest", [0, 1])
def test_the_largest(largest):
    top = helper.make_node("TopK", ["x", "k"], ["y", "i"], axis=0, largest=largest)
    check([top], {"x": real(5, 3)}, {"k": whole(2)})


@pytest.mark.parametrize("options", [{}, {"sorted": 0}, {"axis": 0}, {"axis": -1, "sorted": 0}])
def test_the_first_of_those_that_are_equal(options):
    check([node("Unique", ["x"], **options)], {"x": real(3, 4)})


def test_those_that_are_equal_to_an_earlier_one_get_nothing():
    feeds = {"x": np.array([2.0, 1, 2, 1, 3]), "w": np.array([10.0, 20, 30])}
    nodes = [
        helper.make_node("Unique", ["x"], ["u", "", "inverse"]),
        node("Mul", ["u", "w"]),
        gradient(["x"], "y", ["d"], ["w"]),
    ]
    found = onnxforge.Session(model_of(nodes, feeds, ["d"])).run(feeds)["d"]
    np.testing.assert_array_equal(found, [20, 10, 0, 0, 30])


@pytest.mark.parametrize("reduction", ["none", "add"])
def test_scatters(reduction):
    constants = {"i": np.array([[0, 2], [1, 0]])}
    feeds = {"x": real(3, 2), "u": real(2, 2)}
    options = {"axis": 0, "reduction": reduction}
    check([node("ScatterElements", ["x", "i", "u"], **options)], feeds, constants)
    rows = {"i": np.array([[2], [0]])}
    check([node("ScatterND", ["x", "i", "u"], reduction=reduction)], feeds, rows)


def test_a_scatter_that_multiplies_is_refused():
    nodes = [node("ScatterND", ["x", "i", "x"], reduction="mul"), gradient(["x"], "y", ["d"])]
    with pytest.raises(onnxforge.Error, match="derivative of ScatterND with the reduction 'mul'"):
        onnxforge.Session(model_of(nodes, {"x": real(2), "i": np.array([[0], [1]])}, ["d"]))


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_shape": [2, 3]},
        {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 2, 1]},
        {"kernel_shape": [2, 2], "dilations": [2, 1], "pads": [1, 1, 0, 0], "strides": [3, 2]},
    ],
)
@pytest.mark.parametrize("op_type", ["MaxPool", "AveragePool", "counting the padding"])
def test_pools(op_type, options):
    if op_type == "counting the padding":
        op_type, options = "AveragePool", {**options, "count_include_pad": 1}
    check([node(op_type, ["x"], **options)], {"x": real(2, 2, 5, 6)})


def test_a_pool_that_rounds_up():
    options = {"kernel_shape": [2], "strides": [2], "ceil_mode": 1}
    check([node("MaxPool", ["x"], **options)], {"x": real(2, 2, 5)})


@pytest.mark.parametrize("group", [2, 4])
@pytest.mark.parametrize("options", [{}, {"strides": [2, 1], "pads": [1, 1, 0, 2]}])
def test_conv_in_groups(group, options):
    feeds = {"x": real(2, 4, 5, 6), "w": real(8, 4 // group, 3, 2), "b": real(8)}
    attributes = {"kernel_shape": [3, 2], "group": group, **options}
    check([node("Conv", ["x", "w", "b"], **attributes)], feeds)


@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"strides": [2, 3], "pads": [1, 0, 0, 1], "output_padding": [1, 2]},
        {"strides": [2, 1], "dilations": [1, 2]},
    ],
)
def test_conv_transpose(group, options):
    feeds = {"x": real(2, 4, 3, 4), "w": real(4, 2, 3, 2), "b": real(2 * group)}
    attributes = {"kernel_shape": [3, 2], "group": group, **options}
    check([node("ConvTranspose", ["x", "w", "b"], **attributes)], feeds)


@pytest.mark.parametrize("axis", [-1, -2, 1])
@pytest.mark.parametrize("bias", [True, False])
def test_layer_normalization(axis, bias):
    shape = (4,) if axis == -1 else (3, 4)
    feeds = {"x": real(2, 3, 4), "s": real(*shape), **({"b": real(*shape)} if bias else {})}
    check([node("LayerNormalization", list(feeds), axis=axis, stash_type=11)], feeds)


def test_rms_normalization():
    attributes = {"axis": -2, "stash_type": 11}
    check([node("RMSNormalization", ["x", "s"], **attributes)],
          {"x": real(2, 3, 4), "s": real(3, 4)}, opset=23)  # fmt: skip


def test_instance_normalization():
    feeds = {"x": real(2, 3, 4, 2), "s": real(3), "b": real(3)}
    check([node("InstanceNormalization", list(feeds), epsilon=0.01)], feeds)


def test_group_normalization():
    feeds = {"x": real(2, 4, 3), "s": real(4), "b": real(4)}
    check([node("GroupNormalization", list(feeds), num_groups=2, stash_type=11)], feeds)


@pytest.mark.parametrize("axes", [[0, 2, 3], [1]])
def test_mean_variance_normalization(axes):
    check([node("MeanVarianceNormalization", ["x"], axes=axes)], {"x": real(2, 3, 2, 2)})


def test_batch_normalization_outside_of_training():
    feeds = {"x": real(2, 3, 4), "s": real(3), "b": real(3), "m": real(3), "v": positive(3)}
    check([node("BatchNormalization", list(feeds), epsilon=0.01)], feeds)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ignored", [None, 1, -1])
@pytest.mark.parametrize("op_type", ["SoftmaxCrossEntropyLoss", "NegativeLogLikelihoodLoss"])
def test_losses(op_type, ignored, weighted, reduction):
    labels = np.array([[0, 2, 1], [3, 1, 1 if ignored is None else ignored]])
    constants = {"labels": labels, **({"w": positive(4)} if weighted else {})}
    attributes: dict[str, Any] = {"reduction": reduction}
    if ignored is not None:
        attributes["ignore_index"] = ignored
    check([node(op_type, ["x", *constants], **attributes)], {"x": real(2, 4, 3)}, constants)


def test_a_small_network_learns():
    """Convolution, normalisation, pool, layer and loss: steps along the gradient lower the loss."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("InstanceNormalization", ["c", "s", "b"], ["n"]),
        helper.make_node("Relu", ["n"], ["r"]),
        helper.make_node("MaxPool", ["r"], ["m"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["m"], ["f"]),
        helper.make_node("MatMul", ["f", "v"], ["p"]),
        helper.make_node("SoftmaxCrossEntropyLoss", ["p", "labels"], ["loss"]),
        gradient(["w", "s", "b", "v"], "loss", ["dw", "ds", "db", "dv"], ["x", "labels"]),
    ]
    draw = np.random.default_rng(1)
    feeds = {
        "w": draw.standard_normal((4, 1, 3, 3)), "s": np.ones(4), "b": np.zeros(4),
        "v": draw.standard_normal((36, 3)) / 6, "x": draw.standard_normal((12, 1, 6, 6)),
        "labels": np.arange(12) % 3,
    }  # fmt: skip
    feeds = {k: v.astype(np.float32) if v.dtype.kind == "f" else v for k, v in feeds.items()}
    session = onnxforge.Session(model_of(nodes, feeds, ["loss", "dw", "ds", "db", "dv"]))
    losses = []
    for _ in range(60):
        found = session.run(feeds)
        losses.append(float(found["loss"]))
        for name in ("w", "s", "b", "v"):
            feeds[name] = feeds[name] - np.float32(0.2) * found[f"d{name}"]
    assert losses[-1] < 0.1 * losses[0]


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
    ("made", "of", "opset", "said"),
    [
        (helper.make_node("Dropout", ["x", "r", "t"], ["y", "m"]), "r", 21, "to its ratio"),
        (node("Resize", ["x", "", "scales"]), "scales", 21, "to its scales or roi"),
        (
            node("NegativeLogLikelihoodLoss", ["logits", "i", "row"]),
            "row",
            21,
            "with respect to its weights",
        ),
        (helper.make_node("TopK", ["x", "i"], ["y", ""]), "x", 21, "without its indices"),
        (node("ScatterElements", ["x", "at", "x"], reduction="max"), "x", 21, "reduction 'max'"),
        (node("GroupNormalization", ["x4", "row", "row"], num_groups=2), "x4", 18, "scales groups"),
        (node("BatchNormalization", ["x4", *["row"] * 4], is_test=1), "x4", 6, "of opset 6"),
        (node("Einsum", ["x", "x"], equation="ij->i"), "x", 21, "with 1 terms"),
        (node("Transpose", ["x"], perm=[0, 2]), "x", 21, "with such a 'perm'"),
    ],
)
def test_forms_without_a_derivative_are_named(made, of, opset, said):
    feeds = {of: {"x": real(2, 2), "x4": real(1, 2, 3, 3), "row": real(2)}.get(of, np.ones(2))}
    if of == "scales":
        feeds[of] = np.ones(2, np.float32)
    if of == "r":
        feeds[of] = np.array(0.5)
    others = {
        "x": real(2, 2), "logits": real(1, 2), "i": np.array([1]), "row": real(2),
        "at": np.zeros((2, 2), np.int64), "t": np.array(True),
    }  # fmt: skip
    constants = {name: value for name, value in others.items() if name in made.input[1:] or
                 name == made.input[0]}  # fmt: skip
    constants.pop(of, None)
    nodes = [made, gradient([of], "y", ["d"])]
    with pytest.raises(onnxforge.Error, match=f"no derivative of {made.op_type} .*{said}"):
        onnxforge.Session(model_of(nodes, feeds, ["d"], constants, opset))


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        (
            [node("SplitToSequence", ["x"]), gradient(["x"], "y", ["d"])],
            r"through SplitToSequence \(node 'y'\).*no rule",
        ),
        (
            [
                helper.make_node("TopK", ["x", "i"], ["t", "j"]),
                helper.make_node("LayerNormalization", ["t", "t"], ["l", "y"]),
                gradient(["x"], "y", ["d"]),
            ],
            "of LayerNormalization but of its first output",
        ),
        ([node("Neg", ["x"]), gradient(["x"], "z", ["d"])], "'z' depends on none"),
        ([node("Neg", ["x"]), gradient(["x"], "y", ["d"], inputs=["x", "x"])], "2 inputs"),
        ([node("Neg", ["x"]), gradient(["x"], "y", ["d", "e"])], "2 outputs"),
        ([node("Add", ["x", "y"]), gradient(["x"], "y", ["d"])], "."),
    ],
    ids=["no rule", "output", "independent", "inputs", "outputs", "circle"],
)
def test_what_cannot_be_differentiated_is_named(nodes, said):
    feeds = {"x": positive(2, 2), "i": np.array([0])}
    with pytest.raises(onnxforge.Error, match=said):
        onnxforge.Session(model_of(nodes, feeds, ["d"]))
