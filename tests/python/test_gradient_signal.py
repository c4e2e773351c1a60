"""Gradient through the Fourier transform."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

import onnxforge
from tests.python.gradient_checks import check, gradient, model_of, node, real


@pytest.mark.parametrize(
    ("parts", "options"),
    [(1, {}), (2, {}), (1, {"inverse": 1}), (2, {"inverse": 1}), (1, {"onesided": 1})],
)
@pytest.mark.parametrize("length", [None, 3, 7])
@pytest.mark.parametrize("axis", [None, 0])
def test_dft(parts, options, length, axis):
    given = {"length": length, "axis": axis}
    constants = {name: np.array(value) for name, value in given.items() if value is not None}
    inputs = ["x", *(name if name in constants else "" for name in given)]
    check([node("DFT", inputs, **options)], {"x": real(2, 5, parts)}, constants)


@pytest.mark.parametrize("inverse", [0, 1])
def test_dft_whose_axis_is_an_attribute(inverse):
    x = {"x": real(2, 3, 2, 2)}
    check([node("DFT", ["x"], axis=2, inverse=inverse)], x, opset=17)
    check([node("DFT", ["x", "n"], inverse=inverse)], x, {"n": np.array(4)}, opset=19)


@pytest.mark.parametrize(("shape", "onesided"), [((2, 9), 1), ((2, 9, 1), 0), ((1, 8, 2), 0)])
@pytest.mark.parametrize("windowed", [False, True])
@pytest.mark.parametrize("length", [None, 4])
def test_stft(shape, onesided, windowed, length):
    feeds = {"x": real(*shape)}
    inputs = ["x", "step", "", ""]
    if windowed:
        feeds["w"] = real(length or 5)
        inputs[2] = "w"
    constants = {"step": np.array(2)}
    if length is not None:
        constants["length"] = np.array(length, np.int32)
        inputs[3] = "length"
    check([node("STFT", inputs, onesided=onesided)], feeds, constants)


def test_an_inverse_transform_of_one_side_is_refused():
    nodes = [node("DFT", ["x"], inverse=1, onesided=1), gradient(["x"], "y", ["d"])]
    with pytest.raises(onnxforge.Error, match="derivative of DFT that is inverse and one-sided"):
        onnxforge.Session(model_of(nodes, {"x": real(1, 3, 2)}, ["d"]))


@pytest.mark.parametrize(("op_type", "inputs"), [("DFT", ["x"]), ("STFT", ["x", "step"])])
def test_transforms_in_a_body_of_an_old_opset_are_refused(op_type, inputs):
    within = helper.make_graph(
        [helper.make_node(op_type, inputs, ["z"])],
        "within",
        [],
        [helper.make_value_info("z", onnx.TypeProto())],
    )
    nodes = [
        helper.make_node("If", ["c"], ["y"], then_branch=within, else_branch=within),
        gradient(["x"], "y", ["d"]),
    ]
    constants = {"c": np.array(True), "step": np.array(2)}
    model = model_of(nodes, {"x": real(1, 6, 1)}, ["d"], constants, opset=19)
    with pytest.raises(onnxforge.Error, match=f"derivative of {op_type} in a body of opset 19"):
        onnxforge.Session(model)
