"""Operators that pick elements or put them somewhere, by indices or by what they hold."""

from __future__ import annotations

import functools
import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.python.kernel_support import TIERS, run_op
from tests.python.properties.bits import (
    arrays_of,
    assert_same,
    dtypes_of,
    i64,
    is_text,
    moved_arrays,
    tiers,
)
from tests.python.properties.support import axes_of, examples, kernels, numbers, shapes

INDEX_TYPES = st.sampled_from([np.int32, np.int64])
TEXTS = st.sampled_from(["", "a", "b", "ab", "ü"])


def indices_into(extent: int, shape: Any, *, negative: bool = True) -> st.SearchStrategy[Any]:
    """Indices of an axis that is not empty, counted from either end."""
    places = st.integers(-extent if negative else 0, extent - 1)
    return INDEX_TYPES.flatmap(lambda kind: hnp.arrays(kind, shape, elements=places))


def assert_equal(found: Any, expected: np.ndarray) -> None:
    """Equal numbers of one type; zeros have their signs, and a NaN is a NaN."""
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    if is_text(expected.dtype):
        assert found.tolist() == expected.tolist()
        return
    if expected.dtype == ml_dtypes.bfloat16:
        found, expected = (v.astype(np.float32) for v in (found, expected))
    np.testing.assert_array_equal(found, expected)
    if expected.dtype.kind == "f":
        real = ~np.isnan(expected)
        np.testing.assert_array_equal(np.signbit(found)[real], np.signbit(expected)[real])


def values_of(dtype: np.dtype, shape: Any, few: bool) -> st.SearchStrategy[np.ndarray]:
    """Numbers of a type, all or few (so that many are alike)."""
    if is_text(dtype):
        return hnp.arrays(object, shape, elements=TEXTS)
    if dtype == ml_dtypes.bfloat16:
        exact = values_of(np.dtype(np.float32), shape, few)
        return exact.map(lambda x: np.asarray(x).astype(dtype))
    if dtype.kind == "c" and few:
        return hnp.arrays(dtype, shape, elements=st.sampled_from([0, 1, 1j, -1 + 1j, math.nan]))
    if dtype.kind not in "biuf":
        return arrays_of(dtype, shape)
    some = [0, 1] if dtype.kind in "bu" else [0, 1, -1]
    special = [math.nan, math.inf, -math.inf, -0.0] if dtype.kind == "f" else []
    elements = st.sampled_from([*some, *special]) if few else numbers(dtype.type)
    return hnp.arrays(dtype, shape, elements=elements)


@kernels("Gather")
@examples
@given(data=st.data(), opset=st.sampled_from([1, 11, 13]), tier=tiers)
def test_gather(data: st.DataObject, opset: int, tier: str) -> None:
    x = data.draw(moved_arrays("Gather", opset, shapes(min_dims=1, max_dims=3)))
    axis = data.draw(axes_of(x.ndim) if opset >= 11 else st.integers(0, x.ndim - 1))
    extent = x.shape[axis]
    where = shapes(max_dims=3) if extent else st.just((0, 2))
    indices = data.draw(indices_into(max(extent, 1), where, negative=opset >= 11))
    written = {} if axis == 0 and data.draw(st.booleans()) else {"axis": axis}
    (y,) = run_op("Gather", [x, indices], written, opset=opset, tier=tier)
    assert_same(y, np.take(x, indices, axis) if extent else empty_take(x, indices, axis))


def empty_take(x: np.ndarray, indices: np.ndarray, axis: int) -> np.ndarray:
    shape = list(x.shape)
    place = axis % x.ndim
    return np.zeros([*shape[:place], *indices.shape, *shape[place + 1 :]], x.dtype)


@kernels("GatherElements")
@examples
@given(data=st.data(), opset=st.sampled_from([11, 13]), tier=tiers)
def test_gather_elements(data: st.DataObject, opset: int, tier: str) -> None:
    x = data.draw(moved_arrays("GatherElements", opset, shapes(min_dims=1, max_dims=3)))
    axis = data.draw(axes_of(x.ndim))
    indices = data.draw(indices_within(x.shape, axis))
    (y,) = run_op("GatherElements", [x, indices], {"axis": axis}, opset=opset, tier=tier)
    assert_same(y, x[places_along(indices, axis, x.shape)])


