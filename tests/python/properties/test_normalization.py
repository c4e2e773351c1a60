"""Normalisations: the standard's formulas in float64.

The error that is allowed is that of a few roundings of the largest element of what is normalised
together: a mean and a variance have that, and dividing by a small deviation enlarges it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.python.kernel_support import run_op
from tests.python.properties.layers import (
    assert_close,
    dtypes,
    layer,
    spacing,
    tiers,
    wide,
)
from tests.python.properties.support import axes_of, examples, kernels, shapes

if TYPE_CHECKING:
    from hypothesis.strategies import DataObject

# Attributes are float32, their defaults too.
epsilons = st.sampled_from([None, 0.0625, 0.5])
images = shapes(min_dims=2, max_dims=5).filter(lambda shape: shape[1] > 0)


def with_epsilon(epsilon: float | None) -> tuple[dict[str, Any], float]:
    """The attributes and what they say; the default is 1e-5."""
    return ({}, float(np.float32(1e-5))) if epsilon is None else ({"epsilon": epsilon}, epsilon)


def per_channel(values: np.ndarray, rank: int) -> np.ndarray:
    return values.reshape(-1, *[1] * (rank - 2))


def average(x: np.ndarray, axes: tuple[int, ...]) -> Any:
    """The mean, of no elements too: NaN."""
    with np.errstate(all="ignore"):
        total = x.sum(axes, keepdims=True)
        return total / np.float64(np.prod([x.shape[axis] for axis in axes]))


def normalized(
    x: np.ndarray, axes: tuple[int, ...], epsilon: float, *, centred: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """The result, and how large an error of the size of the elements becomes in it."""
    with np.errstate(all="ignore"):
        mean = average(x, axes) if centred else 0.0
        variance = average((x - mean) ** 2, axes)
        inverse = 1 / np.sqrt(variance + epsilon)
        largest = np.abs(x).max(axes, keepdims=True, initial=0)
        # The variance is wrong by largest² roundings, which the result is in half its proportion.
        share = largest**2 / (variance + epsilon)
        y = (x - mean) * inverse
        return y, largest * inverse + np.abs(y) * share


def single(dtype: Any) -> float:
    """How many steps of the type one rounding of float32 is, at most."""
    return max(1.0, spacing(np.float32) / spacing(dtype))


@kernels("BatchNormalization")
@examples
@given(
    shape=shapes(min_dims=1, max_dims=5, min_side=0),
    dtype=dtypes,
    epsilon=epsilons,
    opset=st.sampled_from([9, 14, 15]),
    tier=tiers,
    data=st.data(),
)
def test_batch_normalization(
    shape: tuple[int, ...],
    dtype: Any,
    epsilon: float | None,
    opset: int,
    tier: str,
    data: DataObject,
) -> None:
    """A vector is a batch of images of one channel."""
    channels = shape[1] if len(shape) > 1 else 1
    attributes, eps = with_epsilon(epsilon)
    # bfloat16 came with version 14.
    assume(opset > 9 or np.dtype(dtype).kind == "f")
    x = data.draw(layer(shape, dtype, wild=True))
    scale, bias, mean = (data.draw(layer((channels,), dtype)) for _ in range(3))
    variance = abs(data.draw(layer((channels,), dtype)))
    (y,) = run_op(
        "BatchNormalization", [x, scale, bias, mean, variance], attributes, opset=opset, tier=tier
    )
    rank = max(len(shape), 2)
    x64, s, b, m, v = wide(x, scale, bias, mean, variance)
    s, b, m, v = (per_channel(a, rank) if len(shape) > 1 else a for a in (s, b, m, v))
    with np.errstate(all="ignore"):
        factor = s / np.sqrt(v + eps)
        expected = (x64 - m) * factor + b
        magnitude = (abs(x64) + abs(m)) * abs(factor) + abs(b)
    assert_close(y, expected, dtype, scale=magnitude, steps=4)


@kernels("BatchNormalization")
@examples
@given(
    shape=shapes(min_dims=2, max_dims=5, min_side=1),
    dtype=dtypes,
    momentum=st.sampled_from([None, 0.25, 1.0]),
    tier=tiers,
    data=st.data(),
)
def test_batch_normalization_that_trains(
    shape: tuple[int, ...], dtype: Any, momentum: float | None, tier: str, data: DataObject
) -> None:
    """Running statistics are blended with those of the batch; the variance is the population's."""
    channels, rank = shape[1], len(shape)
    x = data.draw(layer(shape, dtype))
    scale, bias, mean = (data.draw(layer((channels,), dtype)) for _ in range(3))
    variance = abs(data.draw(layer((channels,), dtype)))
    attributes: dict[str, Any] = {"training_mode": 1, "epsilon": 0.25}
    if momentum is not None:
        attributes["momentum"] = momentum
    keep = float(np.float32(0.9)) if momentum is None else momentum
    y, new_mean, new_variance = run_op(
        "BatchNormalization",
        [x, scale, bias, mean, variance],
        attributes,
        opset=15,
        outputs=3,
        tier=tier,
    )
    x64, s, b, m, v = wide(x, scale, bias, mean, variance)
    axes = (0, *range(2, rank))
    normal, error = normalized(x64, axes, 0.25)
    assert_close(
        y,
        normal * per_channel(s, rank) + per_channel(b, rank),
        dtype,
        scale=(error + abs(normal)) * abs(per_channel(s, rank)) + abs(per_channel(b, rank)),
        steps=4,
    )
    blended = keep * m + (1 - keep) * x64.mean(axes)
    assert_close(new_mean, blended, dtype, scale=abs(m) + abs(x64).max(axes), steps=4)
    blended = keep * v + (1 - keep) * x64.var(axes)
    assert_close(new_variance, blended, dtype, scale=v + (abs(x64) ** 2).max(axes), steps=4)


