"""Conversions: Cast, CastLike and BitCast between numbers of every width, and text.

What the standard leaves undefined is not drawn: numbers that an integer type cannot hold, and text
that is no number.
"""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import helper

from tests.python.kernel_support import TIERS, run_op
from tests.python.properties.numerics import (
    BFLOAT16,
    assert_same,
    given_attributes,
    iinfo,
    is_float,
    moderate,
    signatures,
    tensors,
    wide,
)
from tests.python.properties.support import arrays, examples, kernels, shapes


@st.composite
def castable(draw: st.DrawFn, to: np.dtype[Any], source: np.dtype[Any]) -> np.ndarray:
    """Numbers of `source` that the standard converts to `to`.

    Any, but what an integer type cannot hold.
    """
    if not is_float(source) or is_float(to) or to == np.bool_:
        return draw(tensors(source))
    info = np.iinfo(to)
    return draw(moderate(source, None, max(info.min, -1000), min(info.max, 1000)))


def converted(x: np.ndarray, to: np.dtype[Any]) -> Any:
    with np.errstate(all="ignore"):
        if to == np.bool_:
            return x != 0
        if to == BFLOAT16 and not is_float(x.dtype):
            return x.astype(np.float64).astype(to)
        return x.astype(to)


@kernels("Cast", "CastLike")
@examples
@given(data=st.data(), like=st.booleans())
def test_casts_between_numbers(data: st.DataObject, like: bool) -> None:
    """To the nearest float, to integers towards zero or modulo the width, to bool whether not 0."""
    name = "CastLike" if like else "Cast"
    signature = data.draw(signatures(name, "T1", since=6))
    target = data.draw(signatures(name, "T2", since=6).filter(lambda s: s.opset <= signature.opset))
    to = target.dtype
    x = data.draw(castable(to, signature.dtype))
    if like:
        inputs: list[np.ndarray | None] = [x, np.zeros(data.draw(shapes()), to)]
        attributes = {}
    else:
        inputs, attributes = [x], {"to": helper.np_dtype_to_tensor_dtype(to)}
    (y,) = run_op(name, inputs, attributes, opset=signature.opset, tier=signature.tier)
    assert_same(y, converted(x, to))


@kernels("Cast")
@examples
@given(
    data=st.data(),
    to=st.sampled_from([np.float16, ml_dtypes.bfloat16, np.float32]),
    tier=st.sampled_from(TIERS),
)
def test_float64_is_rounded_once(data: st.DataObject, to: type[Any], tier: str) -> None:
    """Next to the middle of two neighbours, where rounding to float32 first would move it."""
    lower = data.draw(tensors(np.dtype(to))).ravel()
    with np.errstate(all="ignore"):
        upper = np.nextafter(lower, np.array(np.inf, to))
        usable = np.isfinite(wide(lower)) & np.isfinite(wide(upper))
    lower, upper = lower[usable], upper[usable]
    middle = (wide(lower) + wide(upper)) / 2
    even = np.where(lower.view(f"u{lower.itemsize}") % 2 == 0, lower, upper)
    x = np.concatenate([middle, np.nextafter(middle, np.inf), np.nextafter(middle, -np.inf)])
    expected = np.concatenate([even, upper, lower])
    code = helper.np_dtype_to_tensor_dtype(np.dtype(to))
    (y,) = run_op("Cast", [x], {"to": code}, opset=13, tier=tier)
    assert_same(y, expected)


@kernels("Cast")
@examples
@given(data=st.data())
def test_cast_1_names_the_type(data: st.DataObject) -> None:
    to = data.draw(signatures("Cast", "T2").filter(lambda s: s.dtype != BFLOAT16)).dtype
    x = data.draw(
        castable(to, np.dtype(data.draw(st.sampled_from([np.float32, np.int64, np.uint8]))))
    )
    name = onnx.TensorProto.DataType.Name(helper.np_dtype_to_tensor_dtype(to))
    (y,) = run_op("Cast", [x], {"to": name}, opset=1, tier=data.draw(st.sampled_from(TIERS)))
    assert_same(y, converted(x, to))


