"""What the properties of layers share: types, windows over images, a comparison in steps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
from hypothesis import strategies as st

from tests.python.kernel_support import TIERS
from tests.python.properties.support import FLOATS

if TYPE_CHECKING:
    from collections.abc import Sequence

LAYER_TYPES = (*FLOATS, ml_dtypes.bfloat16)
FINFO: Any = ml_dtypes.finfo
dtypes = st.sampled_from(LAYER_TYPES)
tiers = st.sampled_from(TIERS)

ODD = (math.nan, math.inf, -math.inf, -0.0, 1e-7)
"""The last one is subnormal in float16."""


def layer(shape: tuple[int, ...], dtype: Any, *, wild: bool = False) -> st.SearchStrategy[Any]:
    """An input or weights of a layer: eighths up to eight.

    Every floating-point type has these, float32 their products and sums. They come from a seed, not
    one by one: a few examples tell formulas apart then, and a simpler number would teach nothing.
    `wild`: with some that are odd.
    """

    def filled(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        x = rng.integers(-64, 65, shape) / 8
        if seed % 4 == 1:
            x = np.where(rng.random(shape) < 0.5, 0, x)
        if wild:
            # None at all, few, or so many that no sum is free of them.
            x = np.where(rng.random(shape) < (0, 0.05, 0.3)[seed % 3], rng.choice(ODD, shape), x)
        return np.asarray(x).astype(dtype)

    return st.integers(0, 1 << 30).map(filled)


def wide(*arrays: np.ndarray | None) -> list[Any]:
    """The same in the precision of the formulas."""
    return [None if array is None else array.astype(np.float64) for array in arrays]


def spacing(dtype: Any) -> float:
    """From 1 to the next greater number."""
    return float(FINFO(dtype).eps)


def assert_close(
    actual: np.ndarray, expected: np.ndarray, dtype: Any, *, steps: float = 2, scale: Any = None
) -> None:
    """Compare dtype, shape, and values to within so many roundings of what is as large as `scale`.

    The half types are computed in float32 and rounded once, at the end.

    `scale` is what was summed up, in magnitude, when that is greater than the result.
    """
    assert actual.dtype == dtype
    assert actual.shape == expected.shape
    with np.errstate(all="ignore"):
        found = actual.astype(np.float64)
        rounded = expected.astype(dtype).astype(np.float64)
        magnitude = np.abs(expected) if scale is None else np.maximum(scale, np.abs(expected))
        within = min(spacing(dtype), spacing(np.float32))
        slack = (
            steps * within * magnitude
            + spacing(dtype) * np.abs(expected)
            + float(FINFO(dtype).smallest_subnormal)
        )
        same = (found == rounded) | (np.isnan(found) & np.isnan(rounded))
        near = np.isfinite(rounded) & (np.abs(found - expected) <= slack)
    wrong = np.flatnonzero(~(same | near))
    assert wrong.size == 0, (wrong, found.flat[wrong[:8]], expected.flat[wrong[:8]])


@dataclass(frozen=True, kw_only=True)
class Window:
    """A window that slides over the spatial axes of an image, as the standard has it."""

    spatial: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...]
    """At the beginning of every axis, then at the end; those of auto_pad, where there is one."""
    auto_pad: str
    ceil_mode: bool

    def attributes(self) -> dict[str, Any]:
        """The attributes of a node; those that say what the default says are left out."""
        rank = len(self.spatial)
        out: dict[str, Any] = {"kernel_shape": self.kernel}
        if any(n != 1 for n in self.strides):
            out["strides"] = self.strides
        if any(n != 1 for n in self.dilations):
            out["dilations"] = self.dilations
        if self.auto_pad != "NOTSET":
            out["auto_pad"] = self.auto_pad
        elif self.pads != (0,) * (2 * rank):
            out["pads"] = self.pads
        if self.ceil_mode:
            out["ceil_mode"] = 1
        return out

    def begin(self, axis: int) -> int:
        return self.pads[axis]

    def end(self, axis: int) -> int:
        return self.pads[len(self.spatial) + axis]

    def reach(self, axis: int) -> int:
        return (self.kernel[axis] - 1) * self.dilations[axis] + 1

    @property
    def output(self) -> tuple[int, ...]:
        return tuple(self._extent(axis) for axis in range(len(self.spatial)))

    def _extent(self, axis: int) -> int:
        size, stride = self.spatial[axis], self.strides[axis]
        if self.auto_pad.startswith("SAME"):
            return -(-size // stride)
        padded = size + self.begin(axis) + self.end(axis)
        places = (padded - self.reach(axis)) / stride + 1
        if not self.ceil_mode or self.auto_pad == "VALID":
            return math.floor(places)
        # A window that would start in the padding at the end is ignored; it is one at most,
        # say the standard's own shapes.
        starts_behind = (math.ceil(places) - 1) * stride >= size + self.begin(axis)
        return math.ceil(places) - starts_behind

    def pad(self, x: np.ndarray, fill: float) -> np.ndarray:
        """x [N, C, …] with its padding."""
        pads = [(self.begin(axis), self.end(axis)) for axis in range(len(self.spatial))]
        return np.pad(x, [(0, 0), (0, 0), *pads], constant_values=fill)

    def look(self, padded: np.ndarray, fill: float) -> np.ndarray:
        """What windows see of a padded image: [N, C, …output, …kernel]; `fill` behind its end."""
        rank = len(self.spatial)
        need = [
            max(0, (n - 1) * self.strides[a] + self.reach(a) - padded.shape[2 + a])
            for a, n in enumerate(self.output)
        ]
        x = np.pad(padded, [(0, 0), (0, 0), *((0, n) for n in need)], constant_values=fill)
        for axis, places in enumerate(self.output):
            starts = np.arange(places)[:, None] * self.strides[axis]
            taps = np.arange(self.kernel[axis])[None] * self.dilations[axis]
            # Every axis leaves its taps at the end.
            x = np.moveaxis(np.take(x, starts + taps, axis=2 + axis), 3 + axis, -1)
        assert x.shape[2:] == (*self.output, *self.kernel)
        assert x.ndim == 2 + 2 * rank
        return x


def same_pads(
    auto_pad: str,
    spatial: Sequence[int],
    reach: Sequence[int],
    strides: Sequence[int],
) -> tuple[int, ...]:
    """The padding of SAME_UPPER and SAME_LOWER: an odd one is at the end or the beginning."""
    totals = [
        max(0, (-(-n // stride) - 1) * stride + r - n)
        for n, r, stride in zip(spatial, reach, strides, strict=True)
    ]
    less, more = [n // 2 for n in totals], [n - n // 2 for n in totals]
    return tuple(less + more) if auto_pad == "SAME_UPPER" else tuple(more + less)


@st.composite
def windows(
    draw: st.DrawFn, *, ceil_mode: bool = False, dilated: bool = True, longest: int = 6
) -> Window:
    """Windows that fit, over one to three axes."""
    rank = draw(st.integers(1, 3))

    def each(least: int, most: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(least, most)) for _ in range(rank))

    kernel, strides = each(1, 3), each(1, 3)
    dilations = each(1, 2) if dilated else (1,) * rank
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    auto_pad = draw(st.sampled_from(["SAME_LOWER", "SAME_UPPER", "NOTSET", "VALID"]))
    spatial, pads = each(1, longest), (0,) * (2 * rank)
    if auto_pad == "NOTSET":
        pads = each(0, 2) + each(0, 2)
        room = [pads[a] + pads[rank + a] for a in range(rank)]
    else:
        room = [0] * rank
    if auto_pad.startswith("SAME"):
        pads = same_pads(auto_pad, spatial, reach, strides)
    else:
        spatial = tuple(max(n, reach[a] - room[a], 1) for a, n in enumerate(spatial))
    return Window(
        spatial=spatial,
        kernel=kernel,
        strides=strides,
        dilations=dilations,
        pads=pads,
        auto_pad=auto_pad,
        ceil_mode=ceil_mode and draw(st.booleans()),
    )