@kernels("InstanceNormalization", "GroupNormalization")
@examples
@given(
    shape=shapes(min_dims=3, max_dims=5).filter(lambda shape: shape[1] > 0),
    dtype=dtypes,
    epsilon=epsilons,
    tier=tiers,
    data=st.data(),
)
def test_instance_and_group_normalization(
    shape: tuple[int, ...], dtype: Any, epsilon: float | None, tier: str, data: DataObject
) -> None:
    """Version 18 of GroupNormalization scales by group, version 21 by channel."""
    channels, rank = shape[1], len(shape)
    groups = data.draw(st.sampled_from([n for n in range(1, channels + 1) if channels % n == 0]))
    attributes, eps = with_epsilon(epsilon)
    x = data.draw(layer(shape, dtype, wild=data.draw(st.booleans())))
    scale, bias = (data.draw(layer((channels,), dtype)) for _ in range(2))
    x64, s, b = wide(x, scale, bias)

    def check(y: np.ndarray, count: int, by_group: bool) -> None:
        grouped = x64.reshape(shape[0], count, channels // count, *shape[2:])
        normal, error = (
            a.reshape(shape) for a in normalized(grouped, tuple(range(2, rank + 1)), eps)
        )
        factor, added = s, b
        if by_group:
            factor, added = (np.repeat(a[:count], channels // count) for a in (s, b))
        factor, added = per_channel(factor, rank), per_channel(added, rank)
        with np.errstate(all="ignore"):
            expected = normal * factor + added
            magnitude = (error + abs(normal)) * abs(factor) + abs(added)
        assert_close(y, expected, dtype, scale=magnitude, steps=4)

    (y,) = run_op("InstanceNormalization", [x, scale, bias], attributes, opset=22, tier=tier)
    check(y, channels, False)
    attributes["num_groups"] = groups
    (y,) = run_op("GroupNormalization", [x, scale, bias], attributes, opset=21, tier=tier)
    check(y, groups, False)
    if np.dtype(dtype).kind == "f":
        some = [x, scale[:groups], bias[:groups]]
        (y,) = run_op("GroupNormalization", some, attributes, opset=18, tier=tier)
        check(y, groups, True)


@st.composite
def scaled_rows(draw: st.DrawFn) -> tuple[tuple[int, ...], int, tuple[int, ...]]:
    """A shape, an axis, and a shape that broadcasts to that of the axes from there on."""
    shape = draw(shapes(min_dims=1))
    axis = draw(axes_of(len(shape)))
    inner = shape[axis:] if axis < 0 else shape[axis - len(shape) :]
    return shape, axis, tuple(n if draw(st.integers(0, 3)) else 1 for n in inner)


@kernels("LayerNormalization", "RMSNormalization")
@examples
@given(
    case=scaled_rows(),
    dtype=dtypes,
    epsilon=epsilons,
    with_bias=st.booleans(),
    tier=tiers,
    data=st.data(),
)
def test_layer_and_rms_normalization(
    case: tuple[tuple[int, ...], int, tuple[int, ...]],
    dtype: Any,
    epsilon: float | None,
    with_bias: bool,
    tier: str,
    data: DataObject,
) -> None:
    """Mean and inverse deviation have the type that stash_type says, float32."""
    shape, axis, factors = case
    first = axis % len(shape)
    axes = tuple(range(first, len(shape)))
    attributes, eps = with_epsilon(epsilon)
    if axis != -1 or data.draw(st.booleans()):
        attributes["axis"] = axis
    x = data.draw(layer(shape, dtype))
    scale = data.draw(layer(factors, dtype))
    bias = data.draw(layer(factors, dtype)) if with_bias else None
    x64, s, b = wide(x, scale, bias)
    y, mean, inverse = run_op(
        "LayerNormalization", [x, scale, bias], attributes, opset=17, outputs=3, tier=tier
    )
    normal, error = normalized(x64, axes, eps)
    added = 0.0 if b is None else b
    # The type rounds once before the scale.
    steps = 6 * single(dtype)
    magnitude = (error + abs(normal)) * abs(s) + abs(added)
    assert_close(y, normal * s + added, dtype, scale=magnitude, steps=steps)
    statistics = (*shape[:first], *[1] * len(axes))
    assert mean.shape == inverse.shape == statistics
    assert mean.dtype == inverse.dtype == np.float32
    if x.size > 0:
        largest = abs(x64).max(axes, keepdims=True)
        assert_close(mean, x64.mean(axes, keepdims=True), np.float32, scale=largest, steps=6)
        deviation = np.sqrt(x64.var(axes, keepdims=True) + eps)
        share = 1 + largest**2 / deviation**2
        assert_close(inverse, 1 / deviation, np.float32, scale=share / deviation, steps=6)
    (y,) = run_op("RMSNormalization", [x, scale], attributes, opset=23, tier=tier)
    normal, error = normalized(x64, axes, eps, centred=False)
    magnitude = (error + abs(normal)) * abs(s)
    assert_close(y, normal * s, dtype, scale=magnitude, steps=steps)


@kernels("LRN")
@examples
@given(
    shape=shapes(min_dims=2, max_dims=5),
    dtype=dtypes,
    size=st.integers(1, 6),
    alpha=st.sampled_from([None, 0.5]),
    beta=st.sampled_from([None, 0.5, 2.0]),
    bias=st.sampled_from([None, 2.0]),
    tier=tiers,
    data=st.data(),
)
def test_lrn(
    shape: tuple[int, ...],
    dtype: Any,
    size: int,
    alpha: float | None,
    beta: float | None,
    bias: float | None,
    tier: str,
    data: DataObject,
) -> None:
    """An even size reaches one channel further ahead than back."""
    x = data.draw(layer(shape, dtype, wild=True))
    optional = {"alpha": alpha, "beta": beta, "bias": bias}
    attributes = {name: value for name, value in optional.items() if value is not None}
    (y,) = run_op("LRN", [x], {"size": size, **attributes}, opset=13, tier=tier)
    (x64,) = wide(x)
    sums = np.zeros(shape)
    with np.errstate(all="ignore"):
        for c in range(shape[1]):
            near = x64[:, max(0, c - (size - 1) // 2) : c + size // 2 + 1]
            sums[:, c] = (near**2).sum(1)
        divisor = (
            attributes.get("bias", 1.0)
            + attributes.get("alpha", float(np.float32(1e-4))) / size * sums
        )
        expected = x64 / divisor ** attributes.get("beta", 0.75)
    assert_close(y, expected, dtype, steps=16)


@kernels("LpNormalization")
@examples
@given(
    shape=shapes(min_dims=1),
    dtype=dtypes,
    p=st.sampled_from([None, 1, 2]),
    tier=tiers,
    data=st.data(),
)
def test_lp_normalization(
    shape: tuple[int, ...], dtype: Any, p: int | None, tier: str, data: DataObject
) -> None:
    """A line of zeros stays one, whatever their signs."""
    axis = data.draw(st.none() | axes_of(len(shape)))
    x = data.draw(layer(shape, dtype, wild=True))
    attributes = {} if p is None else {"p": p}
    if axis is not None:
        attributes["axis"] = axis
    (y,) = run_op("LpNormalization", [x], attributes, opset=22, tier=tier)
    (x64,) = wide(x)
    with np.errstate(all="ignore"):
        total = (abs(x64) ** (p or 2)).sum(-1 if axis is None else axis, keepdims=True)
        expected = np.where(total == 0, 0, x64 / total ** (1 / (p or 2)))
    assert_close(y, expected, dtype, steps=6)


@kernels("MeanVarianceNormalization")
@examples
@given(
    shape=shapes(min_dims=1),
    dtype=dtypes,
    tier=tiers,
    data=st.data(),
)
def test_mean_variance_normalization(
    shape: tuple[int, ...], dtype: Any, tier: str, data: DataObject
) -> None:
    """The standard's function adds 1e-9 to the deviation; the axes are 0, 2 and 3 by default."""
    rank = len(shape)
    axes = data.draw(st.lists(axes_of(rank), min_size=1, unique_by=lambda axis: axis % rank))
    attributes = {"axes": axes}
    if rank == 4 and data.draw(st.booleans()):
        attributes, axes = {}, [0, 2, 3]
    x = data.draw(layer(shape, dtype))
    (x64,) = wide(x)
    over = tuple(axis % rank for axis in axes)
    if x.size > 0:
        # What nearly has no deviation is all error: leave that to the constant ones.
        deviation = np.sqrt(x64.var(over))
        assume(((deviation == 0) | (deviation > 0.05)).all())
    (y,) = run_op("MeanVarianceNormalization", [x], attributes, opset=13, tier=tier)
    assert y.dtype == dtype
    assert y.shape == shape
    if x.size == 0:
        return
    deviation = np.sqrt(x64.var(over, keepdims=True))
    constant = np.broadcast_to(deviation == 0, shape)
    _, error = normalized(x64, over, 1e-18)
    with np.errstate(all="ignore"):
        expected = (x64 - x64.mean(over, keepdims=True)) / (deviation + 1e-9)
    # The mean of equal elements may be a rounding off, which no deviation divides.
    check = np.where(constant, y.astype(np.float64), expected)
    scale = np.where(constant, np.abs(check), error + abs(expected))
    assert_close(y, check, dtype, scale=scale, steps=4)
