"""What AffineGrid, GridSample, Resize, Upsample, RoiAlign and MaxRoiPool draw an element from."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.python.kernel_support import run_op
from tests.python.properties.layers import assert_close, dtypes, layer, tiers, wide
from tests.python.properties.support import NUMBERS, arrays, examples, kernels, shapes

if TYPE_CHECKING:
    from hypothesis.strategies import DataObject

COORDINATES = (
    *("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners"),
    *("asymmetric", "tf_crop_and_resize"),
)
NEAREST = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
SCALES = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0)


def source(
    mode: str, i: int, scale: float, size: int, new: int, crop: tuple[float, float]
) -> float:
    """Where element `i` of `new` lies in an axis of `size`: the table of Resize's attribute."""
    if mode == "half_pixel":
        return (i + 0.5) / scale - 0.5
    if mode == "half_pixel_symmetric":
        adjustment = new / (scale * size)
        center = size / 2
        return center * (1 - adjustment) + (i + 0.5) / scale - 0.5
    if mode == "pytorch_half_pixel":
        return (i + 0.5) / scale - 0.5 if new > 1 else 0.0
    if mode == "align_corners":
        resized = scale * size
        return i * (size - 1) / (resized - 1) if new > 1 else 0.0
    if mode == "tf_crop_and_resize":
        begin, end = crop
        if new > 1:
            return begin * (size - 1) + i * (end - begin) * (size - 1) / (new - 1)
        return 0.5 * (begin + end) * (size - 1)
    return i / scale


def nearest(mode: str, x: float, size: int) -> int:
    rounded = {
        "round_prefer_floor": lambda: math.ceil(x - 0.5),
        "round_prefer_ceil": lambda: math.floor(x + 0.5),
        "floor": lambda: math.floor(x),
        "ceil": lambda: math.ceil(x),
    }[mode]()
    return min(max(rounded, 0), size - 1)


def triangle(d: float) -> float:
    return max(0.0, 1 - abs(d))


def cubic(d: float, a: float) -> float:
    """Keys, "Cubic convolution interpolation for digital image processing", equation 15."""
    d = abs(d)
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a if d < 2 else 0.0


def weights(
    x: float, size: int, *, a: float | None, widened: float, exclude_outside: bool
) -> np.ndarray:
    """How much each element of an axis counts at the place x; `a`: cubic.

    Elements outside are those at the edge, or do not count. Antialiasing widens the filter.
    """
    out = np.zeros(size)
    reach = (1 if a is None else 2) / widened
    for k in range(math.floor(x - reach), math.ceil(x + reach) + 1):
        d = (k - x) * widened
        w = triangle(d) if a is None else cubic(d, a)
        if not 0 <= k < size and exclude_outside:
            continue
        out[min(max(k, 0), size - 1)] += w
    total = out.sum()
    return out / total if total != 0 else out


@st.composite
def resized_axes(draw: st.DrawFn) -> tuple[tuple[int, ...], list[int] | None, dict[str, Any]]:
    """A shape, the axes that are named (None: all), and how they are to be resized."""
    shape = tuple(draw(st.lists(st.sampled_from([3, 4, 2, 1]), min_size=1, max_size=4)))
    rank = len(shape)
    axes = draw(st.none() | st.lists(st.integers(-rank, rank - 1), min_size=1, max_size=rank))
    if axes is not None:
        axes = list({axis % rank: axis for axis in axes}.values())
    count = rank if axes is None else len(axes)
    how: dict[str, Any] = {}
    if draw(st.booleans()):
        how["scales"] = [draw(st.sampled_from(SCALES)) for _ in range(count)]
    else:
        how["sizes"] = [draw(st.integers(1, 7)) for _ in range(count)]
        how["policy"] = draw(st.sampled_from(["stretch", "stretch", "not_larger", "not_smaller"]))
    return shape, axes, how


