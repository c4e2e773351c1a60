"""Cases of elementwise operators by name; properties/ has their formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.python.kernel_support import TIERS, run_op

INTEGERS = (np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64)

ARITHMETIC = {"Add": np.add, "Mul": np.multiply, "Sub": np.subtract}
SIGNS = {"Abs": np.abs, "Neg": np.negative, "Sign": np.sign}


@pytest.mark.parametrize("name", sorted(SIGNS))
@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64])
def test_the_least_integer_does_not_overflow(name: str, dtype: type) -> None:
    x = np.array([np.iinfo(dtype).min, -1, 0, np.iinfo(dtype).max], dtype)
    with np.errstate(over="ignore"):
        expected = SIGNS[name](x)
    (y,) = run_op(name, [x])
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("name", sorted(ARITHMETIC))
def test_integer_arithmetic_wraps(name: str, dtype: type) -> None:
    info = np.iinfo(dtype)
    a = np.array([info.max, info.min, info.max, 3], dtype)
    b = np.array([1, 1, info.max, 5], dtype)
    with np.errstate(over="ignore"):
        expected = ARITHMETIC[name](a, b)
    np.testing.assert_array_equal(run_op(name, [a, b])[0], expected)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integer_division_is_toward_zero_and_never_traps(dtype: type) -> None:
    info = np.iinfo(dtype)
    low = -7 if info.min < 0 else 7
    a = np.array([7, low, 7, info.min, 1], dtype)
    b = np.array([2, 2, 3, -1 if info.min < 0 else 1, 0], dtype)
    expected = [3, int(low / 2), 2, info.min, 0]
    np.testing.assert_array_equal(run_op("Div", [a, b])[0], np.array(expected, dtype))


@pytest.mark.parametrize(
    ("base", "exponent"),
    [
        (np.array([2, -3, 0, 1, -1, 5], np.int64), np.array([3, 3, 0, -2, -3, -1], np.int64)),
        (np.array([2, 3, 4], np.int32), np.array([2, 2, 2], np.uint8)),
    ],
)
def test_pow_of_integers_is_exact(base: np.ndarray, exponent: np.ndarray) -> None:
    expected = [
        int(int(b) ** int(e)) if e >= 0 or abs(b) == 1 else 0
        for b, e in zip(base, exponent, strict=True)
    ]
    np.testing.assert_array_equal(
        run_op("Pow", [base, exponent])[0], np.array(expected, base.dtype)
    )


def test_pow_with_an_exponent_beyond_int64() -> None:
    exponent = np.array([2**63 + 1, 2**64 - 1], np.uint64)
    (y,) = run_op("Pow", [np.array([3, -1], np.int64), exponent])
    third = pow(3, 2**63 + 1, 2**64)
    assert y.tolist() == [third - 2**64 if third >= 2**63 else third, -1]


def test_pow_takes_an_exponent_of_another_type() -> None:
    x = np.array([1.5, 2.0, 9.0], np.float32)
    np.testing.assert_allclose(run_op("Pow", [x, np.array(2, np.int64)])[0], x**2)


def test_legacy_broadcast_lays_the_second_operand_over_an_axis() -> None:
    a = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    b = np.array([1, 2, 3], np.float32)
    (y,) = run_op("Add", [a, b], {"axis": 1, "broadcast": 1}, opset=6)
    np.testing.assert_array_equal(y, a + b[:, None])


@pytest.mark.parametrize("name", ["Max", "Min", "Sum", "Mean"])
def test_variadic_operators_broadcast_and_keep_nan(name: str) -> None:
    values = [
        np.array([[1.0], [math.nan]], np.float32),
        np.array([2.0, -1.0, 0.5], np.float32),
        np.array(1.5, np.float32),
    ]
    spread = np.stack(np.broadcast_arrays(*values))
    reduce = {"Max": np.max, "Min": np.min, "Sum": np.sum, "Mean": np.mean}[name]
    np.testing.assert_allclose(run_op(name, values)[0], reduce(spread, axis=0), rtol=1e-6)


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ((-1.0, 1.0), [-1.0, 1.0, 0.5, math.nan]),
        ((None, 1.0), [-math.inf, 1.0, 0.5, math.nan]),
        ((2.0, 1.0), [1.0, 1.0, 1.0, math.nan]),
    ],
)
def test_clip(bounds: tuple, expected: list[float]) -> None:
    x = np.array([-math.inf, 7.0, 0.5, math.nan], np.float32)
    inputs = [x, *(None if bound is None else np.array(bound, np.float32) for bound in bounds)]
    np.testing.assert_array_equal(run_op("Clip", inputs)[0], np.array(expected, np.float32))


def test_clip_by_attributes() -> None:
    x = np.array([-5.0, 0.0, 5.0], np.float32)
    np.testing.assert_array_equal(
        run_op("Clip", [x], {"min": -1.0}, opset=6)[0], np.array([-1, 0, 5], np.float32)
    )


def test_shrink_keeps_all_digits_of_an_integer() -> None:
    x = np.array([2**62 + 1, -(2**62) - 1, 2**63 - 1, 0], np.int64)
    np.testing.assert_array_equal(run_op("Shrink", [x])[0], x)
    (y,) = run_op("Shrink", [x], {"bias": 2.0})
    assert y.tolist() == [2**62 - 1, -(2**62) + 1, 2**63 - 3, 0]


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize(("name", "opset"), [("Mish", 18), ("Gelu", 20), ("Swish", 24)])
def test_minus_infinity_times_nothing_is_not_a_number(name: str, opset: int, tier: str) -> None:
    """As the formula, NumPy and PyTorch have it, though the limit is 0."""
    x = np.array([-math.inf, -1e30, -150.0], np.float32)
    (y,) = run_op(name, [x], opset=opset, tier=tier)
    np.testing.assert_array_equal(y, np.array([math.nan, 0, 0], np.float32))


def test_where_of_strings() -> None:
    c = np.array([True, False])
    a = np.array(["yes", "yes"], dtype=object)
    b = np.array(["a long string that does not fit a small buffer"], dtype=object)
    assert run_op("Where", [c, a, b])[0].tolist() == ["yes", b[0]]


@pytest.mark.parametrize("tier", TIERS)
def test_exponentials_beyond_the_range_are_infinite(tier: str) -> None:
    x = np.array([88.5, 89.0, 200.0, 4e7, 3e38, -104.0, -200.0, -4e7, -3e38], np.float32)
    (y,) = run_op("Exp", [x], tier=tier)
    np.testing.assert_allclose(y[0], np.exp(np.float64(88.5)), rtol=1e-6)
    np.testing.assert_array_equal(y[1:5], np.full(4, math.inf))
    np.testing.assert_allclose(y[5:], np.zeros(4), atol=1e-45)
