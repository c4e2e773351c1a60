"""Attention and FlexAttention of the standard, beside softmax(q · kᵀ) · v in float64.

The second runs as upstream's function body, which rounds after every step, as the first may: scores
in the type of the query, weights in that of the softmax. What a score is wrong by becomes a share
of its weight, so the errors that are allowed follow the formula. The scale is float32 in any type.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from tests.python.kernel_support import TIERS
from tests.python.properties.functions import LATEST, Way, assert_near, call, rounding, ways
from tests.python.properties.support import examples, functions, kernels
from tests.python.properties.test_functions import Drawn, wide

PRECISIONS = {
    np.dtype(np.float32): TensorProto.FLOAT,
    np.dtype(np.float16): TensorProto.FLOAT16,
    np.dtype(np.float64): TensorProto.DOUBLE,
}


@dataclass(frozen=True, kw_only=True)
class Sizes:
    batch: int
    key_heads: int
    heads: int
    queries: int
    new: int
    """Keys of the call."""
    past: int | None
    """Keys before, or None where the call has no cache."""
    width: int
    values: int
    """Features of a value."""

    @property
    def keys(self) -> int:
        return self.new + (self.past or 0)


def sizes_of(d: Drawn, *, past: bool) -> Sizes:
    batch, key_heads, group, queries, new = d.extents(5)
    return Sizes(
        batch=batch,
        key_heads=key_heads,
        heads=key_heads * group,
        queries=queries,
        new=new,
        past=d.one(None, 0, 1, 3) if past else None,
        width=d.one(1, 2, 3, 4),
        values=d.one(1, 2, 3, 4),
    )


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What attention is made of, in float64, and what its numbers may be wrong by."""

    raw: np.ndarray
    capped: np.ndarray
    moved: np.ndarray
    """With the mask's numbers; -inf where a key does not count."""
    weights: np.ndarray
    result: np.ndarray
    error: np.ndarray
    """Of raw and capped scores."""
    moved_error: np.ndarray
    weights_error: np.ndarray
    result_error: np.ndarray


def attend(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    *,
    scale: float | None,
    softcap: float,
    bias: np.ndarray,
    dtype: Any,
    precision: Any,
) -> Scores:
    """Of [batch, heads, length, width]; `bias` is added to scores, -inf where there is nothing."""
    group = q.shape[1] // k.shape[1]
    k, v = np.repeat(k, group, 1), np.repeat(v, group, 1)
    factor = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    raw = q @ k.swapaxes(-1, -2) * factor
    # The root of the scale, both products with it, the sum: a few roundings of all that is summed.
    step = rounding(dtype, np.float32)
    error = 8 * step * (abs(q) @ abs(k).swapaxes(-1, -2)) * factor
    capped = softcap * np.tanh(raw / softcap) if softcap else raw
    error = error + (4 * step * abs(capped) if softcap else 0)
    moved = capped + bias
    added = np.where(np.isfinite(bias), abs(bias), 0)
    moved_error = error + 2 * step * (abs(capped) + added)
    step = max(step, rounding(precision))
    unsure = moved_error + step * (abs(capped) + added)
    with np.errstate(invalid="ignore"):
        counted = np.exp(moved - moved.max(-1, keepdims=True, initial=-math.inf))
        weights = counted / counted.sum(-1, keepdims=True)
    weights = np.where((moved == -math.inf).all(-1, keepdims=True), 0, weights)
    most = unsure.max(-1, keepdims=True, initial=0)
    weights_error = weights * (np.expm1(2 * most) + 8 * step)
    # Half types have few numbers near 0, where small weights are.
    weights_error = weights_error + np.where(weights > 0, step * 2.0**-12, 0)
    return Scores(
        raw=raw,
        capped=capped,
        moved=moved,
        weights=weights,
        result=weights @ v,
        error=error,
        moved_error=moved_error,
        weights_error=weights_error,
        result_error=weights_error @ abs(v) + 8 * step * (weights @ abs(v)),
    )


