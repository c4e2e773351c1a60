"""Arrays for other libraries."""

from __future__ import annotations

from typing import Any

from . import _core


def as_dlpack(array: Any) -> _core.DlpackTensor:
    """Return an array as an object that hands out its memory by DLPack, without a copy.

    NumPy's own arrays do that themselves, but not for the element types of ml_dtypes (bfloat16,
    float8): `torch.from_dlpack(onnxforge.as_dlpack(y))`.

    Raises:
        UnsupportedError: for strings and for types of less than eight bits, which DLPack packs.
    """
    return _core.DlpackTensor(array)
