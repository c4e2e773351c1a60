"""Reductions, positions of extremes, running sums and products, and the softmax family.

Sums are compared with those of float64: each number that is added may cost half an epsilon of the
sum of magnitudes, in whatever order a tier adds. Integers are computed modulo their width and
compared exactly. Numbers are moderate where the sum of any would overflow at a place that depends
on the order.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import onnxforge
from tests.python.kernel_support import run_op
from tests.python.properties.numerics import (
    Signature,
    assert_close,
    assert_same,
    is_float,
    moderate,
    schemas,
    signatures,
    tensors,
    wide,
    wrapped,
)
from tests.python.properties.support import axes_of, examples, kernels, shapes

if TYPE_CHECKING:
    from collections.abc import Callable

Axes = tuple[int, ...]


def log_sum_exp(x: np.ndarray, axes: Axes) -> Any:
    if x.size == 0:
        return np.log(np.exp(x).sum(axes, keepdims=True))
    greatest = x.max(axes, keepdims=True)
    shift = np.where(np.isfinite(greatest), greatest, 0)
    return np.log(np.exp(x - shift).sum(axes, keepdims=True)) + shift


def mean(x: np.ndarray, axes: Axes) -> Any:
    """0 / 0 of nothing."""
    count = math.prod(x.shape[axis] for axis in axes)
    return x.sum(axes, keepdims=True) / np.float64(count)


SUMS: dict[str, tuple[Callable[[np.ndarray, Axes], np.ndarray], Callable[[np.ndarray], Any]]] = {
    "ReduceL1": (lambda x, axes: np.abs(x).sum(axes, keepdims=True), np.abs),
    "ReduceL2": (lambda x, axes: np.sqrt((x * x).sum(axes, keepdims=True)), lambda x: 0 * x),
    "ReduceLogSum": (lambda x, axes: np.log(x.sum(axes, keepdims=True)), np.ones_like),
    "ReduceLogSumExp": (log_sum_exp, np.ones_like),
    "ReduceMean": (mean, np.abs),
    "ReduceProd": (lambda x, axes: x.prod(axes, keepdims=True), lambda x: 0 * x),
    "ReduceSum": (lambda x, axes: x.sum(axes, keepdims=True), np.abs),
    "ReduceSumSquare": (lambda x, axes: (x * x).sum(axes, keepdims=True), np.square),
}
"""The formula, and what a step's error is measured in.

