"""Gradient by the scales of DequantizeLinear."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from onnx import TensorProto, helper

import onnxforge
from tests.python.gradient_checks import gradient, model_of, node, positive, real

WHOLE = np.arange(-12, 12, dtype=np.int8).reshape(2, 3, 4)


@pytest.mark.parametrize("shape", [(), (1,)])
@pytest.mark.parametrize("opset", [10, 21, 25])
def test_one_scale(shape, opset):
    feeds = {"scale": np.asarray(positive(*shape), np.float32)}
    nodes = [node("DequantizeLinear", ["x", "scale", "zero"])]
    hold(nodes, feeds, {"x": WHOLE, "zero": np.full(shape, 3, np.int8)}, opset)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2])
def test_a_scale_for_each_element_of_an_axis(axis):
    extent = WHOLE.shape[axis]
    feeds = {"scale": positive(extent).astype(np.float32)}
    zeros = np.arange(extent, dtype=np.int8)
    nodes = [node("DequantizeLinear", ["x", "scale", "zero"], axis=axis)]
    hold(nodes, feeds, {"x": WHOLE, "zero": zeros}, 13)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2])
@pytest.mark.parametrize("block", [1, 2, 3])
def test_a_scale_for_each_block(axis, block):
    shape = list(WHOLE.shape)
    shape[axis] = -(-shape[axis] // block)
    feeds = {"scale": positive(*shape).astype(np.float32)}
    nodes = [node("DequantizeLinear", ["x", "scale"], axis=axis, block_size=block)]
    hold(nodes, feeds, {"x": WHOLE}, 21)


def test_a_number_with_one_scale():
    feeds = {"scale": np.array(0.5, np.float32)}
    hold([node("DequantizeLinear", ["x", "scale"])], feeds, {"x": np.array(7, np.int8)}, 21)


def test_numbers_of_four_bits():
    feeds = {"scale": np.array([0.5, 2], np.float32)}
    x = np.array([[1, -8, 7], [3, 2, -1]], ml_dtypes.int4)
    hold([node("DequantizeLinear", ["x", "scale"], axis=0)], feeds, {"x": x}, 21)


def test_through_fake_quantization_nothing_can_be_said():
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale"], ["q"], output_dtype=TensorProto.INT8),
        node("DequantizeLinear", ["q", "scale"]),
        gradient(["x"], "y", ["d"], ["scale"]),
    ]
    feeds = {"x": real(3).astype(np.float32), "scale": np.array(0.5, np.float32)}
    with pytest.raises(onnxforge.Error, match="derivative of DequantizeLinear but by its scale"):
        onnxforge.Session(model_of(nodes, feeds, ["d"]))


def hold(nodes, feeds, constants, opset):
    """The function is linear in its scales: its own difference between two of them is exact."""
    scale = feeds["scale"]
    y = onnxforge.Session(model_of(nodes, feeds, ["y"], constants, opset)).run(feeds)["y"]
    weights = np.round(real(*y.shape) * 8) / 8
    nodes = [
        *nodes,
        helper.make_node("Mul", ["y", "weights"], ["weighted"]),
        helper.make_node("ReduceSum", ["weighted"], ["loss"], keepdims=0),
        gradient(["scale"], "loss", ["d"]),
    ]
    constants = {**constants, "weights": weights.astype(np.float32)}
    session = onnxforge.Session(model_of(nodes, feeds, ["loss", "d"], constants, opset))
    found = session.run(feeds)["d"]
    assert found.shape == scale.shape
    for at in np.ndindex(*scale.shape):
        loss = []
        for value in (1, 2):
            moved = np.zeros_like(scale)
            moved[at] = value
            loss.append(float(session.run({"scale": moved})["loss"]))
        np.testing.assert_allclose(found[at], loss[1] - loss[0], rtol=1e-5, atol=1e-5)
