"""A BERT encoder of 4 layers of 256, as torch's exporter writes it.

Opset 13: layer normalisation and GELU in their parts. Opset 20: LayerNormalization and Gelu.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .builder import Builder, Feeds

if TYPE_CHECKING:
    import onnx

LAYERS, WIDTH, HEADS, INNER, WORDS = 4, 256, 4, 1024, 8000


def build(tokens: int = 128, opset: int = 13) -> tuple[onnx.ModelProto, Feeds]:
    """Return the model and one sentence of so many tokens."""
    b = Builder(name="bert_mini", opset=opset)
    feeds: Feeds = {
        "input_ids": b.random.integers(0, WORDS, (1, tokens)),
        "attention_mask": np.ones((1, tokens), np.float32),
    }
    x = b.op("Gather", b.weight(WORDS, WIDTH, fan_in=2), "input_ids", axis=0)
    x = b.op("Add", x, b.weight(1, tokens, WIDTH, fan_in=2))
    x = _layer_norm(b, x)
    mask = b.op("Unsqueeze", "attention_mask", b.constant([1, 2], np.int64))
    mask = b.op("Mul", b.op("Sub", b.constant(1.0), mask), b.constant(-10000.0))
    for _ in range(LAYERS):
        x = _layer_norm(b, b.op("Add", _attention(b, x, mask), x))
        x = _layer_norm(b, b.op("Add", _feed_forward(b, x), x))
    return b.model(feeds, [x]), feeds


def _linear(b: Builder, x: str, inputs: int, outputs: int) -> str:
    product = b.op("MatMul", x, b.weight(inputs, outputs, fan_in=2 * inputs))
    name: str = b.op("Add", b.constant(b.random.standard_normal(outputs) * 0.1), product)
    return name


def _heads(b: Builder, x: str, perm: list[int]) -> str:
    split = b.constant([1, -1, HEADS, WIDTH // HEADS], np.int64)
    name: str = b.op("Transpose", b.op("Reshape", x, split), perm=perm)
    return name


def _attention(b: Builder, x: str, mask: str) -> str:
    query = _heads(b, _linear(b, x, WIDTH, WIDTH), [0, 2, 1, 3])
    key = _heads(b, _linear(b, x, WIDTH, WIDTH), [0, 2, 3, 1])
    value = _heads(b, _linear(b, x, WIDTH, WIDTH), [0, 2, 1, 3])
    scores = b.op("Div", b.op("MatMul", query, key), b.constant((WIDTH // HEADS) ** 0.5))
    weights = b.op("Softmax", b.op("Add", scores, mask), axis=-1)
    together = b.op("Transpose", b.op("MatMul", weights, value), perm=[0, 2, 1, 3])
    together = b.op("Reshape", together, b.constant([1, -1, WIDTH], np.int64))
    return _linear(b, together, WIDTH, WIDTH)


def _feed_forward(b: Builder, x: str) -> str:
    return _linear(b, _gelu(b, _linear(b, x, WIDTH, INNER)), INNER, WIDTH)


def _gelu(b: Builder, x: str) -> str:
    name: str
    if b.opset >= 20:
        name = b.op("Gelu", x)
    else:
        erf = b.op("Erf", b.op("Div", x, b.constant(2.0**0.5)))
        twice = b.op("Mul", x, b.op("Add", erf, b.constant(1.0)))
        name = b.op("Mul", twice, b.constant(0.5))
    return name


def _layer_norm(b: Builder, x: str) -> str:
    scale = b.constant(1 + 0.1 * b.random.standard_normal(WIDTH))
    bias = b.constant(0.1 * b.random.standard_normal(WIDTH))
    name: str
    if b.opset >= 17:
        name = b.op("LayerNormalization", x, scale, bias, axis=-1, epsilon=1e-12)
    else:
        centred = b.op("Sub", x, b.op("ReduceMean", x, axes=[-1]))
        squares = b.op("Pow", centred, b.constant(2.0))
        variance = b.op("ReduceMean", squares, axes=[-1])
        deviation = b.op("Sqrt", b.op("Add", variance, b.constant(1e-12)))
        name = b.op("Add", b.op("Mul", b.op("Div", centred, deviation), scale), bias)
    return name