def plan(
    shape: tuple[int, ...], axes: list[int] | None, how: dict[str, Any]
) -> list[tuple[int, int, float]]:
    """For every axis its size, its new size and its scale."""
    out = [(n, n, 1.0) for n in shape]
    named = list(range(len(shape))) if axes is None else [axis % len(shape) for axis in axes]
    if "scales" in how:
        for axis, scale in zip(named, how["scales"], strict=True):
            out[axis] = (shape[axis], math.floor(shape[axis] * scale), scale)
        return out
    ratios = [size / shape[axis] for axis, size in zip(named, how["sizes"], strict=True)]
    for axis, size, ratio in zip(named, how["sizes"], ratios, strict=True):
        out[axis] = (shape[axis], size, ratio)
        if how["policy"] != "stretch":
            kept = min(ratios) if how["policy"] == "not_larger" else max(ratios)
            # Halves go up.
            out[axis] = (shape[axis], math.floor(kept * shape[axis] + 0.5), kept)
    return out


@kernels("Resize")
@pytest.mark.parametrize("coordinates", COORDINATES)
@examples
@given(
    case=resized_axes(),
    mode=st.sampled_from(["nearest", "linear", "cubic"]),
    nearest_mode=st.sampled_from(NEAREST),
    a=st.sampled_from([-0.75, -0.5]),
    exclude_outside=st.booleans(),
    antialias=st.booleans(),
    dtype=dtypes,
    tier=tiers,
    data=st.data(),
)
def test_resize(
    case: tuple[tuple[int, ...], list[int] | None, dict[str, Any]],
    mode: str,
    coordinates: str,
    nearest_mode: str,
    a: float,
    exclude_outside: bool,
    antialias: bool,
    dtype: Any,
    tier: str,
    data: DataObject,
) -> None:
    """An axis that keeps its size at scale 1 is left alone, but by a crop.

    Places that lie within a rounding of where nearest changes its mind are left out.
    """
    shape, axes, how = case
    planned = plan(shape, axes, how)
    assume(all(coordinates != "align_corners" or new < 2 or s * n != 1 for n, new, s in planned))
    named = range(len(shape)) if axes is None else [axis % len(shape) for axis in axes]
    crops = [(0.0, 1.0)] * len(shape)
    roi = None
    if coordinates == "tf_crop_and_resize":
        drawn = [
            (
                data.draw(st.sampled_from([-0.25, 0.0, 0.5])),
                data.draw(st.sampled_from([0.75, 1.0, 1.5])),
            )
            for _ in named
        ]
        for axis, crop in zip(named, drawn, strict=True):
            crops[axis] = crop
        roi = np.array([c[0] for c in drawn] + [c[1] for c in drawn], np.float32)
    attributes: dict[str, Any] = {
        "mode": mode,
        "coordinate_transformation_mode": coordinates,
        "nearest_mode": nearest_mode,
        "cubic_coeff_a": a,
        "exclude_outside": int(exclude_outside),
        "antialias": int(antialias),
        "extrapolation_value": 2.5,
    }
    if axes is not None:
        attributes["axes"] = axes
    if "policy" in how:
        attributes["keep_aspect_ratio_policy"] = how["policy"]
    x = data.draw(layer(shape, dtype))
    scales = np.array(how["scales"], np.float32) if "scales" in how else None
    sizes = np.array(how["sizes"], np.int64) if "sizes" in how else None
    (y,) = run_op("Resize", [x, roi, scales, sizes], attributes, opset=19, tier=tier)
    (expected,) = wide(x)
    outside = np.zeros([new for _, new, _ in planned], bool)
    for axis, (size, new, scale) in enumerate(planned):
        if (size, 1.0) == (new, scale) and coordinates != "tf_crop_and_resize":
            continue
        at = [source(coordinates, i, scale, size, new, crops[axis]) for i in range(new)]
        if mode == "nearest":
            ties = [abs((v * 2) - round(v * 2)) for v in at]
            assume(all(t == 0 or t > 1e-9 for t in ties))
            matrix = np.zeros((new, size))
            for i, v in enumerate(at):
                matrix[i, nearest(nearest_mode, v, size)] = 1
        else:
            widened = min(scale, 1.0) if antialias else 1.0
            matrix = np.array(
                [
                    weights(
                        v,
                        size,
                        a=a if mode == "cubic" else None,
                        widened=widened,
                        exclude_outside=exclude_outside,
                    )
                    for v in at
                ]
            ).reshape(new, size)
        expected = np.moveaxis(np.tensordot(matrix, expected, (1, axis)), 0, axis)
        if coordinates == "tf_crop_and_resize":
            beyond = np.array([v < 0 or v > size - 1 for v in at], bool)
            outside |= beyond.reshape(-1, *[1] * (len(shape) - 1 - axis))
    expected = np.where(outside, 2.5, expected)
    # Weights of float32, in sums of some elements of 8 at most, over up to four axes.
    assert_close(y, expected, dtype, scale=np.maximum(abs(expected), 8), steps=16)


