"""Tensors from parameters alone."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st
from onnx import defs, helper, numpy_helper

from tests.python.kernel_support import run_op
from tests.python.properties.bits import (
    WORDS,
    arrays_of,
    assert_same,
    dtypes_of,
    i64,
    moved_arrays,
    rounding_of,
    tensor_types,
    tiers,
)
from tests.python.properties.support import examples, kernels, shapes

SINGLES = st.floats(width=32)
INT64 = st.integers(-(2**63), 2**63 - 1)
FORMS: dict[str, tuple[int, st.SearchStrategy[Any], type]] = {
    "value_float": (12, SINGLES, np.float32),
    "value_int": (12, INT64, np.int64),
    "value_string": (12, st.sampled_from(WORDS), object),
    "value_floats": (12, st.lists(SINGLES, min_size=1, max_size=4), np.float32),
    "value_ints": (12, st.lists(INT64, min_size=1, max_size=4), np.int64),
    "value_strings": (12, st.lists(st.sampled_from(WORDS), min_size=1, max_size=4), object),
}


@kernels("Constant")
@examples
@given(data=st.data(), opset=st.sampled_from([1, 9, 11, 12, 13, 19, 21, 25]), tier=tiers)
def test_constant_is_a_tensor(data: st.DataObject, opset: int, tier: str) -> None:
    x = data.draw(moved_arrays("Identity", max(opset, 13), shapes()))
    assume(opset >= 9 or x.dtype.name != "bfloat16")
    tensor = numpy_helper.from_array(x)
    (y,) = run_op("Constant", [], {"value": tensor}, opset=opset, tier=tier)
    assert_same(y, x)


@kernels("Constant")
@examples
@given(data=st.data(), form=st.sampled_from(sorted(FORMS)), tier=tiers)
def test_constant_is_numbers_or_texts(data: st.DataObject, form: str, tier: str) -> None:
    first, values, dtype = FORMS[form]
    value = data.draw(values)
    opset = data.draw(st.sampled_from([first, 13, 21, 25]))
    (y,) = run_op("Constant", [], {form: value}, opset=opset, tier=tier)
    expected: np.ndarray = np.empty(() if form[-1] != "s" else len(value), dtype)
    expected[...] = value
    assert_same(y, expected)


@kernels("Constant")
@examples
@given(data=st.data(), opset=st.sampled_from([11, 13, 21]), linear=st.booleans(), tier=tiers)
def test_constant_is_a_sparse_tensor(
    data: st.DataObject, opset: int, linear: bool, tier: str
) -> None:
    shape = data.draw(shapes(min_dims=1, max_dims=3, min_side=1))
    dtype = np.dtype(data.draw(st.sampled_from(["f4", "f8", "i4", "i8", "u1"])))
    places = sorted(data.draw(st.sets(st.integers(0, math.prod(shape) - 1), max_size=4)))
    values = data.draw(arrays_of(dtype, (len(places),)))
    rows = np.array([np.unravel_index(p, shape) for p in places], np.int64)
    indices = i64(*places) if linear else rows.reshape(len(places), len(shape))
    sparse = helper.make_sparse_tensor(
        numpy_helper.from_array(values, "v"), numpy_helper.from_array(indices), shape
    )
    (y,) = run_op("Constant", [], {"sparse_value": sparse}, opset=opset, tier=tier)
    expected = np.zeros(math.prod(shape), dtype)
    expected[places] = values
    assert_same(y, expected.reshape(shape))


@kernels("ConstantOfShape")
@examples
@given(data=st.data(), opset=st.sampled_from([9, 20, 21, 25]), tier=tiers)
def test_constant_of_shape(data: st.DataObject, opset: int, tier: str) -> None:
    shape = data.draw(shapes())
    value = data.draw(st.none() | values_for_shape(opset))
    written = {} if value is None else {"value": numpy_helper.from_array(value)}
    (y,) = run_op("ConstantOfShape", [i64(*shape)], written, opset=opset, tier=tier)
    value = np.zeros(1, np.float32) if value is None else value
    assert_same(y, np.full(shape, value[0], value.dtype))


@st.composite
def values_for_shape(draw: st.DrawFn, opset: int) -> np.ndarray:
    """One element of a type that the operator gives out."""
    from_schema = constant_types(opset)
    return draw(arrays_of(draw(st.sampled_from(from_schema)), (1,)))


def constant_types(opset: int) -> tuple[np.dtype, ...]:
    (kinds,) = (
        c.allowed_type_strs
        for c in defs.get_schema("ConstantOfShape", opset).type_constraints
        if c.type_param_str == "T2"
    )
    return tensor_types(kinds)


@kernels("EyeLike")
@examples
@given(data=st.data(), opset=st.sampled_from([9, 22]), tier=tiers)
def test_eye_like(data: st.DataObject, opset: int, tier: str) -> None:
    kinds = dtypes_of("EyeLike", opset)
    x = data.draw(arrays_of(data.draw(st.sampled_from(kinds)), shapes(min_dims=2, max_dims=2)))
    k = data.draw(st.none() | st.integers(-5, 5) | st.sampled_from([2**63 - 1, -(2**63)]))
    dtype = data.draw(st.none() | st.sampled_from(kinds))
    written = {} if k is None else {"k": k}
    written |= {} if dtype is None else {"dtype": helper.np_dtype_to_tensor_dtype(dtype)}
    (y,) = run_op("EyeLike", [x], written, opset=opset, tier=tier)
    rows, columns = (v.astype(object) for v in np.indices(x.shape))
    assert_same(y, (columns - rows == (k or 0)).astype(dtype or x.dtype))


@kernels("Range")
@examples
@given(data=st.data(), opset=st.sampled_from([11, 27]), tier=tiers)
def test_range_of_integers(data: st.DataObject, opset: int, tier: str) -> None:
    """As many as the formula says, from the least to the greatest of the type."""
    kinds = [kind for kind in dtypes_of("Range", opset) if kind.kind == "i"]
    dtype = data.draw(st.sampled_from(kinds))
    ends = np.iinfo(dtype)
    start = data.draw(st.integers(-9, 9) | st.integers(ends.min, ends.max))
    steps = st.integers(-4, 4) | st.integers(ends.min, ends.max)
    delta = data.draw(steps.filter(bool))
    limit = data.draw(st.integers(-9, 9) | st.integers(-5, 40).map(lambda n: start + n * delta))
    assume(ends.min <= limit <= ends.max)
    count = max(-((limit - start) // -delta), 0)
    assume(count < 50)
    inputs = [np.array(v, dtype) for v in (start, limit, delta)]
    (y,) = run_op("Range", inputs, opset=opset, tier=tier)
    assert_same(y, np.array([start + i * delta for i in range(count)], dtype))


@kernels("Range")
@examples
@given(data=st.data(), opset=st.sampled_from([11, 27]), tier=tiers)
def test_range_of_real_numbers(data: st.DataObject, opset: int, tier: str) -> None:
    """The half types are computed as float32, and each element is within two roundings.

    How many there are is exact where the steps are: it is not asked for within a rounding of a
    whole number of steps.
    """
    kinds = [k for k in dtypes_of("Range", opset) if k.kind == "f" or k == ml_dtypes.bfloat16]
    dtype = data.draw(st.sampled_from(kinds))
    some = st.floats(-8, 8, width=16)
    start, limit = (np.array(data.draw(some)).astype(dtype) for _ in "sl")
    delta = np.array(data.draw(some.filter(lambda d: abs(d) > 0.2))).astype(dtype)
    exact = [Fraction(float(v)) for v in (start, limit, delta)]
    steps = (exact[1] - exact[0]) / exact[2]
    assume(steps == round(steps) or abs(steps - round(steps)) > Fraction(1, 10**6))
    count = max(math.ceil(steps), 0)
    (y,) = run_op("Range", [start, limit, delta], opset=opset, tier=tier)
    assert y.dtype == dtype
    assert y.shape == (count,)
    expected = [float(exact[0] + i * exact[2]) for i in range(count)]
    rounding = rounding_of(dtype)
    np.testing.assert_allclose(y.astype(np.float64), expected, rtol=rounding, atol=8 * rounding)
