"""The signatures that an operator may have, arrays of every float type, and how close is close.

Element types come from the schemas: a type that an operator's version allows is drawn, and so
tested, without being listed again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import onnx
from hypothesis import strategies as st

from tests.python.kernel_support import TIERS
from tests.python.properties.support import shapes

if TYPE_CHECKING:
    from collections.abc import Iterable

finfo: Any = ml_dtypes.finfo
iinfo: Any = ml_dtypes.iinfo
"""As NumPy's own, which do not know the types of ml_dtypes."""

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)

DTYPES: dict[str, np.dtype[Any]] = {
    "bfloat16": BFLOAT16,
    "bool": np.dtype(np.bool_),
    "double": np.dtype(np.float64),
    "float": np.dtype(np.float32),
    "float16": np.dtype(np.float16),
    **{name: np.dtype(name) for name in ("int8", "int16", "int32", "int64")},
    **{name: np.dtype(name) for name in ("uint8", "uint16", "uint32", "uint64")},
}
"""Element types by their name in the standard's type strings; the rest has no arithmetic."""


@dataclass(frozen=True, kw_only=True)
class Signature:
    """One version of an operator, and one element type that it allows."""

    opset: int
    """Also the version."""
    dtype: np.dtype[Any]
    """Of the type parameter that was asked for."""
    tier: str
    """The kernels to run it with."""


@cache
def schemas(name: str, domain: str = "", since: int = 1) -> list[Any]:
    """All versions of an operator from one on."""
    found = [
        schema
        for schema in onnx.defs.get_all_schemas_with_history()
        if (schema.domain, schema.name) == (domain, name) and schema.since_version >= since
    ]
    assert found, f"{domain}.{name}"
    return sorted(found, key=lambda schema: int(schema.since_version))


def dtypes_of(schema: Any, parameter: str) -> list[np.dtype[Any]]:
    """The element types among DTYPES that a type parameter may be."""
    (allowed,) = (
        constraint.allowed_type_strs
        for constraint in schema.type_constraints
        if constraint.type_param_str == parameter
    )
    names = (name.removeprefix("tensor(").removesuffix(")") for name in allowed)
    return [DTYPES[name] for name in names if name in DTYPES]


@cache
def signatures(
    name: str, parameter: str = "T", domain: str = "", since: int = 1
) -> st.SearchStrategy[Signature]:
    """A version of an operator, a type it allows, and a tier."""
    rows = [
        (int(schema.since_version), dtype)
        for schema in schemas(name, domain, since)
        for dtype in dtypes_of(schema, parameter)
    ]
    return st.builds(
        lambda row, tier: Signature(opset=row[0], dtype=row[1], tier=tier),
        st.sampled_from(rows),
        st.sampled_from(TIERS),
    )


def wrapped(values: Iterable[int], dtype: np.dtype[Any]) -> np.ndarray:
    """Whole numbers as an integer type holds them: modulo its width."""
    bits = dtype.itemsize * 8
    return np.array([value % (1 << bits) for value in values], f"u{dtype.itemsize}").view(dtype)


def is_float(dtype: np.dtype[Any]) -> bool:
    """Whether there is rounding: NumPy does not know that bfloat16 is one of these."""
    return dtype == BFLOAT16 or dtype.kind == "f"


def _edges(dtype: np.dtype[Any]) -> np.ndarray:
    """Zeros, ones, halves, both ends of the range and of the subnormals, NaN and infinities."""
    if dtype.kind == "b":
        return np.array([False, True])
    if not is_float(dtype):
        info = np.iinfo(dtype)
        return np.array([info.min, info.min + 1, info.max - 1, info.max, 0, 1, 2], dtype)
    limits = finfo(dtype)
    positive = [0, 0.5, 1, 1.5, 2.5, 3, 88, 710, limits.max, limits.tiny, limits.smallest_subnormal]
    with np.errstate(all="ignore"):
        half = np.array([*(float(x) for x in positive), np.inf, np.nan]).astype(dtype)
    return np.concatenate([half, -half])


def any_numbers(dtype: np.dtype[Any], count: int, seed: int) -> np.ndarray:
    """Numbers of a type: edges, small ones, and any bits."""
    rng = np.random.default_rng(seed)
    edges = rng.choice(_edges(dtype), count)
    if dtype.kind == "b":
        return edges
    bits = rng.integers(0, 256, count * dtype.itemsize, np.uint8).view(dtype)
    with np.errstate(all="ignore"):
        small = (rng.normal(size=count) * 4).astype(dtype)
    return np.choose(rng.integers(0, 3, count), [edges, small, bits])


@st.composite
def tensors(draw: st.DrawFn, dtype: np.dtype[Any], shape: Any = None) -> Any:
    """Tensors of any numbers. `shape`: a tuple, or a strategy.

    Made by NumPy from a seed: an array whose elements are drawn is either slow or mostly one
    number.
    """
    if not isinstance(shape, tuple):
        shape = draw(shapes() if shape is None else shape)
    return any_numbers(dtype, math.prod(shape), draw(st.integers(0, 1 << 32))).reshape(shape)


@st.composite
def moderate(
    draw: st.DrawFn, dtype: np.dtype[Any], shape: Any = None, low: float = -4, high: float = 4
) -> np.ndarray:
    """Tensors of finite numbers between two bounds: for what is ill-conditioned everywhere else."""
    if dtype.kind == "u":
        low = max(low, 0)
    if not isinstance(shape, tuple):
        shape = draw(shapes() if shape is None else shape)
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    return np.asarray(rng.uniform(low, high, shape)).astype(dtype)


def wide(x: np.ndarray) -> np.ndarray:
    """The same numbers in float64; integers as they are."""
    if not is_float(x.dtype):
        return x
    with np.errstate(invalid="ignore"):  # of a signalling NaN
        return x.astype(np.float64)


def assert_close(found: np.ndarray, exact: Any, ulps: float = 0, slack: Any = 0.0) -> None:
    """Compare with what float64 gives.

    Each number must be one that `found`'s type rounds something to that is no farther from the
    exact result than `ulps` times the type's spacing there, plus `slack` times its epsilon (for
    results smaller than what they are made from). So nothing but the nearest number will do where
    both are 0, and overflow is where the type has it.
    """
    exact = np.asarray(exact, np.float64)
    assert found.shape == exact.shape, f"{found.shape} for {exact.shape}"
    info = finfo(found.dtype)
    epsilon, least = float(info.eps), float(info.smallest_subnormal)
    with np.errstate(all="ignore"):
        spacing = np.maximum(np.abs(exact) * epsilon, least)
        room = np.where(np.isfinite(exact), spacing * ulps + slack * epsilon, 0.0)
        room = np.where(np.isnan(room), 0.0, room)
        low = (exact - room).astype(found.dtype).astype(np.float64)
        high = (exact + room).astype(found.dtype).astype(np.float64)
        value = found.astype(np.float64)
    good = np.where(np.isnan(exact), np.isnan(value), (low <= value) & (value <= high))
    assert good.all(), f"{found[~good]}, not {exact[~good]}"


def assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    """The same type, shape and numbers, NaN being equal to NaN."""
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    np.testing.assert_array_equal(wide(found), wide(expected))


def given_attributes(**choices: Iterable[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Attributes, each with one of its values or left out."""
    return st.fixed_dictionaries(
        {}, optional={name: st.sampled_from(list(values)) for name, values in choices.items()}
    )