So many epsilons for each number of a sum.
"""


def axes_input_since(name: str) -> int:
    """The version from which on the axes are an input."""
    return min(int(s.since_version) for s in schemas(name) if len(s.inputs) > 1)


@st.composite
def reductions(
    draw: st.DrawFn, name: str, shape: tuple[int, ...]
) -> tuple[Signature, Axes, list[np.ndarray | None], dict[str, Any]]:
    """A signature, the axes that it reduces, and the inputs and attributes that say so."""
    signature = draw(signatures(name))
    rank = len(shape)
    chosen = draw(st.lists(st.integers(0, rank - 1), unique=True, max_size=rank)) if rank else []
    named = [axis - rank if draw(st.booleans()) else axis for axis in chosen]
    if signature.opset < 11:  # no negative ones yet
        named = chosen
    attributes: dict[str, Any] = draw(
        st.fixed_dictionaries({}, optional={"keepdims": st.sampled_from([0, 1])})
    )
    axes = tuple(chosen) or tuple(range(rank))
    if signature.opset < axes_input_since(name):
        return signature, axes, [], attributes | ({"axes": named} if named else {})
    if draw(st.booleans()):
        attributes["noop_with_empty_axes"] = draw(st.sampled_from([0, 1]))
    if not named and attributes.get("noop_with_empty_axes"):
        axes = ()
    empty: list[np.ndarray | None] = draw(st.sampled_from([[], [np.array([], np.int64)]]))
    return signature, axes, [np.array(named, np.int64)] if named else empty, attributes


def squeezed(x: np.ndarray, axes: Axes, attributes: dict[str, Any]) -> np.ndarray:
    return x if attributes.get("keepdims", 1) else np.squeeze(x, axes)


@kernels(*SUMS)
@pytest.mark.parametrize("name", sorted(SUMS))
@examples
@given(shape=shapes(), data=st.data())
def test_sums_and_products(name: str, shape: tuple[int, ...], data: st.DataObject) -> None:
    """Without axes to reduce each number is reduced by itself.

    ReduceL1 still takes its magnitude.
    """
    signature, axes, more, attributes = data.draw(reductions(name, shape))
    if not is_float(signature.dtype):
        x = data.draw(whole_numbers(name, signature.dtype, shape))
        assume(x.size or "Log" not in name)  # no integer is the logarithm of 0
        (y,) = run_op(name, [x, *more], attributes, opset=signature.opset, tier=signature.tier)
        assert_same(y, squeezed(of_whole_numbers(name, x, axes), axes, attributes))
        return
    low, high = {"ReduceLogSum": (0.25, 3), "ReduceProd": (0.25, 1.5)}.get(name, (-3, 3))
    x = data.draw(moderate(signature.dtype, shape, low, high))
    formula, magnitude = SUMS[name]
    with np.errstate(all="ignore"):
        expected = np.asarray(formula(x.astype(np.float64), axes))
    (y,) = run_op(name, [x, *more], attributes, opset=signature.opset, tier=signature.tier)
    assert y.dtype == x.dtype
    count = max(1, x.size // max(1, expected.size))
    room = np.asarray(magnitude(wide(x))).max(initial=0.0) * count
    assert_close(y, squeezed(expected, axes, attributes), ulps=2 + 2 * count, slack=room)


def whole_numbers(
    name: str, dtype: np.dtype[Any], shape: tuple[int, ...]
) -> st.SearchStrategy[Any]:
    """Any, where the result is modulo the width or always fits.

    Else what does not lose digits on the way.
    """
    if name in {"ReduceL1", "ReduceProd", "ReduceSum", "ReduceSumSquare"}:
        return tensors(dtype, shape)
    if name == "ReduceMean" and dtype.itemsize == 4:
        return tensors(dtype, shape)
    if name in {"ReduceL2", "ReduceMean"}:
        return moderate(dtype, shape, -100000, 100000)
    return moderate(dtype, shape, 1, 9)


def of_whole_numbers(name: str, x: np.ndarray, axes: Axes) -> np.ndarray:
    """Exact: Python's integers, modulo the width; roots, logarithms and means towards zero."""
    lines = np.moveaxis(x, axes, range(x.ndim - len(axes), x.ndim))
    kept = lines.shape[: x.ndim - len(axes)]
    count = math.prod(lines.shape[x.ndim - len(axes) :])
    rows = lines.reshape(math.prod(kept), count)
    found = wrapped((INTEGERS[name]([int(value) for value in row]) for row in rows), x.dtype)
    return found.reshape([1 if i in axes else side for i, side in enumerate(x.shape)])


def whole_mean(row: list[int]) -> int:
    total = sum(row)
    return abs(total) // len(row) * (-1 if total < 0 else 1) if row else 0


INTEGERS: dict[str, Callable[[list[int]], int]] = {
    "ReduceL1": lambda row: sum(map(abs, row)),
    "ReduceL2": lambda row: math.isqrt(sum(value**2 for value in row)),
    "ReduceLogSum": lambda row: int(math.log(sum(row))),
    "ReduceLogSumExp": lambda row: int(math.log(sum(map(math.exp, row)))),
    "ReduceMean": whole_mean,
    "ReduceProd": math.prod,
    "ReduceSum": sum,
    "ReduceSumSquare": lambda row: sum(value**2 for value in row),
}


SPECIAL = (0.0, 1.0, 2.0, -1.0, math.nan, math.inf, -math.inf)


