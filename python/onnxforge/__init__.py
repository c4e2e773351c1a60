"""Load, check, optimise and run ONNX models with a small C++17 engine.

    import onnxforge
    session = onnxforge.Session("model.onnx")
    outputs = session.run({"x": array})          # {"y": array, …}

Every error is an `onnxforge.Error`; its subclasses also derive from the built-in they refine.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._core import (
    Error,
    InternalError,
    InvalidArgumentError,
    InvalidModelError,
    ModelIOError,
    UnsupportedError,
)
from ._version import __version__
from .exchange import as_dlpack
from .model import Model, ModelSource, check, convert_version, infer_shapes, load, save
from .session import Session

if TYPE_CHECKING:
    from .build import BuildInfo, build_info
    from .description import Summary, TypeInfo, ValueInfo
    from .operator_table import OperatorInfo, Support, operators
    from .profile import NodeTiming, Profile

__all__ = [
    "BuildInfo",
    "Error",
    "InternalError",
    "InvalidArgumentError",
    "InvalidModelError",
    "Model",
    "ModelIOError",
    "ModelSource",
    "NodeTiming",
    "OperatorInfo",
    "Profile",
    "Session",
    "Summary",
    "Support",
    "TypeInfo",
    "UnsupportedError",
    "ValueInfo",
    "__version__",
    "as_dlpack",
    "build_info",
    "check",
    "convert_version",
    "infer_shapes",
    "load",
    "operators",
    "save",
]

_ON_DEMAND = {
    "BuildInfo": "build",
    "build_info": "build",
    "Summary": "description",
    "TypeInfo": "description",
    "ValueInfo": "description",
    "OperatorInfo": "operator_table",
    "Support": "operator_table",
    "operators": "operator_table",
    "NodeTiming": "profile",
    "Profile": "profile",
}
"""What a process that only runs a model does not ask for, and the module it is in: dataclasses are
compiled when they are imported, which takes several times as long as all the rest."""


def __getattr__(name: str) -> Any:
    if name not in _ON_DEMAND:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(f"{__name__}.{_ON_DEMAND[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_ON_DEMAND})
