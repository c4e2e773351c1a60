"""Elementwise functions of one tensor: arithmetic, trigonometry, activations, bits and tests.

Tolerances, in units of the last place: 0 where the standard's function does not round, or rounds
once. 1 where a half type is computed in float32 and rounded twice. 4 for the elementary functions
of the C library and of the vectorised tier. Functions that are made of these have the room that
their formula loses, as the table says.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.python.kernel_support import TIERS, run_op
from tests.python.properties.numerics import (
    BFLOAT16,
    DTYPES,
    Signature,
    assert_close,
    assert_same,
    given_attributes,
    is_float,
    moderate,
    schemas,
    signatures,
    tensors,
    wide,
    wrapped,
)
from tests.python.properties.support import INTEGERS, arrays, examples, kernels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

erf = np.vectorize(math.erf, otypes=[np.float64])


@dataclass(frozen=True, kw_only=True)
class Function:
    """What an operator computes, in float64, and how closely a kernel must."""

    formula: Callable[[np.ndarray, dict[str, float]], np.ndarray]
    """Of the tensor and the attributes, each with a value."""
    defaults: Mapping[str, float] | None = None
    """Of the attributes that the operator has."""
    choices: Iterable[float] = (0.25, 2.0, -1.5, 0.3)
    """What attributes may be instead."""
    ulps: float = 0
    slack: Callable[[np.ndarray, dict[str, float]], Any] = lambda _x, _a: 0.0
    """Of what the result is a difference: errors of so many epsilons are not its own."""


def exact(formula: Callable[[np.ndarray], np.ndarray]) -> Function:
    return Function(formula=lambda x, _a: formula(x))


def elementary(formula: Callable[[np.ndarray], np.ndarray]) -> Function:
    return Function(formula=lambda x, _a: formula(x), ulps=4)


def sigmoid(x: np.ndarray) -> Any:
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1.0) / (1 + e)


def softplus(x: np.ndarray) -> Any:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


SUBNORMAL = float(np.finfo(np.float32).tiny)
"""A factor below this has lost digits before it is multiplied by x."""

FUNCTIONS: dict[str, Function] = {
    "Abs": exact(np.abs),
    "Acos": elementary(np.arccos),
    "Acosh": elementary(np.arccosh),
    "Asin": elementary(np.arcsin),
    "Asinh": elementary(np.arcsinh),
    "Atan": elementary(np.arctan),
    "Atanh": elementary(np.arctanh),
    "Ceil": exact(np.ceil),
    "Celu": Function(
        formula=lambda x, a: (
            np.maximum(x, 0) + np.minimum(0, a["alpha"] * np.expm1(x / a["alpha"]))
        ),
        defaults={"alpha": 1.0},
        ulps=4,
        # The error of x / alpha is a factor of the exponential.
        slack=lambda x, a: np.abs(a["alpha"]) + np.where(x < 0, -x * np.exp(x / a["alpha"]), 0),
    ),
    "Cos": elementary(np.cos),
    "Cosh": elementary(np.cosh),
    "Elu": Function(
        formula=lambda x, a: np.where(x < 0, a["alpha"] * np.expm1(x), x),
        defaults={"alpha": 1.0},
        ulps=4,
        slack=lambda _x, a: np.abs(a["alpha"]),
    ),
    "Erf": elementary(erf),
    "Exp": elementary(np.exp),
    "Floor": exact(np.floor),
    "HardSigmoid": Function(
        formula=lambda x, a: np.maximum(0, np.minimum(1, a["alpha"] * x + a["beta"])),
        defaults={"alpha": 0.2, "beta": 0.5},
        ulps=1,
        slack=lambda _x, a: 1 + 2 * np.abs(a["beta"]),
    ),
    "HardSwish": Function(
        formula=lambda x, _a: x * np.maximum(0, np.minimum(1, x / 6 + 0.5)),
        ulps=1,
        slack=lambda x, _a: np.where(np.abs(x) < 4, 4, 0),
    ),
    "LeakyRelu": Function(
        formula=lambda x, a: np.where(x < 0, a["alpha"] * x, x), defaults={"alpha": 0.01}, ulps=1
    ),
    "Log": elementary(np.log),
    "Mish": Function(
        formula=lambda x, _a: x * np.tanh(softplus(x)),
        ulps=8,
        slack=lambda x, _a: np.abs(x) * SUBNORMAL,
    ),
    "Neg": exact(np.negative),
    "Reciprocal": exact(np.reciprocal),
    "Relu": exact(lambda x: np.maximum(x, 0)),
    "Round": exact(np.rint),
    "Selu": Function(
        formula=lambda x, a: np.where(x > 0, a["gamma"] * x, a["gamma"] * a["alpha"] * np.expm1(x)),
        defaults={"alpha": 1.67326319217681884765625, "gamma": 1.05070102214813232421875},
        ulps=4,
        slack=lambda _x, a: 2 * np.abs(a["gamma"] * a["alpha"]),
    ),
    "Sigmoid": elementary(sigmoid),
    "Sign": exact(np.sign),
    "Sin": elementary(np.sin),
    "Sinh": elementary(np.sinh),
    "Softplus": elementary(softplus),
    "Softsign": Function(formula=lambda x, _a: x / (1 + np.abs(x)), ulps=1),
    "Sqrt": exact(np.sqrt),
    "Swish": Function(
        formula=lambda x, a: x * sigmoid(a["alpha"] * x),
        defaults={"alpha": 1.0},
        ulps=4,
        # The error of alpha · x is a factor of the exponential.
        slack=lambda x, a: (
            np.nan_to_num(np.abs(a["alpha"] * x * x * sigmoid(a["alpha"] * x)))
            + np.abs(x) * SUBNORMAL
        ),
    ),
    "Tan": elementary(np.tan),
    "Tanh": elementary(np.tanh),
    "ThresholdedRelu": Function(
        formula=lambda x, a: np.where(x > a["alpha"], x, 0), defaults={"alpha": 1.0}
    ),
}
"""NaN goes through, where the formula does not say otherwise.

