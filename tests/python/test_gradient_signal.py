"""Gradient through the Fourier transform."""

from __future__ import annotations

import numpy as np
import pytest

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
