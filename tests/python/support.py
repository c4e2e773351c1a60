"""What several tests of the package share."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import parser

import onnxforge

HEADER = '<ir_version: 10, opset_import: ["" : {opset}]>'


def parse(graph: str, opset: int = 21) -> onnx.ModelProto:
    """Make a model from ONNX's text form of a graph."""
    return parser.parse_model(HEADER.format(opset=opset) + graph)


def session(graph: str, *, opset: int = 21, **options: Any) -> onnxforge.Session:
    return onnxforge.Session(parse(graph, opset), **options)


def peer_session(model: onnx.ModelProto | bytes | str) -> onnxruntime.InferenceSession:
    """Make a session of onnxruntime's, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if isinstance(model, onnx.ModelProto):
        model = model.SerializeToString()
    return onnxruntime.InferenceSession(model, options)


def run_peer(model: onnx.ModelProto | bytes | str, feeds: dict[str, Any]) -> list[Any]:
    """Run a model in onnxruntime, on one thread."""
    return peer_session(model).run(None, feeds)


def relative_difference(actual: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, relative to the largest expected magnitude."""
    scale = float(np.max(np.abs(expected))) or 1.0
    return float(np.max(np.abs(actual.astype(np.float64) - expected.astype(np.float64)))) / scale