ThresholdedRelu's is 0 for what is not above alpha.
"""
SIGN_OF_ZERO = {
    "Abs",
    "Asin",
    "Atan",
    "Ceil",
    "Floor",
    "Neg",
    "Round",
    "Sin",
    "Sqrt",
    "Tan",
    "Tanh",
}


@st.composite
def calls(draw: st.DrawFn, name: str) -> tuple[Signature, np.ndarray, dict[str, float]]:
    signature = draw(signatures(name))
    defaults = FUNCTIONS[name].defaults or {}
    attributes = draw(given_attributes(**dict.fromkeys(defaults, FUNCTIONS[name].choices)))
    return signature, draw(tensors(signature.dtype)), attributes


@kernels(*FUNCTIONS)
@pytest.mark.parametrize("name", sorted(FUNCTIONS))
@examples
@given(data=st.data())
def test_functions_of_one_number(name: str, data: st.DataObject) -> None:
    signature, x, attributes = data.draw(calls(name))
    function = FUNCTIONS[name]
    defaults = dict(function.defaults or {})
    if name == "Selu" and signature.opset < 6:
        defaults = {"alpha": 1.6732, "gamma": 1.0507}
    # Attributes are float32.
    parameters = {key: float(np.float32(value)) for key, value in (defaults | attributes).items()}
    with np.errstate(all="ignore"):
        expected = np.asarray(function.formula(wide(x), parameters))
        room = np.asarray(function.slack(wide(x), parameters))
    (y,) = run_op(name, [x], attributes, opset=signature.opset, tier=signature.tier)
    assert y.dtype == x.dtype
    if is_float(x.dtype) and name in SIGN_OF_ZERO:
        np.testing.assert_array_equal(np.signbit(y[y == 0]), np.signbit(expected[y == 0]))
    if is_float(x.dtype):
        # A half type is rounded once more, from float32.
        ulps = function.ulps or (1 if x.dtype.itemsize == 2 and name == "Reciprocal" else 0)
        assert_close(y, expected, ulps=ulps, slack=room)
    else:
        assert_same(y, expected.astype(x.dtype))


@kernels("Gelu")
@examples
@given(data=st.data(), approximate=st.sampled_from([None, "none", "tanh"]))
def test_gelu(data: st.DataObject, approximate: str | None) -> None:
    """1 + erf and 1 + tanh cancel on the left: what is lost there is a part of x."""
    signature = data.draw(signatures("Gelu"))
    x = data.draw(tensors(signature.dtype))
    numbers = wide(x)
    with np.errstate(all="ignore"):
        if approximate == "tanh":
            inner = np.sqrt(2 / np.pi) * (numbers + 0.044715 * numbers**3)
            expected = 0.5 * numbers * (1 + np.tanh(inner))
        else:
            expected = 0.5 * numbers * (1 + erf(numbers / math.sqrt(2)))
        room = np.where(np.isfinite(numbers), 4 * np.abs(numbers), 0)
    attributes = {} if approximate is None else {"approximate": approximate}
    (y,) = run_op("Gelu", [x], attributes, opset=signature.opset, tier=signature.tier)
    assert y.dtype == x.dtype
    assert_close(y, expected, ulps=4, slack=np.where(np.abs(numbers) < 40, room, 0))


@kernels("Shrink")
@examples
@given(
    data=st.data(),
    attributes=given_attributes(lambd=(0.0, 1.5, -1.0, 3.0), bias=(1.0, -2.0, 0.25, 1e6)),
)
def test_shrink(data: st.DataObject, attributes: dict[str, float]) -> None:
    """NaN is neither below nor above: 0.

    Integers lose no digit to a whole bias, which is added modulo the width.
    """
    signature = data.draw(signatures("Shrink"))
    lambd, bias = attributes.get("lambd", 0.5), attributes.get("bias", 0.0)
    whole = not is_float(signature.dtype)
    x = data.draw(tensors(signature.dtype) if bias.is_integer() else moderate(signature.dtype))
    (y,) = run_op("Shrink", [x], attributes, opset=signature.opset, tier=signature.tier)
    if whole:
        shift = int(bias) if bias.is_integer() else bias
        values = [
            value + shift if value < -lambd else value - shift if value > lambd else 0
            for value in (int(value) for value in x.ravel())
        ]
        assert_same(y, wrapped([int(value) for value in values], x.dtype).reshape(x.shape))
        return
    numbers = wide(x)
    with np.errstate(all="ignore"):
        expected = np.where(
            numbers < -lambd, numbers + bias, np.where(numbers > lambd, numbers - bias, 0)
        )
    assert y.dtype == x.dtype
    assert_close(y, expected, ulps=1)


@kernels("Erf")
@examples
@given(data=st.data(), dtype=st.sampled_from(INTEGERS), tier=st.sampled_from(TIERS))
def test_erf_of_integers(data: st.DataObject, dtype: type[np.integer[Any]], tier: str) -> None:
    """Version 9 has them: towards zero, so that only what rounds to 1 is 1."""
    x = data.draw(tensors(np.dtype(dtype)))
    (y,) = run_op("Erf", [x], opset=9, tier=tier)
    assert_same(y, erf(x.astype(np.float64)).astype(dtype))


@kernels("BitwiseNot", "Not")
@examples
@given(data=st.data(), name=st.sampled_from(["BitwiseNot", "Not"]))
def test_bits(data: st.DataObject, name: str) -> None:
    signature = data.draw(signatures(name))
    x = data.draw(tensors(signature.dtype))
    (y,) = run_op(name, [x], opset=max(signature.opset, 7), tier=signature.tier)
    assert_same(y, np.invert(x))


FLOAT8S = (
    ml_dtypes.float8_e4m3fn,
    ml_dtypes.float8_e4m3fnuz,
    ml_dtypes.float8_e5m2,
    ml_dtypes.float8_e5m2fnuz,
)


@st.composite
def with_specials(draw: st.DrawFn, name: str) -> tuple[int, str, np.ndarray]:
    """An opset, a tier, and numbers of a float type that the operator allows there.

    Of float8 all bits.
    """
    signature = draw(signatures(name, "T1"))
    if signature.opset >= 20 and draw(st.booleans()):
        bits = draw(arrays(np.uint8, elements=st.integers(0, 255)))
        return signature.opset, signature.tier, bits.view(draw(st.sampled_from(FLOAT8S)))
    return signature.opset, signature.tier, draw(tensors(signature.dtype))


def as_float64(x: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # of a signalling NaN
        return x.astype(np.float64)


@kernels("IsNaN")
@examples
@given(case=with_specials("IsNaN"))
def test_is_nan(case: tuple[int, str, np.ndarray]) -> None:
    opset, tier, x = case
    (y,) = run_op("IsNaN", [x], opset=opset, tier=tier)
    assert_same(y, np.isnan(as_float64(x)))


@kernels("IsInf")
@examples
@given(
    case=with_specials("IsInf"),
    attributes=given_attributes(detect_negative=(0, 1), detect_positive=(0, 1)),
)
def test_is_inf(case: tuple[int, str, np.ndarray], attributes: dict[str, int]) -> None:
    opset, tier, x = case
    (y,) = run_op("IsInf", [x], attributes, opset=opset, tier=tier)
    numbers = as_float64(x)
    negative = np.isneginf(numbers) & bool(attributes.get("detect_negative", 1))
    positive = np.isposinf(numbers) & bool(attributes.get("detect_positive", 1))
    assert_same(y, np.asarray(negative | positive))


@kernels("Identity")
@examples
@given(data=st.data())
def test_identity(data: st.DataObject) -> None:
    """Bit for bit, strings too."""
    versions = [(int(s.since_version), d) for s in schemas("Identity") for d in DTYPES.values()]
    opset, dtype = data.draw(st.sampled_from(versions))
    if dtype == BFLOAT16:
        opset = max(opset, 13)
    x = data.draw(tensors(dtype))
    if data.draw(st.booleans()):
        x = data.draw(hnp.arrays(object, x.shape, elements=st.text(max_size=20)))
    (y,) = run_op("Identity", [x], opset=opset, tier=data.draw(st.sampled_from(TIERS)))
    assert y.dtype == x.dtype
    assert y.shape == x.shape
    assert y.tolist() == x.tolist() if x.dtype == object else y.tobytes() == x.tobytes()
