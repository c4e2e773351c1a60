"""Random numbers: types, shapes, what may be drawn, and, with a seed, NumPy's own numbers.

A seed starts the Mersenne Twister as numpy.random.RandomState does, and numbers are made from it in
the same way, so that a model with a seed can be checked against NumPy.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from tests.python.kernel_support import run_op
from tests.python.properties.numerics import (
    assert_close,
    assert_same,
    dtypes_of,
    moderate,
    signatures,
    tensors,
    wide,
)
from tests.python.properties.support import examples, kernels, shapes

SEEDS = (0.0, 1.0, 7.0, 123456.0)


def code(dtype: np.dtype[Any]) -> int:
    return int(helper.np_dtype_to_tensor_dtype(dtype))


@st.composite
def distributions(draw: st.DrawFn, normal: bool) -> tuple[dict[str, Any], float, float]:
    """Attributes, the offset and the scale that they mean."""
    names = ("mean", "scale") if normal else ("low", "high")
    attributes = draw(
        st.fixed_dictionaries(
            {}, optional=dict(zip(names, (st.sampled_from([-2.0, 0.5]), st.just(3.0)), strict=True))
        )
    )
    first, second = (
        attributes.get(name, default) for name, default in zip(names, (0.0, 1.0), strict=True)
    )
    return attributes, first, second if normal else second - first


@kernels("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike")
@pytest.mark.parametrize("like", [False, True])
@pytest.mark.parametrize("normal", [False, True])
@examples
@given(shape=shapes(min_dims=1), data=st.data())
def test_random_numbers(
    normal: bool, like: bool, shape: tuple[int, ...], data: st.DataObject
) -> None:
    name = ("RandomNormal" if normal else "RandomUniform") + ("Like" if like else "")
    attributes, offset, scale = data.draw(distributions(normal))
    signature = data.draw(signatures(name, "T2" if like else "T"))
    dtype = signature.dtype
    inputs: list[np.ndarray | None] = []
    if like:
        # The type is the input's, when nothing else is said.
        of = data.draw(st.sampled_from([dtype, np.dtype(np.int32), np.dtype(np.float32)]))
        inputs = [np.zeros(shape, of)]
        if of != dtype or data.draw(st.booleans()):
            attributes["dtype"] = code(dtype)
    else:
        attributes["shape"] = list(shape)
        if dtype != np.float32 or data.draw(st.booleans()):
            attributes["dtype"] = code(dtype)
    seed = data.draw(st.none() | st.sampled_from(SEEDS))
    if seed is not None:
        attributes["seed"] = seed
    (y,) = run_op(name, inputs, attributes, opset=signature.opset, tier=signature.tier)
    assert y.dtype == dtype
    assert y.shape == shape
    if seed is None:
        numbers = wide(y)
        assert np.isfinite(numbers).all()
        # A half type rounds numbers just below the upper bound to it.
        assert normal or ((offset <= numbers) & (numbers <= offset + scale)).all()
        return
    state = np.random.RandomState(int(seed))
    unit = state.standard_normal(shape) if normal else state.random_sample(shape)
    assert_close(y, offset + scale * np.asarray(unit), ulps=1)


@kernels("RandomNormal", "RandomUniform")
@examples
@given(
    name=st.sampled_from(["RandomNormal", "RandomUniform"]), seed=st.integers(0, 1 << 20).map(float)
)
def test_moments(name: str, seed: float) -> None:
    """Of 4000 numbers, within five standard errors; all examples are fixed, so this is no dice."""
    attributes = {"shape": [4000], "seed": seed}
    (y,) = run_op(name, [], attributes, tier="auto")
    mean, deviation = (0.0, 1.0) if name == "RandomNormal" else (0.5, 12**-0.5)
    assert abs(float(y.mean()) - mean) < 5 * deviation / 4000**0.5
    assert abs(float(y.std()) - deviation) < 5 * deviation / 4000**0.5


@kernels("Bernoulli")
@examples
@given(shape=shapes(), data=st.data())
def test_bernoulli(shape: tuple[int, ...], data: st.DataObject) -> None:
    """0 and 1 are certain; every type of result has them both."""
    signature = data.draw(signatures("Bernoulli", "T1"))
    p = data.draw(moderate(signature.dtype, shape, 0, 1))
    certain = data.draw(st.booleans())
    if certain:
        p = np.asarray(np.rint(wide(p))).astype(p.dtype)
    schema = onnx.defs.get_schema("Bernoulli", signature.opset)
    to = data.draw(st.none() | st.sampled_from(dtypes_of(schema, "T2")))
    attributes: dict[str, Any] = {} if to is None else {"dtype": code(to)}
    seed = data.draw(st.none() | st.sampled_from(SEEDS))
    if seed is not None:
        attributes["seed"] = seed
    (y,) = run_op("Bernoulli", [p], attributes, opset=signature.opset, tier=signature.tier)
    assert y.dtype == (to or p.dtype)
    assert y.shape == shape
    if certain:
        np.testing.assert_array_equal(wide(y), wide(p))
    elif seed is None:
        assert np.isin(wide(y), [0, 1]).all()
    else:
        drawn = np.random.RandomState(int(seed)).random_sample(shape) < wide(p)
        np.testing.assert_array_equal(wide(y), drawn)


@kernels("Multinomial")
@examples
@given(
    batch=st.integers(0, 3),
    classes=st.integers(1, 5),
    samples=st.none() | st.integers(1, 9),
    data=st.data(),
)
def test_multinomial(batch: int, classes: int, samples: int | None, data: st.DataObject) -> None:
    """The class that a uniform number falls into; one of logarithm -∞ is never drawn."""
    signature = data.draw(signatures("Multinomial", "T1"))
    x = data.draw(moderate(signature.dtype, (batch, classes), -3, 3))
    never = data.draw(st.integers(0, classes - 1)) if classes > 1 else None
    if never is not None:
        x[:, never] = -np.inf
    dtype = data.draw(st.none() | st.sampled_from([np.int32, np.int64]))
    seed = data.draw(st.none() | st.sampled_from(SEEDS))
    attributes: dict[str, Any] = {}
    if samples is not None:
        attributes["sample_size"] = samples
    if dtype is not None:
        attributes["dtype"] = code(np.dtype(dtype))
    if seed is not None:
        attributes["seed"] = seed
    (y,) = run_op("Multinomial", [x], attributes, opset=signature.opset, tier=signature.tier)
    assert y.dtype == (dtype or np.int32)
    assert y.shape == (batch, samples or 1)
    assert ((y >= 0) & (y < classes) & (y != (-1 if never is None else never))).all()
    if seed is None:
        return
    uniform = np.random.RandomState(int(seed)).random_sample(y.shape)
    for row, units, drawn in zip(wide(x), uniform, y, strict=True):
        weights = np.cumsum(np.exp(row - row.max()))
        expected = np.searchsorted(weights, units * weights[-1], side="right")
        assert drawn.tolist() == expected.tolist()


@kernels("Dropout")
@examples
@given(data=st.data(), outputs=st.sampled_from([1, 2]))
def test_dropout_that_drops_nothing(data: st.DataObject, outputs: int) -> None:
    """Before version 12 always, since what is run is inference; then unless it is told to train."""
    signature = data.draw(signatures("Dropout"))
    x = data.draw(tensors(signature.dtype))
    attributes: dict[str, Any] = {}
    inputs: list[np.ndarray | None] = [x]
    if signature.opset < 7:
        attributes["is_test"] = 1
    if signature.opset < 12:
        attributes["ratio"] = data.draw(st.sampled_from([0.0, 0.25, 0.5]))
    else:
        ratio = data.draw(st.sampled_from([None, 0.0, 0.5]))
        training = data.draw(st.sampled_from([None, False, True] if ratio == 0 else [None, False]))
        inputs += [None if value is None else np.array(value) for value in (ratio, training)]
        if ratio is not None:
            types = [np.float16, np.float32, np.float64]
            types += [ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2fnuz] * (signature.opset >= 22)
            inputs[1] = np.array(ratio).astype(data.draw(st.sampled_from(types)))
    found = run_op(
        "Dropout", inputs, attributes, opset=signature.opset, tier=signature.tier, outputs=outputs
    )
    assert found[0].tobytes() == x.tobytes()
    assert (found[0].dtype, found[0].shape) == (x.dtype, x.shape)
    if outputs == 2:
        assert_same(found[1], np.ones(x.shape, x.dtype if signature.opset < 10 else np.bool_))


@kernels("Dropout")
@examples
@given(data=st.data(), ratio=st.sampled_from([None, 0.25, 0.5, 0.75]), seed=st.integers(0, 99))
def test_dropout_in_training(data: st.DataObject, ratio: float | None, seed: int) -> None:
    """What is kept is scaled up; what is dropped is 0, even NaN."""
    signature = data.draw(signatures("Dropout", since=12))
    x = data.draw(tensors(signature.dtype))
    inputs = [x, None if ratio is None else np.array(ratio, np.float32), np.array(True)]
    y, mask = run_op(
        "Dropout", inputs, {"seed": seed}, opset=signature.opset, tier=signature.tier, outputs=2
    )
    share = 0.5 if ratio is None else ratio
    assert_same(mask, np.asarray(np.random.RandomState(seed).random_sample(x.shape) >= share))
    assert y.dtype == x.dtype
    with np.errstate(all="ignore"):
        assert_close(y, np.where(mask, wide(x) / (1 - share), 0.0), ulps=2)
