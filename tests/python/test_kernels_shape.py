"""Operators that move elements: slices, gathers, pads, transposes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.python.kernel_support import run_op

MOVED = (np.int8, np.float16, np.float32, np.float64, np.complex128, np.bool_)


def i64(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def sample(shape: tuple[int, ...], dtype: type = np.float32) -> np.ndarray:
    return np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)


@settings(max_examples=80, deadline=None)
@given(
    shape=hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=6),
    start=st.integers(-9, 9),
    end=st.one_of(st.integers(-9, 9), st.sampled_from([2**63 - 1, -(2**63)])),
    step=st.integers(-3, 3).filter(bool),
    data=st.data(),
)
def test_slice_follows_python(
    shape: tuple, start: int, end: int, step: int, data: st.DataObject
) -> None:
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    x = sample(shape)
    index: list[slice] = [slice(None)] * len(shape)
    # Python: with a negative step, None is the end that includes the first element.
    stop = None if step < 0 and end < -shape[axis] else end
    index[axis] = slice(start, stop, step)
    (y,) = run_op("Slice", [x, i64(start), i64(end), i64(axis), i64(step)])
    np.testing.assert_array_equal(y, x[tuple(index)])


def test_slice_by_attributes() -> None:
    x = sample((4, 5))
    (y,) = run_op("Slice", [x], {"starts": [1, -3], "ends": [1000, -1]}, opset=9)
    np.testing.assert_array_equal(y, x[1:1000, -3:-1])


@settings(max_examples=60, deadline=None)
@given(shape=hnp.array_shapes(min_dims=1, max_dims=5, min_side=0, max_side=4), data=st.data())
def test_transpose(shape: tuple, data: st.DataObject) -> None:
    perm = data.draw(st.permutations(range(len(shape))))
    x = sample(shape)
    np.testing.assert_array_equal(run_op("Transpose", [x], {"perm": perm})[0], x.transpose(perm))


@pytest.mark.parametrize("dtype", MOVED)
def test_elements_of_every_size_are_moved_whole(dtype: type) -> None:
    x = sample((3, 4), dtype)
    np.testing.assert_array_equal(run_op("Transpose", [x])[0], x.T)
    np.testing.assert_array_equal(
        run_op("Concat", [x, x], {"axis": -1})[0], np.concatenate([x, x], -1)
    )


@settings(max_examples=60, deadline=None)
@given(shape=hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=5), data=st.data())
def test_gather_with_negative_indices(shape: tuple, data: st.DataObject) -> None:
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    extent = shape[axis]
    indices = data.draw(
        hnp.arrays(
            np.int64,
            hnp.array_shapes(max_dims=2, max_side=3),
            elements=st.integers(-extent, extent - 1),
        )
    )
    x = sample(shape)
    np.testing.assert_array_equal(
        run_op("Gather", [x, indices], {"axis": axis})[0], np.take(x, indices, axis)
    )
    elements = np.resize(indices, shape)
    expected = np.take_along_axis(x, np.where(elements < 0, elements + extent, elements), axis)
    np.testing.assert_array_equal(
        run_op("GatherElements", [x, elements], {"axis": axis})[0], expected
    )


def test_an_index_out_of_range_is_an_error() -> None:
    with pytest.raises(Exception, match="index 3 is out of range"):
        run_op("Gather", [sample((3,)), i64(3)])


@pytest.mark.parametrize("reduction", ["none", "add", "mul", "max", "min"])
def test_scatter_elements_and_nd(reduction: str) -> None:
    x = sample((4, 3)) + 1
    indices = np.array([[0, -1, 2], [0, 1, 2]], np.int64)
    updates = np.array([[2, 9, -1], [3, 0.5, 7]], np.float32)
    take = {
        "none": lambda _, b: b,
        "add": np.add,
        "mul": np.multiply,
        "max": np.maximum,
        "min": np.minimum,
    }[reduction]
    expected = x.copy()
    for (i, j), index in np.ndenumerate(indices):
        expected[index, j] = take(expected[index, j], updates[i, j])
    np.testing.assert_allclose(
        run_op("ScatterElements", [x, indices, updates], {"reduction": reduction})[0], expected
    )
    expected = x.copy()
    for row, update in zip([-1, 0], updates, strict=True):
        expected[row] = take(expected[row], update)
    found = run_op(
        "ScatterND", [x, np.array([[-1], [0]], np.int64), updates], {"reduction": reduction}
    )[0]
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge", "wrap"])
@settings(max_examples=30, deadline=None)
@given(
    before=st.tuples(st.integers(0, 3), st.integers(0, 5)),
    after=st.tuples(st.integers(0, 3), st.integers(0, 5)),
)
def test_pad(mode: str, before: tuple, after: tuple) -> None:
    x = sample((2, 3))
    expected = np.pad(x, list(zip(before, after, strict=True)), mode=mode)
    np.testing.assert_array_equal(
        run_op("Pad", [x, i64(*before, *after)], {"mode": mode})[0], expected
    )


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


@settings(max_examples=40, deadline=None)
@given(shape=hnp.array_shapes(max_dims=4, min_side=0, max_side=3), data=st.data())
def test_tile_and_expand(shape: tuple, data: st.DataObject) -> None:
    repeats = data.draw(st.tuples(*[st.integers(0, 3)] * len(shape)))
    x = sample(shape)
    np.testing.assert_array_equal(run_op("Tile", [x, i64(*repeats)])[0], np.tile(x, repeats))
    target = (2, *shape)
    np.testing.assert_array_equal(
        run_op("Expand", [x, i64(*target)])[0], np.broadcast_to(x, target)
    )


def test_split_with_a_smaller_last_part() -> None:
    x = sample((7, 2))
    parts = run_op("Split", [x], {"num_outputs": 3}, outputs=3)
    assert [part.shape[0] for part in parts] == [3, 3, 1]
    np.testing.assert_array_equal(np.concatenate(parts), x)


@settings(max_examples=60, deadline=None)
@given(
    x=hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 3), st.integers(1, 6)),
        elements=st.sampled_from([0.0, 1.0, 2.0, -1.0]),
    ),
    largest=st.booleans(),
    data=st.data(),
)
def test_topk_takes_the_lower_index_of_equals(
    x: np.ndarray, largest: bool, data: st.DataObject
) -> None:
    k = data.draw(st.integers(0, x.shape[1]))
    order = np.argsort(-x if largest else x, axis=1, kind="stable")[:, :k]
    values, indices = run_op("TopK", [x, i64(k)], {"largest": int(largest)}, outputs=2)
    np.testing.assert_array_equal(indices, order)
    np.testing.assert_array_equal(values, np.take_along_axis(x, order, 1))


@settings(max_examples=40, deadline=None)
@given(
    x=hnp.arrays(np.int64, hnp.array_shapes(max_dims=2, max_side=5), elements=st.integers(-2, 2))
)
def test_unique_and_nonzero(x: np.ndarray) -> None:
    values, first, inverse, counts = run_op("Unique", [x], outputs=4)
    expected = np.unique(x, return_index=True, return_inverse=True, return_counts=True)
    for found, wanted in zip((values, first, inverse, counts), expected, strict=True):
        np.testing.assert_array_equal(found, wanted.reshape(-1))
    np.testing.assert_array_equal(run_op("NonZero", [x])[0], np.stack(np.nonzero(x)))


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
