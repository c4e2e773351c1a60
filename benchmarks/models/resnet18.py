"""ResNet-18 as torch's exporter writes it, its normalisations folded into the convolutions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .builder import Builder, Feeds

if TYPE_CHECKING:
    import onnx


def build(size: int = 224) -> tuple[onnx.ModelProto, Feeds]:
    """Return the model and one image of ``size`` by ``size``."""
    b = Builder(name="resnet18", opset=13)
    feeds: Feeds = {"image": b.random.random((1, 3, size, size), np.float32)}
    x = b.op("Relu", b.conv("image", 3, 64, 7, strides=[2, 2]))
    x = b.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    channels = 64
    for filters in (64, 128, 256, 512):
        for stride in (1 if filters == channels else 2, 1):
            x = _block(b, x, channels, filters, stride)
            channels = filters
    x = b.op("Flatten", b.op("GlobalAveragePool", x), axis=1)
    weights, bias = b.weight(1000, 512, fan_in=512), b.constant(np.zeros(1000))
    return b.model(feeds, [b.op("Gemm", x, weights, bias, transB=1)]), feeds


def _block(b: Builder, x: str, channels: int, filters: int, stride: int) -> str:
    inner = b.op("Relu", b.conv(x, channels, filters, 3, strides=[stride, stride]))
    inner = b.conv(inner, filters, filters, 3)
    shortcut = x if stride == 1 else b.conv(x, channels, filters, 1, strides=[stride, stride])
    name: str = b.op("Relu", b.op("Add", inner, shortcut))
    return name