def mask_of(d: Drawn, s: Sizes, opset: int, keys: int) -> tuple[np.ndarray | None, np.ndarray]:
    """A mask of any rank, and what it adds to scores [batch, heads, queries, keys].

    Masks of integers, which the types allow, are left out: the text knows "two types".
    A mask without axes is one for all keys.
    """
    none = np.zeros((1, 1, 1, s.keys))
    form = d.one("none", "bool", "bool", "float", "float")
    if form == "none":
        return None, none
    last = keys
    if opset >= 24 and keys == s.keys:
        last = d.draw(st.integers(min(keys, 1), keys))
    elif opset < 24 and d.one(*range(4)) == 0:
        last = 1
    full = (s.batch, s.heads, s.queries)
    rank = d.one(0, 1, 2, 3, 4)
    shape = (*(d.one(1, n) for n in full[4 - rank :]), last) if rank else ()
    hidden = d.rng.random(shape) < d.one(0.0, 0.3, 0.8)
    if form == "bool":
        mask, added = ~hidden, np.where(hidden, -math.inf, 0.0)
    else:
        mask = np.where(hidden, -math.inf, wide(d.normal(*shape))).astype(d.dtype)
        added = wide(mask)
    if opset < 24 or rank == 0:
        return mask, added
    # From version 24 on a shorter mask is padded, one of a single key too.
    pads = [(0, 0)] * (rank - 1) + [(0, s.keys - last)]
    return mask, np.pad(added, pads, constant_values=-math.inf)


@kernels("Attention")
@pytest.mark.parametrize("external", [False, True], ids=["own cache", "external cache"])
@examples
@given(data=st.data(), way=ways([23, 24, 25, LATEST]))
def test_attention(external: bool, data: st.DataObject, way: Way) -> None:
    """A query that no key counts for has a row of zeros; values may be of another type."""
    d = Drawn(data)
    assume(way.opset >= 24 or not external)
    s = sizes_of(d, past=not external)
    flat = d.yes()
    if nothing := {0: "batch", 1: "queries", 2: "new"}.get(d.one(*range(12))):
        s = replace(s, **{nothing: 0})
    others = [t for t in PRECISIONS if t != d.dtype]
    value_type = d.one(d.dtype, d.dtype, *others)
    counts = d.rng.integers(0, s.new + 1, s.batch) if external else None
    types = (d.dtype, value_type)
    q = d.normal(s.batch, s.heads, s.queries, s.width)
    k, v = (
        d.normal(s.batch, s.key_heads, s.new, width, dtype=kind)
        for width, kind in zip((s.width, s.values), types, strict=True)
    )
    past: list[Any] = [None, None]
    if s.past is not None:
        past = [
            d.normal(s.batch, s.key_heads, s.past, width, dtype=kind)
            for width, kind in zip((s.width, s.values), types, strict=True)
        ]
    causal, scale, softcap = (
        d.one(None, 0, 1),
        d.one(None, None, 0.0, 0.25, 1.5),
        d.one(0.0, 0.75),
    )
    left, right = (d.one(-1, 0, 1, 2) if way.opset >= 25 else -1 for _ in "lr")
    mode, precision = d.one(None, 0, 1, 2, 3), d.one(None, None, *PRECISIONS)
    mask, moved = mask_of(
        d, s, way.opset, s.keys if counts is None or d.yes() else max(1, counts.max(initial=0))
    )
    counted = flat or (way.opset < 25 and d.yes())
    attributes = d.given(
        is_causal=causal,
        scale=scale,
        softcap=softcap or d.one(None, 0.0),
        left_window_size=left if left >= 0 or (way.opset >= 25 and d.yes()) else None,
        right_window_size=right if right >= 0 else None,
        qk_matmul_output_mode=mode,
        softmax_precision=PRECISIONS.get(precision),
        q_num_heads=s.heads if counted else None,
        kv_num_heads=s.key_heads if counted else None,
    )
    states = s.past is not None
    outputs = ["y", *(["key", "value"] if states else ["", ""]), "scores"]
    wanted = d.yes()
    if not wanted:
        outputs = outputs[: 3 if states else 1]
    tensors = [joined(t) if flat else t for t in (q, k, v)]
    inputs = [*tensors, mask, *past, counts]
    found = call("Attention", inputs, attributes, way, outputs=outputs)
    q, k, v = wide(q), wide(k), wide(v)
    if states:
        k, v = (np.concatenate([wide(p), t], 2) for p, t in zip(past, (k, v), strict=True))
        assert_near(found[1], k, d.dtype)
        assert_near(found[2], v, value_type)
    bias = np.broadcast_to(moved, (s.batch, s.heads, s.queries, s.keys)).copy()
    for b, i, j in np.ndindex(s.batch, s.queries, s.keys):
        before = s.past or 0 if counts is None else int(counts[b]) - s.queries
        place = before + i
        seen = counts is None or j < counts[b]
        seen &= not causal or j <= place
        seen &= (left < 0 or place - left <= j) and (right < 0 or j <= place + right)
        if not seen:
            bias[b, :, i, j] = -math.inf
    a = attend(
        q, k, v, scale=scale, softcap=softcap, bias=bias,
        dtype=d.dtype, precision=precision or d.dtype,
    )  # fmt: skip
    y, error = (joined(t) if flat else t for t in (a.result, a.result_error))
    assert_near(found[0], y, d.dtype, error)
    if wanted:
        exact, error = [
            (a.raw, a.error),
            (a.capped, a.error),
            (a.moved, a.moved_error),
            (a.weights, a.weights_error),
        ][mode or 0]
        assert_near(found[-1], exact, d.dtype, error)


