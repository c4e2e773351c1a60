"""Products of bytes and of packed weights.

Sums of bytes are exact, modulo 2³². What is scaled afterwards must lie within half a step (plus
the rounding of the float32 factor, 10⁻⁵ of the value) of the real number; with scales that are
powers of two nothing rounds but the last step, and ties go to the even neighbour.
"""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.python.properties.bits import dtypes_of, tiers
from tests.python.properties.models import run_node
from tests.python.properties.support import arrays, examples, kernels
from tests.python.test_contrib import pack, unpack

BYTES: st.SearchStrategy[type[np.generic]] = st.sampled_from([np.int8, np.uint8])
EXACT_SCALES = st.sampled_from([0.125, 0.25, 0.5, 1.0, 2.0])
SCALES = EXACT_SCALES | st.floats(0.0625, 2, width=32)


@st.composite
def byte_products(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Two factors of bytes, of one batch."""
    m, k, n = (draw(st.integers(0, 5) | st.integers(16, 40)) for _ in "mkn")
    batch = draw(hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=2))
    right_batch = draw(st.sampled_from([batch, ()]))
    seed = draw(st.integers(0, 999))
    shapes = [(*batch, m, k), (*right_batch, k, n)]
    a, b = (bytes_of(draw(BYTES), shape, seed + i) for i, shape in enumerate(shapes))
    return a, b


def bytes_of(dtype: Any, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Bytes of all values, the ends more often than others."""
    rng = np.random.default_rng(seed)
    ends = np.iinfo(dtype)
    values = rng.integers(ends.min, ends.max + 1, shape)
    values = np.where(rng.random(shape) < 0.2, rng.choice([ends.min, ends.max, 0], shape), values)
    return values.astype(dtype)


@st.composite
def zero_points(draw: st.DrawFn, factor: np.ndarray, rows: bool) -> np.ndarray | None:
    """A zero point for all, one for each row or column, as a vector or as a column; or none."""
    axis = -2 if rows else -1
    forms: list[Any] = [None, (), (1,), (factor.shape[axis],)]
    if factor.ndim > 2:
        forms.append(tuple(n if i != 3 + axis - 1 else 1 for i, n in enumerate(factor.shape)))
        forms[-1] = (*factor.shape[:-1], 1) if rows else (*factor.shape[:-2], 1, factor.shape[-1])
    form = draw(st.sampled_from(forms))
    return None if form is None else draw(arrays(factor.dtype.type, form))


def spread(parameter: np.ndarray | None, rows: bool) -> np.ndarray:
    """A parameter so that it broadcasts to its matrix."""
    if parameter is None:
        return np.zeros(())
    column = rows and parameter.ndim == 1 and parameter.size != 1
    return parameter.astype(np.float64)[:, None] if column else parameter.astype(np.float64)


def exact_sums(a: np.ndarray, a_zero: Any, b: np.ndarray, b_zero: Any) -> np.ndarray:
    """The products' sums in float64, which has room for all of them."""
    left = a.astype(np.float64) - spread(a_zero, rows=True)
    return np.asarray(left @ (b.astype(np.float64) - spread(b_zero, rows=False)))


@kernels("MatMulInteger")
@examples
@given(data=st.data(), factors=byte_products(), fixed=st.booleans(), tier=tiers)
def test_matmul_integer(data: st.DataObject, factors: Any, fixed: bool, tier: str) -> None:
    a, b = factors
    zeros = [data.draw(zero_points(x, rows)) for x, rows in ((a, True), (b, False))]
    constants = [1, 3] if fixed else []
    (y,) = run_node("MatMulInteger", [a, b, *zeros], opset=10, tier=tier, constants=constants)
    assert y.dtype == np.int32
    np.testing.assert_array_equal(y, exact_sums(a, zeros[0], b, zeros[1]).astype(np.int32))


def assert_quantized(found: Any, real: np.ndarray, zero: np.ndarray, exact: bool) -> None:
    """The nearest step of a real number, moved by the zero point and held to the type's ends."""
    ends = np.iinfo(zero.dtype)
    assert found.dtype == zero.dtype
    assert found.shape == real.shape
    moved = zero.astype(np.float64)
    if exact:
        expected = np.clip(np.rint(real) + moved, ends.min, ends.max)
        np.testing.assert_array_equal(found, expected.astype(zero.dtype))
        return
    away = np.abs(found - np.clip(real + moved, ends.min, ends.max))
    assert np.max(away - 1e-5 * np.abs(real), initial=0) <= 0.5


@kernels("QLinearMatMul")
@examples
@given(
    data=st.data(),
    factors=byte_products(),
    opset=st.sampled_from([10, 21]),
    exact=st.booleans(),
    fixed=st.booleans(),
    tier=tiers,
)
def test_qlinear_matmul(
    data: st.DataObject, factors: Any, opset: int, exact: bool, fixed: bool, tier: str
) -> None:
    a, b = factors
    some = EXACT_SCALES if exact else SCALES
    scale_types = dtypes_of("QLinearMatMul", opset, 1) if opset == 21 else [np.dtype(np.float32)]
    scale_type = data.draw(st.sampled_from(scale_types)) if exact else np.dtype(np.float32)
    per_row = data.draw(st.booleans()) and a.shape[-2] > 0
    per_column = data.draw(st.booleans()) and b.shape[-1] > 0
    a_form = (a.shape[-2],) if per_row else data.draw(st.sampled_from([(), (1,)]))
    b_form = (b.shape[-1],) if per_column else data.draw(st.sampled_from([(), (1,)]))
    scales = [data.draw(hnp.arrays(np.float32, form, elements=some)) for form in (a_form, b_form)]
    a_zero, b_zero = (data.draw(arrays(x.dtype.type, f)) for x, f in ((a, a_form), (b, b_form)))
    y_scale = np.array(data.draw(some), np.float32)
    y_zero = data.draw(arrays(data.draw(BYTES), ()))
    written = [s.astype(scale_type) for s in (*scales, y_scale)]
    inputs = [a, written[0], a_zero, b, written[1], b_zero, written[2], y_zero]
    constants = [3, 4, 5] if fixed and scale_type != ml_dtypes.bfloat16 else []
    (y,) = run_node("QLinearMatMul", inputs, opset=opset, tier=tier, constants=constants)
    factor = spread(scales[0], rows=True) * spread(scales[1], rows=False)
    real = exact_sums(a, a_zero, b, b_zero) * factor / y_scale.astype(np.float64)
    assert_quantized(y, real, y_zero, exact)


@kernels("QLinearMatMul")
@examples
@given(data=st.data(), tier=tiers)
def test_qlinear_matmul_of_eight_bit_reals(data: st.DataObject, tier: str) -> None:
    """Small whole numbers and scales that are powers of two: the result is rounded once."""
    kinds = [k for k in dtypes_of("QLinearMatMul", 21) if k.kind not in "iu"]
    a_type, b_type, y_type = (data.draw(st.sampled_from(kinds)) for _ in "aby")
    m, k, n = (data.draw(st.integers(1, 3)) for _ in "mkn")
    whole = st.integers(-4, 4)
    a = data.draw(hnp.arrays(np.float32, (m, k), elements=whole)).astype(a_type)
    b = data.draw(hnp.arrays(np.float32, (k, n), elements=whole)).astype(b_type)
    scales = [np.array(data.draw(EXACT_SCALES), np.float32) for _ in "aby"]
    zeros = [np.zeros((), kind) for kind in (a_type, b_type, y_type)]
    inputs = [a, scales[0], zeros[0], b, scales[1], zeros[1], scales[2], zeros[2]]
    real = a.astype(np.float32) @ b.astype(np.float32) * (scales[0] * scales[1] / scales[2])
    assume(np.max(np.abs(real)) <= 200)  # e4m3fnuz ends at 240
    (y,) = run_node("QLinearMatMul", inputs, opset=21, tier=tier)
    assert y.dtype == y_type
    np.testing.assert_array_equal(y.astype(np.float32), real.astype(y_type).astype(np.float32))


def convolved(
    x: np.ndarray,
    w: np.ndarray,
    strides: list[int],
    dilations: list[int],
    pads: list[int],
    groups: int,
) -> np.ndarray:
    """The definition of a convolution over any number of axes, in float64."""
    axes = w.ndim - 2
    x = np.pad(
        x.astype(np.float64), [(0, 0)] * 2 + list(zip(pads[:axes], pads[axes:], strict=True))
    )
    reach = [(w.shape[2 + i] - 1) * dilations[i] + 1 for i in range(axes)]
    counts = [(x.shape[2 + i] - reach[i]) // strides[i] + 1 for i in range(axes)]
    y = np.zeros((x.shape[0], w.shape[0], *counts))
    for channel in range(w.shape[0]):
        first = channel // (w.shape[0] // groups) * w.shape[1]
        for place in np.ndindex(*counts):
            at = [slice(None), slice(first, first + w.shape[1])]
            begins = [p * s for p, s in zip(place, strides, strict=True)]
            at += [slice(b, b + r, d) for b, r, d in zip(begins, reach, dilations, strict=True)]
            target = (slice(None), channel, *place)
            y[target] = np.sum(x[tuple(at)] * w[channel], (*range(1, w.ndim),))
    return y


class Convolution:
    """A drawn convolution: its operands, its zero points and its attributes."""

    def __init__(self, data: st.DataObject) -> None:
        axes = data.draw(st.integers(1, 3))
        self.groups = data.draw(st.integers(1, 2))
        channels, out = self.groups * data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
        kernel = [data.draw(st.integers(1, 3)) for _ in range(axes)]
        self.strides, self.dilations = (
            [data.draw(st.integers(1, 2)) for _ in range(axes)] for _ in "sd"
        )
        self.pads = [data.draw(st.integers(0, 1)) for _ in range(2 * axes)]
        image = [data.draw(st.integers(5, 7)) for _ in range(axes)]
        seed, batch = data.draw(st.integers(0, 999)), data.draw(st.integers(0, 2))
        self.x = bytes_of(data.draw(BYTES), (batch, channels, *image), seed)
        filters = (self.groups * out, channels // self.groups, *kernel)
        self.w = bytes_of(data.draw(BYTES), filters, seed + 1)
        self.x_zero = data.draw(arrays(self.x.dtype.type, ()))
        per_channel = data.draw(st.booleans())
        self.w_form = (len(self.w),) if per_channel else ()
        self.w_zero = data.draw(arrays(self.w.dtype.type, self.w_form))
        self.attributes: dict[str, Any] = {"group": self.groups, "pads": self.pads}
        self.attributes |= {"strides": self.strides, "dilations": self.dilations}
        self.attributes |= {"kernel_shape": kernel} if data.draw(st.booleans()) else {}

    def sums(self, x_zero: np.ndarray | None, w_zero: np.ndarray | None) -> np.ndarray:
        x = self.x.astype(np.float64) - (0 if x_zero is None else float(x_zero))
        ones = (1,) * (self.w.ndim - 1)
        moved = 0 if w_zero is None else w_zero.astype(np.float64).reshape(-1, *ones)
        w = self.w.astype(np.float64) - moved
        return convolved(x, w, self.strides, self.dilations, self.pads, self.groups)


@kernels("ConvInteger")
@examples
@given(data=st.data(), fixed=st.booleans(), tier=tiers)
def test_conv_integer(data: st.DataObject, fixed: bool, tier: str) -> None:
    """Padding counts as the zero point: as nothing."""
    c = Convolution(data)
    zeros = [z if data.draw(st.booleans()) else None for z in (c.x_zero, c.w_zero)]
    constants = [1, 3] if fixed else []
    inputs = [c.x, c.w, *zeros]
    (y,) = run_node("ConvInteger", inputs, c.attributes, opset=10, tier=tier, constants=constants)
    assert y.dtype == np.int32
    np.testing.assert_array_equal(y, c.sums(*zeros).astype(np.int32))


@kernels("QLinearConv")
@examples
@given(data=st.data(), exact=st.booleans(), fixed=st.booleans(), tier=tiers)
def test_qlinear_conv(data: st.DataObject, exact: bool, fixed: bool, tier: str) -> None:
    c = Convolution(data)
    some = EXACT_SCALES if exact else SCALES
    x_scale, y_scale = (np.array(data.draw(some), np.float32) for _ in "xy")
    w_scale = data.draw(hnp.arrays(np.float32, c.w_form, elements=some))
    y_zero = data.draw(arrays(data.draw(BYTES), ()))
    short = st.integers(-100_000, 100_000)
    bias = data.draw(st.none() | hnp.arrays(np.int32, len(c.w), elements=short))
    inputs = [c.x, x_scale, c.x_zero, c.w, w_scale, c.w_zero, y_scale, y_zero, bias]
    constants = [3, 4, 5, 8] if fixed else []
    (y,) = run_node("QLinearConv", inputs, c.attributes, opset=10, tier=tier, constants=constants)
    ones = (1,) * (c.w.ndim - 2)
    sums = c.sums(c.x_zero, c.w_zero)
    sums += 0 if bias is None else bias.reshape(-1, *ones)
    factor = float(x_scale) * w_scale.astype(np.float64).reshape(-1, *ones) / float(y_scale)
    assert_quantized(y, sums * factor, y_zero, exact)


@kernels("MatMulNBits", domain="com.microsoft")
@examples
@given(data=st.data(), bits=st.sampled_from([2, 4, 8]), fixed=st.booleans(), tier=tiers)
def test_matmul_nbits(data: st.DataObject, bits: int, fixed: bool, tier: str) -> None:
    """Blocks of a row share a scale and a zero point, which is the middle where none is given.

    Small whole numbers and scales that are powers of two: every sum is exact.
    """
    k, n = data.draw(st.integers(1, 70)), data.draw(st.integers(1, 20))
    block = data.draw(st.sampled_from([16, 32, 64]))
    blocks = -(-k // block)
    seed = data.draw(st.integers(0, 999))
    rng = np.random.default_rng(seed)
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3))
    a = rng.integers(-2, 3, (*shape, k)).astype(
        data.draw(st.sampled_from([np.float32, np.float16]))
    )
    numbers = rng.integers(0, 1 << bits, (n, blocks * block)).astype(np.uint8)
    scales = rng.choice([0.125, 0.25, 0.5], (n, blocks)).astype(a.dtype)
    zeros, given_zeros = np.full((n, blocks), 1 << (bits - 1)), None
    if data.draw(st.booleans()):
        zeros = rng.integers(0, 1 << bits, (n, blocks))
        room = -blocks % (8 // bits)
        given_zeros = pack(np.pad(zeros, [(0, 0), (0, room)]).astype(np.uint8), bits).reshape(-1)
    bias = rng.integers(-4, 5, n).astype(a.dtype) if data.draw(st.booleans()) else None
    packed = pack(numbers, bits).reshape(n, blocks, block * bits // 8)
    np.testing.assert_array_equal(unpack(packed, bits).reshape(n, -1), numbers)
    inputs = [a, packed, scales.reshape(-1), given_zeros, None, bias]
    attributes = {"K": k, "N": n, "bits": bits, "block_size": block}
    options: dict[str, Any] = {"opset": 1, "domain": "com.microsoft", "tier": tier}
    constants = [1, 2, 3] if fixed else []
    (y,) = run_node("MatMulNBits", inputs, attributes, constants=constants, **options)
    moved = numbers.astype(np.float64) - np.repeat(zeros, block, 1)
    weights = (moved * np.repeat(scales.astype(np.float64), block, 1))[:, :k]
    expected = a.astype(np.float64) @ weights.T + (0 if bias is None else bias.astype(np.float64))
    assert y.dtype == a.dtype
    np.testing.assert_array_equal(y, expected.astype(a.dtype))


@pytest.mark.parametrize("tier", ["reference", "auto"])
@pytest.mark.parametrize("wrong", [1, 2, 6, 7])
def test_a_parameter_of_a_whole_tensor_is_one_number(wrong: int, tier: str) -> None:
    image, one = np.ones((1, 1, 3, 3), np.uint8), np.float32(1)
    zero = np.zeros((), np.uint8)
    inputs = [image, np.array(one), zero, image, np.array(one), zero, np.array(one), zero]
    inputs[wrong] = np.zeros(0, inputs[wrong].dtype)
    with pytest.raises(Exception, match=r"must have one element, and has shape \[0\]"):
        run_node("QLinearConv", inputs, opset=10, tier=tier)
    if wrong == 2:
        with pytest.raises(Exception, match="x_zero_point must have one element"):
            run_node("ConvInteger", [image, image, inputs[2]], opset=10, tier=tier)


def test_the_formula_of_a_convolution() -> None:
    """One that can be done by hand."""
    x = np.arange(6.0).reshape(1, 1, 6)
    y = convolved(x, np.array([[[1.0, 10.0]]]), [2], [2], [1, 0], 1)
    assert y.tolist() == [[[10.0, 31.0, 53.0]]]
    assert math.isclose(y.sum(), 94)