@kernels("Resize", "Upsample")
@examples
@given(
    shape=shapes(min_dims=1, max_dims=4),
    dtype=st.sampled_from([*NUMBERS, np.bool_]),
    version=st.sampled_from([7, 9, 10]),
    tier=tiers,
    data=st.data(),
)
def test_upsample_repeats_elements(
    shape: tuple[int, ...], dtype: Any, version: int, tier: str, data: DataObject
) -> None:
    """Of all types; Resize was this in version 10, and could make images smaller."""
    assume(version > 7 or np.dtype(dtype).kind == "f")
    least = 1.0 if version < 10 else 0.25
    scales = [data.draw(st.sampled_from([s for s in SCALES if s >= least])) for _ in shape]
    x = data.draw(arrays(dtype, shape))
    if version == 7:
        (y,) = run_op("Upsample", [x], {"scales": scales}, opset=7, tier=tier)
    else:
        name = "Resize" if version == 10 else "Upsample"
        (y,) = run_op(name, [x, np.array(scales, np.float32)], opset=version, tier=tier)
    at = [
        [math.floor(i / s) for i in range(math.floor(n * s))]
        for n, s in zip(shape, scales, strict=True)
    ]
    np.testing.assert_array_equal(y, x[np.ix_(*at)])
    assert y.dtype == dtype


@kernels("Upsample")
@examples
@given(shape=shapes(min_dims=1, max_dims=3, min_side=1), dtype=dtypes, tier=tiers, data=st.data())
def test_upsample_between_elements(
    shape: tuple[int, ...], dtype: Any, tier: str, data: DataObject
) -> None:
    assume(np.dtype(dtype).kind == "f")  # bfloat16 came after it
    scales = [data.draw(st.sampled_from([s for s in SCALES if s >= 1])) for _ in shape]
    x = data.draw(layer(shape, dtype))
    (y,) = run_op(
        "Upsample", [x, np.array(scales, np.float32)], {"mode": "linear"}, opset=9, tier=tier
    )
    (expected,) = wide(x)
    for axis, (n, s) in enumerate(zip(shape, scales, strict=True)):
        at = np.arange(math.floor(n * s)) / s
        matrix = np.array([weights(v, n, a=None, widened=1.0, exclude_outside=False) for v in at])
        expected = np.moveaxis(np.tensordot(matrix, expected, (1, axis)), 0, axis)
    assert_close(y, expected, dtype, scale=np.maximum(abs(expected), 8), steps=8)


def reflected(x: float, least: float, greatest: float) -> float:
    """Back and forth between two mirrors."""
    span = greatest - least
    if span == 0:
        return least
    turn = (x - least) % (2 * span)
    return least + (turn if turn <= span else 2 * span - turn)


def grid_taps(
    at: float, size: int, mode: str, padding: str, align_corners: bool
) -> list[tuple[int, float]]:
    """The elements along an axis that a normalised coordinate draws on; -1: nothing."""
    least, greatest = (0.0, size - 1.0) if align_corners else (-0.5, size - 0.5)
    x = (at + 1) / 2 * (size - 1) if align_corners else ((at + 1) * size - 1) / 2
    if mode == "nearest":
        x = float(round(x))  # ties to even
    elif padding == "border" and mode == "linear":
        x = min(max(x, 0.0), size - 1.0)
    elif padding == "reflection" and mode == "linear":
        x = reflected(x, least, greatest)
    base = math.floor(x)
    if mode == "nearest":
        taps = [(base, 1.0)]
    elif mode == "linear":
        taps = [(base, 1 - (x - base)), (base + 1, x - base)]
    else:
        taps = [(base + k, cubic(x - base - k, -0.75)) for k in (-1, 0, 1, 2)]
    out = []
    for i, weight in taps:
        place = i
        if padding == "border":
            place = min(max(i, 0), size - 1)
        elif padding == "reflection" and not 0 <= i < size:
            place = int(min(max(reflected(i, least, greatest), 0), size - 1))
        out.append((place if 0 <= place < size else -1, weight))
    return out


