"""Normalisation, pooling, reductions, resizing and recurrent layers."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

import onnxforge
from tests.python.kernel_support import TIERS, run_op
from tests.python.support import run_peer

RNG = np.random.default_rng(3)


def real(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def peer(
    op_type: str,
    inputs: list[np.ndarray | None],
    attributes: dict[str, Any],
    opset: int,
    outputs: int = 1,
) -> list[Any]:
    """The same node in onnxruntime."""
    names = [f"x{i}" if value is not None else "" for i, value in enumerate(inputs)]
    results = [f"y{i}" for i in range(outputs)]
    feeds = {name: value for name, value in zip(names, inputs, strict=True) if value is not None}
    node = helper.make_node(op_type, names, results, **attributes)
    infos = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)
        for n, v in feeds.items()
    ]
    infos_out = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in results]
    if op_type == "MaxPool" and outputs == 2:
        infos_out[1] = helper.make_tensor_value_info("y1", TensorProto.INT64, None)
    graph = helper.make_graph([node], "peer", infos, infos_out)
    return run_peer(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8),
        feeds,
    )


def compare(
    op_type: str, inputs: list[Any], attributes: dict[str, Any], opset: int, outputs: int = 1
) -> None:
    expected = peer(op_type, inputs, attributes, opset, outputs)
    found = run_op(op_type, inputs, attributes, opset=opset, outputs=outputs)
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)


def test_norms_and_means_of_integers_do_not_overflow_on_the_way() -> None:
    x = np.array([60000, 80000], np.int32)
    assert run_op("ReduceL2", [x])[0].tolist() == [100000]
    assert run_op("ReduceL2", [x.astype(np.uint64) << np.uint64(20)])[0].tolist() == [100000 << 20]
    big = np.array([2**31 - 1, 2**31 - 1, 2**31 - 4], np.int32)
    assert run_op("ReduceMean", [big])[0].tolist() == [2**31 - 2]
    assert run_op("ReduceMean", [-big])[0].tolist() == [-(2**31) + 2]


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("name", ["ReduceSum", "ReduceL2"])
def test_an_axis_that_is_named_twice_is_refused(name: str, tier: str) -> None:
    with pytest.raises(onnxforge.InvalidArgumentError, match="axis -2 is named twice"):
        run_op(name, [np.ones((2, 3), np.float32), np.array([0, -2])], tier=tier)


def test_a_reduction_of_nothing_is_its_neutral_element() -> None:
    x = np.zeros((2, 0), np.float32)
    axes = np.array([1], np.int64)
    for name, neutral in (
        ("ReduceSum", 0),
        ("ReduceProd", 1),
        ("ReduceMax", -np.inf),
        ("ReduceMin", np.inf),
        ("ReduceLogSumExp", -np.inf),
    ):
        np.testing.assert_array_equal(
            run_op(name, [x, axes], {"keepdims": 0})[0], np.full(2, neutral, np.float32)
        )


def test_no_axes_reduce_everything_or_nothing() -> None:
    x = real(2, 3)
    assert run_op("ReduceSum", [x], {"keepdims": 0})[0].shape == ()
    np.testing.assert_array_equal(run_op("ReduceSum", [x], {"noop_with_empty_axes": 1})[0], x)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("name", ["Softmax", "LogSoftmax", "Hardmax"])
@pytest.mark.parametrize("opset", [9, 11, 13])
def test_softmax_family_flattens_before_opset_13(name: str, axis: int, opset: int) -> None:
    if axis < 0 and opset < 11:
        pytest.skip("negative axes came with version 11")
    compare(name, [real(2, 3, 4)], {"axis": axis}, opset)


@pytest.mark.parametrize("opset", [7, 9, 14, 15])
def test_batch_normalization_takes_the_estimated_statistics(opset: int) -> None:
    compare(
        "BatchNormalization",
        [real(2, 3, 4, 5), real(3), real(3), real(3), np.abs(real(3)) + 0.5],
        {"epsilon": 1e-3},
        opset,
    )


def test_batch_normalization_in_training() -> None:
    x, scale, bias, mean, variance = real(4, 3, 5), real(3), real(3), real(3), np.abs(real(3)) + 0.5
    y, new_mean, new_variance = run_op(
        "BatchNormalization",
        [x, scale, bias, mean, variance],
        {"training_mode": 1, "momentum": 0.8},
        opset=15,
        outputs=3,
    )
    m, v = x.mean((0, 2)), x.var((0, 2))
    c = (None, slice(None), None)
    np.testing.assert_allclose(
        y, (x - m[c]) / np.sqrt(v + 1e-5)[c] * scale[c] + bias[c], rtol=1e-3, atol=1e-5
    )
    np.testing.assert_allclose(new_mean, 0.8 * mean + 0.2 * m, rtol=1e-4)
    np.testing.assert_allclose(new_variance, 0.8 * variance + 0.2 * v, rtol=1e-4)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_lrn(size: int) -> None:
    x = real(2, 6, 3, 3)
    padded = np.pad(x**2, [(0, 0), ((size - 1) // 2, size // 2), (0, 0), (0, 0)])
    sums = sum(padded[:, i : i + 6] for i in range(size))
    expected = x / (1.5 + 0.1 / size * sums) ** 0.75
    np.testing.assert_allclose(
        run_op("LRN", [x], {"size": size, "alpha": 0.1, "bias": 1.5}, opset=13)[0],
        expected,
        rtol=1e-4,
    )


@pytest.mark.parametrize("axis", [-1, 1])
def test_layer_and_instance_normalization(axis: int) -> None:
    x = real(2, 3, 4)
    compare(
        "LayerNormalization", [x, real(*x.shape[axis:]), real(*x.shape[axis:])], {"axis": axis}, 17
    )
    compare("InstanceNormalization", [x, real(3), real(3)], {}, 6)


POOLS = list(
    itertools.product(
        ["MaxPool", "AveragePool"], [0, 1], [[1, 1], [2, 3]], [[0, 0, 0, 0], [1, 0, 1, 1]]
    )
)


@pytest.mark.parametrize(("name", "ceil_mode", "strides", "pads"), POOLS)
def test_pooling(name: str, ceil_mode: int, strides: list[int], pads: list[int]) -> None:
    attributes = {"kernel_shape": [3, 2], "ceil_mode": ceil_mode, "strides": strides, "pads": pads}
    compare(name, [real(2, 3, 8, 9)], attributes, 19 if name == "AveragePool" else 12)


def test_max_pool_gives_indices_of_the_whole_tensor() -> None:
    x = real(2, 2, 5, 6)
    for order in (0, 1):
        attributes = {"kernel_shape": [2, 3], "strides": [2, 2], "storage_order": order}
        y, indices = run_op("MaxPool", [x], attributes, opset=12, outputs=2)
        flat = (x.swapaxes(2, 3) if order else x).reshape(-1)
        np.testing.assert_array_equal(flat[indices], y)


def test_max_pool_lets_nan_through() -> None:
    x = np.array([[[1, np.nan, 3, 4]]], np.float32)
    np.testing.assert_array_equal(
        run_op("MaxPool", [x], {"kernel_shape": [2], "strides": [2]})[0], [[[np.nan, 4]]]
    )


COORDINATES = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"]


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("size", [(7, 11), (3, 4), (10, 5)])
def test_resize_to_sizes(mode: str, coordinates: str, size: tuple[int, int]) -> None:
    sizes = np.array([1, 2, *size], np.int64)
    attributes = {"mode": mode, "coordinate_transformation_mode": coordinates}
    compare("Resize", [real(1, 2, 5, 8), None, None, sizes], attributes, 13)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_upsample(mode: str) -> None:
    x, scales = real(1, 2, 3, 4), np.array([1, 1, 2, 3], np.float32)
    compare("Upsample", [x, scales], {"mode": mode}, 9)
    expected = run_op("Upsample", [x, scales], {"mode": mode}, opset=9)[0]
    np.testing.assert_array_equal(
        run_op("Upsample", [x], {"mode": mode, "scales": scales.tolist()}, opset=7)[0], expected
    )
    np.testing.assert_array_equal(
        run_op("Resize", [x, scales], {"mode": mode}, opset=10)[0], expected
    )


def recurrent_inputs(gates: int, directions: int, with_state: bool) -> list[np.ndarray | None]:
    steps, batch, width, hidden = 5, 3, 4, 6
    return [
        real(steps, batch, width),
        real(directions, gates * hidden, width),
        real(directions, gates * hidden, hidden),
        real(directions, 2 * gates * hidden),
        np.array([5, 2, 4], np.int32) if with_state else None,
        real(directions, batch, hidden) if with_state else None,
    ]


@pytest.mark.parametrize(("name", "gates"), [("RNN", 1), ("GRU", 3), ("LSTM", 4)])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("with_state", [False, True])
def test_recurrent_layers(name: str, gates: int, direction: str, with_state: bool) -> None:
    directions = 2 if direction == "bidirectional" else 1
    inputs = recurrent_inputs(gates, directions, with_state)
    attributes: dict[str, Any] = {"hidden_size": 6, "direction": direction}
    if name == "LSTM" and with_state:
        inputs += [real(directions, 3, 6), real(directions, 18)]
    compare(name, inputs, attributes, 14, 3 if name == "LSTM" else 2)


@pytest.mark.parametrize(
    ("name", "gates", "attributes"),
    [
        ("GRU", 3, {"linear_before_reset": 1}),
        ("GRU", 3, {"clip": 0.5}),
        ("LSTM", 4, {"input_forget": 1}),
        (
            "LSTM",
            4,
            {
                "activations": ["HardSigmoid", "Softsign", "Relu"],
                "activation_alpha": [0.3],
                "activation_beta": [0.4],
            },
        ),
        ("RNN", 1, {"activations": ["LeakyRelu"], "activation_alpha": [0.2]}),
    ],
)
def test_recurrent_attributes(name: str, gates: int, attributes: dict[str, Any]) -> None:
    compare(
        name,
        recurrent_inputs(gates, 1, False),
        {"hidden_size": 6, **attributes},
        14,
        3 if name == "LSTM" else 2,
    )


def test_recurrent_layout_with_the_batch_first() -> None:
    x, w, r, b, _, _ = recurrent_inputs(4, 2, False)
    attributes = {"hidden_size": 6, "direction": "bidirectional"}
    y, h, c = run_op("LSTM", [x, w, r, b], attributes, opset=14, outputs=3)
    y1, h1, c1 = run_op(
        "LSTM", [x.swapaxes(0, 1), w, r, b], {**attributes, "layout": 1}, opset=14, outputs=3
    )
    np.testing.assert_array_equal(y1, y.transpose(2, 0, 1, 3))
    np.testing.assert_array_equal(h1, h.swapaxes(0, 1))
    np.testing.assert_array_equal(c1, c.swapaxes(0, 1))


def test_dropout_drops_in_training_only() -> None:
    x = np.ones((50, 50), np.float32)
    y, mask = run_op("Dropout", [x], outputs=2, opset=13)
    assert mask.all()
    np.testing.assert_array_equal(y, x)
    y, mask = run_op(
        "Dropout", [x, np.array(0.25, np.float32), np.array(True)], {"seed": 5}, outputs=2, opset=13
    )
    np.testing.assert_array_equal(mask, np.random.RandomState(5).uniform(size=x.shape) >= 0.25)
    np.testing.assert_allclose(y, mask / 0.75, rtol=1e-6)


@pytest.mark.parametrize("wrong", [1, 2])
def test_what_tells_dropout_to_train_is_one_number(wrong: int) -> None:
    inputs = [np.ones(3, np.float32), np.array([0.5], np.float32), np.array([True])]
    inputs[wrong] = inputs[wrong][:0]
    with pytest.raises(onnxforge.InvalidArgumentError, match=r"one number each.*\[0\]"):
        run_op("Dropout", inputs)


@pytest.mark.parametrize("seed", [math.inf, -math.inf, math.nan, 1e19])
def test_a_seed_that_is_no_integer_of_64_bits_is_refused(seed: float) -> None:
    with pytest.raises(onnxforge.InvalidModelError, match="attribute 'seed' is"):
        run_op("RandomUniform", [], {"shape": [1], "seed": seed})