@pytest.mark.parametrize("name", sorted(SUMS))
@examples
@given(shape=shapes(min_dims=1, min_side=1), data=st.data())
def test_sums_of_infinities_and_nan(name: str, shape: tuple[int, ...], data: st.DataObject) -> None:
    """What is not finite must be so whatever the order of a sum; ∞ - ∞ and 0 · ∞ are NaN."""
    signature, axes, more, attributes = data.draw(
        reductions(name, shape).filter(lambda case: is_float(case[0].dtype))
    )
    seed = data.draw(st.integers(0, 1 << 32))
    chance = [0.4, 0.3, 0.1, 0.08, 0.04, 0.04, 0.04]
    x = np.random.default_rng(seed).choice(SPECIAL, shape, p=chance).astype(signature.dtype)
    with np.errstate(all="ignore"):
        expected = np.asarray(SUMS[name][0](wide(x), axes))
    (y,) = run_op(name, [x, *more], attributes, opset=signature.opset, tier=signature.tier)
    assert_close(y, squeezed(expected, axes, attributes), ulps=8, slack=x.size)


@kernels("ReduceMax", "ReduceMin")
@pytest.mark.parametrize("name", ["ReduceMax", "ReduceMin"])
@examples
@given(shape=shapes(), data=st.data())
def test_extremes(name: str, shape: tuple[int, ...], data: st.DataObject) -> None:
    """NaN wins.

    Of nothing the result is what any number beats: infinity, or the end of the type's range.
    """
    signature, axes, more, attributes = data.draw(reductions(name, shape))
    x = data.draw(tensors(signature.dtype, shape))
    if x.dtype == np.bool_:
        nothing: Any = name == "ReduceMin"
    elif is_float(x.dtype):
        nothing = np.inf if name == "ReduceMin" else -np.inf
    else:
        nothing = np.iinfo(x.dtype).max if name == "ReduceMin" else np.iinfo(x.dtype).min
    reduce = np.min if name == "ReduceMin" else np.max
    expected = reduce(wide(x), axes, keepdims=True, initial=nothing)
    (y,) = run_op(name, [x, *more], attributes, opset=signature.opset, tier=signature.tier)
    assert_same(y, squeezed(np.asarray(expected), axes, attributes).astype(x.dtype))


@kernels("ArgMax", "ArgMin")
@pytest.mark.parametrize("name", ["ArgMax", "ArgMin"])
@examples
@given(shape=shapes(min_dims=1), data=st.data())
def test_positions_of_extremes(name: str, shape: tuple[int, ...], data: st.DataObject) -> None:
    """NaN goes before every number, as in NumPy.

    Equal ones count from the end that was asked for.
    """
    signature = data.draw(signatures(name))
    x = data.draw(tensors(signature.dtype, shape))
    axis = data.draw(axes_of(len(shape)))
    if signature.opset < 11:
        axis %= len(shape)
    attributes = data.draw(
        st.fixed_dictionaries(
            {"axis": st.just(axis)}, optional={"keepdims": st.sampled_from([0, 1])}
        )
    )
    last = signature.opset >= 12 and data.draw(st.booleans())
    if last:
        attributes["select_last_index"] = 1

    def run() -> np.ndarray:
        (y,) = run_op(name, [x], attributes, opset=signature.opset, tier=signature.tier)
        return np.asarray(y)

    keep = bool(attributes.get("keepdims", 1))
    if shape[axis] == 0 and 0 not in np.delete(shape, axis):
        with pytest.raises(onnxforge.InvalidArgumentError, match="empty"):
            run()
        return
    if x.size == 0:
        sides = [1 if i == axis % len(shape) else side for i, side in enumerate(shape)]
        expected = np.zeros(sides, np.int64)
        expected = expected if keep else np.squeeze(expected, axis)
    else:
        find = np.argmax if name == "ArgMax" else np.argmin
        numbers = np.flip(wide(x), axis) if last else wide(x)
        expected = np.asarray(find(numbers, axis, keepdims=keep))
        if last and not is_float(x.dtype):
            expected = shape[axis] - 1 - expected
        elif last:
            # The first NaN is found from either end: it equals no other one.
            nan = np.isnan(wide(x))
            first = np.argmax(nan, axis, keepdims=keep)
            expected = np.where(nan.any(axis, keepdims=keep), first, shape[axis] - 1 - expected)
    assert_same(run(), expected)


