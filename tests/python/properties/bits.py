"""Arrays of every element type that the standard has, for operators that move elements."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
from hypothesis import strategies as st
from onnx import defs, helper

if TYPE_CHECKING:
    from collections.abc import Iterable

WORDS = ("", "a", "ab", "a\0b", "ü", "日本", "0")
SUB_BYTE = {
    "int2": 2, "uint2": 2, "int4": 4, "uint4": 4,
    "float4_e2m1fn": 4, "float6_e2m3fn": 6, "float6_e3m2fn": 6,
}  # fmt: skip
"""Bits of the types that are narrower than a byte."""


@functools.cache
def dtypes_of(op_type: str, opset: int, index: int = 0, domain: str = "") -> tuple[np.dtype, ...]:
    """The element types that an operator's input may have."""
    schema = defs.get_schema(op_type, opset, domain)
    kind = schema.inputs[index].type_str
    allowed = {c.type_param_str: c.allowed_type_strs for c in schema.type_constraints}
    return tensor_types(allowed.get(kind, [kind]))


def tensor_types(allowed: Iterable[str]) -> tuple[np.dtype, ...]:
    """The types of tensors among the names of the types that the standard allows."""
    names = sorted(name for name in allowed if name.startswith("tensor("))
    found = [name.removeprefix("tensor(").removesuffix(")") for name in names]
    return tuple(dtype_of(name) for name in found)


def dtype_of(name: str) -> np.dtype:
    """Find the type that carries a type of the standard: strings are objects."""
    named = {"float": "FLOAT", "string": "STRING", "double": "DOUBLE"}.get(name, name.upper())
    dtype: np.dtype = helper.tensor_dtype_to_np_dtype(helper.TensorProto.DataType.Value(named))
    return dtype


def is_text(dtype: np.dtype) -> bool:
    """Say whether elements are Python's objects, which are texts."""
    return dtype.kind == "O"


def from_bytes(raw: bytes, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """Take any bytes as an array: every pattern of bits is a value of most types."""
    numbers = np.frombuffer(raw, np.uint8)
    if is_text(dtype):
        return np.array([WORDS[i % len(WORDS)] for i in numbers] + [""], object)[:-1].reshape(shape)
    if dtype.kind == "b":
        return (numbers % 2).astype(bool).reshape(shape)
    if dtype.name in SUB_BYTE:
        return small(numbers, dtype).reshape(shape)
    return np.frombuffer(raw, dtype).reshape(shape)


def small(numbers: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Values of a type that is narrower than a byte, from bytes."""
    count = 1 << SUB_BYTE[dtype.name]
    if dtype.name.startswith("float"):
        return (numbers % count).view(dtype)
    first = 0 if dtype.name.startswith("u") else -count // 2
    return (numbers.astype(np.int8) % count + first).astype(dtype)


@st.composite
def arrays_of(draw: st.DrawFn, dtype: np.dtype, shape: Any) -> np.ndarray:
    """Arrays of any bits: NaN of every kind, infinities, signed zeros and subnormals among them."""
    extents = tuple(draw(shape) if isinstance(shape, st.SearchStrategy) else shape)
    size = int(np.prod(extents, dtype=np.int64))
    size *= 1 if is_text(dtype) else dtype.itemsize
    return from_bytes(draw(st.binary(min_size=size, max_size=size)), dtype, extents)


@st.composite
def moved_arrays(draw: st.DrawFn, op_type: str, opset: int, shape: Any) -> np.ndarray:
    """Arrays of a type that an operator takes as its first input."""
    dtype = draw(st.sampled_from(dtypes_of(op_type, opset)))
    return draw(arrays_of(dtype, shape))


def zero_of(dtype: np.dtype) -> Any:
    """What an element is where nothing else is said."""
    return "" if is_text(dtype) else np.zeros((), dtype)[()]


def assert_same(found: Any, expected: Any) -> None:
    """The same type, the same shape, the same bits."""
    expected = np.asarray(expected, object if isinstance(expected, str) else None)
    assert isinstance(found, np.ndarray)
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    if is_text(expected.dtype):
        assert found.tolist() == expected.tolist()
    elif expected.dtype.name in SUB_BYTE:  # what the rest of a byte holds says nothing
        np.testing.assert_array_equal(found.astype(np.float32), expected.astype(np.float32))
    else:
        assert found.tobytes() == expected.tobytes(), f"{found!r} is not {expected!r}"


def i64(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


tiers = st.sampled_from(("reference", "auto"))
"""A property draws the tier: what holds for the oracle holds for the fast kernels."""


def rounding_of(dtype: Any) -> float:
    """The distance from 1 to the next number of a type."""
    return float(ml_dtypes.finfo(dtype).eps)  # type: ignore[no-untyped-call]


def subnormal_of(dtype: Any) -> float:
    """The least number of a type above 0."""
    return float(ml_dtypes.finfo(dtype).smallest_subnormal)  # type: ignore[no-untyped-call]
