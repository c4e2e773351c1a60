"""Gradient through Resize and Upsample."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.python.gradient_checks import check, node, real

COORDINATES = [
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
    "tf_crop_and_resize",
]
ROI = np.array([0.1, -0.2, 0.8, 1.1], np.float32)


def resize(
    shape: tuple[int, ...],
    *,
    scales: list[float] | None = None,
    sizes: list[int] | None = None,
    roi: np.ndarray | None = None,
    opset: int = 19,
    **attributes: Any,
) -> None:
    given = {
        "roi": roi,
        "scales": None if scales is None else np.array(scales, np.float32),
        "sizes": None if sizes is None else np.array(sizes),
    }
    constants = {name: value for name, value in given.items() if value is not None}
    inputs = ["x", *(name if name in constants else "" for name in given)]
    check([node("Resize", inputs, **attributes)], {"x": real(*shape)}, constants, opset=opset)


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("to", [{"scales": [1.7, 0.6]}, {"sizes": [7, 3]}, {"sizes": [1, 9]}])
def test_every_coordinate(mode, coordinates, to):
    options = {"mode": mode, "coordinate_transformation_mode": coordinates, **to}
    if coordinates == "tf_crop_and_resize":
        options |= {"roi": ROI, "extrapolation_value": 7.0}
    resize((4, 5), **options)


@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("options", [{"antialias": 1}, {"exclude_outside": 1},
                                     {"antialias": 1, "exclude_outside": 1}])  # fmt: skip
@pytest.mark.parametrize("to", [{"scales": [0.4, 1.5]}, {"sizes": [3, 8]}])
def test_filters(mode, options, to):
    resize((7, 5), mode=mode, **options, **to)
    resize((7, 5), mode=mode, cubic_coeff_a=-0.5, **options, **to)


@pytest.mark.parametrize("policy", ["not_larger", "not_smaller", "stretch"])
@pytest.mark.parametrize("coordinates", ["half_pixel", "align_corners", "tf_crop_and_resize"])
@pytest.mark.parametrize("sizes", [[7, 7], [3, 8], [9, 4]])
def test_the_aspect_ratio(policy, coordinates, sizes):
    for axes in ([2, 1], [-1, -2]):
        resize((2, 4, 5), sizes=sizes, mode="linear", keep_aspect_ratio_policy=policy, axes=axes,
               coordinate_transformation_mode=coordinates,
               roi=ROI if coordinates == "tf_crop_and_resize" else None)  # fmt: skip


def test_images():
    resize((2, 1, 3, 4), scales=[1, 1, 2, 1.5], mode="cubic")
    resize((1, 2, 3, 4), sizes=[1, 2, 5, 2], mode="linear")
    resize((1, 2, 3, 4), sizes=[5, 2], mode="linear", axes=[2, 3])
    resize((2, 5), scales=[1, 2], mode="linear")
    resize((0, 5), scales=[1, 2], mode="linear")


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_older_versions(mode):
    roi = np.zeros(0, np.float32)
    resize((3, 4), scales=[2, 0.5], roi=roi, mode=mode, opset=11)
    resize((3, 4), scales=[], sizes=[5, 3], roi=roi, mode=mode, opset=13)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_plain_versions(mode):
    x, scales = {"x": real(1, 2, 3, 2)}, np.array([1, 1, 1.5, 2], np.float32)
    check([node("Resize", ["x", "s"], mode=mode)], x, {"s": scales}, opset=10)
    check([node("Upsample", ["x", "s"], mode=mode)], x, {"s": scales}, opset=9)


def test_upsample_whose_scales_are_attributes():
    nodes = [node("Upsample", ["x"], mode="linear", scales=[1.0, 1.0, 1.5, 2.0])]
    check(nodes, {"x": real(1, 2, 3, 2)}, opset=8)