@kernels("CumSum", "CumProd")
@pytest.mark.parametrize("name", ["CumSum", "CumProd"])
@examples
@given(shape=shapes(min_dims=1), data=st.data())
def test_running_sums_and_products(name: str, shape: tuple[int, ...], data: st.DataObject) -> None:
    signature = data.draw(signatures(name))
    dtype = signature.dtype
    axis = data.draw(axes_of(len(shape)))
    if is_float(dtype):
        x = data.draw(moderate(dtype, shape, -2, 2))
    else:
        x = data.draw(tensors(dtype, shape))
    attributes = data.draw(
        st.fixed_dictionaries(
            {}, optional={"exclusive": st.sampled_from([0, 1]), "reverse": st.sampled_from([0, 1])}
        )
    )
    index = np.array(axis, data.draw(st.sampled_from([np.int32, np.int64])))
    if data.draw(st.booleans()):
        index = index.reshape(1)  # which exporters write
    numbers = np.moveaxis(wide(x), axis, 0)
    numbers = numbers[::-1] if attributes.get("reverse") else numbers
    if attributes.get("exclusive"):
        start = np.full_like(numbers[:1], 0 if name == "CumSum" else 1)
        numbers = np.concatenate([start, numbers[:-1]])
    run = np.cumsum if name == "CumSum" else np.cumprod
    with np.errstate(over="ignore"):
        found = run(numbers, axis=0, dtype=numbers.dtype)
    found = found[::-1] if attributes.get("reverse") else found
    expected = np.moveaxis(found, 0, axis)
    (y,) = run_op(name, [x, index], attributes, opset=signature.opset, tier=signature.tier)
    assert y.dtype == dtype
    if is_float(dtype):
        assert_close(y, expected, ulps=4, slack=2.0 * len(numbers) if name == "CumSum" else 0.0)
    else:
        assert_same(y, expected)


def softmax(x: np.ndarray) -> Any:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def log_softmax(x: np.ndarray) -> Any:
    shifted = x - x.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def hardmax(x: np.ndarray) -> Any:
    positions = x.argmax(-1)[..., None]
    return np.where(np.arange(x.shape[-1]) == positions, 1.0, 0.0)


LINES = {"Hardmax": hardmax, "LogSoftmax": log_softmax, "Softmax": softmax}


@kernels(*LINES)
@pytest.mark.parametrize("name", sorted(LINES))
@examples
@given(shape=shapes(min_dims=1), data=st.data())
def test_softmax_and_its_kin(name: str, shape: tuple[int, ...], data: st.DataObject) -> None:
    """Before opset 13 along all axes from one on. NaN and +∞ spoil their line, and no other.

    Hardmax's 1 is at the first NaN of a line, where there is one, as NumPy's argmax has it.
    """
    signature = data.draw(signatures(name))
    rank, flat = len(shape), signature.opset < 13
    attributes = {}
    axis = 1 if flat else -1
    if rank == 0 or (flat and rank == 1) or data.draw(st.booleans()):
        axis = (
            data.draw(axes_of(rank))
            if signature.opset >= 11
            else data.draw(st.integers(0, rank - 1))
        )
        attributes = {"axis": axis}
    if data.draw(st.booleans()):
        x = data.draw(tensors(signature.dtype, shape))
    else:
        x = data.draw(moderate(signature.dtype, shape, -20, 20))
    (y,) = run_op(name, [x], attributes, opset=signature.opset, tier=signature.tier)
    assert y.dtype == x.dtype
    assert y.shape == x.shape
    if x.size == 0:
        return
    axis %= rank
    numbers = wide(x)
    with np.errstate(all="ignore"):
        if flat:
            lines = numbers.reshape(int(np.prod(shape[:axis])), -1)
            expected = LINES[name](lines).reshape(shape)
        else:
            expected = np.moveaxis(LINES[name](np.moveaxis(numbers, axis, -1)), -1, axis)
    if name == "Hardmax":
        assert_same(y, expected.astype(y.dtype))
    else:
        with np.errstate(all="ignore"):
            # x minus the greatest is rounded before it is an exponent.
            exponent = np.nan_to_num(np.abs(np.log(expected)), posinf=0)
            room = expected * (exponent + 4) if name == "Softmax" else np.abs(expected) + 4
        assert_close(y, expected, ulps=4, slack=room)
