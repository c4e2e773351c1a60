"""Attention of com.microsoft beside softmax(q · kᵀ) · v in float64.

What the kernels sum in is float32: scores of eight products and weights that add up to 1 leave less
than 64 ε of the greatest value; the halves are rounded once more at the end. A mask adds -10000 to
a score, which is as good as nothing as long as one key counts: the first does.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.python.properties.bits import rounding_of, tiers
from tests.python.properties.models import run_node
from tests.python.properties.support import examples, kernels

MICROSOFT: dict[str, Any] = {"domain": "com.microsoft", "opset": 1}
DTYPES = st.sampled_from([np.float16, np.float32])
MASKED = -10000.0


class Drawn:
    """Sizes and random tensors of one example."""

    def __init__(self, data: st.DataObject) -> None:
        self.draw = data.draw
        self.batch = data.draw(st.integers(1, 3))
        self.heads = data.draw(st.sampled_from([1, 2, 4]))
        self.width = data.draw(st.sampled_from([1, 2, 4, 8]))
        self.length = data.draw(st.integers(1, 5))
        self.past = data.draw(st.none() | st.integers(0, 4))
        self.dtype = data.draw(DTYPES)
        self.scale = data.draw(st.none() | st.sampled_from([0.25, 1.0]))
        self.rng = np.random.default_rng(data.draw(st.integers(0, 999)))

    def normal(self, *shape: int) -> np.ndarray:
        return (self.rng.standard_normal(shape) / 2).astype(self.dtype)

    def maybe(self, *shape: int) -> np.ndarray | None:
        return self.normal(*shape) if self.draw(st.booleans()) else None

    def attributes(self, **others: Any) -> dict[str, Any]:
        scale = {} if self.scale is None else {"scale": self.scale}
        return {"num_heads": self.heads, **scale, **others}


def wide(x: np.ndarray | None) -> Any:
    return 0.0 if x is None else x.astype(np.float64)


def by_head(x: np.ndarray, heads: int) -> np.ndarray:
    """[batch, length, heads · width] as [batch, heads, length, width]."""
    batch, length, features = x.shape
    return np.asarray(x.reshape(batch, length, heads, features // heads).transpose(0, 2, 1, 3))


def attend(q: Any, k: Any, v: Any, scale: float | None, added: Any, **options: Any) -> np.ndarray:
    """[batch, queries, heads · width] of [batch, heads, length, width]; `added` moves scores."""
    scores = q @ k.swapaxes(-1, -2) * (1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    cap = options.get("softcap", 0)
    scores = cap * np.tanh(scores / cap) if cap else scores
    scores = scores + added
    sink = options.get("sink")
    top = np.max(scores, -1, keepdims=True)
    top = top if sink is None else np.maximum(top, sink)
    weights = np.exp(scores - top)
    total = weights.sum(-1, keepdims=True) + (0 if sink is None else np.exp(sink - top))
    mixed = weights / total @ v
    batch, heads, queries, width = mixed.shape
    return np.asarray(mixed.transpose(0, 2, 1, 3).reshape(batch, queries, heads * width))


def future(queries: int, keys: int, causal: bool) -> np.ndarray:
    """-inf where a query would see a key behind it; queries are the last of the keys."""
    rows, columns = np.indices((queries, keys))
    return np.where(causal & (columns > rows + keys - queries), -np.inf, 0.0)


def assert_close(found: Any, expected: np.ndarray, v: np.ndarray, dtype: Any) -> None:
    assert found.dtype == dtype
    assert found.shape == expected.shape
    allowed = 64 * np.finfo(np.float32).eps * np.max(np.abs(v), initial=0)
    allowed = allowed + rounding_of(dtype) * np.abs(expected)
    assert np.max(np.abs(found.astype(np.float64) - expected) - allowed, initial=0) <= 2**-24


def masks(d: Drawn, keys: int, forms: list[str]) -> tuple[np.ndarray | None, Any]:
    """A mask in one of its forms, and what it adds to the scores."""
    form = d.draw(st.sampled_from(["none", *forms]))
    rows, columns = np.indices((d.length, keys))
    if form == "none":
        return None, 0.0
    if form in ("lengths", "ends and begins"):
        ends = d.rng.integers(1, keys + 1, d.batch).astype(np.int32)
        counts = columns < ends[:, None, None]
        begins = np.zeros(d.batch, np.int32)
        mask = ends if form == "lengths" else np.concatenate([ends, begins])
        return mask, np.where(counts, 0.0, MASKED)[:, None]
    shape = (d.batch, keys) if form == "keys" else (d.batch, d.length, keys)
    mask = d.rng.integers(0, 2, shape).astype(np.int32)
    mask[..., 0] = 1
    seen = np.broadcast_to(mask[:, None] if form == "keys" else mask, (d.batch, *rows.shape))
    return mask, np.where(seen > 0, 0.0, MASKED)[:, None]


def biases(d: Drawn, keys: int) -> np.ndarray | None:
    """An attention_bias, of all batches and heads or of each."""
    if not d.draw(st.booleans()):
        return None
    sides = [d.draw(st.sampled_from([1, n])) for n in (d.batch, d.heads)]
    return d.normal(*sides, d.length, keys)


@kernels("Attention", domain="com.microsoft")
@examples
@given(data=st.data(), causal=st.booleans(), fixed=st.booleans(), tier=tiers)
def test_attention(data: st.DataObject, causal: bool, fixed: bool, tier: str) -> None:
    d = Drawn(data)
    hidden, features = d.heads * d.width, data.draw(st.integers(1, 6))
    other = d.past is None and data.draw(st.booleans())
    value_width = data.draw(st.integers(1, 5)) if other else d.width
    sizes = [hidden, hidden, d.heads * value_width]
    x, w, b = (
        d.normal(d.batch, d.length, features),
        d.normal(features, sum(sizes)),
        d.maybe(sum(sizes)),
    )
    past = None if d.past is None else d.normal(2, d.batch, d.heads, d.past, d.width)
    keys = d.length + (d.past or 0)
    mask, moved = masks(d, keys, ["lengths", "ends and begins", "keys", "queries"])
    bias = biases(d, keys)
    attributes = d.attributes(unidirectional=int(causal))
    attributes |= {"qkv_hidden_sizes": sizes} if value_width != d.width else {}
    outputs = ["y", *(["present"] if past is not None else [])]
    inputs = [x, w, b, mask, past, bias]
    constants = [1, 2] if fixed else []
    found = run_node(
        "Attention",
        inputs,
        attributes,
        outputs=outputs,
        tier=tier,
        constants=constants,
        **MICROSOFT,
    )
    projected = wide(x) @ wide(w) + wide(b)
    q, k, v = (by_head(p, d.heads) for p in np.split(projected, np.cumsum(sizes)[:-1], -1))
    if past is not None:
        k, v = (np.concatenate([wide(old), new], 2) for old, new in zip(past, (k, v), strict=True))
        assert_close(found[1], np.stack([k, v]), np.stack([k, v]), d.dtype)
    added = moved + wide(bias) + future(d.length, keys, causal)
    assert_close(found[0], attend(q, k, v, d.scale, added), v, d.dtype)


@kernels("MultiHeadAttention", domain="com.microsoft")
@examples
@given(
    data=st.data(),
    form=st.sampled_from(["plain", "by head", "together", "in query"]),
    causal=st.booleans(),
    tier=tiers,
)
def test_multi_head_attention(data: st.DataObject, form: str, causal: bool, tier: str) -> None:
    d = Drawn(data)
    own = form == "in query"
    new = d.length if own or causal else data.draw(st.integers(1, 5))
    value_width = data.draw(st.integers(1, 5)) if form in ("plain", "by head") else d.width
    q = d.normal(d.batch, d.length, d.heads, d.width)
    k, v = d.normal(d.batch, new, d.heads, d.width), d.normal(d.batch, new, d.heads, value_width)
    bias = d.maybe(2 * d.heads * d.width + d.heads * value_width) if form != "by head" else None
    past: list[Any] = [None, None]
    if d.past is not None and form == "plain":
        past = [d.normal(d.batch, d.heads, d.past, n) for n in (d.width, value_width)]
    keys = new + (0 if past[0] is None else past[0].shape[2])
    mask, moved = masks(d, keys, ["lengths", "keys", "queries"])
    scores = biases(d, keys)
    inputs = [*joined(form, q, k, v), bias, mask, scores, *past]
    outputs = ["y"] if past[0] is None else ["y", "key", "value"]
    attributes = d.attributes(unidirectional=int(causal))
    found = run_node(
        "MultiHeadAttention", inputs, attributes, outputs=outputs, tier=tier, **MICROSOFT
    )
    parts: list[Any] = [0.0] * 3
    if bias is not None:
        hidden = d.heads * d.width
        pieces = np.split(wide(bias), [hidden, 2 * hidden])
        parts = [piece.reshape(d.heads, -1) for piece in pieces]
    q, k, v = ((wide(t) + p).transpose(0, 2, 1, 3) for t, p in zip((q, k, v), parts, strict=True))
    if past[0] is not None:
        k, v = (np.concatenate([wide(old), t], 2) for old, t in zip(past, (k, v), strict=True))
        assert_close(found[1], k, k, d.dtype)
        assert_close(found[2], v, v, d.dtype)
    added = moved + wide(scores) + future(d.length, keys, causal)
    assert_close(found[0], attend(q, k, v, d.scale, added), v, d.dtype)


def joined(form: str, q: Any, k: Any, v: Any) -> list[Any]:
    """Query, key and value in one of the forms that the operator takes."""
    flat = [t.reshape(*t.shape[:2], -1) for t in (q, k, v)]
    if form == "in query":
        return [np.stack([q, k, v], 3), None, None]
    if form == "together":
        return [flat[0], np.stack([k, v], 3), None]
    if form == "by head":
        return [flat[0], *(np.ascontiguousarray(t.transpose(0, 2, 1, 3)) for t in (k, v))]
    return flat


def turned(x: np.ndarray, cos: Any, sin: Any, interleaved: bool) -> np.ndarray:
    """Pairs of features [..., length, width], turned by the angles [batch, 1, length, half]."""
    half = cos.shape[-1]
    first = slice(0, 2 * half, 2) if interleaved else slice(0, half)
    second = slice(1, 2 * half, 2) if interleaved else slice(half, 2 * half)
    y = np.array(x)
    y[..., first] = x[..., first] * cos - x[..., second] * sin
    y[..., second] = x[..., first] * sin + x[..., second] * cos
    return y


@kernels("GroupQueryAttention", domain="com.microsoft")
@examples
@given(data=st.data(), packed=st.booleans(), tier=tiers)
def test_group_query_attention(data: st.DataObject, packed: bool, tier: str) -> None:
    """Heads share keys; what a sequence has of a past, and how far it goes, is its own."""
    d = Drawn(data)
    key_heads = data.draw(st.sampled_from([n for n in (1, 2, 4) if d.heads % n == 0]))
    first = d.past is None
    queries = d.length if first else data.draw(st.integers(1, 2))
    room = data.draw(st.integers(queries, 7))
    lasts = [
        queries - 1 if first else data.draw(st.integers(queries - 1, room - 1))
        for _ in range(d.batch)
    ]
    total = queries if first else max(max(lasts) + 1, queries + 1)
    room = max(room, total)
    q, k, v = (d.normal(d.batch, queries, n * d.width) for n in (d.heads, key_heads, key_heads))
    past = [d.normal(d.batch, key_heads, room, d.width) for _ in "kv"] if not first else [None] * 2
    rotate = d.width > 1 and data.draw(st.booleans())
    interleaved = data.draw(st.booleans())
    angles = d.rng.standard_normal((room + 1, d.width // 2))
    caches = [f(angles).astype(d.dtype) for f in (np.cos, np.sin)] if rotate else [None] * 2
    new = [np.concatenate([q, k, v], -1), None, None] if packed else [q, k, v]
    inputs = [*new, *past, np.array(lasts, np.int32), np.array(total, np.int32), *caches]
    window = data.draw(st.sampled_from([None, 1, 2, 3]))
    softcap = data.draw(st.sampled_from([None, 2.0]))
    smooth = data.draw(st.booleans())
    others = {"local_window_size": window, "softcap": softcap}
    others |= {"do_rotary": int(rotate), "rotary_interleaved": int(interleaved)}
    others |= {"smooth_softmax": int(smooth), "kv_num_heads": key_heads}
    attributes = d.attributes(**{k: v for k, v in others.items() if v is not None})
    outputs = ["y", "key", "value"]
    found = run_node(
        "GroupQueryAttention", inputs, attributes, outputs=outputs, tier=tier, **MICROSOFT
    )
    heads = [by_head(wide(t), n) for t, n in ((q, d.heads), (k, key_heads), (v, key_heads))]
    for b, last in enumerate(lasts):
        before = 0 if first else last + 1 - queries
        places = np.arange(before, before + queries)
        hq, hk, hv = (t[b] for t in heads)
        if rotate:
            cos, sin = (wide(c)[places] for c in caches)
            hq, hk = (turned(t, cos, sin, interleaved) for t in (hq, hk))
        if not first:
            hk, hv = (
                np.concatenate([wide(o)[b, :, :before], t], 1)
                for o, t in zip(past, (hk, hv), strict=True)
            )
        end = before + queries
        assert_close(found[1][b, :, :end], hk, hk, d.dtype)
        assert_close(found[2][b, :, :end], hv, hv, d.dtype)
        rows, columns = places[:, None], np.arange(end)
        hidden = columns > rows
        hidden |= columns <= rows - window if window is not None else False
        added = np.where(hidden, -np.inf, 0.0)
        hk, hv = (np.repeat(t, d.heads // key_heads, 0) for t in (hk, hv))
        options = {"softcap": softcap or 0, "sink": 0.0 if smooth else None}
        expected = attend(hq[None], hk[None], hv[None], d.scale, added, **options)
        assert_close(found[0][b], expected[0], hv, d.dtype)
