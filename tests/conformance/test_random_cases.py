"""Bernoulli: what can be held of draws that nobody can repeat."""

from __future__ import annotations

import math

import numpy as np
import pytest
from onnx import numpy_helper

import onnxforge
from tests.conformance.suite import RANDOM, cases
from tests.python.kernel_support import run_op


@pytest.mark.parametrize("name", sorted(RANDOM))
def test_type_shape_and_support_are_the_suites(name):
    (case,) = (case for case in cases() if case.name == name)
    ((inputs, outputs),) = case.data_sets
    session = onnxforge.Session(case.model)
    feeds = {
        spec.name: value if isinstance(value, np.ndarray) else numpy_helper.to_array(value)
        for spec, value in zip(session.inputs, inputs, strict=True)
    }
    (drawn,) = session.run(feeds).values()
    assert (drawn.shape, drawn.dtype) == (outputs[0].shape, outputs[0].dtype)
    assert set(np.unique(drawn.astype(np.float64))) <= {0.0, 1.0}


@pytest.mark.parametrize("opset", [15, 22])
@pytest.mark.parametrize("seed", [None, 7.0])
@pytest.mark.parametrize("chance", [0.0, 0.03, 0.5, 0.8, 1.0])
def test_bernoulli_draws_as_often_as_it_should(chance, seed, opset):
    count = 20_000
    attributes = {} if seed is None else {"seed": seed}
    x = np.full(count, chance, np.float32)
    (drawn,) = run_op("Bernoulli", [x], attributes, opset=opset)
    # Six standard deviations: an honest generator strays so far once in 500 million runs.
    allowed = 6 * math.sqrt(count * chance * (1 - chance))
    assert abs(float(drawn.sum()) - count * chance) <= allowed


def test_bernoulli_draws_each_element_by_its_own_chance_and_apart_from_the_others():
    chances = np.tile(np.array([0.0, 1.0, 0.5, 0.5], np.float32), 10_000)
    (drawn,) = run_op("Bernoulli", [chances], {"seed": 3.0})
    rows = drawn.reshape(-1, 4)
    assert rows[:, 0].max() == 0
    assert rows[:, 1].min() == 1
    correlation = np.corrcoef(rows[:, 2], rows[:, 3])[0, 1]
    assert abs(correlation) < 6 / math.sqrt(len(rows))


def test_without_a_seed_two_runs_differ_and_with_one_they_do_not():
    x = np.full(64, 0.5, np.float32)
    (one,), (other,) = run_op("Bernoulli", [x]), run_op("Bernoulli", [x])
    assert (one != other).any()
    (one,), (other,) = (run_op("Bernoulli", [x], {"seed": 1.0}) for _ in range(2))
    assert (one == other).all()
