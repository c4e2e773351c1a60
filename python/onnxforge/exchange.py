"""Arrays for other libraries."""

from __future__ import annotations

from typing import Any

from . import _core


def as_dlpack(array: Any) -> _core.DlpackTensor:
    """Return an array as an object that hands out its memory by DLPack, without a copy.

    NumPy's own arrays do that themselves, but not for the element types of ml_dtypes (bfloat16,
    float8): `torch.from_dlpack(onnxforge.as_dlpack(y))`.

    Elements of less than eight bits go out one byte each, as arrays of ml_dtypes hold them, which
    DLPack has a flag for since version 1.1; `__dlpack__` raises BufferError for a consumer that
    does not say that it knows that version.

    Raises:
        UnsupportedError: for strings.
    """
    return _core.DlpackTensor(array)
