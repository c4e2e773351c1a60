"""Operators of the standard that run as a function body, beside what the standard's text says.

The bodies are upstream's. The formulas are NumPy in float64; how much a result may differ is
counted in roundings of the types that the body goes through, by what they are roundings of.
"""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st
from onnx import helper

from tests.python.properties.functions import LATEST, Way, assert_near, call, rounding, ways
from tests.python.properties.numerics import DTYPES
from tests.python.properties.support import FLOATS, examples, functions

BFLOAT16 = ml_dtypes.bfloat16
FLOATING = (*FLOATS, BFLOAT16)
EXTENTS = st.sampled_from([1, 1, 2, 3, 4])
"""Ones often: they broadcast where they should not."""


class Drawn:
    """Choices and random tensors of one example."""

    def __init__(self, data: st.DataObject, dtypes: Any = FLOATING) -> None:
        self.draw = data.draw
        self.dtype = np.dtype(data.draw(st.sampled_from(dtypes)))
        self.rng = np.random.default_rng(data.draw(st.integers(0, 1 << 30)))

    def one(self, *choices: Any) -> Any:
        return self.draw(st.sampled_from(choices))

    def yes(self) -> bool:
        return bool(self.draw(st.booleans()))

    def extents(self, count: int) -> list[int]:
        return [self.draw(EXTENTS) for _ in range(count)]

    def normal(self, *shape: int, dtype: Any = None) -> np.ndarray:
        return np.asarray(self.rng.standard_normal(shape) / 2).astype(dtype or self.dtype)

    def given(self, **attributes: Any) -> dict[str, Any]:
        """The attributes that are not None."""
        return {name: value for name, value in attributes.items() if value is not None}


def wide(x: np.ndarray | None) -> Any:
    return None if x is None else x.astype(np.float64)


# --- windows

COSINES = {
    "HannWindow": (0.5, 0.5, 0.0),
    "HammingWindow": (25 / 46, 21 / 46, 0.0),
    "BlackmanWindow": (0.42, 0.5, 0.08),
}


@functions(*COSINES)
@examples
@given(
    name=st.sampled_from(sorted(COSINES)),
    size=st.sampled_from([0, 1, 2, 3]) | st.integers(4, 40),
    periodic=st.sampled_from([None, 0, 1]),
    kind=st.sampled_from(sorted(set(DTYPES) - {"bool"})),
    index=st.sampled_from([np.int32, np.int64]),
    way=ways([17, 21, LATEST]),
)
def test_windows(
    name: str, size: int, periodic: int | None, kind: str, index: Any, way: Way
) -> None:
    """A periodic window is the symmetric one of a point more, without its last.

    A symmetric window of one point is left out: the standard has no word for it, and upstream's
    bodies divide 0 by 0 (NumPy's and SciPy's is 1).
    Cosines are taken in float32, of angles up to 4π. What an integer type cuts off may be either
    side of a whole number.
    """
    assume(size != 1 or periodic != 0)
    dtype = DTYPES[kind]
    attributes: dict[str, Any] = {} if periodic is None else {"periodic": periodic}
    if dtype != np.float32 or size % 2:
        attributes["output_datatype"] = helper.np_dtype_to_tensor_dtype(dtype)
    (y,) = call(name, [np.array(size, index)], attributes, way)
    first, second, third = COSINES[name]
    points = size + 1 if periodic in (None, 1) else size
    angles = 2 * math.pi * np.arange(size) / max(points - 1, 1)
    exact = first - second * np.cos(angles) + third * np.cos(2 * angles)
    error = 16 * rounding(np.float32)
    if dtype.kind in "iu":
        assert y.dtype == dtype
        assert y.shape == (size,)
        low, high = np.trunc(exact - error), np.trunc(exact + error)
        assert ((low <= y) & (y <= high)).all()
    else:
        assert_near(y, exact, dtype, error)


# --- losses


def loss_of(
    logs: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray | None,
    ignored: int | None,
    reduction: str,
) -> tuple[Any, Any]:
    """The loss, and how large that is of which it has a rounding."""
    losses, sizes, applied = np.zeros(labels.shape), np.zeros(labels.shape), np.zeros(labels.shape)
    for place in np.ndindex(labels.shape):
        label = int(labels[place])
        if label == ignored:
            continue
        weight = 1.0 if weights is None else weights[label]
        at = (place[0], label, *place[1:])
        log = logs[at]
        losses[place], applied[place] = -log * weight, weight
        sizes[place] = abs(log * weight)
    if reduction == "none":
        return losses, sizes
    if reduction == "sum":
        return losses.sum(), sizes.sum()
    with np.errstate(all="ignore"):
        total = applied.sum()
        spread = abs(applied).sum() / abs(total)
        return losses.sum() / total, sizes.sum() / abs(total) * (1 + spread)