FLOAT8S = {
    ml_dtypes.float8_e4m3fn: False,
    ml_dtypes.float8_e4m3fnuz: False,
    ml_dtypes.float8_e5m2: True,
    ml_dtypes.float8_e5m2fnuz: False,
}
"""The formats, and whether they have infinities."""


def to_float8(x: np.ndarray, to: type[Any], saturate: bool) -> Any:
    """As the tables of Cast say, by search among all values of the format.

    Nearest, ties to even bits.
    """
    values = np.arange(256).astype(np.uint8).view(to)
    finite = np.unique(values[np.isfinite(values.astype(np.float64))].astype(np.float64))
    greatest = finite[-1]
    # One step beyond the greatest, to see what would have been rounded up.
    grid = np.concatenate([finite, [greatest + (finite[-1] - finite[-2])]])
    magnitude = np.minimum(np.abs(x), grid[-1])
    positive = grid[grid >= 0]
    above = np.clip(np.searchsorted(positive, magnitude), 1, len(positive) - 1)
    low, high = positive[above - 1], positive[above]
    middle = (low + high) / 2
    up = (magnitude > middle) | ((magnitude == middle) & (above % 2 == 0))
    nearest = np.where(np.isnan(x), np.nan, np.where(up, high, low))
    over = math.inf if FLOAT8S[to] else math.nan
    nearest = np.where(nearest > greatest, greatest if saturate else over, nearest)
    if not saturate:
        nearest = np.where(np.isinf(x), over, nearest)
    return np.copysign(nearest, x)


@kernels("Cast", "CastLike")
@examples
@given(
    data=st.data(),
    to=st.sampled_from(sorted(FLOAT8S, key=str)),
    attributes=given_attributes(saturate=(0, 1)),
    source=st.sampled_from([np.float16, np.float32, np.float64, ml_dtypes.bfloat16]),
)
def test_casts_to_float8(
    data: st.DataObject, to: type[Any], attributes: dict[str, int], source: type[Any]
) -> None:
    """Rounded once, also from float64; beyond the greatest number what `saturate` says."""
    x = data.draw(tensors(np.dtype(source)) | moderate(np.dtype(source), None, -600, 600))
    opset, tier = data.draw(st.sampled_from([19, 21, 23])), data.draw(st.sampled_from(TIERS))
    saturate = bool(attributes.get("saturate", 1))
    expected = to_float8(wide(x), to, saturate)
    code = helper.np_dtype_to_tensor_dtype(np.dtype(to))
    (y,) = run_op("Cast", [x], attributes | {"to": code}, opset=opset, tier=tier)
    (z,) = run_op("CastLike", [x, np.zeros(1, to)], attributes, opset=opset, tier=tier)
    assert y.dtype == z.dtype == to
    np.testing.assert_array_equal(y.astype(np.float64), expected)
    np.testing.assert_array_equal(z.astype(np.float64), expected)


@kernels("Cast")
@examples
@given(
    bits=arrays(np.uint8, elements=st.integers(0, 255)),
    source=st.sampled_from(sorted(FLOAT8S, key=str)),
    to=st.sampled_from([np.float16, np.float32, np.float64, ml_dtypes.bfloat16]),
    tier=st.sampled_from(TIERS),
)
def test_casts_from_float8(bits: np.ndarray, source: type[Any], to: type[Any], tier: str) -> None:
    """Every value but some of float8_e5m2fnuz is one of the wider types too; those round."""
    x = bits.view(source)
    (y,) = run_op(
        "Cast", [x], {"to": helper.np_dtype_to_tensor_dtype(np.dtype(to))}, opset=19, tier=tier
    )
    assert_same(y, x.astype(np.float64).astype(to))


def to_exponent(value: float, mode: str) -> float:
    """The power of two that float8e8m0 holds for a positive number."""
    fraction, exponent = math.frexp(value)  # of [1/2, 1)
    up = {"up": fraction > 0.5, "down": False, "nearest": fraction >= 0.75}[mode]
    return math.ldexp(1.0, exponent - 1 + up)