@pytest.mark.parametrize("tier", TIERS)
def test_windows_and_counts_beyond_all_keys(tier: str) -> None:
    """The greatest numbers there are say "all keys", and the least one says "none"."""
    q, k, v = (np.ones((1, 1, 4, 2), np.float32) * n for n in (1, 2, 3))
    way = Way(opset=25, tier=tier, optimize=True, known=True)
    most = (1 << 63) - 1
    wide_open = {"left_window_size": most, "right_window_size": most}
    (y,) = call("Attention", [q, k, v], wide_open, way)
    np.testing.assert_allclose(y, v, rtol=1e-6)
    for count, factor in ((most, 1), (-most - 1, 0)):
        counts = np.array([count])
        (y,) = call("Attention", [q, k, v, None, None, None, counts], {"is_causal": 1}, way)
        np.testing.assert_allclose(y, factor * v, rtol=1e-6)


def joined(x: np.ndarray) -> np.ndarray:
    """[batch, heads, length, width] as [batch, length, heads · width]."""
    batch, heads, length, width = x.shape
    return np.ascontiguousarray(x.transpose(0, 2, 1, 3)).reshape(batch, length, heads * width)


@functions("FlexAttention", domain="ai.onnx.preview")
@examples
@given(
    data=st.data(),
    modified=st.sampled_from(["", "score", "prob", "score prob"]),
    way=ways([1], known=True),
)
def test_flex_attention(data: st.DataObject, modified: str, way: Way) -> None:
    """The graphs: scores that are halved and moved by 1/4; weights that are doubled."""
    d = Drawn(data)
    s = sizes_of(d, past=False)
    q, k, v = (
        d.normal(s.batch, heads, length, width)
        for heads, length, width in (
            (s.heads, s.queries, s.width),
            (s.key_heads, s.new, s.width),
            (s.key_heads, s.new, s.values),
        )
    )
    scale, chosen = d.one(None, 0.25, 1.5), d.one(None, None, *PRECISIONS)
    precision = chosen or (d.dtype if d.dtype == np.float64 else np.dtype(np.float32))
    attributes = d.given(scale=scale, softmax_precision=PRECISIONS.get(chosen))
    if "score" in modified:
        attributes["score_mod"] = modifier(precision, ("Mul", 0.5), ("Add", 0.25))
    if "prob" in modified:
        attributes["prob_mod"] = modifier(precision, ("Mul", 2.0))
    (y,) = call("FlexAttention", [q, k, v], attributes, way, domain="ai.onnx.preview")
    q, k, v = wide(q), wide(k), wide(v)
    factor = 1 / math.sqrt(s.width) if scale is None else scale
    a = attend(
        q, k, v, scale=factor * (0.5 if "score" in modified else 1), softcap=0,
        bias=np.full((s.batch, s.heads, s.queries, s.new), 0.25 * ("score" in modified)),
        dtype=d.dtype, precision=precision,
    )  # fmt: skip
    twice = 2 if "prob" in modified else 1
    assert_near(y, twice * a.result, d.dtype, 4 * a.result_error)


def modifier(dtype: np.dtype, *steps: tuple[str, float]) -> Any:
    """A graph that takes a tensor through operators with a constant each."""
    kind = helper.np_dtype_to_tensor_dtype(dtype)
    nodes, name = [], "in"
    for i, (op_type, number) in enumerate(steps):
        value = helper.make_tensor(f"c{i}", kind, [], [number])
        nodes.append(helper.make_node("Constant", [], [f"c{i}"], value=value))
        nodes.append(helper.make_node(op_type, [name, f"c{i}"], [f"t{i}"]))
        name = f"t{i}"
    ends = [helper.make_tensor_value_info(n, kind, [None] * 4) for n in ("in", name)]
    return helper.make_graph(nodes, "modifier", ends[:1], ends[1:])
