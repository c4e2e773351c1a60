"""Gradient through what slides over an image: convolutions, pools, LRN."""

from __future__ import annotations

import numpy as np
import pytest

from tests.python.gradient_checks import check, node, real

PADDED = [
    {"auto_pad": "SAME_UPPER", "strides": [2, 3]},
    {"auto_pad": "SAME_LOWER", "strides": [2, 1]},
    {"auto_pad": "SAME_LOWER", "dilations": [1, 2]},
    {"auto_pad": "VALID", "strides": [1, 2]},
]


@pytest.mark.parametrize("options", PADDED)
@pytest.mark.parametrize("group", [1, 2])
def test_conv_that_pads_by_itself(options, group):
    feeds = {"x": real(2, 4, 5, 6), "w": real(2, 4 // group, 2, 3), "b": real(2)}
    check([node("Conv", list(feeds), group=group, **options)], feeds)


def test_conv_that_says_nothing_of_its_kernel():
    check([node("Conv", ["x", "w"])], {"x": real(2, 3, 5), "w": real(2, 3, 2)})
    check([node("Conv", ["x", "w"])], {"x": real(1, 2, 3, 4, 3), "w": real(2, 2, 2, 3, 2)})
    options = {"pads": [1, 0, 1, 2], "dilations": [1, 2]}
    check([node("Conv", ["x", "w"], **options)], {"x": real(1, 2, 4, 5), "w": real(2, 2, 3, 2)})


@pytest.mark.parametrize(
    "options",
    [
        {"auto_pad": "SAME_UPPER", "strides": [2, 3]},
        {"auto_pad": "SAME_LOWER", "strides": [2, 2], "output_padding": [1, 0]},
        {"auto_pad": "VALID", "strides": [2, 1]},
        {"output_shape": [7, 9], "strides": [2, 3]},
        {"output_shape": [6, 10], "strides": [2, 3], "auto_pad": "SAME_UPPER"},
        {"output_shape": [9, 8], "strides": [2, 2], "dilations": [1, 2]},
        {},
    ],
)
@pytest.mark.parametrize("group", [1, 2])
def test_conv_transpose_that_pads_by_itself(options, group):
    feeds = {"x": real(2, 4, 3, 3), "w": real(4, 2, 3, 4), "b": real(2 * group)}
    check([node("ConvTranspose", list(feeds), group=group, **options)], feeds)


KERNEL = {"kernel_shape": [2, 3]}
POOLS = [
    *({**KERNEL, **options} for options in PADDED),
    {**KERNEL, "strides": [2, 2], "ceil_mode": 1},
    {**KERNEL, "strides": [3, 2], "ceil_mode": 1, "pads": [1, 1, 0, 1], "dilations": [1, 2]},
    {**KERNEL, "strides": [4, 3], "ceil_mode": 1, "pads": [0, 1, 1, 1]},
]


@pytest.mark.parametrize("options", POOLS)
@pytest.mark.parametrize("counted", [0, 1])
def test_average_pool(options, counted):
    check(
        [node("AveragePool", ["x"], count_include_pad=counted, **options)], {"x": real(2, 2, 5, 6)}
    )


@pytest.mark.parametrize("options", POOLS)
def test_max_pool(options):
    check([node("MaxPool", ["x"], storage_order=1, **options)], {"x": real(2, 2, 5, 6)})


@pytest.mark.parametrize("options", [KERNEL, *POOLS])
@pytest.mark.parametrize("power", [1, 2, 3])
def test_lp_pool(options, power):
    check([node("LpPool", ["x"], p=power, **options)], {"x": real(2, 2, 5, 6)})


@pytest.mark.parametrize("power", [1, 2, 4])
def test_global_lp_pool(power):
    check([node("GlobalLpPool", ["x"], p=power)], {"x": real(2, 3, 4, 2)})


def test_a_window_of_zeros_passes_nothing_on_through_a_norm():
    x = real(1, 1, 6)
    x[..., 2:4] = 0
    x[..., 0] = 1
    check([node("LpPool", ["x"], kernel_shape=[2], strides=[4])], {"x": x})
    check([node("GlobalLpPool", ["x"], p=1)], {"x": np.abs(x) + 1})


@pytest.mark.parametrize(
    ("image", "block", "columns", "options"),
    [
        ((4, 5), (2, 3), 9, {}),
        ((4, 5), (2, 2), 12, {"strides": [1, 2], "pads": [0, 1, 1, 0], "dilations": [1, 1]}),
        ((5, 5), (2, 2), 6, {"dilations": [2, 3]}),
        ((6,), (3,), 2, {"strides": [3]}),
    ],
)
def test_col2im(image, block, columns, options):
    constants = {"image": np.array(image), "block": np.array(block)}
    feeds = {"x": real(2, 2 * int(np.prod(block)), columns)}
    check([node("Col2Im", ["x", "image", "block"], **options)], feeds, constants)


def test_max_unpool():
    places = np.array([[[[5, 7], [13, 9]]]])
    options = {"kernel_shape": [2, 2], "strides": [2, 2]}
    feeds = {"x": real(1, 1, 2, 2)}
    check([node("MaxUnpool", ["x", "i"], **options)], feeds, {"i": places})
    constants = {"i": places, "shape": np.array([1, 1, 5, 6])}
    check([node("MaxUnpool", ["x", "i", "shape"], **options)], feeds, constants)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
def test_lrn(size):
    options = {"size": size, "alpha": 0.7, "beta": 0.6, "bias": 1.5}
    check([node("LRN", ["x"], **options)], {"x": real(2, 5, 3)})
    check([node("LRN", ["x"], **options)], {"x": real(1, 3, 2, 2)})