@kernels("AffineGrid")
@examples
@given(
    spatial=st.lists(st.sampled_from([1, 2, 3, 5, 0]), min_size=2, max_size=3).map(tuple),
    batch=st.sampled_from([1, 2, 0]),
    align_corners=st.booleans(),
    dtype=dtypes,
    tier=tiers,
    data=st.data(),
)
def test_affine_grid(
    spatial: tuple[int, ...],
    batch: int,
    align_corners: bool,
    dtype: Any,
    tier: str,
    data: DataObject,
) -> None:
    """The coordinates name the last axis first; a single pixel lies in the middle."""
    rank = len(spatial)
    theta = data.draw(layer((batch, rank, rank + 1), dtype))
    size = np.array([batch, 2, *spatial])
    attributes = {"align_corners": 1} if align_corners else {}
    (y,) = run_op("AffineGrid", [theta, size], attributes, opset=20, tier=tier)
    axes = []
    for count in spatial:
        ends = 1.0 if align_corners else 1 - 1 / max(count, 1)
        axes.append(np.linspace(-ends, ends, count) if count != 1 else np.zeros(1))
    points = np.stack([*np.meshgrid(*axes, indexing="ij")[::-1], np.ones(spatial)], -1)
    (matrices,) = wide(theta)
    expected = np.einsum("nik,...k->n...i", matrices, points)
    scale = np.einsum("nik,...k->n...i", abs(matrices), abs(points))
    assert_close(y, expected, dtype, scale=scale, steps=4)


@kernels("GridSample")
@pytest.mark.parametrize("mode", ["linear", "nearest", "cubic"])
@examples
@given(
    spatial=st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple),
    batch=st.sampled_from([1, 2, 0]),
    channels=st.integers(1, 2),
    padding=st.sampled_from(["zeros", "border", "reflection"]),
    align_corners=st.booleans(),
    dtype=dtypes,
    tier=tiers,
    data=st.data(),
)
def test_grid_sample(
    spatial: tuple[int, ...],
    batch: int,
    channels: int,
    mode: str,
    padding: str,
    align_corners: bool,
    dtype: Any,
    tier: str,
    data: DataObject,
) -> None:
    """Any number of axes; the grid names the last one first."""
    rank = len(spatial)
    out = tuple(data.draw(st.sampled_from([2, 3, 1, 0])) for _ in range(rank))
    x = data.draw(layer((batch, channels, *spatial), dtype))
    # Dyadic numbers, so that the grid's rounding does not move a tie.
    grid = data.draw(layer((batch, *out, rank), np.float32)) / np.float32(4)
    attributes: dict[str, Any] = {"mode": mode, "padding_mode": padding}
    if align_corners:
        attributes["align_corners"] = 1
    (y,) = run_op("GridSample", [x, grid], attributes, opset=22, tier=tier)
    expected = np.zeros((batch, channels, *out))
    (values,) = wide(x)
    for n, *place in np.ndindex(batch, *out):
        at: tuple[Any, ...] = (n, *place)
        coordinates = grid[at]
        axes = [
            grid_taps(float(v), size, mode, padding, align_corners)
            for v, size in zip(coordinates[::-1], spatial, strict=True)
        ]
        for taps in itertools.product(*axes):
            if min(index for index, _ in taps) >= 0:
                to = (n, slice(None), *place)
                by = (n, slice(None), *(index for index, _ in taps))
                expected[to] += math.prod(weight for _, weight in taps) * values[by]
    assert_close(y, expected, dtype, scale=np.maximum(abs(expected), 8), steps=4)


