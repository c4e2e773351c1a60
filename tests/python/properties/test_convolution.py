"""Conv, ConvTranspose and DeformConv: sums over a window, written down as einsum in float64."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.python.kernel_support import run_op
from tests.python.properties.layers import (
    Window,
    assert_close,
    dtypes,
    layer,
    tiers,
    wide,
    windows,
)
from tests.python.properties.support import examples, kernels

if TYPE_CHECKING:
    from hypothesis.strategies import DataObject


def attributes_of(window: Window, data: DataObject, group: int) -> dict[str, Any]:
    """The kernel's shape is that of the weights, and the group 1, where they are not given."""
    attributes = window.attributes()
    if data.draw(st.booleans()):
        del attributes["kernel_shape"]
    return attributes if group == 1 else attributes | {"group": group}


def convolution(window: Window, x: np.ndarray, w: np.ndarray, group: int) -> Any:
    """Every filter times what its group of channels shows in every window."""
    seen = window.look(window.pad(x, 0), 0)
    taps = math.prod(window.kernel)
    seen = seen.reshape(x.shape[0], group, w.shape[1], -1, taps) if seen.size else seen
    filters = w.reshape(group, w.shape[0] // group, w.shape[1], taps)
    shape = (x.shape[0], w.shape[0], *window.output)
    if seen.size == 0:
        return np.zeros(shape)
    return np.einsum("ngcpt,gmct->ngmp", seen, filters).reshape(shape)


@kernels("Conv")
@examples
@given(
    window=windows(),
    batch=st.integers(0, 2),
    group=st.integers(1, 3),
    channels=st.integers(1, 2),
    filters=st.integers(1, 2),
    dtype=dtypes,
    with_bias=st.booleans(),
    tier=tiers,
    data=st.data(),
)
def test_conv(
    window: Window,
    batch: int,
    group: int,
    channels: int,
    filters: int,
    dtype: Any,
    with_bias: bool,
    tier: str,
    data: DataObject,
) -> None:
    """Depthwise too, when there is one channel to a group."""
    x = data.draw(layer((batch, group * channels, *window.spatial), dtype))
    w = data.draw(layer((group * filters, channels, *window.kernel), dtype))
    b = data.draw(layer((group * filters,), dtype)) if with_bias else None
    (y,) = run_op("Conv", [x, w, b], attributes_of(window, data, group), opset=22, tier=tier)
    x64, w64, b64 = wide(x, w, b)
    column = (slice(None), *[None] * len(window.spatial))
    expected = convolution(window, x64, w64, group)
    scale = convolution(window, abs(x64), abs(w64), group)
    if b64 is not None:
        expected, scale = expected + b64[column], scale + abs(b64[column])
    assert_close(y, expected, dtype, scale=scale, steps=1)


@kernels("Conv")
@examples
@given(
    seed=st.integers(0, 1 << 30),
    size=st.integers(9, 24),
    channels=st.integers(1, 20),
    filters=st.integers(1, 20),
    side=st.sampled_from([1, 3, 5]),
    stride=st.integers(1, 2),
    tier=tiers,
)
def test_conv_of_larger_images(
    seed: int, size: int, channels: int, filters: int, side: int, stride: int, tier: str
) -> None:
    """Sizes at which the vectorised tier blocks, packs and goes through Winograd's algorithm.

    That multiplies sums of inputs and sums of weights: its error is a dozen roundings of
    the sum of magnitudes.
    """
    rng = np.random.default_rng(seed)
    window = Window(
        spatial=(size, size + 1),
        kernel=(side, side),
        strides=(stride, stride),
        dilations=(1, 1),
        pads=(side // 2,) * 4,
        auto_pad="NOTSET",
        ceil_mode=False,
    )
    x = rng.standard_normal((1, channels, size, size + 1)).astype(np.float32)
    w = rng.standard_normal((filters, channels, side, side)).astype(np.float32)
    (y,) = run_op("Conv", [x, w], window.attributes(), tier=tier)
    x64, w64 = wide(x, w)
    scale = convolution(window, abs(x64), abs(w64), 1).max()
    assert_close(y, convolution(window, x64, w64, 1), np.float32, scale=scale, steps=12)


def transposed(
    x: np.ndarray, w: np.ndarray, group: int, window: Window, size: tuple[int, ...]
) -> np.ndarray:
    """Every element of x spreads its filter over the output, which `pads` cut at its beginning."""
    rank = len(size)
    filters = w.shape[1]
    out = np.zeros((x.shape[0], group * filters, *size))
    for n, c, *at in np.ndindex(*x.shape):
        g = c // (x.shape[1] // group)
        for tap in np.ndindex(*window.kernel):
            to = [
                at[a] * window.strides[a] + tap[a] * window.dilations[a] - window.pads[a]
                for a in range(rank)
            ]
            if all(0 <= i < extent for i, extent in zip(to, size, strict=True)):
                channels = slice(g * filters, (g + 1) * filters)
                place, spread, by = (n, channels, *to), (n, c, *at), (c, slice(None), *tap)
                out[place] += x[spread] * w[by]
    return out


@st.composite
def transposed_windows(draw: st.DrawFn) -> tuple[Window, dict[str, Any], tuple[int, ...]]:
    """The window with the pads that result, the attributes, and the output's size."""
    rank = draw(st.integers(1, 2))

    def each(least: int, most: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(least, most)) for _ in range(rank))

    spatial, kernel, strides, dilations = each(1, 4), each(1, 3), each(1, 3), each(1, 2)
    auto_pad = draw(st.sampled_from(["NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"]))
    # Less than the stride or the dilation.
    extra = tuple(
        draw(st.integers(0, max(s, d) - 1)) for s, d in zip(strides, dilations, strict=True)
    )
    full = tuple(
        s * (n - 1) + e + (k - 1) * d + 1
        for n, k, s, d, e in zip(spatial, kernel, strides, dilations, extra, strict=True)
    )
    attributes: dict[str, Any] = {"strides": strides, "dilations": dilations}
    if any(extra):
        attributes["output_padding"] = extra
    pads = (0,) * (2 * rank)
    size = full
    if auto_pad != "NOTSET":
        attributes["auto_pad"] = auto_pad
    by_shape = draw(st.booleans()) and auto_pad != "VALID"
    if by_shape or auto_pad.startswith("SAME"):
        # No larger than it would be: what would be appended, and to which side, nobody says.
        wanted = tuple(
            draw(st.integers(max(1, n - 2), n)) if by_shape else min(m * s, n)
            for n, m, s in zip(full, spatial, strides, strict=True)
        )
        if not by_shape and any(m * s > n for n, m, s in zip(full, spatial, strides, strict=True)):
            wanted = tuple(m * s for m, s in zip(spatial, strides, strict=True))
        if by_shape:
            attributes["output_shape"] = wanted
        totals = [max(0, n - m) for n, m in zip(full, wanted, strict=True)]
        less, more = [n // 2 for n in totals], [n - n // 2 for n in totals]
        pads = tuple(less + more) if auto_pad == "SAME_UPPER" else tuple(more + less)
        size = wanted
    elif auto_pad == "NOTSET":
        pads = tuple(
            min(draw(st.integers(0, 2)), (full[a % rank] - 1) // 2) for a in range(2 * rank)
        )
        attributes["pads"] = pads
        size = tuple(n - pads[a] - pads[rank + a] for a, n in enumerate(full))
    window = Window(
        spatial=spatial,
        kernel=kernel,
        strides=strides,
        dilations=dilations,
        pads=pads,
        auto_pad=auto_pad,
        ceil_mode=False,
    )
    return window, attributes, size


@kernels("ConvTranspose")
@examples
@given(
    case=transposed_windows(),
    batch=st.integers(0, 2),
    group=st.integers(1, 2),
    channels=st.integers(1, 2),
    filters=st.integers(1, 2),
    dtype=dtypes,
    with_bias=st.booleans(),
    tier=tiers,
    data=st.data(),
)
def test_conv_transpose(
    case: tuple[Window, dict[str, Any], tuple[int, ...]],
    batch: int,
    group: int,
    channels: int,
    filters: int,
    dtype: Any,
    with_bias: bool,
    tier: str,
    data: DataObject,
) -> None:
    """With output_shape, an odd padding goes to the beginning but for SAME_UPPER, says the text."""
    window, attributes, size = case
    x = data.draw(layer((batch, group * channels, *window.spatial), dtype))
    w = data.draw(layer((group * channels, filters, *window.kernel), dtype))
    b = data.draw(layer((group * filters,), dtype)) if with_bias else None
    if group > 1:
        attributes = attributes | {"group": group}
    (y,) = run_op("ConvTranspose", [x, w, b], attributes, opset=22, tier=tier)
    x64, w64, b64 = wide(x, w, b)
    expected = transposed(x64, w64, group, window, size)
    scale = transposed(abs(x64), abs(w64), group, window, size)
    if b64 is not None:
        column = (slice(None), *[None] * len(size))
        expected, scale = expected + b64[column], scale + abs(b64[column])
    assert_close(y, expected, dtype, scale=scale, steps=1)


def sample(plane: np.ndarray, point: np.ndarray) -> float:
    """Linear interpolation; outside lie zeros."""
    base = np.floor(point).astype(int)
    total = 0.0
    for corner in itertools.product((0, 1), repeat=plane.ndim):
        at = base + corner
        weight = np.prod([f if c else 1 - f for c, f in zip(corner, point - base, strict=True)])
        if all(0 <= i < n for i, n in zip(at, plane.shape, strict=True)):
            total += weight * plane[tuple(at)]
    return total


def deformed(
    window: Window,
    x: np.ndarray,
    w: np.ndarray,
    offset: np.ndarray,
    mask: np.ndarray,
    group: int,
    offset_group: int,
) -> np.ndarray:
    """The formula of Dai et al., "Deformable Convolutional Networks", equation 2, with masks."""
    rank, out = len(window.spatial), window.output
    offset = offset.reshape(x.shape[0], offset_group, *window.kernel, rank, *out)
    mask = mask.reshape(x.shape[0], offset_group, *window.kernel, *out)
    y = np.zeros((x.shape[0], w.shape[0], *out))
    for n, m, *position in np.ndindex(*y.shape):
        first = m // (w.shape[0] // group) * w.shape[1]
        for c, *tap in np.ndindex(*w.shape[1:]):
            og = (first + c) // (x.shape[1] // offset_group)
            place = (n, og, *tap, slice(None), *position)
            moved, by = offset[place], (n, og, *tap, *position)
            point = (
                np.array(position) * window.strides
                - window.pads[:rank]
                + np.array(tap) * window.dilations
                + moved
            )
            to, weight = (n, m, *position), (m, c, *tap)
            y[to] += w[weight] * sample(x[n, first + c], point) * mask[by]
    return y


@kernels("DeformConv")
@examples
@given(
    window=windows(longest=3).filter(
        lambda window: window.auto_pad == "NOTSET" and math.prod(window.output) <= 24
    ),
    group=st.integers(1, 2),
    offset_group=st.integers(1, 2),
    dtype=dtypes,
    optional=st.tuples(st.booleans(), st.booleans()),
    tier=tiers,
    data=st.data(),
)
def test_deform_conv(
    window: Window,
    group: int,
    offset_group: int,
    dtype: Any,
    optional: tuple[bool, bool],
    tier: str,
    data: DataObject,
) -> None:
    taps, rank = math.prod(window.kernel), len(window.spatial)
    x = data.draw(layer((1, 2, *window.spatial), dtype))
    w = data.draw(layer((2, 2 // group, *window.kernel), dtype))
    offset = data.draw(layer((1, offset_group * taps * rank, *window.output), dtype)) / dtype(4)
    b = data.draw(layer((2,), dtype)) if optional[0] else None
    mask = (
        data.draw(layer((1, offset_group * taps, *window.output), dtype)) if optional[1] else None
    )
    attributes = window.attributes()
    if group > 1:
        attributes["group"] = group
    if offset_group > 1:
        attributes["offset_group"] = offset_group
    (y,) = run_op("DeformConv", [x, w, offset, b, mask], attributes, opset=22, tier=tier)
    x64, w64, offset64, b64, mask64 = wide(x, w, offset, b, mask)
    if mask64 is None:
        mask64 = np.ones((1, offset_group * taps, *window.output))
    if b64 is None:
        b64 = np.zeros(2)
    column = b64.reshape(-1, *[1] * rank)
    rest = (offset64, mask64, group, offset_group)
    expected = deformed(window, x64, w64, *rest) + column
    magnitudes = (offset64, abs(mask64), group, offset_group)
    scale = deformed(window, abs(x64), abs(w64), *magnitudes) + abs(column)
    assert_close(y, expected, dtype, scale=scale, steps=2)
