"""What the property tests share: the register of kernels, and arrays that are hard on purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Test = TypeVar("Test", bound="Callable[..., Any]")

FLOATS = (np.float16, np.float32, np.float64)
SIGNED = (np.int8, np.int16, np.int32, np.int64)
UNSIGNED = (np.uint8, np.uint16, np.uint32, np.uint64)
INTEGERS = SIGNED + UNSIGNED
NUMBERS = FLOATS + INTEGERS

examples = settings(max_examples=25, deadline=None, derandomize=True)
"""How many examples a property gets; the same ones in every run, so that no run fails by luck."""


def kernels(*names: str, domain: str = "") -> Callable[[Test], Test]:
    """Note that a property test runs the kernels of these operators.

    `test_every_kernel.py` reads the notes. Stands above @given.
    """

    def note(test: Test) -> Test:
        vars(test)["kernels"] = frozenset((domain, name) for name in names)
        return test

    return note


def functions(*names: str, domain: str = "") -> Callable[[Test], Test]:
    """As `kernels`, for operators of the standard that run as its function bodies."""

    def note(test: Test) -> Test:
        vars(test)["functions"] = frozenset((domain, name) for name in names)
        return test

    return note


def shapes(min_dims: int = 0, max_dims: int = 4, min_side: int = 0) -> st.SearchStrategy[Any]:
    """Shapes of small tensors, scalars and empty ones among them."""
    return hnp.array_shapes(min_dims=min_dims, max_dims=max_dims, min_side=min_side, max_side=4)


def numbers(dtype: type[np.generic]) -> st.SearchStrategy[Any]:
    """All values of a type: NaN, infinities, signed zeros, subnormals and both ends among them."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        info = np.finfo(kind)
        edges: Iterable[Any] = (
            *(0.0, -0.0, 1.0, -1.0, np.nan, np.inf, -np.inf),
            *(float(info.max), float(info.min), float(info.tiny), float(info.smallest_subnormal)),
        )
    elif kind.kind == "b":
        edges = (False, True)
    else:
        whole = np.iinfo(kind)
        edges = (whole.min, whole.max, 0, 1)
    return st.sampled_from(list(edges)) | hnp.from_dtype(kind)


def arrays(
    dtype: type[np.generic],
    shape: Any = None,
    elements: st.SearchStrategy[Any] | None = None,
) -> st.SearchStrategy[np.ndarray]:
    """Arrays of a type; `shape` (a tuple or a strategy) and `elements` are any, when not given."""
    return hnp.arrays(
        dtype,
        shapes() if shape is None else shape,
        elements=numbers(dtype) if elements is None else elements,
    )


def axes_of(rank: int) -> st.SearchStrategy[int]:
    """An axis of a tensor of that rank, counted from either end."""
    return st.integers(-rank, rank - 1)
