"""QuantizeLinear, DequantizeLinear and DynamicQuantizeLinear at every granularity.

Quantised values are compared exactly: division in the precision that the standard names (a half
type's is rounded from float32's, which gives the same), ties to even, then the zero point and the
bounds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from tests.python.kernel_support import TIERS, run_op
from tests.python.properties.numerics import (
    assert_close,
    assert_same,
    finfo,
    iinfo,
    moderate,
)
from tests.python.properties.support import examples, kernels, shapes

FLOAT8S = (
    ml_dtypes.float8_e4m3fn,
    ml_dtypes.float8_e4m3fnuz,
    ml_dtypes.float8_e5m2,
    ml_dtypes.float8_e5m2fnuz,
)

FLOAT6S = (ml_dtypes.float6_e2m3fn, ml_dtypes.float6_e3m2fn)

SINCE: dict[Any, int] = {
    np.int8: 10,
    np.uint8: 10,
    **dict.fromkeys(FLOAT8S, 19),
    **dict.fromkeys((np.int16, np.uint16, ml_dtypes.int4, ml_dtypes.uint4), 21),
    ml_dtypes.float4_e2m1fn: 23,
    **dict.fromkeys((ml_dtypes.int2, ml_dtypes.uint2), 25),
    **dict.fromkeys(FLOAT6S, 28),
}
"""What can be quantised to, and the first version that can."""

VERSIONS = (10, 13, 19, 21, 23, 24, 25, 28)
SCALES = (1.0, 0.5, 0.1, 0.003, 3.0, 40.0)


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The parameters of a quantisation, and each as large as the tensor."""

    scale: np.ndarray
    zero: np.ndarray
    scales: np.ndarray
    zeros: np.ndarray
    attributes: dict[str, Any]


