"""Two bidirectional LSTM layers over 64 steps, and a classifier of every step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .builder import Builder, Feeds

if TYPE_CHECKING:
    import onnx

STEPS, WIDTH, HIDDEN, CLASSES = 64, 64, 128, 40


def build() -> tuple[onnx.ModelProto, Feeds]:
    """Return the model and one sequence."""
    b = Builder(name="lstm", opset=14)
    feeds: Feeds = {"frames": b.random.standard_normal((STEPS, 1, WIDTH)).astype(np.float32)}
    x = _layer(b, _layer(b, "frames", WIDTH), 2 * HIDDEN)
    product = b.op("MatMul", x, b.weight(2 * HIDDEN, CLASSES, fan_in=4 * HIDDEN))
    return b.model(feeds, [b.op("LogSoftmax", product, axis=-1)]), feeds


def _layer(b: Builder, x: str, width: int) -> str:
    weights = b.weight(2, 4 * HIDDEN, width, fan_in=4 * width)
    recurrence = b.weight(2, 4 * HIDDEN, HIDDEN, fan_in=4 * HIDDEN)
    bias = b.constant(0.1 * b.random.standard_normal((2, 8 * HIDDEN)))
    y = b.op("LSTM", x, weights, recurrence, bias, direction="bidirectional", hidden_size=HIDDEN)
    y = b.op("Transpose", y, perm=[0, 2, 1, 3])
    name: str = b.op("Reshape", y, b.constant([0, 0, -1], np.int64))
    return name
