"""Operators that move elements: slices, gathers, pads, transposes."""

from __future__ import annotations

import numpy as np
import pytest

from tests.python.kernel_support import run_op


def i64(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def sample(shape: tuple[int, ...], dtype: type = np.float32) -> np.ndarray:
    return np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)


def test_slice_by_attributes() -> None:
    x = sample((4, 5))
    (y,) = run_op("Slice", [x], {"starts": [1, -3], "ends": [1000, -1]}, opset=9)
    np.testing.assert_array_equal(y, x[1:1000, -3:-1])


def test_an_index_out_of_range_is_an_error() -> None:
    with pytest.raises(Exception, match="index 3 is out of range"):
        run_op("Gather", [sample((3,)), i64(3)])


def test_pad_of_named_axes_cuts_where_negative() -> None:
    x = sample((3, 4))
    (y,) = run_op("Pad", [x, i64(-1, 2), np.array(7, np.float32), i64(-1)], {"mode": "constant"})
    np.testing.assert_array_equal(y, np.pad(x[:, 1:], [(0, 0), (0, 2)], constant_values=7))


def test_reshape_zero_copies_or_is_zero() -> None:
    x = sample((2, 3, 4))
    assert run_op("Reshape", [x, i64(0, -1)])[0].shape == (2, 12)
    empty = np.zeros((0, 3), np.float32)
    assert run_op("Reshape", [empty, i64(3, 0)], {"allowzero": 1})[0].shape == (3, 0)


def test_squeeze_and_unsqueeze_by_attribute_and_by_input() -> None:
    x = sample((1, 3, 1))
    assert run_op("Squeeze", [x], {"axes": [-1]}, opset=11)[0].shape == (1, 3)
    assert run_op("Squeeze", [x, i64(0)])[0].shape == (3, 1)
    assert run_op("Squeeze", [x])[0].shape == (3,)
    assert run_op("Unsqueeze", [x], {"axes": [0, 4]}, opset=11)[0].shape == (1, 1, 3, 1, 1)
    assert run_op("Unsqueeze", [x, i64(-1)])[0].shape == (1, 3, 1, 1)


def test_cast_between_strings_and_numbers() -> None:
    text = np.array(["1.5", " -INF ", "nan", "1e3"], dtype=object)
    np.testing.assert_array_equal(
        run_op("Cast", [text], {"to": 1})[0], np.array([1.5, -np.inf, np.nan, 1000], np.float32)
    )
    big = np.array(["9223372036854775807", "-9223372036854775808"], dtype=object)
    np.testing.assert_array_equal(run_op("Cast", [big], {"to": 7})[0], i64(2**63 - 1, -(2**63)))
    numbers = np.array([0.1, -2.0, 1e20], np.float32)
    back = [np.float32(s) for s in run_op("Cast", [numbers], {"to": 8})[0]]
    np.testing.assert_array_equal(back, numbers)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_subnormal_numbers_are_short_text(dtype: type) -> None:
    x = np.array([np.finfo(dtype).smallest_subnormal, -0.0, 1.0], dtype)
    (y,) = run_op("Cast", [x], {"to": 8})
    assert y.tolist() == ["5e-324" if dtype is np.float64 else "1e-45", "-0", "1"]
