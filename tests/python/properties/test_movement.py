"""Operators that give elements another place. The formula is NumPy's, and no bit may change."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.python.kernel_support import run_op
from tests.python.properties.bits import (
    arrays_of,
    assert_same,
    dtypes_of,
    i64,
    moved_arrays,
    tiers,
    zero_of,
)
from tests.python.properties.support import axes_of, examples, kernels, shapes

FAR = st.sampled_from([2**63 - 1, -(2**63), 2**31, -(2**31)])


@kernels("Reshape")
@examples
@given(data=st.data(), opset=st.sampled_from([1, 5, 13, 14, 19, 21, 25]), tier=tiers)
def test_reshape(data: st.DataObject, opset: int, tier: str) -> None:
    x = data.draw(moved_arrays("Reshape", opset, shapes(min_dims=1)))
    attributes: dict[str, Any]
    expected, target, attributes = data.draw(reshaped(x.shape, opset))
    inputs = [x, i64(*target)]
    if opset == 1:
        inputs, attributes = [x], {"shape": target}
    (y,) = run_op("Reshape", inputs, attributes, opset=opset, tier=tier)
    assert_same(y, x.reshape(expected))


@st.composite
def reshaped(
    draw: st.DrawFn, shape: tuple[int, ...], opset: int
) -> tuple[list[int], list[int], dict[str, int]]:
    """Another shape for as many elements, the target that asks for it, and its attributes."""
    cut = draw(st.integers(0, len(shape)))
    merged = [int(np.prod(shape[:cut], dtype=int)), *shape[cut:]]
    expected = draw(st.permutations(merged)) if draw(st.booleans()) else merged
    target = list(expected)
    if opset >= 14 and draw(st.booleans()):
        return expected, target, {"allowzero": 1}
    # A nought copies the extent of the input in its place.
    copied = [i for i, n in enumerate(expected) if i < len(shape) and shape[i] == n]
    assume(all(expected[i] != 0 or i in copied for i in range(len(expected))))
    for i in copied:
        if expected[i] == 0 or draw(st.booleans()):
            target[i] = 0
    free = draw(st.integers(0, len(target)))
    if free < len(target) and 0 not in expected:
        target[free] = -1
    return expected, target, {}


@kernels("Flatten")
@examples
@given(data=st.data(), opset=st.sampled_from([1, 9, 11, 13, 21, 25]), tier=tiers)
def test_flatten(data: st.DataObject, opset: int, tier: str) -> None:
    x = data.draw(moved_arrays("Flatten", opset, shapes(min_dims=0 if opset >= 11 else 1)))
    lowest = -x.ndim if opset >= 11 else 0
    axis = data.draw(st.none() | st.integers(lowest, x.ndim))
    assume(axis is not None or x.ndim > 0)
    split = 1 if axis is None else axis
    (y,) = run_op("Flatten", [x], {} if axis is None else {"axis": axis}, opset=opset, tier=tier)
    split += x.ndim if split < 0 else 0
    sides = [int(np.prod(part, dtype=int)) for part in (x.shape[:split], x.shape[split:])]
    assert_same(y, x.reshape(sides))


@kernels("Squeeze", "Unsqueeze")
@examples
@given(data=st.data(), opset=st.sampled_from([1, 11, 13, 21, 25]), tier=tiers)
def test_squeeze_undoes_unsqueeze(data: st.DataObject, opset: int, tier: str) -> None:
    x = data.draw(moved_arrays("Unsqueeze", opset, shapes(max_dims=3)))
    rank = x.ndim + data.draw(st.integers(1, 2))
    axes = data.draw(st.permutations(range(rank)))[: rank - x.ndim]
    written = [a - rank if opset >= 11 and data.draw(st.booleans()) else a for a in axes]
    expected = np.expand_dims(x, tuple(axes))
    (y,) = along("Unsqueeze", x, written, opset, tier)
    assert_same(y, expected)
    (back,) = along("Squeeze", y, written, opset, tier)
    assert_same(back, x)
    (bare,) = along("Squeeze", y, None, opset, tier)
    assert_same(bare, x.reshape([n for n in x.shape if n != 1]))


def along(op_type: str, x: np.ndarray, axes: list[int] | None, opset: int, tier: str) -> list[Any]:
    """Run an operator whose axes are an attribute before version 13, then an input."""
    if axes is None:
        return run_op(op_type, [x], opset=opset, tier=tier)
    if opset < 13:
        return run_op(op_type, [x], {"axes": axes}, opset=opset, tier=tier)
    return run_op(op_type, [x, i64(*axes)], opset=opset, tier=tier)


@kernels("Slice")
@examples
@given(data=st.data(), opset=st.sampled_from([1, 10, 11, 13]), tier=tiers)
def test_slice_follows_python(data: st.DataObject, opset: int, tier: str) -> None:
    x = data.draw(moved_arrays("Slice", opset, shapes(min_dims=1)))
    lowest = -x.ndim if opset >= 10 else 0
    some = st.lists(
        st.integers(lowest, x.ndim - 1), min_size=1, max_size=x.ndim, unique_by=lambda a: a % x.ndim
    )
    axes = data.draw(st.none() | some)
    count = len(axes) if axes is not None else data.draw(st.integers(1, x.ndim))
    bound = st.integers(-6, 6) | FAR
    starts, ends = (data.draw(st.lists(bound, min_size=count, max_size=count)) for _ in "se")
    step = (st.integers(-3, 3) | FAR).filter(bool) if opset >= 10 else st.just(1)
    steps = data.draw(st.none() | st.lists(step, min_size=count, max_size=count))
    index = [slice(None)] * x.ndim
    for k, axis in enumerate(range(count) if axes is None else axes):
        index[axis] = slice(starts[k], ends[k], 1 if steps is None else steps[k])
    if opset == 1:
        attributes = {"starts": starts, "ends": ends, **({} if axes is None else {"axes": axes})}
        (y,) = run_op("Slice", [x], attributes, opset=opset, tier=tier)
    else:
        rest = [None if v is None else i64(*v) for v in (axes, steps)]
        (y,) = run_op("Slice", [x, i64(*starts), i64(*ends), *rest], opset=opset, tier=tier)
    assert_same(y, x[tuple(index)])


@kernels("Transpose")
@examples
@given(data=st.data(), opset=st.sampled_from([1, 13, 21, 25]), tier=tiers)
def test_transpose(data: st.DataObject, opset: int, tier: str) -> None:
    x = data.draw(moved_arrays("Transpose", opset, shapes(max_dims=5)))
    perm = data.draw(st.none() | st.permutations(range(x.ndim)))
    attributes = {} if not perm else {"perm": perm}
    (y,) = run_op("Transpose", [x], attributes, opset=opset, tier=tier)
    assert_same(y, x.transpose(perm or None))


@kernels("Transpose")
@examples
@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 20)),
    perm=st.permutations(range(3)),
    dtype=st.sampled_from([np.int8, np.float16, np.float32, np.float64, np.complex128]),
    tier=tiers,
)
def test_transpose_in_tiles(
    shape: tuple[int, ...], perm: list[int], dtype: type, tier: str
) -> None:
    """Large enough for whole tiles of every element size, and what is left beside them."""
    x: np.ndarray = np.arange(np.prod(shape)).astype(dtype).reshape(shape)
    assert_same(run_op("Transpose", [x], {"perm": perm}, tier=tier)[0], x.transpose(perm))


@kernels("Expand")
@examples
@given(
    data=st.data(),
    both=hnp.mutually_broadcastable_shapes(num_shapes=2, min_side=0, max_side=3, max_dims=4),
    opset=st.sampled_from([8, 13]),
    tier=tiers,
)
def test_expand(data: st.DataObject, both: Any, opset: int, tier: str) -> None:
    shape, target = both.input_shapes
    x = data.draw(moved_arrays("Expand", opset, shape))
    (y,) = run_op("Expand", [x, i64(*target)], opset=opset, tier=tier)
    assert_same(y, np.broadcast_to(x, both.result_shape))


@kernels("Tile")
@examples
@given(data=st.data(), opset=st.sampled_from([6, 13]), tier=tiers)
def test_tile(data: st.DataObject, opset: int, tier: str) -> None:
    x = data.draw(moved_arrays("Tile", opset, shapes(max_dims=3)))
    repeats = data.draw(st.tuples(*[st.integers(0, 3)] * x.ndim))
    (y,) = run_op("Tile", [x, i64(*repeats)], opset=opset, tier=tier)
    assert_same(y, np.tile(x, repeats))


@kernels("Tile")
@examples
@given(data=st.data(), tier=tiers)
def test_tile_along_one_axis(data: st.DataObject, tier: str) -> None:
    """Version 1 has one axis and one count, of the data's own type."""
    x = data.draw(arrays_of(np.dtype(data.draw(st.sampled_from(["f2", "f4", "f8"]))), shapes(1, 3)))
    axis, count = data.draw(st.integers(0, x.ndim - 1)), data.draw(st.integers(0, 3))
    scalars = [np.array([n], x.dtype) for n in (count, axis)]
    repeats = [count if i == axis else 1 for i in range(x.ndim)]
    assert_same(run_op("Tile", [x, *scalars], opset=1, tier=tier)[0], np.tile(x, repeats))


