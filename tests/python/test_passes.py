"""Each pass: it does what it says, leaves alone what it must, and the numbers stay the same."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import numpy_helper

import onnxforge
from tests.python.support import parse, relative_difference


def operators(model, feeds):
    """The operators that run once the model is optimised."""
    profile = onnxforge.Session(model).profile(feeds, warmup=0)
    return [node.op_type for node in profile.nodes if node.depth == 0]


def assert_same_numbers(model, feeds, tolerance=1e-6):
    optimised = onnxforge.Session(model).run(feeds)
    plain = onnxforge.Session(model, optimize=False).run(feeds)
    assert list(optimised) == list(plain)
    for name, expected in plain.items():
        assert optimised[name].dtype == expected.dtype
        assert optimised[name].shape == expected.shape
        assert relative_difference(optimised[name], expected) <= tolerance


X = {"x": np.random.default_rng(0).standard_normal((2, 3)).astype(np.float32)}


@pytest.mark.parametrize(
    ("body", "left"),
    [
        # eliminate_dead
        ("a = Neg(x) b = Exp(a) y = Abs(x)", ["Abs"]),
        # eliminate_identity
        ("a = Identity(x) y = Neg(a)", ["Neg"]),
        ("a = Neg(x) y = Identity(a)", ["Neg"]),
        ("a = Neg(x) b = Identity(a) c = Identity(b) y = Identity(c)", ["Neg"]),
        ("y = Identity(x)", ["Identity"]),
        ("a = Dropout(x) y = Neg(a)", ["Neg"]),
        ("a = Cast<to = 1>(x) y = Neg(a)", ["Neg"]),
        ("a = Cast<to = 11>(x) b = Cast<to = 1>(a) y = Neg(b)", ["Cast", "Cast", "Neg"]),
        ("a = Transpose<perm = [0, 1]>(x) y = Neg(a)", ["Neg"]),
        (
            "a = Transpose<perm = [1, 0]>(x) b = Transpose<perm = [1, 0]>(a) y = Neg(b)",
            ["Transpose", "Transpose", "Neg"],
        ),
        ("s = Constant<value = int64[2] {0, -1}>() a = Reshape(x, s) y = Neg(a)", ["Neg"]),
        (
            "s = Constant<value = int64[2] {3, 2}>() t = Constant<value = int64[2] {2, 3}>() "
            "a = Reshape(x, s) b = Reshape(a, t) y = Neg(b)",
            ["Reshape", "Reshape", "Neg"],
        ),
        ("a = Concat<axis = 0>(x) y = Neg(a)", ["Neg"]),
        # fold_constants
        (
            "c = Constant<value = float[3] {1.0, 2.0, 3.0}>() d = Neg(c) e = Exp(d) y = Add(x, e)",
            ["Add"],
        ),
        (
            "c = Constant<value = float[3] {1.0, 2.0, 3.0}>() d = RandomNormalLike(c) "
            "z = Sub(d, d) y = Add(x, z)",
            ["RandomNormalLike", "Sub", "Add"],
        ),
        # merge_duplicates
        ("a = Exp(x) b = Exp(x) y = Add(a, b)", ["Exp", "Add"]),
        (
            "a = LeakyRelu<alpha = 0.1>(x) b = LeakyRelu<alpha = 0.2>(x) y = Add(a, b)",
            ["LeakyRelu", "LeakyRelu", "Add"],
        ),
    ],
)  # fmt: skip
def test_what_is_left(body, left):
    model = parse(f"agraph (float[2, 3] x) => (float[2, 3] y) {{ {body} }}")
    assert operators(model, X) == left
    assert_same_numbers(model, X)


def test_outputs_that_are_the_same_value_keep_their_names():
    model = parse(
        "agraph (float[2, 3] x) => (float[2, 3] a, float[2, 3] b, float[2, 3] c, float[2, 3] d) "
        "{ a = Neg(x) b = Identity(a) c = Identity(a) d = Neg(x) }"
    )
    assert_same_numbers(model, X)


def test_large_results_are_not_folded():
    body = (
        "s = Constant<value = int64[2] {1000, 1000}>() big = ConstantOfShape(s) "
        "m = ReduceMax<keepdims = 0>(big) y = Add(x, m)"
    )
    model = parse(f"agraph (float[2, 3] x) => (float[2, 3] y) {{ {body} }}")
    assert operators(model, X) == ["ConstantOfShape", "ReduceMax", "Add"]
    assert_same_numbers(model, X)


def test_folding_does_not_report_what_is_never_run():
    model = parse(
        """agraph (bool c, float[2, 3] x) => (float[2, 3] y) {
            y = If(c) <
              then_branch = g1 () => (float[2, 3] a) { a = Neg(x) },
              else_branch = g2 () => (float[2, 3] b) {
                p = Constant<value = float[2] {1.0, 2.0}>()
                q = Constant<value = float[3] {1.0, 2.0, 3.0}>()
                r = Add(p, q)
                b = Add(x, r)
              }>
        }"""
    )
    s = onnxforge.Session(model)
    np.testing.assert_array_equal(s.run({"c": True, **X})["y"], -X["x"])
    with pytest.raises(onnxforge.Error, match="2 against 3"):
        s.run({"c": False, **X})


def conv_bn(*, bias=True, extra="", output="y", training=0, opset=15):
    rng = np.random.default_rng(3)
    w_in = "w, b" if bias else "w"
    mode = f"<training_mode = {training}>" if opset >= 14 else ""
    model = parse(
        f"""agraph (float[2, 3, 5, 5] x) => (float[2, 4, 5, 5] y) {{
            c = Conv<pads = [1, 1, 1, 1]>(x, {w_in})
            {output} = BatchNormalization{mode}(c, scale, shift, mean, var)
            {extra}
        }}""",
        opset,
    )
    tensors = {
        "w": rng.standard_normal((4, 3, 3, 3)), "scale": rng.standard_normal(4),
        "shift": rng.standard_normal(4), "mean": rng.standard_normal(4), "var": rng.random(4) + 0.1,
    }  # fmt: skip
    if bias:
        tensors["b"] = rng.standard_normal(4)
    model.graph.initializer.extend(
        numpy_helper.from_array(value.astype(np.float32), name) for name, value in tensors.items()
    )
    return model


IMAGE = {"x": np.random.default_rng(5).standard_normal((2, 3, 5, 5)).astype(np.float32)}


@pytest.mark.parametrize("opset", [7, 9, 14, 15])
@pytest.mark.parametrize("bias", [True, False])
def test_batch_norm_goes_into_the_conv_before_it(bias, opset):
    model = conv_bn(bias=bias, opset=opset)
    assert operators(model, IMAGE) == ["Conv"]
    assert_same_numbers(model, IMAGE, tolerance=1e-5)


def test_batch_norm_stays_where_the_conv_is_read_twice():
    model = conv_bn(extra="y = Add(n, c)", output="n")
    assert operators(model, IMAGE) == ["Conv", "BatchNormalization", "Add"]
    assert_same_numbers(model, IMAGE)


def test_batch_norm_with_zero_variance_and_epsilon_keeps_its_result():
    model = conv_bn()
    for tensor in model.graph.initializer:
        if tensor.name == "var":
            tensor.CopyFrom(numpy_helper.from_array(np.full(4, -1e-5, np.float32), "var"))
    optimised = onnxforge.Session(model).run(IMAGE)["y"]
    plain = onnxforge.Session(model, optimize=False).run(IMAGE)["y"]
    np.testing.assert_array_equal(np.isfinite(optimised), np.isfinite(plain))
