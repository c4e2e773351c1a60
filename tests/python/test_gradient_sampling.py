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