@kernels("Pad")
@examples
@given(data=st.data(), opset=st.sampled_from([1, 2, 11, 13, 18, 19, 21, 25]), tier=tiers)
def test_pad(data: st.DataObject, opset: int, tier: str) -> None:
    """Negative pads cut off first; what is added then goes on from what is left."""
    x = data.draw(moved_arrays("Pad", opset, shapes(min_dims=1, max_dims=3)))
    modes = ["constant", "reflect", "edge", *(["wrap"] if opset >= 19 else [])]
    mode = data.draw(st.none() | st.sampled_from(modes))
    pads = [data.draw(pads_of(n, mode or "constant")) for n in x.shape]
    attributes: dict[str, Any] = {} if mode is None else {"mode": mode}
    inputs: list[np.ndarray | None] = [x]
    if opset < 11:
        value = data.draw(st.none() | st.floats(-2, 2, width=16))
        attributes["paddings" if opset == 1 else "pads"] = by_side(pads)
        attributes |= {} if value is None else {"value": value}
        fill = x.dtype.type(0 if value is None else value)
    else:
        given_value = data.draw(st.none() | arrays_of(x.dtype, ()))
        inputs, pads = pad_inputs(data, x, pads, given_value, opset)
        fill = zero_of(x.dtype) if given_value is None else given_value[()]
    (y,) = run_op("Pad", inputs, attributes, opset=opset, tier=tier)
    assert_same(y, padded(x, pads, mode or "constant", fill))


