"""Elementwise functions of two and more tensors: arithmetic, comparison, logic, bits, bounds.

Arithmetic on float32 and float64 rounds once, as IEEE 754 says; a half type is computed in float32
and may be rounded twice. Integers are computed modulo their width. What the standard leaves open, a
division by 0 of integers, gives 0.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.python.kernel_support import TIERS, run_op
from tests.python.properties.numerics import (
    DTYPES,
    assert_close,
    assert_same,
    dtypes_of,
    is_float,
    moderate,
    signatures,
    tensors,
    wide,
    wrapped,
)
from tests.python.properties.support import examples, kernels

if TYPE_CHECKING:
    from collections.abc import Callable

    Formula = Callable[[Any, Any], Any]


def divide(a: np.ndarray, b: np.ndarray) -> Any:
    """Of integers: towards zero, and 0 where the divisor is."""
    if is_float(a.dtype):
        return np.divide(a, b)
    whole = [0 if q == 0 else abs(p) // abs(q) * _sign(p, q) for p, q in _pairs(a, b)]
    return _integers(whole, a, b)


def remainder(a: np.ndarray, b: np.ndarray) -> Any:
    """With the divisor's sign, as Python's; 0 where the divisor is."""
    if is_float(a.dtype):
        return np.mod(a, b)
    return _integers([0 if q == 0 else p % q for p, q in _pairs(a, b)], a, b)


def truncated_remainder(a: np.ndarray, b: np.ndarray) -> Any:
    """With the dividend's sign, as C's; 0 where the divisor is."""
    if is_float(a.dtype):
        return np.fmod(a, b)
    whole = [0 if q == 0 else abs(p) % abs(q) * (-1 if p < 0 else 1) for p, q in _pairs(a, b)]
    return _integers(whole, a, b)


def shift_left(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    width = a.dtype.itemsize * 8
    return _integers([p << q if 0 <= q < width else 0 for p, q in _pairs(a, b)], a, b)


def shift_right(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of signed numbers with the sign; by what is not within the width, all bits out."""
    width = a.dtype.itemsize * 8
    return _integers([p >> (q if 0 <= q < width else width) for p, q in _pairs(a, b)], a, b)


def _sign(p: int, q: int) -> int:
    return 1 if (p < 0) == (q < 0) else -1


def _pairs(a: np.ndarray, b: np.ndarray) -> list[tuple[int, int]]:
    return [
        (int(p), int(q)) for p, q in zip(*map(np.ravel, np.broadcast_arrays(a, b)), strict=True)
    ]


def _integers(values: list[int], a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Modulo the width of a's type."""
    return wrapped(values, a.dtype).reshape(np.broadcast_shapes(a.shape, b.shape))


ARITHMETIC: dict[str, tuple[Formula, dict[str, Any]]] = {
    "Add": (np.add, {}),
    "And": (np.logical_and, {}),
    "BitShift": (shift_left, {"direction": "LEFT"}),
    "BitShift ": (shift_right, {"direction": "RIGHT"}),
    "BitwiseAnd": (np.bitwise_and, {}),
    "BitwiseOr": (np.bitwise_or, {}),
    "BitwiseXor": (np.bitwise_xor, {}),
    "Div": (divide, {}),
    "Equal": (operator.eq, {}),
    "Greater": (operator.gt, {}),
    "GreaterOrEqual": (operator.ge, {}),
    "Less": (operator.lt, {}),
    "LessOrEqual": (operator.le, {}),
    "Mod": (remainder, {}),
    "Mod ": (truncated_remainder, {"fmod": 1}),
    "Mul": (np.multiply, {}),
    "Or": (np.logical_or, {}),
    "Sub": (np.subtract, {}),
    "Xor": (np.logical_xor, {}),
}
"""The same operator with other attributes stands behind a name with a blank."""


def two_shapes() -> st.SearchStrategy[tuple[tuple[int, ...], ...]]:
    return many_shapes(2)


def many_shapes(count: int) -> st.SearchStrategy[tuple[tuple[int, ...], ...]]:
    shapes = hnp.mutually_broadcastable_shapes(num_shapes=count, max_dims=4, min_side=0, max_side=4)
    return shapes.map(lambda found: found.input_shapes)


def operands(dtype: np.dtype[Any], shape: tuple[int, ...]) -> st.SearchStrategy[np.ndarray]:
    """Any numbers, or one over and over that a pass may know something of."""
    known = st.sampled_from([0.0, -0.0, 1.0, 2.0]).map(lambda x: np.full(shape, x).astype(dtype))
    return st.one_of(tensors(dtype, shape), tensors(dtype, shape), known)


CONSTANT = st.sampled_from([(), (0,), (1,)])
"""Which operand is an initializer, so that the passes see its value."""


@kernels(*(name.strip() for name in ARITHMETIC))
@pytest.mark.parametrize("name", sorted(ARITHMETIC))
@examples
@given(shapes=two_shapes(), data=st.data())
def test_functions_of_two_numbers(
    name: str, shapes: tuple[tuple[int, ...], ...], data: st.DataObject
) -> None:
    """From opset 7 on, where broadcasting is that of NumPy."""
    formula, attributes = ARITHMETIC[name]
    name = name.strip()
    signature = data.draw(signatures(name, since=2 if name == "Mod" else 7))
    a, b = (data.draw(operands(signature.dtype, shape)) for shape in shapes)
    with np.errstate(all="ignore"):
        expected = np.asarray(formula(wide(a), wide(b)))
    (y,) = run_op(
        name,
        [a, b],
        attributes,
        opset=signature.opset,
        tier=signature.tier,
        constants=data.draw(CONSTANT),
    )
    if expected.dtype == np.bool_ or not is_float(a.dtype):
        assert_same(y, expected)
    else:
        assert y.dtype == a.dtype
        assert_close(y, expected, ulps=1 if a.dtype.itemsize == 2 else 0)


LEGACY = ("Add", "And", "Div", "Equal", "Greater", "Less", "Mul", "Or", "Pow", "Sub", "Xor")


@st.composite
def legacy_shapes(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...], dict[str, int]]:
    """A shape, a part of it, and where the second lies over the first."""
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3))
    begin = draw(st.integers(0, len(shape)))
    end = draw(st.integers(begin, len(shape)))
    part = tuple(side if draw(st.booleans()) else 1 for side in shape[begin:end])
    if begin == 0 and part == shape and draw(st.booleans()):
        return shape, part, {}
    attributes = {"broadcast": 1}
    # Without an axis the second operand is a suffix; a scalar has no axis to name.
    if shape and (end != len(shape) or draw(st.booleans())):
        attributes["axis"] = begin if part else 0
    return shape, part, attributes