def labelled(d: Drawn) -> tuple[Any, Any, Any, Any, Any]:
    """Scores [N, C, …], labels, weights, the label that is ignored, and the reduction."""
    batch, classes, *inner = d.extents(2 + d.one(0, 1, 2, 3))
    if d.one(*range(6)) == 0:
        batch = 0
    scores = d.normal(batch, classes, *inner)
    labels = d.rng.integers(0, classes, (batch, *inner))
    ignored = d.one(None, None, 0, classes - 1, -1, -100, classes + 7)
    if ignored is not None:
        share = d.one(0.0, 0.4, 1.0)
        labels = np.where(d.rng.random(labels.shape) < share, ignored, labels)
    labels = labels.astype(d.one(np.int32, np.int64))
    weights = abs(d.normal(classes)) + d.dtype.type(0.25) if d.yes() else None
    return scores, labels, weights, ignored, d.one(None, "none", "sum", "mean")


@functions("NegativeLogLikelihoodLoss")
@examples
@given(data=st.data(), way=ways([12, 13, 18, 22, LATEST]))
def test_negative_log_likelihood_loss(data: st.DataObject, way: Way) -> None:
    """A mean is divided by the sum of the weights that were applied: of nothing, it is NaN."""
    d = Drawn(data, FLOATING if way.opset >= 22 else FLOATS)
    scores, labels, weights, ignored, reduction = labelled(d)
    attributes = d.given(ignore_index=ignored, reduction=reduction)
    (y,) = call("NegativeLogLikelihoodLoss", [scores, labels, weights], attributes, way)
    exact, size = loss_of(wide(scores), labels, wide(weights), ignored, reduction or "mean")
    assert_near(y, exact, d.dtype, 4 * rounding(d.dtype) * size)


@functions("SoftmaxCrossEntropyLoss")
@examples
@given(data=st.data(), way=ways([12, 13, 18, 22, LATEST]))
def test_softmax_cross_entropy_loss(data: st.DataObject, way: Way) -> None:
    d = Drawn(data, FLOATING if way.opset >= 13 else FLOATS)
    scores, labels, weights, ignored, reduction = labelled(d)
    attributes = d.given(ignore_index=ignored, reduction=reduction)
    both = d.yes()
    found = call(
        "SoftmaxCrossEntropyLoss",
        [scores, labels, weights],
        attributes,
        way,
        outputs=["y", "logs"] if both else ["y"],
    )
    wider = wide(scores)
    top = wider.max(1, keepdims=True, initial=-math.inf)
    logs = wider - top - np.log(np.exp(wider - top).sum(1, keepdims=True))
    # What is subtracted is as large as the scores and the logarithm of their number.
    step = 4 * rounding(d.dtype) * (abs(wider).max(initial=0) + 2)
    if both:
        assert_near(found[1], logs, d.dtype, step)
    exact, size = loss_of(logs, labels, wide(weights), ignored, reduction or "mean")
    _, ones = loss_of(np.ones_like(logs), labels, wide(weights), ignored, reduction or "mean")
    assert_near(found[0], exact, d.dtype, 4 * rounding(d.dtype) * size + step * ones)


# --- rotary embedding


def turned(x: np.ndarray, cos: np.ndarray, sin: np.ndarray, interleaved: bool) -> np.ndarray:
    """Pairs of features [batch, length, heads, width], by angles [batch, length, half]."""
    y, half = np.array(x), cos.shape[-1]
    for pair in range(half):
        a, b = (2 * pair, 2 * pair + 1) if interleaved else (pair, pair + half)
        c, s = cos[:, :, None, pair], sin[:, :, None, pair]
        y[..., a] = c * x[..., a] - s * x[..., b]
        y[..., b] = s * x[..., a] + c * x[..., b]
    return y


@functions("RotaryEmbedding")
@examples
@given(data=st.data(), way=ways([23, 24, LATEST]))
def test_rotary_embedding(data: st.DataObject, way: Way) -> None:
    """Of three products each, in the type itself."""
    d = Drawn(data, [np.float32, np.float16, BFLOAT16])
    batch, length, heads = d.extents(3)
    flat = d.yes()
    if not flat:  # of no elements, the Reshape of upstream's body cannot tell the heads' width
        empty = d.one(*range(6))
        batch, length = 0 if empty == 0 else batch, 0 if empty == 1 else length
    width = 2 * d.one(1, 2, 3, 4)
    part = d.one(None, 0, *range(2, width + 1, 2))
    half = (part or width) // 2
    x = d.normal(batch, length, heads, width)
    interleaved = d.one(None, 0, 1)
    places = d.rng.integers(0, 7, (batch, length)) if d.yes() else None
    caches = [d.normal(*((batch, length) if places is None else (7,)), half) for _ in "cs"]
    attributes = d.given(
        interleaved=interleaved,
        rotary_embedding_dim=part,
        num_heads=heads if flat or d.yes() else None,
    )
    given_x = x.reshape(batch, length, heads * width) if flat else x.transpose(0, 2, 1, 3)
    inputs = [np.ascontiguousarray(given_x), *caches, places]
    (y,) = call("RotaryEmbedding", inputs, attributes, way)
    cos, sin = (wide(c) if places is None else wide(c)[places] for c in caches)
    exact = turned(wide(x), cos, sin, bool(interleaved))
    # As much as nothing cancels: both features that a number is made of, by both of their factors.
    size = np.broadcast_to(
        2 * abs(wide(x)).max(initial=0) * max(abs(cos).max(initial=0), abs(sin).max(initial=0)),
        exact.shape,
    )
    if flat:
        exact, size = (t.reshape(batch, length, heads * width) for t in (exact, size))
    else:
        exact, size = (t.transpose(0, 2, 1, 3) for t in (exact, size))
    assert_near(y, exact, d.dtype, 2 * rounding(d.dtype) * size)