@kernels("Cast")
@examples
@given(
    x=hnp.arrays(np.float32, shapes(), elements=st.floats(2**-120, 2**120, width=32)),
    mode=st.sampled_from(["up", "down", "nearest"]),
    tier=st.sampled_from(TIERS),
)
def test_casts_to_powers_of_two(x: np.ndarray, mode: str, tier: str) -> None:
    to = np.dtype(ml_dtypes.float8_e8m0fnu)
    attributes = {"to": helper.np_dtype_to_tensor_dtype(to), "round_mode": mode}
    (y,) = run_op("Cast", [x], attributes, opset=24, tier=tier)
    expected = [to_exponent(float(value), mode) for value in x.ravel()]
    assert y.dtype == to
    assert y.astype(np.float64).ravel().tolist() == expected
    (back,) = run_op("Cast", [y], {"to": onnx.TensorProto.FLOAT}, opset=24, tier=tier)
    assert back.ravel().tolist() == expected


SMALL = {ml_dtypes.int4: 21, ml_dtypes.uint4: 21, ml_dtypes.int2: 25, ml_dtypes.uint2: 25}
"""Integers below a byte, and the version that has them first."""


@kernels("Cast")
@examples
@given(data=st.data(), to=st.sampled_from(sorted(SMALL, key=str)), tier=st.sampled_from(TIERS))
def test_casts_to_and_from_small_integers(data: st.DataObject, to: type[Any], tier: str) -> None:
    """From wider integers the low bits; from floats what fits; and back the number itself."""
    info = iinfo(to)
    source = data.draw(st.sampled_from([np.int8, np.uint8, np.int64, np.float32, np.float16]))
    whole = np.dtype(source).kind in "iu"
    if whole:
        x = data.draw(tensors(np.dtype(source)))
    else:
        x = data.draw(moderate(np.dtype(source), None, int(info.min), int(info.max)))
    bits = info.bits
    numbers = [int(value) % (1 << bits) for value in x.ravel()]
    expected = [n - (1 << bits) if n > int(info.max) else n for n in numbers]
    code = helper.np_dtype_to_tensor_dtype(np.dtype(to))
    (y,) = run_op("Cast", [x], {"to": code}, opset=SMALL[to], tier=tier)
    assert y.dtype == to
    assert y.shape == x.shape
    assert y.astype(np.int64).ravel().tolist() == expected
    back_to = data.draw(st.sampled_from([np.float32, np.int8, np.int64, np.uint16]))
    code = helper.np_dtype_to_tensor_dtype(np.dtype(back_to))
    (back,) = run_op("Cast", [y], {"to": code}, opset=SMALL[to], tier=tier)
    assert_same(back, np.array(expected, np.int64).astype(back_to).reshape(x.shape))


SPELLINGS = ("{}", " {}", "{} ", "+{}", "-{}")


@kernels("Cast")
@examples
@given(data=st.data(), opset=st.sampled_from([9, 13, 21]), tier=st.sampled_from(TIERS))
def test_casts_of_text_to_numbers(data: st.DataObject, opset: int, tier: str) -> None:
    """As Python reads it, in any case and with blanks around it.

    Whole numbers without the loss of a digit.
    """
    to = np.dtype(
        data.draw(st.sampled_from([np.float32, np.float64, np.int64, np.uint64, np.int8]))
    )
    if to.kind == "f":
        numbers = st.floats(0, allow_nan=False, width=32).map(repr) | st.sampled_from(
            ["1e-5", "1E8", "0.5", ".5", "5.", "1e400", "1e-400", "NaN", "nan", "INF", "inf", "Inf"]
        )
    else:
        numbers = st.integers(0, int(iinfo(to).max)).map(str)
    spellings = SPELLINGS[: 5 if to.kind != "u" else 4]
    words = st.tuples(st.sampled_from(spellings), numbers).map(lambda two: two[0].format(two[1]))
    x = data.draw(hnp.arrays(object, shapes(max_dims=2), elements=words))
    (y,) = run_op("Cast", [x], {"to": helper.np_dtype_to_tensor_dtype(to)}, opset=opset, tier=tier)
    if to.kind == "f":
        with np.errstate(over="ignore"):
            expected = np.array([float(word) for word in x.ravel()]).astype(to)
    else:
        expected = np.array([int(word) for word in x.ravel()], to)
    assert_same(y, expected.reshape(x.shape))