def indices_within(shape: tuple[int, ...], axis: int) -> st.SearchStrategy[np.ndarray]:
    """Indices along an axis, for an area that reaches no further along the others."""
    extent = shape[axis]
    sides = [st.integers(0, n) for n in shape]
    sides[axis] = st.integers(0, 5 if extent else 0)
    return indices_into(max(extent, 1), st.tuples(*sides))


def places_along(indices: np.ndarray, axis: int, shape: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """For each index, where it points: to itself, but along one axis."""
    places: list[np.ndarray] = list(np.indices(indices.shape))
    places[axis] = np.where(indices < 0, indices + shape[axis], indices)
    return tuple(places)


@kernels("GatherND")
@examples
@given(data=st.data(), opset=st.sampled_from([11, 12, 13]), tier=tiers)
def test_gather_nd(data: st.DataObject, opset: int, tier: str) -> None:
    x = data.draw(moved_arrays("GatherND", opset, shapes(min_dims=1, max_dims=4)))
    batch = data.draw(st.integers(0, x.ndim - 1)) if opset >= 12 else 0
    depth = data.draw(st.integers(1, x.ndim - batch))
    loop = (*x.shape[:batch], *data.draw(shapes(max_dims=2)))
    assume(0 not in x.shape[batch : batch + depth] or 0 in loop)
    indices = data.draw(points_into(x.shape[batch : batch + depth], loop)).astype(np.int64)
    written = {} if batch == 0 else {"batch_dims": batch}
    (y,) = run_op("GatherND", [x, indices], written, opset=opset, tier=tier)
    expected = np.zeros((*loop, *x.shape[batch + depth :]), x.dtype)
    for place in np.ndindex(*loop):
        source = (*place[:batch], *indices[place])
        expected[place] = x[source]
    assert_same(y, expected)


def points_into(extents: tuple[int, ...], loop: tuple[int, ...]) -> st.SearchStrategy[np.ndarray]:
    """Points of an area: one index per axis of it in the last axis."""
    parts = [
        hnp.arrays(np.int64, loop, elements=st.integers(-max(n, 1), max(n, 1) - 1)) for n in extents
    ]
    return st.tuples(*parts).map(lambda axes: np.stack(axes, -1))


REDUCTIONS: dict[str, Any] = {
    "none": lambda _, new: new,
    "add": np.add,
    "mul": np.multiply,
    "max": np.maximum,
    "min": np.minimum,
}


@st.composite
def reduction_and_type(draw: st.DrawFn, op_type: str, opset: int) -> tuple[str | None, np.dtype]:
    """All types are put somewhere; numbers and truth values are added, multiplied and compared."""
    later = {16: ["add", "mul"], 18: ["add", "mul", "max", "min"]}.get(opset, [])
    reduction = draw(st.sampled_from([None, "none", *later]))
    kinds = dtypes_of(op_type, opset)
    if reduction in (None, "none"):
        return reduction, draw(st.sampled_from(kinds))
    real = [kind for kind in kinds if kind.kind == "f" or kind == ml_dtypes.bfloat16]
    whole = [kind for kind in kinds if kind.kind in "biu"]
    return reduction, draw(st.sampled_from(real) | st.sampled_from(whole))


@kernels("Scatter", "ScatterElements")
@examples
@given(data=st.data(), opset=st.sampled_from([9, 11, 13, 16, 18, 18]), tier=tiers)
def test_scatter_elements(data: st.DataObject, opset: int, tier: str) -> None:
    """One update after the other, in the order they stand in; NaN is passed on, as by NumPy."""
    op_type = "Scatter" if opset == 9 else "ScatterElements"
    reduction, dtype = data.draw(reduction_and_type(op_type, opset))
    few = data.draw(st.booleans())
    x = data.draw(values_of(dtype, shapes(min_dims=1, max_dims=3), few))
    axis = data.draw(axes_of(x.ndim) if opset >= 11 else st.integers(0, x.ndim - 1))
    indices = data.draw(indices_within(x.shape, axis))
    indices = np.abs(indices) % max(x.shape[axis], 1) if opset < 11 else indices
    updates = data.draw(values_of(dtype, indices.shape, few))
    written: dict[str, Any] = {"axis": axis} | (
        {} if reduction is None else {"reduction": reduction}
    )
    inputs = [x, indices.astype(data.draw(INDEX_TYPES)), updates]
    (y,) = run_op(op_type, inputs, written, opset=opset, tier=tier)
    expected = x.copy()
    targets = places_along(indices, axis, x.shape)
    with np.errstate(all="ignore"):
        for place in np.ndindex(*indices.shape):
            target = tuple(int(t[place]) for t in targets)
            take = REDUCTIONS[reduction or "none"]
            expected[target] = take(expected[target], updates[place])
    assert_equal(y, expected)


@kernels("ScatterND")
@examples
@given(data=st.data(), opset=st.sampled_from([11, 13, 16, 18, 18]), tier=tiers)
def test_scatter_nd(data: st.DataObject, opset: int, tier: str) -> None:
    reduction, dtype = data.draw(reduction_and_type("ScatterND", opset))
    few = data.draw(st.booleans())
    x = data.draw(values_of(dtype, shapes(min_dims=1, max_dims=3), few))
    depth = data.draw(st.integers(1, x.ndim))
    loop = data.draw(shapes(max_dims=2))
    assume(0 not in x.shape[:depth] or 0 in loop)
    indices = data.draw(points_into(x.shape[:depth], loop))
    updates = data.draw(values_of(dtype, (*loop, *x.shape[depth:]), few))
    written = {} if reduction is None else {"reduction": reduction}
    (y,) = run_op("ScatterND", [x, indices, updates], written, opset=opset, tier=tier)
    expected = x.copy()
    with np.errstate(all="ignore"):
        for place in np.ndindex(*loop):
            target = tuple(indices[place])
            take = REDUCTIONS[reduction or "none"]
            expected[target] = take(expected[target], updates[place])
    assert_equal(y, expected)


@kernels("TensorScatter")
@examples
@given(data=st.data(), circular=st.booleans(), tier=tiers)
def test_tensor_scatter(data: st.DataObject, circular: bool, tier: str) -> None:
    x = data.draw(moved_arrays("TensorScatter", 24, shapes(min_dims=2, max_dims=4)))
    axis = data.draw(axes_of(x.ndim).filter(lambda a: a % x.ndim != 0))
    room = x.shape[axis]
    length = data.draw(st.integers(0, room))
    shape = list(x.shape)
    shape[axis] = length
    update = data.draw(arrays_of(x.dtype, shape))
    far = st.integers(-9, 9) | st.just(2**40)
    start = far if circular else st.integers(0, room - length)
    first = data.draw(st.none() | hnp.arrays(np.int64, x.shape[0], elements=start))
    written = {"axis": axis, **({"mode": "circular"} if circular else {})}
    inputs = [x, update] if first is None else [x, update, first]
    (y,) = run_op("TensorScatter", inputs, written, opset=24, tier=tier)
    expected = np.moveaxis(x, axis, 1).copy()
    for b in range(x.shape[0]):
        for i in range(length):
            place = (0 if first is None else int(first[b])) + i
            expected[b, place % room] = np.moveaxis(update, axis, 1)[b, i]
    assert_same(y, np.moveaxis(expected, 1, axis))


@kernels("OneHot")
@examples
@given(data=st.data(), opset=st.sampled_from([9, 11, 28]), tier=tiers)
def test_one_hot(data: st.DataObject, opset: int, tier: str) -> None:
    """What lies outside of [-depth, depth) is off everywhere."""
    shape = data.draw(shapes(max_dims=3))
    # float8 and the like are whole numbers here, too
    kinds = [k for k in dtypes_of("OneHot", opset) if k.kind in "iuf"]
    indices = data.draw(one_hot_indices(data.draw(st.sampled_from(kinds)), shape))
    depth = data.draw(st.integers(1, 5))
    size = np.array(depth, data.draw(st.sampled_from(kinds)))
    size = size.reshape(1) if data.draw(st.booleans()) else size
    values = data.draw(arrays_of(data.draw(st.sampled_from(dtypes_of("OneHot", opset, 2))), (2,)))
    axis = data.draw(st.none() | st.integers(-len(shape) - 1, len(shape)))
    written = {} if axis is None else {"axis": axis}
    (y,) = run_op("OneHot", [indices, size, values], written, opset=opset, tier=tier)
    last = -1 if axis is None else axis
    expected = np.full((*shape, depth), values[0], values.dtype)
    for place in np.ndindex(*shape):
        index = int(indices[place])
        if -depth <= index < depth:
            target = (*place, index)
            expected[target] = values[1]
    assert_same(y, np.moveaxis(expected, -1, last))


def one_hot_indices(dtype: np.dtype, shape: tuple[int, ...]) -> st.SearchStrategy[np.ndarray]:
    """Indices of any type that numbers have, some of them far out, none of them without a value."""
    near = st.integers(0 if dtype.kind == "u" else -7, 7)
    if dtype.kind == "f":
        return hnp.arrays(dtype, shape, elements=near | st.floats(-6, 6, width=16))
    ends = np.iinfo(dtype)
    return hnp.arrays(dtype, shape, elements=near | st.sampled_from([ends.min, ends.max]))


@kernels("NonZero")
@examples
@given(data=st.data(), opset=st.sampled_from([9, 13]), few=st.booleans(), tier=tiers)
def test_nonzero(data: st.DataObject, opset: int, few: bool, tier: str) -> None:
    """A scalar counts as a vector of one; NaN and every text but the empty one are something."""
    dtype = data.draw(st.sampled_from(dtypes_of("NonZero", opset)))
    x = data.draw(values_of(dtype, shapes(), few))
    (y,) = run_op("NonZero", [x], opset=opset, tier=tier)
    something = np.array([bool(v) for v in x.reshape(-1)], bool).reshape(np.atleast_1d(x).shape)
    assert_same(y, np.argwhere(something).T.astype(np.int64, order="C"))


@kernels("Compress")
@examples
@given(data=st.data(), opset=st.sampled_from([9, 11, 28]), tier=tiers)
def test_compress(data: st.DataObject, opset: int, tier: str) -> None:
    """A condition that is shorter leaves the rest out."""
    x = data.draw(moved_arrays("Compress", opset, shapes(min_dims=1)))
    lowest = -x.ndim if opset >= 11 else 0
    axis = data.draw(st.none() | st.integers(lowest, x.ndim - 1))
    extent = x.size if axis is None else x.shape[axis]
    condition = data.draw(hnp.arrays(bool, st.integers(0, extent)))
    written = {} if axis is None else {"axis": axis}
    (y,) = run_op("Compress", [x, condition], written, opset=opset, tier=tier)
    whole = x.reshape(-1) if axis is None else x
    assert_same(y, np.take(whole, np.flatnonzero(condition), axis or 0))


@functools.total_ordering
class Ordered:
    """A number in the order of NumPy's sort: NaN behind all others, and like any other NaN."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.absent = bool(value != value)

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        assert isinstance(other, Ordered)
        return (self.absent and other.absent) or bool(self.value == other.value)

    def __lt__(self, other: Ordered) -> bool:
        return not self.absent and (other.absent or bool(self.value < other.value))


@kernels("TopK")
@examples
@given(data=st.data(), opset=st.sampled_from([1, 10, 11, 24]), few=st.booleans(), tier=tiers)
def test_top_k(data: st.DataObject, opset: int, few: bool, tier: str) -> None:
    """Of equal elements the one with the lower index comes first; NaN counts as the greatest.

    The standard leaves NaN open; NumPy's sort puts it last.
    """
    dtype = data.draw(st.sampled_from(dtypes_of("TopK", opset)))
    x = data.draw(values_of(dtype, shapes(min_dims=1, max_dims=3), few))
    axis = data.draw(st.none() | axes_of(x.ndim) if opset >= 10 else st.integers(0, x.ndim - 1))
    place = -1 if axis is None else axis
    k = data.draw(st.integers(0, x.shape[place]))
    written = {} if axis is None else {"axis": axis}
    largest = data.draw(st.sampled_from([None, 0, 1])) if opset >= 11 else None
    written |= {} if largest is None else {"largest": largest}
    if opset == 1:
        inputs, written = [x], {**written, "k": k}
    else:
        inputs = [x, i64(k)]
    values, indices = run_op("TopK", inputs, written, opset=opset, outputs=2, tier=tier)
    lines = np.moveaxis(x, place, -1)
    order = np.zeros((*lines.shape[:-1], k), np.int64)
    for line in np.ndindex(*lines.shape[:-1]):
        keys = [Ordered(v) for v in lines[line]]
        # Reversed or not, Python's sort keeps the order of what is equal.
        found = sorted(range(len(keys)), key=keys.__getitem__, reverse=largest != 0)
        order[line] = found[:k]
    assert_same(indices, np.moveaxis(order, -1, place))
    assert_equal(values, np.moveaxis(np.take_along_axis(lines, order, -1), -1, place))


@kernels("Unique")
@examples
@given(data=st.data(), opset=st.sampled_from([11, 28]), few=st.booleans(), tier=tiers)
def test_unique(data: st.DataObject, opset: int, few: bool, tier: str) -> None:
    """All NaN are alike and come last, as in np.unique; slices are compared element by element.

    Complex numbers are compared by their real parts, and by their imaginary ones where those are
    alike.
    """
    dtype = data.draw(st.sampled_from(dtypes_of("Unique", opset)))
    x = data.draw(values_of(dtype, shapes(min_dims=1, max_dims=3), few))
    axis = data.draw(st.none() | axes_of(x.ndim))
    is_sorted = data.draw(st.sampled_from([None, 0, 1]))
    written = {} if axis is None else {"axis": axis}
    written |= {} if is_sorted is None else {"sorted": is_sorted}
    found = run_op("Unique", [x], written, opset=opset, outputs=4, tier=tier)
    whole = x.reshape(-1) if axis is None else x
    rows = np.moveaxis(whole, axis or 0, 0)
    keys = [[Ordered(v) for v in parts_of(rows[i : i + 1])] for i in range(len(rows))]
    first = [i for i, key in enumerate(keys) if key not in keys[:i]]
    if is_sorted != 0:
        first.sort(key=lambda i: keys[i])
    distinct = [keys[i] for i in first]
    inverse = [distinct.index(key) for key in keys]
    assert_same(found[0], np.take(whole, first, axis or 0) if first else whole)
    assert_same(found[1], i64(*first))
    assert_same(found[2], i64(*inverse))
    assert_same(found[3], i64(*[inverse.count(i) for i in range(len(first))]))


def parts_of(x: np.ndarray) -> np.ndarray:
    """All elements; a complex one as two."""
    flat = np.ascontiguousarray(x).reshape(-1)
    return flat.view(flat.real.dtype) if flat.dtype.kind == "c" else flat


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("reduction", ["max", "min"])
@pytest.mark.parametrize(("old", "new"), [(1.0, math.nan), (math.nan, 1.0)])
def test_a_reduction_passes_nan_on(reduction: str, old: float, new: float, tier: str) -> None:
    x, updates = np.array([old], np.float32), np.array([new], np.float32)
    written = {"reduction": reduction}
    (y,) = run_op("ScatterElements", [x, i64(0), updates], written, opset=18, tier=tier)
    (z,) = run_op("ScatterND", [x, np.zeros((1, 1), np.int64), updates], written, tier=tier)
    assert np.isnan(y).all()
    assert np.isnan(z).all()


@pytest.mark.parametrize("tier", TIERS)
def test_indices_without_a_sign_are_not_negative(tier: str) -> None:
    inputs = [np.array([2**64 - 1, 1], np.uint64), np.array(2), np.array([0, 1])]
    assert run_op("OneHot", inputs, tier=tier)[0].tolist() == [[0, 0], [0, 1]]


@pytest.mark.parametrize("tier", TIERS)
def test_a_circle_goes_round_backwards_too(tier: str) -> None:
    x, update = np.zeros((1, 3)), np.array([[1.0, 2.0]])
    written = {"axis": 1, "mode": "circular"}
    (y,) = run_op("TensorScatter", [x, update, i64(-1)], written, opset=24, tier=tier)
    assert y.tolist() == [[2, 0, 1]]
