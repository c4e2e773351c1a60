"""The pass fuse_attention, and the kernel that it calls."""

from __future__ import annotations

import re

import numpy as np
import pytest
from onnx import numpy_helper

import onnxforge
from tests.python.support import parse
from tests.python.test_passes import assert_same_numbers, operators

rng = np.random.default_rng(0)

SPLIT = (
    "shape = Constant<value = int64[4] {0, 0, 4, 6}>() "
    "q4 = Reshape(q, shape) k4 = Reshape(k, shape) v4 = Reshape(v, shape) "
    "qh = Transpose<perm = [0, 2, 1, 3]>(q4) vh = Transpose<perm = [0, 2, 1, 3]>(v4) "
)
KEYS = "kt = Transpose<perm = [0, 2, 3, 1]>(k4) "
HEADS = "kh = Transpose<perm = [0, 2, 1, 3]>(k4) kt = Transpose<perm = [0, 1, 3, 2]>(kh) "
SCORES = "s = MatMul(qh, kt) c = Div(s, root) m = Add(c, mask) w = Softmax<axis = 3>(m) "
JOIN = (
    "a = MatMul(w, vh) t = Transpose<perm = [0, 2, 1, 3]>(a) "
    "back = Constant<value = int64[3] {0, 0, 24}>() y = Reshape(t, back)"
)


def real(*shape: int) -> np.ndarray:
    return np.asarray(rng.standard_normal(shape), np.float32)


def model_of(body: str, feeds: dict[str, np.ndarray], outputs: str = "y", opset: int = 13):
    constants = {"root": 6.0**0.5, "fourth": 6.0**-0.25, "mask": real(2, 1, 1, 7)}
    shapes = ", ".join(f"float{list(value.shape)} {name}" for name, value in feeds.items())
    results = ", ".join(f"float[] {name}" for name in outputs.split())
    model = parse(f"agraph ({shapes}) => ({results}) {{ {body} }}", opset)
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    model.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value, np.float32), name)
        for name, value in constants.items()
        if name not in feeds and re.search(rf"\b{name}\b", body)
    )
    return model


FLAT = {"q": real(2, 5, 24), "k": real(2, 7, 24), "v": real(2, 7, 24)}


@pytest.mark.parametrize(
    "body",
    [
        SPLIT + KEYS + SCORES + JOIN,
        SPLIT + HEADS + SCORES + JOIN,
        SPLIT + KEYS + "s = MatMul(qh, kt) w = Softmax(s) " + JOIN,
        SPLIT + KEYS + "s = MatMul(qh, kt) c = Add(mask, s) w = Softmax<axis = -1>(c) " + JOIN,
        SPLIT + KEYS + "g = Mul(qh, fourth) l = Mul(kt, fourth) s = MatMul(g, l) w = Softmax(s) "
        + JOIN,
        SPLIT + "kh = Transpose<perm = [0, 2, 1, 3]>(k4) g = Mul(kh, fourth) "
        "kt = Transpose<perm = [0, 1, 3, 2]>(g) s = MatMul(qh, kt) w = Softmax(s) " + JOIN,
        SPLIT + KEYS + SCORES + "y = MatMul(w, vh)",
    ],
)  # fmt: skip
def test_what_is_written_out_becomes_one_node(body):
    model = model_of(body, FLAT)
    found = operators(model, FLAT)
    assert found.count("Attention") == 1
    assert {"Softmax", "Transpose", "MatMul"}.isdisjoint(found)
    assert_same_numbers(model, FLAT, tolerance=2e-6)


@pytest.mark.parametrize(
    ("body", "outputs"),
    [
        (SPLIT + KEYS + "s = MatMul(qh, kt) w = Softmax<axis = 2>(s) " + JOIN, "y"),
        (SPLIT + KEYS + SCORES + JOIN, "y w"),
        (SPLIT + KEYS + SCORES + JOIN, "y c"),
        (SPLIT + KEYS + "s = MatMul(qh, kt) n = Neg(s) w = Softmax(n) " + JOIN, "y"),
        (SPLIT + "kt = Transpose<perm = [0, 2, 1, 3]>(k4) s = MatMul(kt, kt) w = Softmax(s) "
         + JOIN, "y"),
    ],
)  # fmt: skip
def test_what_is_something_else_is_left_alone(body, outputs):
    feeds = FLAT if "kt, kt" not in body else {**FLAT, "k": real(2, 6, 24), "v": real(2, 6, 24)}
    model = model_of(body, feeds, outputs)
    assert "Softmax" in operators(model, feeds)
    assert_same_numbers(model, feeds, tolerance=2e-6)


def by_head(mask: bool = True) -> str:
    masked = "m = Add(s, mask) w = Softmax(m)" if mask else "w = Softmax(s)"
    return f"kt = Transpose<perm = [0, 1, 3, 2]>(k) s = MatMul(q, kt) {masked} y = MatMul(w, v)"


