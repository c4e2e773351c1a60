"""Gradient through the pooling of regions."""

from __future__ import annotations

import numpy as np
import pytest

import onnxforge
from tests.python.gradient_checks import check, gradient, model_of, node, real

IMAGE = np.random.default_rng(1).permutation(2 * 2 * 5 * 6).reshape(2, 2, 5, 6) / 7.0

# Left, top, right and bottom: inside, over the edges, smaller than an element, wide, and outside.
REGIONS = np.array(
    [
        [0.63, 1.12, 4.17, 3.86],
        [-1.71, -0.57, 2.34, 2.91],
        [2.13, 2.21, 2.62, 2.73],
        [0.38, 1.56, 5.91, 2.48],
        [3.07, 3.14, 8.33, 7.41],
        [-9.3, -8.2, -4.1, -5.3],
    ]
)
OF_IMAGE = np.array([0, 1, 1, 0, 1, 0])


@pytest.mark.parametrize("mode", ["avg", "max"])
@pytest.mark.parametrize("ratio", [0, 2])
@pytest.mark.parametrize("coordinates", ["half_pixel", "output_half_pixel"])
def test_roi_align(mode, ratio, coordinates):
    options = {"mode": mode, "sampling_ratio": ratio, "output_height": 2, "output_width": 3}
    options["coordinate_transformation_mode"] = coordinates
    feeds = {"x": IMAGE, "rois": REGIONS}
    nodes = [node("RoiAlign", ["x", "rois", "of"], spatial_scale=0.75, **options)]
    check(nodes, feeds, {"of": OF_IMAGE})


def test_roi_align_as_it_was():
    feeds = {"x": IMAGE, "rois": REGIONS[:3]}
    check([node("RoiAlign", ["x", "rois", "of"])], feeds, {"of": OF_IMAGE[:3]}, opset=10)


@pytest.mark.parametrize("mode", ["avg", "max"])
def test_boxes_without_an_extent_have_no_samples(mode):
    boxes = np.array([[2.0, 3, 2, 3], [4.0, 4, 1, 1]])
    nodes = [node("RoiAlign", ["x", "rois", "of"], mode=mode)]
    check(nodes, {"x": IMAGE}, {"rois": boxes, "of": np.array([0, 1])})


@pytest.mark.parametrize(
    ("op_type", "inputs", "columns", "options"),
    [
        ("RoiAlign", ["x", "rois", "of"], 4, {"mode": "avg"}),
        ("RoiAlign", ["x", "rois", "of"], 4, {"mode": "max", "sampling_ratio": 1}),
        ("MaxRoiPool", ["x", "rois"], 5, {"pooled_shape": [2, 2]}),
    ],
)
def test_no_regions(op_type, inputs, columns, options):
    nodes = [node(op_type, inputs, **options), gradient(["x"], "y", ["d"])]
    constants = {"rois": np.zeros((0, columns)), "of": np.zeros(0, np.int64)}
    constants = {name: value for name, value in constants.items() if name in inputs}
    found = onnxforge.Session(model_of(nodes, {"x": IMAGE}, ["d"], constants)).run({"x": IMAGE})
    np.testing.assert_array_equal(found["d"], np.zeros_like(IMAGE))


@pytest.mark.parametrize("shape", [[1, 1], [2, 3], [4, 2]])
@pytest.mark.parametrize("scale", [1.0, 0.6])
def test_max_roi_pool(shape, scale):
    rois = np.concatenate([OF_IMAGE[:, None], REGIONS], axis=1)
    nodes = [node("MaxRoiPool", ["x", "rois"], pooled_shape=shape, spatial_scale=scale)]
    check(nodes, {"x": IMAGE}, {"rois": rois})
    check(nodes, {"x": IMAGE}, {"rois": rois}, opset=8)


def test_the_regions_of_max_roi_pool_are_rounded():
    nodes = [node("MaxRoiPool", ["x", "rois"], pooled_shape=[1, 1])]
    nodes.append(gradient(["x", "rois"], "y", ["dx", "drois"]))
    feeds = {"x": real(1, 1, 3, 3), "rois": np.array([[0.0, 0, 0, 2, 1]])}
    found = onnxforge.Session(model_of(nodes, feeds, ["dx", "drois"])).run(feeds)
    np.testing.assert_array_equal(found["drois"], np.zeros((1, 5)))
    greatest = feeds["x"][:, :, :2].max()
    np.testing.assert_array_equal(found["dx"], feeds["x"] == greatest)
