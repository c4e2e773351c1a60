"""Blocks of five small nodes, one after the other: how the time to make a session grows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .builder import Builder, Feeds

if TYPE_CHECKING:
    import onnx

WIDTH, BLOCK = 16, 5


def build(nodes: int) -> tuple[onnx.ModelProto, Feeds]:
    """Return a model of so many nodes, a multiple of five, and one row."""
    b = Builder(name="chain", opset=17)
    feeds: Feeds = {"x": b.random.standard_normal((1, WIDTH)).astype(np.float32)}
    shape = b.constant([1, WIDTH], np.int64)
    x = "x"
    for _ in range(nodes // BLOCK):
        y = b.op("Add", b.op("MatMul", x, b.weight(WIDTH, WIDTH)), b.constant(np.zeros(WIDTH)))
        x = b.op("Reshape", b.op("Mul", b.op("Sigmoid", y), x), shape)
    return b.model(feeds, [x]), feeds