def pads_of(extent: int, mode: str) -> st.SearchStrategy[tuple[int, int]]:
    """Pads that leave an axis something: an empty one can only be filled with a constant."""
    pad = st.integers(-extent, 5)

    def fits(pads: tuple[int, int]) -> bool:
        left = extent + min(pads[0], 0) + min(pads[1], 0)
        return left >= 0 and (mode == "constant" or left > 0 or max(pads) <= 0)

    return st.tuples(pad, pad).filter(fits)


def by_side(pads: list[tuple[int, int]]) -> list[int]:
    return [before for before, _ in pads] + [after for _, after in pads]


def pad_inputs(
    data: st.DataObject,
    x: np.ndarray,
    pads: list[tuple[int, int]],
    value: np.ndarray | None,
    opset: int,
) -> tuple[list[np.ndarray | None], list[tuple[int, int]]]:
    """The inputs of Pad, of some axes where its version has them, and the pads of all axes."""
    axes = data.draw(st.none() | st.sets(st.integers(0, x.ndim - 1))) if opset >= 18 else None
    if axes is None:
        return [x, i64(*by_side(pads)), value], pads
    order = data.draw(st.permutations(sorted(axes)))
    named = [a - x.ndim if data.draw(st.booleans()) else a for a in order]
    kind = data.draw(st.sampled_from([np.int32, np.int64]))
    inputs = [x, i64(*by_side([pads[a] for a in order])), value, np.array(named, kind)]
    return inputs, [pad if i in axes else (0, 0) for i, pad in enumerate(pads)]