@kernels("Cast", "CastLike")
@examples
@given(data=st.data(), like=st.booleans())
def test_casts_of_numbers_to_text(data: st.DataObject, like: bool) -> None:
    """Text that reads back as the same number; NaN, INF and -INF are so spelled."""
    signature = data.draw(signatures("CastLike" if like else "Cast", "T1", since=9))
    dtype = signature.dtype
    x = data.draw(tensors(dtype, shapes(max_dims=2)))
    if like:
        (y,) = run_op(
            "CastLike", [x, np.array(["a"], object)], opset=signature.opset, tier=signature.tier
        )
    else:
        attributes = {"to": onnx.TensorProto.STRING}
        (y,) = run_op("Cast", [x], attributes, opset=signature.opset, tier=signature.tier)
    assert y.shape == x.shape
    for number, word in zip(wide(x).ravel(), y.ravel(), strict=True):
        if dtype == np.bool_:
            assert word == str(int(number))
        elif not is_float(dtype):
            assert word == str(number)
        elif np.isfinite(number):
            assert np.float64(word).astype(dtype) == number
            assert len(word) <= len(repr(float(number))) + 4
        else:
            assert word == {"nan": "NaN", "inf": "INF", "-inf": "-INF"}[str(number)]


BY_SIZE = {
    1: (np.bool_, np.int8, np.uint8, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2),
    2: (np.int16, np.uint16, np.float16, ml_dtypes.bfloat16),
    4: (np.int32, np.uint32, np.float32),
    8: (np.int64, np.uint64, np.float64, np.complex64),
}


@kernels("BitCast")
@examples
@given(data=st.data(), size=st.sampled_from(sorted(BY_SIZE)), tier=st.sampled_from(TIERS))
def test_bit_casts(data: st.DataObject, size: int, tier: str) -> None:
    source, to = (np.dtype(data.draw(st.sampled_from(BY_SIZE[size]))) for _ in range(2))
    shape = data.draw(shapes())
    unsigned = data.draw(arrays(np.dtype(f"u{size}").type, shape))
    if np.bool_ in {source.type, to.type}:
        unsigned &= 1
    x = unsigned.view(source)
    (y,) = run_op("BitCast", [x], {"to": helper.np_dtype_to_tensor_dtype(to)}, opset=26, tier=tier)
    assert y.dtype == to
    assert y.shape == shape
    assert y.tobytes() == x.tobytes()


@kernels("BitCast")
@examples
@given(data=st.data(), bits=st.sampled_from([2, 4]), tier=st.sampled_from(TIERS))
def test_bit_casts_below_a_byte(data: st.DataObject, bits: int, tier: str) -> None:
    """In two's complement, whatever holds the bits in memory."""
    signed, unsigned = (ml_dtypes.int4, ml_dtypes.uint4) if bits == 4 else (
        ml_dtypes.int2, ml_dtypes.uint2
    )  # fmt: skip
    numbers = data.draw(arrays(np.uint8, elements=st.integers(0, (1 << bits) - 1))).astype(np.int64)
    negative = np.where(numbers >= 1 << (bits - 1), numbers - (1 << bits), numbers)
    for x, expected in (
        (numbers.astype(unsigned), negative.astype(signed)),
        (negative.astype(signed), numbers.astype(unsigned)),
    ):
        code = helper.np_dtype_to_tensor_dtype(expected.dtype)
        (y,) = run_op("BitCast", [x], {"to": code}, opset=26, tier=tier)
        assert y.dtype == expected.dtype
        assert y.astype(np.int64).tolist() == expected.astype(np.int64).tolist()