@pytest.mark.parametrize("name", LEGACY)
@examples
@given(shapes=legacy_shapes(), data=st.data())
def test_broadcasting_before_opset_7(
    name: str, shapes: tuple[tuple[int, ...], tuple[int, ...], dict[str, int]], data: st.DataObject
) -> None:
    shape, part, attributes = shapes
    opset = data.draw(st.sampled_from([1, 6]))
    dtype = data.draw(st.sampled_from(dtypes_of(onnx.defs.get_schema(name, opset), "T")))
    a, b = data.draw(moderate(dtype, shape, 1, 3)), data.draw(moderate(dtype, part, 1, 3))
    axis = attributes.get("axis", len(shape) - len(part))
    over = wide(b).reshape((1,) * axis + part + (1,) * (len(shape) - axis - len(part)))
    formula = np.power if name == "Pow" else ARITHMETIC[name][0]
    expected = np.asarray(formula(wide(a), over))
    tier = data.draw(st.sampled_from(TIERS))
    (y,) = run_op(name, [a, b], attributes, opset=opset, tier=tier)
    if expected.dtype == np.bool_ or not is_float(dtype):
        assert_same(y, expected)
    else:
        assert_close(y, expected, ulps=1)


@kernels("Equal")
@examples
@given(shapes=two_shapes(), data=st.data(), tier=st.sampled_from(TIERS))
def test_equal_of_strings(
    shapes: tuple[tuple[int, ...], ...], data: st.DataObject, tier: str
) -> None:
    word = st.sampled_from(["", "a", "A", "b", "long enough not to be stored in place"])
    a, b = (data.draw(hnp.arrays(object, shape, elements=word)) for shape in shapes)
    (y,) = run_op("Equal", [a, b], opset=19, tier=tier)
    assert_same(y, np.asarray(a == b, np.bool_))


def power(base: int, exponent: int, dtype: np.dtype[Any]) -> int:
    """base ** exponent modulo the width.

    Towards zero where the exponent is negative; 1 / 0 is 0.
    """
    if exponent < 0:
        return 1 // base**2 * base ** (-exponent % 2) if abs(base) == 1 else 0
    return pow(base, exponent, 1 << dtype.itemsize * 8)


