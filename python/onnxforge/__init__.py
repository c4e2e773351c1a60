"""Load, check, optimise and run ONNX models with a small C++17 engine.

    import onnxforge
    session = onnxforge.Session("model.onnx")
    outputs = session.run({"x": array})          # {"y": array, …}

Every error is an `onnxforge.Error`; its subclasses also derive from the built-in they refine.
"""

from ._core import (
    Error,
    InternalError,
    InvalidArgumentError,
    InvalidModelError,
    ModelIOError,
    UnsupportedError,
)
from ._version import __version__
from .build import BuildInfo, build_info
from .description import Summary, TypeInfo, ValueInfo
from .exchange import as_dlpack
from .model import Model, ModelSource, check, convert_version, infer_shapes, load, save
from .operators import OperatorInfo, Support, operators
from .profile import NodeTiming, Profile
from .session import Session

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
