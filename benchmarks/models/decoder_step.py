"""One step of a GPT-2-like decoder with a cache of keys and values: 4 layers of 256."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .builder import Builder, Feeds

if TYPE_CHECKING:
    import onnx

LAYERS, WIDTH, HEADS, PAST, WORDS = 4, 256, 4, 64, 4000


def build() -> tuple[onnx.ModelProto, Feeds]:
    """Return the model, one token and the cache of the 64 before it."""
    b = Builder(name="decoder_step", opset=17)
    cache = (1, HEADS, PAST, WIDTH // HEADS)
    feeds: Feeds = {"input_ids": b.random.integers(0, WORDS, (1, 1))}
    for layer in range(LAYERS):
        feeds[f"past_key_{layer}"] = b.random.standard_normal(cache).astype(np.float32)
        feeds[f"past_value_{layer}"] = b.random.standard_normal(cache).astype(np.float32)
    embedding = b.weight(WORDS, WIDTH, fan_in=2)
    x = b.op("Gather", embedding, "input_ids", axis=0)
    outputs = []
    for layer in range(LAYERS):
        attended, key, value = _attention(b, _layer_norm(b, x), layer)
        x = b.op("Add", x, attended)
        x = b.op("Add", x, _feed_forward(b, _layer_norm(b, x)))
        outputs += [key, value]
    logits = b.op("MatMul", _layer_norm(b, x), b.op("Transpose", embedding, perm=[1, 0]))
    return b.model(feeds, [logits, *outputs]), feeds


def _layer_norm(b: Builder, x: str) -> str:
    scale = b.constant(1 + 0.1 * b.random.standard_normal(WIDTH))
    bias = b.constant(0.1 * b.random.standard_normal(WIDTH))
    name: str = b.op("LayerNormalization", x, scale, bias, axis=-1)
    return name


def _projection(b: Builder, x: str, inputs: int, outputs: int) -> str:
    """Write transformers' Conv1D: a Gemm between two Reshapes."""
    flat = b.op("Reshape", x, b.constant([-1, inputs], np.int64))
    bias = b.constant(0.1 * b.random.standard_normal(outputs))
    product = b.op("Gemm", flat, b.weight(inputs, outputs, fan_in=2 * inputs), bias)
    name: str = b.op("Reshape", product, b.constant([1, 1, outputs], np.int64))
    return name


def _attention(b: Builder, x: str, layer: int) -> tuple[str, str, str]:
    sizes = b.constant([WIDTH] * 3, np.int64)
    parts = b.op("Split", _projection(b, x, WIDTH, 3 * WIDTH), sizes, outputs=3, axis=2)
    split = b.constant([1, 1, HEADS, WIDTH // HEADS], np.int64)
    query, key, value = (
        b.op("Transpose", b.op("Reshape", part, split), perm=[0, 2, 1, 3]) for part in parts
    )
    key = b.op("Concat", f"past_key_{layer}", key, axis=-2)
    value = b.op("Concat", f"past_value_{layer}", value, axis=-2)
    scores = b.op("MatMul", query, b.op("Transpose", key, perm=[0, 1, 3, 2]))
    weights = b.op("Softmax", b.op("Div", scores, b.constant((WIDTH // HEADS) ** 0.5)), axis=-1)
    together = b.op("Transpose", b.op("MatMul", weights, value), perm=[0, 2, 1, 3])
    together = b.op("Reshape", together, b.constant([1, 1, WIDTH], np.int64))
    return _projection(b, together, WIDTH, WIDTH), key, value


def _feed_forward(b: Builder, x: str) -> str:
    inner = _projection(b, x, WIDTH, 4 * WIDTH)
    cubic = b.op("Mul", b.op("Pow", inner, b.constant(3.0)), b.constant(0.044715))
    angle = b.op("Mul", b.op("Add", inner, cubic), b.constant((2 / np.pi) ** 0.5))
    half = b.op("Mul", inner, b.constant(0.5))
    gelu = b.op("Mul", half, b.op("Add", b.op("Tanh", angle), b.constant(1.0)))
    return _projection(b, gelu, 4 * WIDTH, WIDTH)
