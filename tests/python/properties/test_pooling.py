"""Pooling: the formulas look through the window at an image padded with what does not count."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.python.kernel_support import run_op
from tests.python.properties.layers import (
    LAYER_TYPES,
    Window,
    assert_close,
    dtypes,
    layer,
    tiers,
    wide,
    windows,
)
from tests.python.properties.support import arrays, examples, kernels, numbers, shapes

if TYPE_CHECKING:
    from hypothesis.strategies import DataObject, SearchStrategy

extents = st.tuples(st.integers(0, 2), st.integers(0, 3))
"""Batch and channels of an image, empty ones among them."""


def any_values(dtype: Any) -> SearchStrategy[Any]:
    """All values of a type, those of bfloat16 by rounding."""
    return numbers(
        np.float32 if dtype not in (np.float16, np.float64, np.int8, np.uint8) else dtype
    )


def taps_first(seen: np.ndarray, window: Window) -> np.ndarray:
    """[N, C, …output, taps]."""
    return seen.reshape(*seen.shape[: 2 + len(window.spatial)], math.prod(window.kernel))


@kernels("MaxPool")
@examples
@given(
    window=windows(ceil_mode=True),
    extents=extents,
    dtype=st.sampled_from([*LAYER_TYPES, np.int8, np.uint8]),
    column_major=st.booleans(),
    tier=tiers,
    data=st.data(),
)
def test_max_pool(
    window: Window,
    extents: tuple[int, int],
    dtype: Any,
    column_major: bool,
    tier: str,
    data: DataObject,
) -> None:
    """NaN is the greatest, as NumPy has it; a window over padding alone gives the least number."""
    shape = (*extents, *window.spatial)
    with np.errstate(over="ignore"):
        x = data.draw(
            arrays(
                np.float64 if np.dtype(dtype).kind not in "iu" else dtype, shape, any_values(dtype)
            )
        ).astype(dtype)
    y, indices = run_op(
        "MaxPool",
        [x],
        {**window.attributes(), "storage_order": int(column_major)},
        opset=22,
        outputs=2,
        tier=tier,
    )
    values = x.astype(np.float64)
    present = taps_first(window.look(window.pad(np.ones(shape), 0), 0), window) == 1
    seen = taps_first(window.look(window.pad(values, 0), 0), window)
    best = np.where(present, seen, -np.inf).max(-1)
    empty = ~present.any(-1)
    info = np.iinfo(dtype) if np.dtype(dtype).kind in "iu" else None
    least = info.min if info else -np.inf
    assert y.dtype == dtype
    assert y.shape == (*extents, *window.output)
    np.testing.assert_array_equal(y.astype(np.float64)[~empty], best[~empty])
    assert (y.astype(np.float64)[empty] <= max(least, -1e4)).all()
    # An index counts elements of the whole tensor; with storage_order 1 the last axis counts most.
    planes = values.reshape(-1, *window.spatial)
    order = (0, *range(planes.ndim - 1, 0, -1)) if column_major else range(planes.ndim)
    flat = planes.transpose(*order).reshape(-1)
    np.testing.assert_array_equal(flat[indices[~empty]], best[~empty])


@kernels("AveragePool")
@examples
@given(
    window=windows(ceil_mode=True),
    extents=extents,
    dtype=dtypes,
    with_pad=st.sampled_from([None, 0, 1]),
    tier=tiers,
    data=st.data(),
)
def test_average_pool(
    window: Window,
    extents: tuple[int, int],
    dtype: Any,
    with_pad: int | None,
    tier: str,
    data: DataObject,
) -> None:
    """The padding at the end of an axis counts where it is, not what lies behind it (ceil_mode).

    The average of no element is 0.
    """
    x = data.draw(layer((*extents, *window.spatial), dtype, wild=True))
    attributes = window.attributes() | ({} if with_pad is None else {"count_include_pad": with_pad})
    (y,) = run_op("AveragePool", [x], attributes, opset=22, tier=tier)
    (values,) = wide(x)
    seen = taps_first(window.look(window.pad(values, 0), 0), window)
    counted = window.pad(np.ones((1, 1, *window.spatial)), 1 if with_pad else 0)
    count = taps_first(window.look(counted, 0), window).sum(-1)
    with np.errstate(all="ignore"):
        mean = np.where(count > 0, seen.sum(-1) / np.maximum(count, 1), 0)
        scale = np.abs(seen).sum(-1) / np.maximum(count, 1)
    assert_close(y, mean, dtype, scale=scale)


@kernels("LpPool")
@examples
@given(
    window=windows(ceil_mode=True),
    extents=extents,
    dtype=dtypes,
    p=st.sampled_from([None, 1, 2, 3]),
    tier=tiers,
    data=st.data(),
)
def test_lp_pool(
    window: Window,
    extents: tuple[int, int],
    dtype: Any,
    p: int | None,
    tier: str,
    data: DataObject,
) -> None:
    x = data.draw(layer((*extents, *window.spatial), dtype, wild=True))
    attributes = window.attributes() | ({} if p is None else {"p": p})
    (y,) = run_op("LpPool", [x], attributes, opset=22, tier=tier)
    (values,) = wide(x)
    seen = taps_first(window.look(window.pad(values, 0), 0), window)
    with np.errstate(all="ignore"):
        norm = np.sum(np.abs(seen) ** (p or 2), -1) ** (1 / (p or 2))
    assert_close(y, norm, dtype, steps=8)


@kernels("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
@examples
@given(
    shape=st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(1, 4))
    | shapes(min_dims=3, max_dims=5, min_side=1),
    dtype=dtypes,
    p=st.sampled_from([None, 1, 2, 3]),
    tier=tiers,
    data=st.data(),
)
def test_global_pools(
    shape: tuple[int, ...], dtype: Any, p: int | None, tier: str, data: DataObject
) -> None:
    x = data.draw(layer(shape, dtype, wild=True))
    (values,) = wide(x)
    axes = tuple(range(2, len(shape)))
    order = p or 2
    with np.errstate(all="ignore"):
        mean = values.mean(axes, keepdims=True)
        scale = np.abs(values).mean(axes, keepdims=True)
        norm = np.sum(np.abs(values) ** order, axes, keepdims=True) ** (1 / order)
    (y,) = run_op("GlobalAveragePool", [x], opset=22, tier=tier)
    assert_close(y, mean, dtype, scale=scale)
    (y,) = run_op("GlobalMaxPool", [x], opset=22, tier=tier)
    assert_close(y, values.max(axes, keepdims=True), dtype, steps=0)
    (y,) = run_op("GlobalLpPool", [x], {} if p is None else {"p": p}, opset=22, tier=tier)
    assert_close(y, norm, dtype, steps=8)


@kernels("MaxUnpool")
@examples
@given(
    window=windows(dilated=False),
    extents=st.tuples(st.integers(0, 2), st.integers(1, 2)),
    dtype=dtypes,
    margin=st.none() | st.integers(0, 2),
    tier=tiers,
    data=st.data(),
)
def test_max_unpool(
    window: Window,
    extents: tuple[int, int],
    dtype: Any,
    margin: int | None,
    tier: str,
    data: DataObject,
) -> None:
    """Indices count in a tensor of the inferred size; in a larger one, places stay."""
    rank = len(window.spatial)
    pads = (0,) * (2 * rank) if window.auto_pad != "NOTSET" else window.pads
    size = [
        (n - 1) * window.strides[a] + window.kernel[a] - pads[a] - pads[rank + a]
        for a, n in enumerate(window.spatial)
    ]
    if min(size) < 1:
        pads = (0,) * (2 * rank)
        size = [
            (n - 1) * s + k
            for n, s, k in zip(window.spatial, window.strides, window.kernel, strict=True)
        ]
    inferred = (*extents, *size)
    x = data.draw(layer((*extents, *window.spatial), dtype, wild=True))
    total = int(np.prod(inferred))
    places = (
        data.draw(st.permutations(range(total)))[: x.size] if total >= x.size else range(x.size)
    )
    indices = np.array(places, np.int64)[: x.size] % max(total, 1)
    attributes = {"kernel_shape": window.kernel, "strides": window.strides, "pads": pads}
    shape = inferred if margin is None else (*extents, *(n + margin for n in size))
    given_shape = None if margin is None else np.array(shape, np.int64)
    (y,) = run_op(
        "MaxUnpool",
        [x, indices.reshape(x.shape), given_shape],
        attributes,
        opset=22,
        tier=tier,
    )
    expected = np.zeros(shape)
    for place, value in zip(indices, x.astype(np.float64).reshape(-1), strict=True):
        expected[np.unravel_index(place, inferred)] = value
    assert_close(y, expected, dtype, steps=0)
