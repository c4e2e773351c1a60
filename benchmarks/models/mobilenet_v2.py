"""MobileNetV2 as torch's exporter writes it; with ``quantized``, as onnxruntime's quantiser does.

Quantised means QuantizeLinear and DequantizeLinear around every convolution: uint8 activations,
int8 weights with a scale per channel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .builder import Builder, Feeds

if TYPE_CHECKING:
    import onnx

STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Expansion, channels, blocks, stride of the first."""


def build(batch: int = 1, *, quantized: bool = False) -> tuple[onnx.ModelProto, Feeds]:
    """Return the model and ``batch`` images of 224 by 224."""
    b = Builder(name="mobilenet_v2", opset=13)
    feeds: Feeds = {"image": b.random.random((batch, 3, 224, 224), np.float32)}
    layers = _Layers(builder=b, quantized=quantized)
    x = layers.conv(layers.stored("image"), 3, 32, 3, stride=2)
    channels = 32
    for expansion, filters, blocks, first_stride in STAGES:
        for block in range(blocks):
            stride = first_stride if block == 0 else 1
            x = _bottleneck(layers, x, channels, filters, expansion=expansion, stride=stride)
            channels = filters
    x = layers.conv(x, channels, 1280, 1)
    x = b.op("Flatten", b.op("GlobalAveragePool", x), axis=1)
    weights, bias = b.weight(1000, 1280, fan_in=1280), b.constant(np.zeros(1000))
    return b.model(feeds, [b.op("Gemm", x, weights, bias, transB=1)]), feeds


@dataclass(frozen=True, kw_only=True)
class _Layers:
    builder: Builder
    quantized: bool

    def stored(self, x: str) -> str:
        """Return a value as eight bits keep it, where the model is quantised."""
        if not self.quantized:
            return x
        scale, zero = self.builder.constant(0.047), self.builder.constant(64, np.uint8)
        kept = self.builder.op("QuantizeLinear", x, scale, zero)
        name: str = self.builder.op("DequantizeLinear", kept, scale, zero)
        return name

    def conv(
        self,
        x: str,
        channels: int,
        filters: int,
        kernel: int,
        *,
        stride: int = 1,
        group: int = 1,
        clipped: bool = True,
    ) -> str:
        """Add a convolution, and Clip to [0, 6] unless it ends a bottleneck."""
        b = self.builder
        attributes = {"strides": [stride, stride], "group": group}
        if self.quantized:
            y = self._quantized_conv(x, channels, filters, kernel, attributes)
        else:
            y = b.conv(x, channels, filters, kernel, **attributes)
        if clipped:
            y = b.op("Clip", y, b.constant(0.0), b.constant(6.0))
        return self.stored(y)

    def _quantized_conv(
        self, x: str, channels: int, filters: int, kernel: int, attributes: dict[str, object]
    ) -> str:
        b = self.builder
        shape = (filters, channels // int(str(attributes["group"])), kernel, kernel)
        weights = b.constant(b.random.integers(-127, 128, shape), np.int8)
        deviation = 127 / 3**0.5
        scale = (2 / np.prod(shape[1:])) ** 0.5 / deviation * b.random.uniform(0.5, 1.5, filters)
        zeros = b.constant(np.zeros(filters), np.int8)
        real = b.op("DequantizeLinear", weights, b.constant(scale), zeros, axis=0)
        bias = b.op(
            "DequantizeLinear",
            b.constant(b.random.integers(-500, 500, filters), np.int32),
            b.constant(scale * 0.047),
            axis=0,
        )
        pads = [kernel // 2] * 4
        name: str = b.op("Conv", x, real, bias, pads=pads, **attributes)
        return name


def _bottleneck(
    layers: _Layers, x: str, channels: int, filters: int, *, expansion: int, stride: int
) -> str:
    wide = channels * expansion
    inner = x if expansion == 1 else layers.conv(x, channels, wide, 1)
    inner = layers.conv(inner, wide, wide, 3, stride=stride, group=wide)
    y = layers.conv(inner, wide, filters, 1, clipped=False)
    if stride != 1 or channels != filters:
        return y
    return layers.stored(layers.builder.op("Add", x, y))