# --- convolution with a state


@functions("CausalConvWithState")
@examples
@given(data=st.data(), way=ways([27]))
def test_causal_convolution_with_state(data: st.DataObject, way: Way) -> None:
    """Upstream's body is a Conv, whose groups are an attribute: input or weights must tell them.

    It has no result for an input of length 0 either, which Conv refuses: that is left out.
    """
    d = Drawn(data, [np.float32, np.float16, BFLOAT16])
    batch, channels, length, taps = d.extents(4)
    batch = 0 if d.one(*range(6)) == 0 else batch
    x, weight = d.normal(batch, channels, length), d.normal(channels, 1, taps)
    bias = d.normal(channels) if d.yes() else None
    past = d.normal(batch, channels, taps - 1) if d.yes() else None
    activation = d.one(None, "none", "silu", "swish")
    attributes = d.given(activation=activation)
    y, present = call(
        "CausalConvWithState",
        [x, weight, bias, past],
        attributes,
        way,
        outputs=["y", "state"],
        told=[d.one(0, 1)],
    )
    before = np.zeros((batch, channels, taps - 1), d.dtype) if past is None else past
    line = np.concatenate([before, x], -1)
    exact, size = np.zeros(x.shape), np.zeros(x.shape)
    for t in range(length):
        seen = wide(line[..., t : t + taps]) * wide(weight)[None, :, 0]
        exact[..., t], size[..., t] = seen.sum(-1), abs(seen).sum(-1)
    if bias is not None:
        exact, size = exact + wide(bias)[:, None], size + abs(wide(bias))[:, None]
    error = 4 * rounding(np.float32) * size
    if activation in ("silu", "swish"):
        # The sum is rounded before; the slope of x · sigmoid(x) is less than 1.1.
        error = 1.1 * (error + rounding(d.dtype) * abs(exact))
        exact = exact / (1 + np.exp(-exact))
    assert_near(y, exact, d.dtype, error)
    assert present.dtype == d.dtype
    np.testing.assert_array_equal(wide(present), wide(line[..., length:]))


# --- linear attention


@functions("LinearAttention")
@examples
@given(data=st.data(), rule=st.sampled_from(["linear", "gated", "delta", None]), way=ways([27]))
def test_linear_attention(data: st.DataObject, rule: str | None, way: Way) -> None:
    """Summed in float32, whatever the types.

    Empty inputs are left out: upstream's body reshapes to an extent that it has found out, which
    there is none of without elements.
    """
    d = Drawn(data, [np.float32, np.float16, BFLOAT16])
    batch, length, key_heads, group = d.extents(4)
    width, values = d.extents(2)
    kind = np.dtype(d.one(d.dtype, np.float32, np.float16, BFLOAT16))
    heads = key_heads * group
    q, k, v = (
        d.normal(batch, length, n * w)
        for n, w in ((heads, width), (key_heads, width), (key_heads, values))
    )
    past = d.normal(batch, key_heads, width, values, dtype=kind) if d.yes() else None
    decays, rates = rule in ("gated", None), rule in ("delta", None)
    decay = -abs(d.normal(batch, length, key_heads * d.one(1, width))) if decays else None
    beta = abs(d.normal(batch, length, d.one(1, key_heads))) if rates else None
    scale = d.one(None, 0.0, 0.5)
    attributes = d.given(
        q_num_heads=heads,
        kv_num_heads=key_heads,
        update_rule=rule,
        scale=scale,
        chunk_size=d.one(None, 1),
    )
    y, present = call(
        "LinearAttention", [q, k, v, past, decay, beta], attributes, way, outputs=["y", "state"]
    )
    state = np.zeros((batch, key_heads, width, values)) if past is None else wide(past)
    exact = np.zeros((batch, length, heads, values))
    for b, h in np.ndindex(batch, key_heads):
        s = state[b, h]
        for t in range(length):
            key, value = (wide(x)[b, t].reshape(key_heads, -1)[h] for x in (k, v))
            if decay is not None:
                s = s * np.exp(wide(decay)[b, t].reshape(key_heads, -1)[h])[:, None]
            if beta is not None:
                rate = wide(beta)[b, t, h if beta.shape[-1] > 1 else 0]
                value = rate * (value - s.T @ key)
            s = s + np.outer(key, value)
            for g in range(group):
                query = wide(q)[b, t].reshape(heads, width)[h * group + g]
                exact[b, t, h * group + g] = s.T @ query * (scale or 1 / math.sqrt(width))
        state[b, h] = s
    error = 64 * rounding(np.float32) * (1 + abs(state).max(initial=0))
    assert_near(y, exact.reshape(batch, length, heads * values), d.dtype, error)
    assert_near(present, state, d.dtype if past is None else kind, error)