def padded(x: np.ndarray, pads: list[tuple[int, int]], mode: str, fill: Any) -> np.ndarray:
    """np.pad of what negative pads leave, of places, so that any element type goes."""
    cut = tuple(slice(max(0, -b), n - max(0, -a)) for (b, a), n in zip(pads, x.shape, strict=True))
    places = np.arange(x.size).reshape(x.shape)[cut]
    added = [(max(0, b), max(0, a)) for b, a in pads]
    options = {"constant_values": -1} if mode == "constant" else {}
    if places.size == 0 and mode != "constant":
        return np.zeros([n + b + a for n, (b, a) in zip(places.shape, added, strict=True)], x.dtype)
    places = np.pad(places, added, mode=mode, **options)  # type: ignore[call-overload]
    elements = np.array([*x.reshape(-1), fill], x.dtype)
    return np.asarray(elements[places])


@kernels("CenterCropPad")
@examples
@given(data=st.data(), tier=tiers)
def test_center_crop_pad(data: st.DataObject, tier: str) -> None:
    """A crop starts at half of what is too much, rounded down; an odd zero goes to the end."""
    x = data.draw(moved_arrays("CenterCropPad", 18, shapes(min_dims=1)))
    axes = data.draw(st.none() | st.permutations(range(x.ndim)))
    if axes is not None:
        axes = axes[: data.draw(st.integers(1, x.ndim))]
    order = range(x.ndim) if axes is None else axes
    target = [data.draw(st.integers(0, 6)) for _ in order]
    kind = data.draw(st.sampled_from([np.int32, np.int64]))
    pads = [(0, 0)] * x.ndim
    for axis, wanted in zip(order, target, strict=True):
        less = x.shape[axis] - wanted
        pads[axis] = (
            (-(less // 2), -(less - less // 2)) if less > 0 else (-less // 2, -less - -less // 2)
        )
    named = (
        {}
        if axes is None
        else {"axes": [data.draw(st.sampled_from([a, a - x.ndim])) for a in axes]}
    )
    (y,) = run_op("CenterCropPad", [x, np.array(target, kind)], named, opset=18, tier=tier)
    assert_same(y, padded(x, pads, "constant", zero_of(x.dtype)))


@kernels("DepthToSpace", "SpaceToDepth")
@examples
@given(data=st.data(), opset=st.sampled_from([1, 11, 13, 28]), tier=tiers)
def test_depth_to_space_and_back(data: st.DataObject, opset: int, tier: str) -> None:
    """The orders are those of the standard's own text: depth-column-row, column-row-depth."""
    n, c, h, w = data.draw(shapes(min_dims=4, max_dims=4))
    b = data.draw(st.integers(1, 3))
    x = data.draw(moved_arrays("DepthToSpace", opset, (n, c * b * b, h, w)))
    mode = data.draw(st.sampled_from([None, "DCR", "CRD"])) if opset >= 11 else None
    attributes = {"blocksize": b, **({} if mode is None else {"mode": mode})}
    if mode == "CRD":
        split, perm = (n, c, b, b, h, w), (0, 1, 4, 2, 5, 3)
    else:
        split, perm = (n, b, b, c, h, w), (0, 3, 4, 1, 5, 2)
    (y,) = run_op("DepthToSpace", [x], attributes, opset=opset, tier=tier)
    assert_same(y, x.reshape(split).transpose(perm).reshape(n, c, h * b, w * b))
    if opset < 28:  # the other way has a mode from version 28 on
        attributes.pop("mode", None)
        assume(mode != "CRD")
    assume(x.dtype in dtypes_of("SpaceToDepth", opset))
    assert_same(run_op("SpaceToDepth", [y], attributes, opset=opset, tier=tier)[0], x)


@kernels("Concat", "Split")
@examples
@given(data=st.data(), opset=st.sampled_from([4, 11, 13, 18]), tier=tiers)
def test_split_undoes_concat(data: st.DataObject, opset: int, tier: str) -> None:
    shape = data.draw(shapes(min_dims=1))
    axis = data.draw(axes_of(len(shape)) if opset >= 11 else st.integers(0, len(shape) - 1))
    extents = data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=5))
    dtype = data.draw(st.sampled_from(dtypes_of("Concat", opset)))
    parts = []
    for extent in extents:
        own = list(shape)
        own[axis] = extent
        parts.append(data.draw(arrays_of(dtype, own)))
    (whole,) = run_op("Concat", parts, {"axis": axis}, opset=opset, tier=tier)
    assert_same(whole, np.concatenate(parts, axis))
    attributes: dict[str, Any] = {"axis": axis}
    inputs = [whole]
    if opset < 13:
        attributes["split"] = extents
    else:
        inputs.append(i64(*extents))
    found = run_op("Split", inputs, attributes, opset=opset, outputs=len(parts), tier=tier)
    for part, expected in zip(found, parts, strict=True):
        assert_same(part, expected)