@kernels("Resize", "GridSample")
@examples
@given(
    name=st.sampled_from(["Resize", "GridSample"]),
    mode=st.sampled_from(["linear", "cubic", "nearest"]),
    dtype=st.sampled_from([np.complex64, np.complex128]),
    tier=tiers,
    data=st.data(),
)
def test_complex_numbers_are_two_numbers(
    name: str, mode: str, dtype: Any, tier: str, data: DataObject
) -> None:
    """What is done to them is done to their parts."""
    part = np.empty(0, dtype).real.dtype
    parts = [data.draw(layer((1, 2, 3, 4), part)) for _ in range(2)]
    opset, inputs, attributes = resampling(data, name, mode, part)
    x = parts[0] + dtype(1j) * parts[1]
    (y,) = run_op(name, [x, *inputs], attributes, opset=opset, tier=tier)
    assert y.dtype == dtype
    for found, values in zip((y.real, y.imag), parts, strict=True):
        (expected,) = run_op(name, [values, *inputs], attributes, opset=opset, tier=tier)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@kernels("Resize", "GridSample")
@examples
@given(name=st.sampled_from(["Resize", "GridSample"]), tier=tiers, data=st.data())
def test_the_nearest_is_moved_whatever_it_is(name: str, tier: str, data: DataObject) -> None:
    """Texts where the numbers of their places go, none where those are 0; and all 64 bits."""
    places = np.arange(1, 25).reshape(1, 2, 3, 4)
    opset, inputs, attributes = resampling(data, name, "nearest", np.dtype(np.float32))
    (y,) = run_op(name, [places, *inputs], attributes, opset=opset, tier=tier)
    words = np.array(["", *(f"word {i}" for i in range(1, 25))], object)
    (found,) = run_op(name, [words[places], *inputs], attributes, opset=opset, tier=tier)
    assert found.tolist() == words[y].tolist()
    large = np.arange(25) * (2**63 // 25) | 1
    large[0] = 0
    (found,) = run_op(name, [large[places], *inputs], attributes, opset=opset, tier=tier)
    assert found.tolist() == large[y].tolist()


def resampling(
    data: DataObject, name: str, mode: str, dtype: np.dtype
) -> tuple[int, list[Any], dict[str, Any]]:
    """Opset, inputs behind the image of three rows of four, and attributes of either operator."""
    if name == "Resize":
        scales = [1.0, 1.0, *(data.draw(st.sampled_from(SCALES)) for _ in range(2))]
        return 19, [None, np.array(scales, np.float32)], {"mode": mode}
    padding = data.draw(st.sampled_from(["zeros", "border", "reflection"]))
    grid = data.draw(layer((1, 2, 3, 2), dtype)) / dtype.type(4)
    return 22, [grid], {"mode": mode, "padding_mode": padding}


def between(plane: np.ndarray, y: float, x: float) -> list[float]:
    """The four weighted neighbours of a place; beyond the map by more than one element are none."""
    height, width = plane.shape
    if y < -1 or y > height or x < -1 or x > width:
        return [0.0]

    def bracket(v: float, size: int) -> list[tuple[int, float]]:
        v = max(v, 0.0)
        low = math.floor(v)
        if low >= size - 1:
            return [(size - 1, 1.0), (size - 1, 0.0)]
        return [(low, 1 - (v - low)), (low + 1, v - low)]

    return [
        wy * wx * float(plane[iy, ix])
        for (iy, wy), (ix, wx) in itertools.product(bracket(y, height), bracket(x, width))
    ]


@st.composite
def regions(draw: st.DrawFn, images: int, *, whole: bool) -> tuple[np.ndarray, np.ndarray]:
    """Boxes [R, 4] and the image of each; `whole`: in halves, which are to be rounded."""
    count = draw(st.sampled_from([3, 2, 1, 0])) if images else 0
    step = 2 if whole else 8
    rng = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    boxes = rng.integers(-2 * step, 6 * step, (count, 4)) / step
    # Mostly with the smaller corner first.
    boxes = (
        np.sort(boxes.reshape(count, 2, 2), 1).reshape(count, 4) if draw(st.booleans()) else boxes
    )
    return boxes, np.array([draw(st.integers(0, images - 1)) for _ in range(count)], np.int64)


@kernels("RoiAlign")
@examples
@given(
    shape=st.tuples(*[st.sampled_from([2, 1, 0])] * 2, *[st.integers(1, 5)] * 2),
    bins=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    ratio=st.integers(0, 3),
    scale=st.sampled_from([None, 0.5, 2.0]),
    coordinates=st.sampled_from([None, "half_pixel", "output_half_pixel"]),
    mode=st.sampled_from([None, "avg", "max"]),
    dtype=dtypes,
    tier=tiers,
    data=st.data(),
)
def test_roi_align(
    shape: tuple[int, ...],
    bins: tuple[int, int],
    ratio: int,
    scale: float | None,
    coordinates: str | None,
    mode: str | None,
    dtype: Any,
    tier: str,
    data: DataObject,
) -> None:
    """The maximum is that of weighted neighbours, as the standard's node tests have it."""
    x = data.draw(layer(shape, dtype))
    boxes, images = data.draw(regions(shape[0], whole=False))
    attributes: dict[str, Any] = {
        "output_height": bins[0],
        "output_width": bins[1],
        "sampling_ratio": ratio,
    }
    optional = {"spatial_scale": scale, "coordinate_transformation_mode": coordinates, "mode": mode}
    attributes |= {name: value for name, value in optional.items() if value is not None}
    rois = boxes.astype(dtype)
    (y,) = run_op("RoiAlign", [x, rois, images], attributes, opset=22, tier=tier)
    half = coordinates != "output_half_pixel"
    expected = np.zeros((len(boxes), shape[1], *bins))
    for r, c, i, j in np.ndindex(*expected.shape):
        x0, y0, x1, y1 = boxes[r] * (scale or 1.0) - (0.5 if half else 0.0)
        size = [y1 - y0, x1 - x0] if half else [max(y1 - y0, 1.0), max(x1 - x0, 1.0)]
        step = [size[0] / bins[0], size[1] / bins[1]]
        rows, columns = (ratio or max(math.ceil(s), 0) for s in step)
        samples = [
            between(
                x[images[r], c].astype(np.float64),
                y0 + (i + (k + 0.5) / rows) * step[0],
                x0 + (j + (m + 0.5) / columns) * step[1],
            )
            for k, m in np.ndindex(rows, columns)
        ]
        if samples and mode == "max":
            expected[r, c, i, j] = max(max(sample) for sample in samples)
        elif samples:
            expected[r, c, i, j] = sum(sum(sample) for sample in samples) / len(samples)
    assert_close(y, expected, dtype, scale=np.maximum(abs(expected), 8), steps=4)


def away_from_zero(x: float) -> int:
    return int(math.copysign(math.floor(abs(x) + 0.5), x))


@kernels("MaxRoiPool")
@examples
@given(
    shape=st.tuples(*[st.sampled_from([2, 1, 0])] * 2, *[st.integers(1, 5)] * 2),
    bins=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    scale=st.sampled_from([None, 0.5, 2.0]),
    dtype=dtypes,
    tier=tiers,
    data=st.data(),
)
def test_max_roi_pool(
    shape: tuple[int, ...],
    bins: tuple[int, int],
    scale: float | None,
    dtype: Any,
    tier: str,
    data: DataObject,
) -> None:
    """Girshick, "Fast R-CNN", section 2.1: both ends belong to a region; an empty bin is 0."""
    x = data.draw(layer(shape, dtype))
    boxes, images = data.draw(regions(shape[0], whole=True))
    rois = np.concatenate([images[:, None], boxes], 1).astype(dtype)
    attributes: dict[str, Any] = {"pooled_shape": bins}
    if scale is not None:
        attributes["spatial_scale"] = scale
    (y,) = run_op("MaxRoiPool", [x, rois], attributes, opset=22, tier=tier)
    expected = np.zeros((len(boxes), shape[1], *bins))
    for r, i, j in np.ndindex(len(boxes), *bins):
        x0, y0, x1, y1 = (away_from_zero(v * (scale or 1.0)) for v in boxes[r])
        part = x[images[r]]
        for axis, (first, last, k, n) in enumerate([(y0, y1, i, bins[0]), (x0, x1, j, bins[1])]):
            step = max(last - first + 1, 1) / n
            begin = max(first + math.floor(k * step), 0)
            end = max(first + math.ceil((k + 1) * step), 0)
            part = part.take(
                range(min(begin, part.shape[1 + axis]), min(end, part.shape[1 + axis])), 1 + axis
            )
        if part.shape[1] and part.shape[2]:
            expected[r, :, i, j] = part.astype(np.float64).max((1, 2))
    assert_close(y, expected, dtype, steps=0)
