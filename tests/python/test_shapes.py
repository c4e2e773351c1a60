"""Shapes that a model declares, and what comes: only those of inputs bind anybody."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import numpy_helper

import onnxforge
from tests.python.support import parse, run_peer

rng = np.random.default_rng(0)
WEIGHTS = rng.standard_normal((4, 5)).astype(np.float32)

WRONG = {
    "an output's extents": ("(float[7, 9] y)", "", "y = MatMul(x, w)"),
    "an output's rank": ("(float[1, 1, 5] y)", "", "y = MatMul(x, w)"),
    "an output's rank, none": ("(float y)", "", "y = MatMul(x, w)"),
    "an output's symbols": ("(float[N, N] y)", "", "y = MatMul(x, w)"),
    "a value's extents": ("(float[N, 5] y)", "<float[3, 3] a>", "a = MatMul(x, w) y = Relu(a)"),
    "a value's rank": ("(float[N, 5] y)", "<float[3, 1, 7] a>", "a = MatMul(x, w) y = Softmax(a)"),
    "a value whose shape is asked for": (
        "(float[N, 5] y)",
        "<float[3, 5] a>",
        "a = MatMul(x, w) s = Shape(a) f = Flatten<axis = 0>(a) y = Reshape(f, s)",
    ),
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("optimize", [True, False])
@pytest.mark.filterwarnings("ignore")
def test_wrong_declared_shapes_are_tolerated(case, optimize):
    outputs, declared, body = WRONG[case]
    model = parse(f"agraph (float[N, 4] x) => {outputs} {declared} {{ {body} }}")
    model.graph.initializer.append(numpy_helper.from_array(WEIGHTS, "w"))
    session = onnxforge.Session(model, optimize=optimize)
    for rows in (2, 1, 6):
        x = rng.standard_normal((rows, 4)).astype(np.float32)
        expected = x @ WEIGHTS
        if "Relu" in body:
            expected = np.maximum(expected, 0)
        if "Softmax" in body:
            expected = np.exp(expected) / np.exp(expected).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(session.run({"x": x})["y"], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("optimize", [True, False])
def test_a_batch_that_was_opened_at_the_input_alone(optimize):
    """What is done to models that were exported for one image: the values within still say so."""
    model = parse(
        """agraph (float[N, 3, 6, 6] x) => (float[1, 8, 6, 6] y)
        <float[1, 8, 6, 6] c, float[1, 2, 4, 6, 6] g, float[1, 4, 2, 6, 6] t, float[1, 8, 6, 6] u>
        {
            c = Conv<pads = [1, 1, 1, 1]>(x, w)
            s = Constant<value = int64[5] {-1, 2, 4, 6, 6}>()
            g = Reshape(c, s)
            t = Transpose<perm = [0, 2, 1, 3, 4]>(g)
            b = Constant<value = int64[4] {-1, 8, 6, 6}>()
            u = Reshape(t, b)
            r = Conv<pads = [1, 1, 1, 1]>(u, v)
            a = Add(r, u)
            y = Relu(a)
        }"""
    )
    for name, depth in (("w", 3), ("v", 8)):
        filters = rng.standard_normal((8, depth, 3, 3)).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(filters, name))
    session = onnxforge.Session(model, optimize=optimize)
    reference = onnxforge.Session(model, tier="reference", optimize=False)
    for batch in (1, 3, 2):
        x = {"x": rng.standard_normal((batch, 3, 6, 6)).astype(np.float32)}
        found = session.run(x)["y"]
        assert found.shape == (batch, 8, 6, 6)
        np.testing.assert_allclose(found, reference.run(x)["y"], rtol=1e-4, atol=1e-4)


def test_an_output_declared_wrong_is_what_onnxruntime_gives():
    model = parse("agraph (float[N, 4] x) => (float[7, 9] y) { y = MatMul(x, w) }")
    model.graph.initializer.append(numpy_helper.from_array(WEIGHTS, "w"))
    x = {"x": rng.standard_normal((3, 4)).astype(np.float32)}
    (expected,) = run_peer(model, x)
    found = onnxforge.Session(model).run(x)["y"]
    assert found.shape == expected.shape == (3, 5)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_an_input_of_another_shape_than_declared_is_refused():
    session = onnxforge.Session(parse("agraph (float[N, 4] x) => (float[N, 4] y) { y = Neg(x) }"))
    with pytest.raises(onnxforge.Error, match=r"'x'.*\[2, 5\]"):
        session.run({"x": np.zeros((2, 5), np.float32)})


def test_what_some_exporters_write_for_an_extent_that_they_do_not_know():
    model = parse("agraph (float[N, 4] x) => (float[M, 5] y) { y = MatMul(x, w) }")
    model.graph.initializer.append(numpy_helper.from_array(WEIGHTS, "w"))
    for info in (*model.graph.input, *model.graph.output):
        info.type.tensor_type.shape.dim[0].dim_value = -1
    loaded = onnxforge.load(model)
    (inferred,) = loaded.infer_shapes().summary().outputs
    assert not isinstance(inferred.shape[0], int)
    assert inferred.shape[1] == 5
    session = onnxforge.Session(loaded.convert_version(24))
    for rows in (2, 3):
        assert session.run({"x": np.zeros((rows, 4), np.float32)})["y"].shape == (rows, 5)
    with pytest.raises(onnxforge.Error, match="'x' has the extent -1 in axis 0"):
        loaded.check()