@kernels("Split")
@examples
@given(data=st.data(), opset=st.sampled_from([2, 11, 13, 18]), tier=tiers)
def test_split_into_equal_parts(data: st.DataObject, opset: int, tier: str) -> None:
    """From version 18 on the last parts may be smaller, or empty."""
    count = data.draw(st.integers(1, 4))
    shape = list(data.draw(shapes(min_dims=1)))
    axis = data.draw(st.none() | st.integers(-len(shape) if opset >= 11 else 0, len(shape) - 1))
    place = 0 if axis is None else axis
    shape[place] = data.draw(st.integers(0, 9)) if opset >= 18 else count * shape[place]
    x = data.draw(moved_arrays("Split", opset, shape))
    attributes = {} if axis is None else {"axis": axis}
    if opset >= 18:
        attributes["num_outputs"] = count
    found = run_op("Split", [x], attributes, opset=opset, outputs=count, tier=tier)
    chunk = -(-shape[place] // count)
    for k, part in enumerate(found):
        places = range(min(k * chunk, shape[place]), min((k + 1) * chunk, shape[place]))
        assert_same(part, np.take(x, list(places), place))


@kernels("Trilu")
@examples
@given(data=st.data(), upper=st.sampled_from([None, 0, 1]), tier=tiers)
def test_trilu(data: st.DataObject, upper: int | None, tier: str) -> None:
    x = data.draw(moved_arrays("Trilu", 14, shapes(min_dims=2)))
    k = data.draw(st.none() | st.integers(-6, 6) | FAR)
    inputs = [x] if k is None else [x, np.array(k, np.int64)]
    attributes = {} if upper is None else {"upper": upper}
    (y,) = run_op("Trilu", inputs, attributes, opset=14, tier=tier)
    rows, columns = np.indices(x.shape[-2:])
    distance = (columns - rows).astype(object) - (k or 0)
    kept = distance <= 0 if upper == 0 else distance >= 0
    assert_same(y, np.where(kept.astype(bool), x, zero_of(x.dtype)).astype(x.dtype))


@kernels("ReverseSequence")
@examples
@given(data=st.data(), opset=st.sampled_from([10, 28]), time_first=st.booleans(), tier=tiers)
def test_reverse_sequence(data: st.DataObject, opset: int, time_first: bool, tier: str) -> None:
    x = data.draw(moved_arrays("ReverseSequence", opset, shapes(min_dims=2)))
    batch, time = (1, 0) if time_first else (0, 1)
    lengths = [data.draw(st.integers(0, x.shape[time])) for _ in range(x.shape[batch])]
    written = not time_first or data.draw(st.booleans())
    attributes = {"batch_axis": batch, "time_axis": time} if written else {}
    (y,) = run_op("ReverseSequence", [x, i64(*lengths)], attributes, opset=opset, tier=tier)
    expected = np.moveaxis(x, (batch, time), (0, 1)).copy()
    for row, length in zip(expected, lengths, strict=True):
        row[:length] = row[:length][::-1].copy()
    assert_same(y, np.moveaxis(expected, (0, 1), (batch, time)))


@kernels("Shape", "Size")
@examples
@given(data=st.data(), opset=st.sampled_from([1, 13, 15, 19, 21, 25]), tier=tiers)
def test_shape_and_size(data: st.DataObject, opset: int, tier: str) -> None:
    x = data.draw(moved_arrays("Shape", opset, shapes()))
    bound = st.none() | st.integers(-6, 6) | FAR
    start, end = (data.draw(bound) if opset >= 15 else None for _ in "se")
    attributes = {k: v for k, v in (("start", start), ("end", end)) if v is not None}
    (y,) = run_op("Shape", [x], attributes, opset=opset, tier=tier)
    assert_same(y, i64(*x.shape[slice(start, end)]))
    (size,) = run_op("Size", [x], opset=opset, tier=tier)
    assert_same(size, np.array(x.size, np.int64))