@kernels("Pow")
@examples
@given(shapes=two_shapes(), data=st.data())
def test_pow(shapes: tuple[tuple[int, ...], ...], data: st.DataObject) -> None:
    """Integers to the power of integers are exact.

    All else is float64's power, as the result's type holds it.
    """
    signature = data.draw(signatures("Pow", since=7))
    exponent = signature.dtype
    if signature.opset >= 12:
        schema = onnx.defs.get_schema("Pow", signature.opset)
        exponent = data.draw(st.sampled_from(dtypes_of(schema, "T1")))
    whole = not is_float(signature.dtype)
    if whole and is_float(exponent):
        a = data.draw(moderate(signature.dtype, shapes[0], 0, 9))
        b = data.draw(moderate(exponent, shapes[1], 0, 4))
    else:
        a = data.draw(tensors(signature.dtype, shapes[0]))
        known = st.sampled_from([-1.0, 0.0, 1.0, 2.0, 3.0, 4.0])
        b = data.draw(
            tensors(exponent, shapes[1])
            | known.map(lambda x: np.full(shapes[1], abs(x) if exponent.kind == "u" else x))
        ).astype(exponent)
    constants = data.draw(CONSTANT)
    (y,) = run_op("Pow", [a, b], opset=signature.opset, tier=signature.tier, constants=constants)
    assert y.dtype == a.dtype
    if whole and not is_float(exponent):
        values = [power(p, q, a.dtype) for p, q in _pairs(a, b)]
        assert_same(y, _integers(values, a, b))
        return
    with np.errstate(all="ignore"):
        expected = np.power(a.astype(np.float64), b.astype(np.float64))
    if whole:
        assert_same(y, expected.astype(a.dtype))
    else:
        assert_close(y, expected, ulps=2)


@kernels("Pow")
@examples
@given(data=st.data(), tier=st.sampled_from(TIERS), constant=st.booleans())
def test_pow_of_a_half(data: st.DataObject, tier: str, constant: bool) -> None:
    """A constant exponent makes it a root. That of -∞ is another: it is not drawn."""
    x = data.draw(tensors(np.dtype(np.float32)))
    x = np.where(np.isneginf(x), np.float32(1), x)
    constants = (1,) if constant else ()
    (y,) = run_op("Pow", [x, np.array(0.5, np.float32)], tier=tier, constants=constants)
    with np.errstate(all="ignore"):
        assert_close(y, np.power(wide(x), 0.5), ulps=1)


def mean(*values: np.ndarray) -> np.ndarray:
    return sum(values[1:], start=values[0]) / len(values)


VARIADIC: dict[str, Callable[..., Any]] = {
    "Max": lambda *values: np.maximum.reduce(values),
    "Mean": mean,
    "Min": lambda *values: np.minimum.reduce(values),
    "Sum": lambda *values: sum(values[1:], start=values[0]),
}


@kernels(*VARIADIC)
@pytest.mark.parametrize("name", sorted(VARIADIC))
@examples
@given(count=st.integers(1, 4), data=st.data())
def test_functions_of_any_number_of_tensors(name: str, count: int, data: st.DataObject) -> None:
    """NaN wins.

    Sums of more than two are made of finite numbers: where one overflows on the way is left open.
    """
    signature = data.draw(signatures(name))
    shapes = data.draw(many_shapes(count))
    if signature.opset < 8:  # without broadcasting
        shapes = shapes[:1] * count
    summed = name in {"Sum", "Mean"}
    some = moderate if summed and (count > 2 or name == "Mean") else tensors
    values = [data.draw(some(signature.dtype, shape)) for shape in shapes]
    with np.errstate(all="ignore"):
        broadcast = np.broadcast_arrays(*map(wide, values))
        expected = np.asarray(VARIADIC[name](*broadcast))
        room = np.asarray(sum(np.abs(value) for value in broadcast)) if summed else 0.0
    (y,) = run_op(name, values, opset=signature.opset, tier=signature.tier)
    if not is_float(signature.dtype):
        assert_same(y, expected)
        return
    assert y.dtype == signature.dtype
    rounded = summed and (count > 2 or name == "Mean")
    # Each step of a sum rounds what there is of it.
    assert_close(y, expected, ulps=1, slack=room * count if rounded else 0.0)


@kernels("PRelu")
@examples
@given(data=st.data())
def test_prelu(data: st.DataObject) -> None:
    """The slope broadcasts to x, and not the other way round."""
    signature = data.draw(signatures("PRelu"))
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    begin = data.draw(st.integers(0, len(shape))) if signature.opset >= 7 else 0
    part = tuple(side if data.draw(st.booleans()) else 1 for side in shape[begin:])
    if signature.opset < 7 and part != shape:
        # One slope, or one for each channel.
        part = shape[1:2] if data.draw(st.booleans()) and len(shape) > 1 else (1,)
    x, slope = data.draw(tensors(signature.dtype, shape)), data.draw(tensors(signature.dtype, part))
    over = slope
    if signature.opset < 7 and part == shape[1:2] and part != (1,):
        over = slope.reshape(part + (1,) * (len(shape) - 2))
    with np.errstate(all="ignore"):
        expected = np.where(wide(x) < 0, wide(x) * wide(over), wide(x))
    (y,) = run_op("PRelu", [x, slope], opset=signature.opset, tier=signature.tier)
    if is_float(x.dtype):
        assert y.dtype == x.dtype
        assert_close(y, expected, ulps=1)
    else:
        assert_same(y, expected)