@st.composite
def grids(draw: st.DrawFn, shape: tuple[int, ...], opset: int, scale: Any, to: Any) -> Grid:
    """One scale for all, one for each index of an axis (from 13 on), or one for each block (21)."""
    kinds = ["all"]
    if shape and opset >= 13:
        kinds.append("axis")
    if shape and opset >= 21:
        kinds.append("block")
    kind = draw(st.sampled_from(kinds))
    axis = draw(st.integers(0, len(shape) - 1)) if shape else 0
    extent = shape[axis] if shape else 1
    attributes: dict[str, Any] = {}
    if kind != "all" and not (axis == 1 and draw(st.booleans())):
        attributes["axis"] = axis - len(shape) if draw(st.booleans()) else axis
    block = 1
    if kind == "all":
        sides: tuple[int, ...] = draw(st.sampled_from([(), (1,)])) if opset >= 13 else ()
    elif kind == "axis":
        sides = (extent,)
    else:
        block = attributes["block_size"] = draw(st.integers(1, 3))
        sides = (*shape[:axis], -(-extent // block), *shape[axis + 1 :])
    seed = draw(st.integers(0, 1 << 32))
    rng = np.random.default_rng(seed)
    scales = rng.choice(SCALES, sides).astype(scale)
    zeros = np.zeros(sides, to)
    if is_whole(to):
        info = iinfo(to)
        zeros = rng.integers(int(info.min), int(info.max) + 1, sides).astype(to)

    def spread(x: np.ndarray) -> np.ndarray:
        if kind == "all":
            return np.broadcast_to(x.reshape(()), shape)
        if kind == "axis":
            return np.broadcast_to(x.reshape((-1,) + (1,) * (len(shape) - axis - 1)), shape)
        repeated = np.repeat(x, block, axis)
        return repeated[tuple(slice(side) for side in shape)]

    return Grid(
        scale=scales, zero=zeros, scales=spread(scales), zeros=spread(zeros), attributes=attributes
    )


def is_whole(dtype: Any) -> bool:
    return dtype not in (*FLOAT8S, *FLOAT6S, ml_dtypes.float4_e2m1fn)


def greatest(dtype: Any) -> float:
    return float(finfo(dtype).max)


def code(dtype: Any) -> int:
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


@kernels("QuantizeLinear")
@examples
@given(
    data=st.data(),
    shape=shapes() | st.sampled_from([(40,), (2, 33), (2, 3, 17)]),
    to=st.sampled_from(sorted(SINCE, key=str)),
)
def test_quantize_linear(data: st.DataObject, shape: tuple[int, ...], to: Any) -> None:
    """With the type from the zero point, from `output_dtype`, or uint8.

    Float8 beyond its range as `saturate` says.
    """
    opset = data.draw(st.sampled_from([version for version in VERSIONS if version >= SINCE[to]]))
    types = (np.float32, np.float16, ml_dtypes.bfloat16) if opset >= 19 else (np.float32,)
    dtype = np.dtype(data.draw(st.sampled_from(types)))
    scale = np.dtype(data.draw(st.sampled_from(types))) if opset >= 23 else dtype
    x = data.draw(moderate(dtype, shape, -900, 900))
    if x.size and is_whole(to):
        x[np.unravel_index(data.draw(st.integers(0, x.size - 1)), shape)] = data.draw(
            st.sampled_from([np.inf, -np.inf, 0.5, 1.5])
        )
    grid = data.draw(grids(shape, opset, scale, to))
    attributes = dict(grid.attributes)
    by_attribute = opset >= 21 and data.draw(st.booleans())
    if by_attribute:
        attributes["output_dtype"] = code(to)
    left_out = (by_attribute or to == np.uint8) and data.draw(st.booleans())
    zeros = np.zeros(shape) if left_out else grid.zeros.astype(np.float64)
    saturate = True
    if to in FLOAT8S and data.draw(st.booleans()):
        saturate, attributes["saturate"] = False, 0
    precision = scale
    if opset >= 23 and data.draw(st.booleans()):
        precision = np.dtype(data.draw(st.sampled_from(types)))
        attributes["precision"] = code(precision)
    with np.errstate(all="ignore"):
        quotient = x.astype(np.float32) / grid.scales.astype(np.float32)
        quotient = quotient.astype(precision).astype(np.float64)
        if is_whole(to):
            info = iinfo(to)
            expected = np.clip(np.rint(quotient) + zeros, int(info.min), int(info.max))
        else:
            bounded = saturate or to not in FLOAT8S
            limit = greatest(to) if bounded else np.inf
            expected = np.clip(quotient, -limit, limit).astype(to).astype(np.float64)
    (y,) = run_op(
        "QuantizeLinear",
        [x, grid.scale] if left_out else [x, grid.scale, grid.zero],
        attributes,
        opset=opset,
        tier=data.draw(st.sampled_from(TIERS)),
    )
    assert y.dtype == to
    assert y.shape == shape
    np.testing.assert_array_equal(y.astype(np.float64), expected)


@kernels("DequantizeLinear")
@examples
@given(
    data=st.data(),
    shape=shapes() | st.sampled_from([(40,), (2, 33), (2, 3, 17)]),
    of=st.sampled_from([*sorted(SINCE, key=str), np.int32]),
)
def test_dequantize_linear(data: st.DataObject, shape: tuple[int, ...], of: Any) -> None:
    """(x - zero point) · scale, rounded to the scale's type, or to `output_dtype`."""
    first = SINCE.get(of, 10)
    opset = data.draw(st.sampled_from([version for version in VERSIONS if version >= first]))
    types = (np.float32, np.float16, ml_dtypes.bfloat16) if opset >= 19 else (np.float32,)
    scale = np.dtype(data.draw(st.sampled_from(types)))
    rng = np.random.default_rng(data.draw(st.integers(0, 1 << 32)))
    if is_whole(of):
        info = iinfo(of)
        x = rng.integers(int(info.min), int(info.max) + 1, shape).astype(of)
    else:
        x = rng.uniform(-greatest(of), greatest(of), shape).astype(of)
    grid = data.draw(grids(shape, opset, scale, of))
    left_out = of == np.int32 or data.draw(st.booleans())
    zeros = np.zeros(shape) if left_out else grid.zeros.astype(np.float64)
    attributes = dict(grid.attributes)
    result = scale
    if opset >= 23 and data.draw(st.booleans()):
        result = np.dtype(data.draw(st.sampled_from(types)))
        attributes["output_dtype"] = code(result)
    (y,) = run_op(
        "DequantizeLinear",
        [x, grid.scale] if left_out else [x, grid.scale, grid.zero],
        attributes,
        opset=opset,
        tier=data.draw(st.sampled_from(TIERS)),
    )
    assert y.dtype == result
    # An int32 is rounded to float32 before it is scaled, and a half type once more.
    assert_close(y, (x.astype(np.float64) - zeros) * grid.scales.astype(np.float64), ulps=1)


@kernels("DynamicQuantizeLinear")
@examples
@given(data=st.data(), shape=shapes() | st.just((50,)), tier=st.sampled_from(TIERS))
def test_dynamic_quantize_linear(data: st.DataObject, shape: tuple[int, ...], tier: str) -> None:
    """In float32 step by step.

    Where all numbers are 0, and where there are none, the scale is 1.
    """
    low = data.draw(st.sampled_from([-100.0, 0.0, 3.0, -1e-40, -1e38]))
    high = data.draw(st.sampled_from([0.0, 1.0, 250.0, 1e38]))
    x = data.draw(moderate(np.dtype(np.float32), shape, min(low, high), max(low, high)))
    least = np.minimum(np.float32(0), x.min(initial=0.0))
    most = np.maximum(np.float32(0), x.max(initial=0.0))
    scale = np.float32(1) if least == most else (most - least) / np.float32(255)
    with np.errstate(all="ignore"):
        zero = np.rint(np.clip(-least / scale, 0, 255))
        expected = np.clip(np.rint(x / scale) + zero, 0, 255).astype(np.uint8)
    y, y_scale, y_zero = run_op("DynamicQuantizeLinear", [x], opset=11, outputs=3, tier=tier)
    assert_same(y_scale, np.array(scale, np.float32))
    assert_same(y_zero, np.array(zero, np.uint8))
    assert_same(y, expected)
