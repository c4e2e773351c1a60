"""Random inputs for a model."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import InvalidArgumentError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .. import TypeInfo, ValueInfo

SMALL_INTEGERS = 10
"""Random integers are below this: they often index tables of unknown size."""


def random_input(
    spec: ValueInfo,
    generator: np.random.Generator,
    dims: Mapping[str, int],
    shape: tuple[int, ...] | None,
) -> Any:
    """Return a random value for one input; symbolic and unknown extents default to 1."""
    if spec.kind == "optional" and spec.element is not None:
        return _random_of(spec.name, spec.element, generator, dims, shape)
    return _random_of(spec.name, spec, generator, dims, shape)


def _random_of(
    name: str,
    info: TypeInfo,
    generator: np.random.Generator,
    dims: Mapping[str, int],
    shape: tuple[int, ...] | None,
) -> Any:
    if info.kind == "sequence" and info.element is not None:
        return [_random_of(name, info.element, generator, dims, shape)]
    if info.kind != "tensor" or info.dtype is None:
        msg = f"input {name!r}: no random value can be made for {info.text}; give one in a file"
        raise UnsupportedError(msg)
    if shape is None and info.shape is None:
        msg = f"input {name!r}: the model declares no rank; give its shape: --shape {name}=1,3"
        raise InvalidArgumentError(msg)
    extents = shape if shape is not None else _resolve(info, dims)
    return _random_array(info.dtype, extents, generator)


def _resolve(info: TypeInfo, dims: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(d if isinstance(d, int) else dims.get(d or "", 1) for d in info.shape or ())


def _random_array(dtype: str, shape: tuple[int, ...], generator: np.random.Generator) -> Any:
    if dtype == "str":
        letters = np.array(list("abcdefghijklmnopqrstuvwxyz"), dtype=object)
        return letters[generator.integers(0, len(letters), shape)].reshape(shape)
    if dtype == "bool":
        return generator.integers(0, 2, shape).astype(bool)
    if dtype.startswith("complex"):
        return (generator.random(shape) + 1j * generator.random(shape)).astype(dtype)
    if "int" in dtype and "float" not in dtype:
        limit = 2 if dtype in ("int2", "uint2") else min(SMALL_INTEGERS, 8)
        return generator.integers(0, limit, shape).astype(numpy_dtype(dtype))
    return np.asarray(generator.random(shape), dtype=np.float64).astype(numpy_dtype(dtype))


def numpy_dtype(name: str) -> Any:
    """Return the dtype of that name, from ml_dtypes where NumPy has none."""
    if hasattr(np, name):
        return np.dtype(name)
    try:
        ml_dtypes = import_module("ml_dtypes")  # optional: only where a model needs it
    except ImportError as error:
        msg = f"arrays of {name} need the package ml_dtypes (pip install ml_dtypes)"
        raise UnsupportedError(msg) from error
    return np.dtype(getattr(ml_dtypes, name))