@kernels("SwiGLU")
@examples
@given(data=st.data())
def test_swiglu(data: st.DataObject) -> None:
    """a · sigmoid(alpha · a) · b.

    Of moderate numbers: what overflows on the way depends on the order.
    """
    signature = data.draw(signatures("SwiGLU"))
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    a, b = (data.draw(moderate(signature.dtype, shape, -20, 20)) for _ in range(2))
    attributes = data.draw(st.sampled_from([{}, {"alpha": 0.5}, {"alpha": -2.0}]))
    alpha = attributes.get("alpha", 1.0)
    gate = wide(a) / (1 + np.exp(-alpha * wide(a)))
    expected = gate * wide(b)
    (y,) = run_op("SwiGLU", [a, b], attributes, opset=signature.opset, tier=signature.tier)
    assert y.dtype == a.dtype
    assert_close(y, expected, ulps=6, slack=np.abs(alpha * wide(a) * expected))


@st.composite
def bounds(draw: st.DrawFn, dtype: np.dtype[Any]) -> np.ndarray | None:
    return draw(st.none() | tensors(dtype, ()))


@kernels("Clip")
@examples
@given(data=st.data(), constant=st.booleans())
def test_clip(data: st.DataObject, constant: bool) -> None:
    """As its function body: `x < min` gives min, then `max < x` gives max.

    So NaN goes through, a bound that is NaN bounds nothing, and the upper one wins over a greater
    lower one.
    """
    signature = data.draw(signatures("Clip", since=11))
    x = data.draw(tensors(signature.dtype))
    low, high = data.draw(bounds(x.dtype)), data.draw(bounds(x.dtype))
    y = x if low is None else np.where(wide(x) < wide(low), low, x)
    expected = y if high is None else np.where(wide(high) < wide(y), high, y)
    (found,) = run_op(
        "Clip",
        [x, low, high],
        opset=signature.opset,
        tier=signature.tier,
        constants=(1, 2) if constant else (),
    )
    assert_same(found, expected)


@kernels("Clip")
@examples
@given(data=st.data())
def test_clip_by_attributes(data: st.DataObject) -> None:
    """Version 6 says that the bounds are the greatest finite float32, where they are left out.

    Version 1 has none.
    """
    opset = data.draw(st.sampled_from([1, 6]))
    dtype = data.draw(st.sampled_from([DTYPES[name] for name in ("float16", "float", "double")]))
    x = data.draw(tensors(dtype))
    attributes = data.draw(
        st.fixed_dictionaries(
            {}, optional={name: st.sampled_from([-3.0, 0.0, 0.3, 1e30]) for name in ("min", "max")}
        )
    )
    limit = float(np.finfo(np.float32).max) if opset == 6 else np.inf
    with np.errstate(all="ignore"):
        low, high = (
            np.array(attributes.get(name, other), np.float32).astype(dtype)
            for name, other in (("min", -limit), ("max", limit))
        )
        y = np.where(x < low, low, x)
        expected = np.where(y > high, high, y)
    (found,) = run_op("Clip", [x], attributes, opset=opset, tier=data.draw(st.sampled_from(TIERS)))
    assert_same(found, expected)


@kernels("Where")
@examples
@given(shapes=many_shapes(3), data=st.data())
def test_where(shapes: tuple[tuple[int, ...], ...], data: st.DataObject) -> None:
    signature = data.draw(signatures("Where"))
    condition = data.draw(tensors(np.dtype(np.bool_), shapes[0]))
    a, b = (data.draw(tensors(signature.dtype, shape)) for shape in shapes[1:])
    (y,) = run_op("Where", [condition, a, b], opset=signature.opset, tier=signature.tier)
    assert_same(y, np.where(condition, a, b))


@kernels("Where")
@examples
@given(shapes=many_shapes(3), data=st.data(), tier=st.sampled_from(TIERS))
def test_where_of_strings(
    shapes: tuple[tuple[int, ...], ...], data: st.DataObject, tier: str
) -> None:
    condition = data.draw(tensors(np.dtype(np.bool_), shapes[0]))
    word = st.sampled_from(["", "a", "long enough not to be stored in place"])
    a, b = (data.draw(hnp.arrays(object, shape, elements=word)) for shape in shapes[1:])
    (y,) = run_op("Where", [condition, a, b], tier=tier)
    assert y.shape == np.broadcast_shapes(*shapes)
    assert y.tolist() == np.where(condition, a, b).tolist()
