"""Gradient through what samples an image between its elements."""

from __future__ import annotations

import numpy as np
import pytest

import onnxforge
from tests.python.gradient_checks import check, gradient, model_of, node, real


def places(*shape: int) -> np.ndarray:
    """Places in and around the image, none of them where two elements meet."""
    return np.round(real(*shape) * 0.8, 3) + 0.0137


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("aligned", [0, 1])
def test_grid_sample(mode, padding, aligned):
    options = {"mode": mode, "padding_mode": padding, "align_corners": aligned}
    feeds = {"x": real(2, 1, 3, 3), "grid": places(2, 2, 2, 2)}
    check([node("GridSample", ["x", "grid"], **options)], feeds)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_grid_sample_of_a_volume(mode, padding):
    feeds = {"x": real(1, 2, 2, 3, 2), "grid": places(1, 2, 1, 2, 3)}
    check([node("GridSample", ["x", "grid"], mode=mode, padding_mode=padding)], feeds)


def test_grid_sample_of_a_line_and_of_one_element():
    check([node("GridSample", ["x", "grid"])], {"x": real(2, 1, 4), "grid": places(2, 3, 1)})
    options = {"padding_mode": "reflection", "align_corners": 1}
    feeds = {"x": real(1, 2, 1, 3), "grid": places(1, 2, 2, 2)}
    check([node("GridSample", ["x", "grid"], **options)], feeds)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "nearest"])
def test_grid_sample_as_it_was(mode):
    feeds = {"x": real(1, 2, 3, 4), "grid": places(1, 2, 3, 2)}
    check([node("GridSample", ["x", "grid"], mode=mode)], feeds, opset=16)


def test_a_place_that_is_no_number_takes_nothing():
    grid = places(1, 1, 3, 2)
    grid[0, 0, :2, 0] = np.nan, np.inf
    nodes = [node("GridSample", ["x", "grid"]), gradient(["x", "grid"], "y", ["dx", "dg"])]
    feeds = {"x": real(1, 1, 3, 4), "grid": grid}
    found = onnxforge.Session(model_of(nodes, feeds, ["dx", "dg"])).run(feeds)
    assert np.isfinite(found["dx"]).all()
    np.testing.assert_array_equal(found["dg"][0, 0, :2, 0], [0, 0])


@pytest.mark.parametrize("aligned", [0, 1])
@pytest.mark.parametrize("sizes", [[1, 1, 2, 3], [2, 1, 2, 3], [2, 1, 1, 2, 3]])
def test_affine_grid(sizes, aligned):
    rank = len(sizes) - 2
    theta = real(sizes[0], rank, rank + 1)
    nodes = [node("AffineGrid", ["t", "sizes"], align_corners=aligned)]
    check(nodes, {"t": theta}, {"sizes": np.array(sizes)})


def moves(*shape: int) -> np.ndarray:
    """Offsets that lead to no place where two elements meet."""
    return np.round(real(*shape), 3) + 0.00137


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("offset_groups", [1, 2])
@pytest.mark.parametrize("masked", [False, True])
def test_deform_conv(groups, offset_groups, masked):
    feeds = {
        "x": real(2, 4, 3, 4),
        "w": real(2, 4 // groups, 2, 2),
        "o": moves(2, offset_groups * 8, 2, 3),
        "b": real(2),
    }
    inputs = ["x", "w", "o", "b"]
    if masked:
        feeds["m"] = real(2, offset_groups * 4, 2, 3)
        inputs.append("m")
    nodes = [node("DeformConv", inputs, group=groups, offset_group=offset_groups)]
    check(nodes, feeds, opset=22)


def test_deform_conv_with_steps_dilations_and_padding():
    options = {"strides": [2, 1], "dilations": [1, 2], "pads": [1, 0, 2, 1], "kernel_shape": [2, 2]}
    feeds = {"x": real(1, 2, 5, 4), "w": real(3, 2, 2, 2), "o": moves(1, 8, 4, 3)}
    check([node("DeformConv", ["x", "w", "o"], **options)], feeds)
    options = {"strides": [1, 2], "pads": [0, 1, 0, 1]}
    feeds = {"x": real(1, 1, 3, 5), "w": real(1, 1, 2, 3), "o": moves(1, 12, 2, 3)}
    feeds["m"] = real(1, 6, 2, 3)
    check([node("DeformConv", ["x", "w", "o", "", "m"], **options)], feeds, opset=19)


def test_deform_conv_of_a_line_and_of_a_volume():
    check(
        [node("DeformConv", ["x", "w", "o"], pads=[1, 0])],
        {"x": real(2, 2, 5), "w": real(2, 2, 3), "o": moves(2, 3, 4)},
    )
    check(
        [node("DeformConv", ["x", "w", "o", "b"])],
        {
            "x": real(1, 1, 2, 3, 2),
            "w": real(1, 1, 2, 1, 2),
            "o": moves(1, 12, 1, 3, 1),
            "b": real(1),
        },
    )
