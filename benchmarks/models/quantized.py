"""Models of this folder in eight bits, as onnxruntime's quantiser makes them.

``dynamic``: int8 weights, activations quantised in every run by what they hold. ``static``: uint8
activations with scales from a calibration on the model's own input, int8 weights with a scale per
channel; written with QuantizeLinear and DequantizeLinear, or with the QLinear operators.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from .builder import Feeds

Model = tuple[onnx.ModelProto, "Feeds"]


def dynamic(build: Callable[[], Model]) -> Model:
    """Return the model with its products quantised dynamically."""
    model, feeds = build()
    with tempfile.TemporaryDirectory() as folder:
        source, target = _files(model, folder)
        quantize_dynamic(source, target, weight_type=QuantType.QInt8, per_channel=True)
        return onnx.load(target), feeds


def static(build: Callable[[], Model], *, operators: bool = False) -> Model:
    """Return the model quantised for its own input; with QLinear operators, or around others."""
    model, feeds = build()
    with tempfile.TemporaryDirectory() as folder:
        source, target = _files(model, folder)
        quantize_static(
            source,
            target,
            _Once(feeds),
            quant_format=QuantFormat.QOperator if operators else QuantFormat.QDQ,
            per_channel=True,
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QUInt8,
        )
        return onnx.load(target), feeds


class _Once(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, feeds: Feeds) -> None:
        self._left = [feeds]

    def get_next(self) -> Any:
        """Return the one set of inputs, and nothing after it."""
        return self._left.pop() if self._left else None


def _files(model: onnx.ModelProto, folder: str) -> tuple[Path, Path]:
    source, target = Path(folder, "float.onnx"), Path(folder, "quantized.onnx")
    onnx.save(model, source)
    return source, target