@pytest.mark.parametrize("queries", [1, 2, 4, 13, 97])
@pytest.mark.parametrize("keys", [1, 3, 64, 351])
@pytest.mark.parametrize(("width", "values"), [(1, 3), (64, 64), (33, 17)])
def test_sizes(queries, keys, width, values):
    feeds = {
        "q": real(2, 3, queries, width) / width**0.5,
        "k": real(2, 3, keys, width),
        "v": real(2, 3, keys, values),
        "mask": real(2, 1, queries, keys),
    }
    model = model_of(by_head(), feeds)
    assert operators(model, feeds) == ["Attention"]
    assert_same_numbers(model, feeds, tolerance=5e-6)


@pytest.mark.parametrize(
    "shape", [(1,), (9,), (5, 1), (5, 9), (1, 1, 1), (3, 1, 9), (2, 1, 1, 9), (2, 3, 5, 9)]
)
def test_masks_are_broadcast(shape):
    feeds = {"q": real(2, 3, 5, 8), "k": real(2, 3, 9, 8), "v": real(2, 3, 9, 8)}
    feeds["mask"] = real(*shape)
    model = model_of(by_head(), feeds)
    assert operators(model, feeds) == ["Attention"]
    assert_same_numbers(model, feeds, tolerance=2e-6)


@pytest.mark.parametrize(
    ("q", "k", "v", "mask"),
    [
        ((2, 3), (1, 3), (2, 1), (1, 1, 5, 9)),
        ((1, 1), (2, 1), (1, 3), (1, 1, 1, 9)),
        ((1, 1), (1, 1), (1, 1), (2, 3, 5, 9)),
    ],
)
def test_what_there_is_once_is_the_same_for_all(q, k, v, mask):
    feeds = {"q": real(*q, 5, 8), "k": real(*k, 9, 8), "v": real(*v, 9, 4), "mask": real(*mask)}
    model = model_of(by_head(), feeds)
    assert operators(model, feeds) == ["Attention"]
    assert_same_numbers(model, feeds, tolerance=2e-6)


def test_one_query_under_many_masks():
    feeds = {"q": real(1, 2, 1, 8), "k": real(1, 2, 9, 8), "v": real(1, 2, 9, 8)}
    feeds["mask"] = real(6, 9)
    assert_same_numbers(model_of(by_head(), feeds), feeds, tolerance=2e-6)


@pytest.mark.parametrize("queries", [2, 6])
def test_masks_that_leave_few_keys_or_none(queries):
    feeds = {"q": real(1, 2, queries, 8), "k": real(1, 2, 5, 8), "v": real(1, 2, 5, 8)}
    mask = np.where(rng.random((queries, 5)) < 0.7, -np.inf, 0).astype(np.float32)
    mask[0], mask[1] = -np.inf, -3e38  # nothing: 0 / 0; nothing that would be worth it: all alike
    feeds["mask"] = mask
    model = model_of(by_head(), feeds)
    found, plain = (
        onnxforge.Session(model, optimize=optimize).run(feeds)["y"] for optimize in (True, False)
    )
    assert np.isnan(plain[:, :, 0]).all()
    np.testing.assert_allclose(found, plain, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("empty", ["batch", "queries", "keys", "values"])
def test_extents_of_zero(empty):
    n = {name: 0 if name == empty else 3 for name in ("batch", "queries", "keys", "values")}
    feeds = {
        "q": real(n["batch"], 2, n["queries"], 4),
        "k": real(n["batch"], 2, n["keys"], 4),
        "v": real(n["batch"], 2, n["keys"], n["values"]),
    }
    model = model_of(by_head(mask=False), feeds)
    assert operators(model, feeds) == ["Attention"]
    found, plain = (
        onnxforge.Session(model, optimize=optimize).run(feeds)["y"] for optimize in (True, False)
    )
    np.testing.assert_array_equal(found, plain)


def test_shapes_that_are_known_in_a_run_only():
    model = model_of(by_head(), {**FLAT_BY_HEAD, "mask": real(5, 7)})
    for value in model.graph.input:
        for axis, dim in enumerate(value.type.tensor_type.shape.dim[:-1]):
            dim.dim_param = f"{value.name}{axis}"
    model.graph.input[3].type.tensor_type.shape.dim[1].dim_param = "t"
    for queries, keys in ((1, 4), (6, 2), (40, 90)):
        feeds = {
            "q": real(2, 4, queries, 6), "k": real(2, 4, keys, 6), "v": real(2, 4, keys, 6),
            "mask": real(queries, keys),
        }  # fmt: skip
        assert operators(model, feeds) == ["Attention"]
        assert_same_numbers(model, feeds, tolerance=2e-6)


FLAT_BY_HEAD = {
    "q": real(2, 4, 5, 6),
    "k": real(2, 4, 7, 6),
    "v": real(2, 4, 7, 6),
}


def test_shapes_that_do_not_fit_are_named():
    model = model_of(by_head(mask=False), FLAT_BY_HEAD)
    for value in model.graph.input:
        value.type.tensor_type.shape.dim[2].dim_param = f"length of {value.name}"
    feeds = {**FLAT_BY_HEAD, "v": real(2, 4, 5, 6)}
    with pytest.raises(onnxforge.Error, match="do not fit together"):
        onnxforge.Session(model).run(feeds)
