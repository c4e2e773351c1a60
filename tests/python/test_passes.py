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


@pytest.mark.parametrize(
    ("extent", "left"), [(1000, ["Add"]), (13000, ["ConstantOfShape", "ReduceMax", "Add"])]
)
def test_results_are_folded_up_to_a_size(extent, left):
    body = (
        f"s = Constant<value = int64[2] {{{extent}, {extent}}}>() big = ConstantOfShape(s) "
        "m = ReduceMax<keepdims = 0>(big) y = Add(x, m)"
    )
    model = parse(f"agraph (float[2, 3] x) => (float[2, 3] y) {{ {body} }}")
    assert operators(model, X) == left


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
    assert operators(model, IMAGE) == ["Transpose", "Conv", "Transpose"]
    assert_same_numbers(model, IMAGE, tolerance=1e-5)


def test_batch_norm_stays_where_the_conv_is_read_twice():
    model = conv_bn(extra="y = Add(n, c)", output="n")
    assert operators(model, IMAGE) == ["Transpose", "Conv", "Affine", "Add", "Transpose"]
    assert_same_numbers(model, IMAGE)


def test_batch_norm_with_zero_variance_and_epsilon_keeps_its_result():
    model = conv_bn()
    for tensor in model.graph.initializer:
        if tensor.name == "var":
            tensor.CopyFrom(numpy_helper.from_array(np.full(4, -1e-5, np.float32), "var"))
    optimised = onnxforge.Session(model).run(IMAGE)["y"]
    plain = onnxforge.Session(model, optimize=False).run(IMAGE)["y"]
    np.testing.assert_array_equal(np.isfinite(optimised), np.isfinite(plain))


def image_model(body, *, opset=15, shape="2, 3, 5, 5", out="float y"):
    """A model over an image with weights w [4, 3, 3, 3], v [4, 4, 3, 3] and b [4]."""
    rng = np.random.default_rng(7)
    model = parse(f"agraph (float[{shape}] x) => ({out}) {{ {body} }}", opset)
    tensors = {
        "w": rng.standard_normal((4, 3, 3, 3)) * 0.3,
        "v": rng.standard_normal((4, 4, 3, 3)) * 0.3,
        "b": rng.standard_normal(4),
        "channel": rng.standard_normal((4, 1, 1)),
    }
    model.graph.initializer.extend(
        numpy_helper.from_array(value.astype(np.float32), name)
        for name, value in tensors.items()
        if name in body
    )
    return model


SAME = "<pads = [1, 1, 1, 1]>"


@pytest.mark.parametrize(
    ("body", "left"),
    [
        # sink_transposes and fuse_activation
        (f"c = Conv{SAME}(x, w, b) r = Relu(c) y = Conv{SAME}(r, v)", ["Conv", "Conv"]),
        (f"c = Conv{SAME}(x, w, b) r = HardSwish(c) y = Conv{SAME}(r, v)", ["Conv", "Conv"]),
        (
            f"c = Conv{SAME}(x, w) s = Sigmoid(c) m = Mul(c, s) y = Conv{SAME}(m, v)",
            ["Conv", "Conv"],
        ),
        (
            f"c = Conv{SAME}(x, w) m = MaxPool<kernel_shape = [2, 2]>(c) y = Conv{SAME}(m, v)",
            ["Conv", "MaxPool", "Conv"],
        ),
        (
            f"c = Conv{SAME}(x, w) p, q = Split<axis = 1>(c) r = Concat<axis = 1>(q, p) "
            f"y = Conv{SAME}(r, v)",
            ["Conv", "Split", "Concat", "Conv"],
        ),
        (
            f"c = Conv{SAME}(x, w) s = Constant<value = float[4] {{1.0, 1.0, 2.0, 2.0}}>() "
            f"r = Resize<mode = \"nearest\">(c, , s) y = Conv{SAME}(r, v)",
            ["Conv", "Resize", "Conv"],
        ),
        (
            f"c = Conv{SAME}(x, w) p = Constant<value = int64[8] {{0, 0, 1, 2, 0, 0, 3, 0}}>() "
            f"r = Pad(c, p) y = Conv{SAME}(r, v)",
            ["Conv", "Pad", "Conv"],
        ),
        (
            f"c = Conv{SAME}(x, w) s = Constant<value = int64[2] {{0, 1}}>() "
            "e = Constant<value = int64[2] {4, 5}>() a = Constant<value = int64[2] {1, 2}>() "
            f"r = Slice(c, s, e, a) y = Conv{SAME}(r, v)",
            ["Conv", "Slice", "Conv"],
        ),
        # fuse_scale
        (f"c = Conv{SAME}(x, w, b) m = Mul(c, channel) y = Conv{SAME}(m, v)", ["Conv", "Conv"]),
        (
            f"c = Conv{SAME}(x, w) r = Relu(c) t = Constant<value_float = 2.0>() m = Mul(r, t) "
            f"a = Add(m, t) y = Conv{SAME}(a, v)",
            ["Conv", "Conv"],
        ),
        # fuse_add: before and after the activation
        (
            f"c = Conv{SAME}(x, w) d = Conv{SAME}(c, v) s = Add(d, c) r = Relu(s) "
            f"y = Conv{SAME}(r, v)",
            ["Conv", "Conv", "Conv"],
        ),
        (
            f"c = Conv{SAME}(x, w) d = Conv{SAME}(c, v) r = Relu(d) s = Add(c, r) "
            f"y = Conv{SAME}(s, v)",
            ["Conv", "Conv", "Conv"],
        ),
        (
            f"c = Conv{SAME}(x, w) r = ReduceMean<axes = [2, 3]>(c) m = Mul(c, r) "
            f"y = Conv{SAME}(m, v)",
            ["Conv", "ReduceMean", "Mul", "Conv"],
        ),
    ],
)  # fmt: skip
def test_images_keep_their_channels_last_between_convolutions(body, left):
    model = image_model(body, opset=14)
    assert [op for op in operators(model, IMAGE) if op != "Transpose"] == left
    assert_same_numbers(model, IMAGE, tolerance=2e-6)
    ends = operators(model, IMAGE)
    assert ends.count("Transpose") == 2, ends


def test_a_channel_shuffle_meets_no_transpose_of_images():
    shuffle = (
        f"c = Conv{SAME}(x, w) s = Constant<value = int64[5] {{2, 2, 2, 5, 5}}>() "
        "t = Constant<value = int64[4] {2, 4, 5, 5}>() g = Reshape(c, s) "
        f"h = Transpose<perm = [0, 2, 1, 3, 4]>(g) r = Reshape(h, t) y = Conv{SAME}(r, v)"
    )
    model = image_model(shuffle)
    assert operators(model, IMAGE).count("Transpose") == 3
    assert_same_numbers(model, IMAGE, tolerance=2e-6)


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("s = Sigmoid(x) y = Mul(s, x)", ["Swish"]),
        ("s = HardSigmoid<alpha = 0.16666667, beta = 0.5>(x) y = Mul(x, s)", ["HardSwish"]),
        (
            "a = Add(x, three) c = Clip(a, zero, six) m = Mul(x, c) y = Div(m, six)",
            ["HardSwish"],
        ),
        ("d = Div(x, root) e = Erf(d) a = Add(e, one) m = Mul(x, a) y = Mul(m, half)", ["Gelu"]),
        ("m = Mul(x, half) d = Div(x, root) e = Erf(d) a = Add(one, e) y = Mul(a, m)", ["Gelu"]),
        (
            "p = Pow(x, three) q = Mul(p, cubic) a = Add(x, q) b = Mul(a, angle) t = Tanh(b) "
            "o = Add(t, one) h = Mul(x, half) y = Mul(h, o)",
            ["Gelu"],
        ),
        ("d = Div(x, root) e = Erf(d) a = Add(e, flat) m = Mul(x, a) y = Mul(m, half)", ["Gelu"]),
        ("d = Div(x, root) e = Erf(d) a = Add(e, deep) m = Mul(x, a) y = Mul(m, half)", None),
        ("d = Div(x, three) e = Erf(d) a = Add(e, one) m = Mul(x, a) y = Mul(m, half)", None),
        ("s = Sigmoid(x) m = Mul(s, x) y = Mul(m, x)", ["Swish", "Mul"]),
        ("p = Pow(x, two) y = Neg(p)", ["Mul", "Neg"]),
        (
            "m = ReduceMean<axes = [-1]>(x) d = Sub(x, m) p = Pow(d, two) "
            "v = ReduceMean<axes = [-1]>(p) "
            "a = Add(v, eps) s = Sqrt(a) n = Div(d, s) k = Mul(n, row) y = Add(k, row)",
            ["LayerNormalization"],
        ),
        (
            "p = Mul(x, x) v = ReduceMean<axes = [-1]>(p) a = Add(v, eps) s = Sqrt(a) "
            "r = Reciprocal(s) n = Mul(x, r) y = Mul(row, n)",
            ["RMSNormalization"],
        ),
        ("m = MatMul(x, square) a = Add(row, m) y = Relu(a)", ["MatMul"]),
        ("m = MatMul(x, square) a = Add(m, x) y = Neg(a)", ["MatMul"]),
        ("q = QuantizeLinear(x, half, byte) y = DequantizeLinear(q, half, byte)", ["FakeQuantize"]),
        ("q = QuantizeLinear(x, half, byte) y = DequantizeLinear(q, one, byte)", None),
    ],
)  # fmt: skip
def test_what_is_written_out_becomes_one_node(body, left):
    model = parse(f"agraph (float[2, 3] x) => (float[2, 3] y) {{ {body} }}", 13)
    numbers = {
        "zero": 0.0, "half": 0.5, "one": 1.0, "two": 2.0, "three": 3.0, "six": 6.0,
        "root": 2.0**0.5, "cubic": 0.044715, "angle": (2 / np.pi) ** 0.5,
        "eps": 1e-5, "row": [1.0, -2.0, 0.5], "flat": [[1.0]], "deep": [[[1.0]]],
        "square": np.arange(9.0).reshape(3, 3) / 5,
    }  # fmt: skip
    model.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value, np.float32), name)
        for name, value in numbers.items()
        if f" {name}" in body or f"({name}" in body
    )
    if "byte" in body:
        model.graph.initializer.append(numpy_helper.from_array(np.uint8(128), "byte"))
    if left is not None:
        assert operators(model, X) == left
    assert_same_numbers(model, X, tolerance=2e-6)


def test_a_pass_can_be_left_out():
    model = parse("agraph (float[2, 3] x) => (float[2, 3] y) { a = Identity(x) y = Neg(a) }")
    assert operators(model, X) == ["Neg"]
    session = onnxforge.Session(model, disable_passes=["eliminate_identity"])
    profile = session.profile(X, warmup=0)
    assert [node.op_type for node in profile.nodes] == ["Identity", "Neg"]


def test_every_pass_can_be_left_out_and_all_of_them():
    passes = onnxforge.build_info().passes
    assert {"fold_constants", "fuse_add", "sink_transposes"} <= set(passes)
    model = parse("agraph (float[2, 3] x) => (float[2, 3] y) { a = Identity(x) y = Neg(a) }")
    for name in passes:
        np.testing.assert_array_equal(
            onnxforge.Session(model, disable_passes=(name,)).run(X)["y"], -X["x"]
        )
    profile = onnxforge.Session(model, disable_passes=passes).profile(X, warmup=0)
    assert [node.op_type for node in profile.nodes] == ["Identity", "Neg"]


@pytest.mark.parametrize("optimize", [True, False])
def test_a_pass_that_is_not_there(optimize):
    model = parse("agraph (float[2, 3] x) => (float[2, 3] y) { y = Neg(x) }")
    with pytest.raises(onnxforge.InvalidArgumentError, match=r"no pass 'fuse_adds'.*fuse_add, "):
        onnxforge.Session(model, optimize=optimize, disable_passes=["fuse_add", "fuse_adds"])
    with pytest.raises(onnxforge.InvalidArgumentError, match=r"write \['fuse_add'\]"):
        onnxforge.Session(model, optimize=optimize, disable_passes="fuse_add")


@pytest.mark.parametrize(
    ("equation", "a", "b", "left"),
    [
        ("bct,bcs->bts", "2, 5, 3", "2, 5, 4", ["Transpose", "MatMul"]),
        ("bts,bcs->bct", "2, 3, 4", "2, 5, 4", ["Transpose", "MatMul", "Transpose"]),
        ("b q h d, b k h d -> b h q k", "N, 3, 2, 5", "N, 4, 2, 5", ["Transpose"] * 2 + ["MatMul"]),
        ("hij,bhjk->bhik", "2, 3, 5", "2, 2, 5, 4", ["Einsum"]),  # a letter that one side lacks
        ("ij,jk->ik", "3, 5", "5, 4", ["MatMul"]),
        ("ij,jk->ik", "3, 1", "5, 4", ["Einsum"]),  # one column, for each of the five
        ("ij,jk->ik", "3, M", "K, 4", ["Einsum"]),
        ("ii,ij->ij", "3, 3", "3, 4", ["Einsum"]),
        ("ij,jk->i", "3, 5", "5, 4", ["Einsum"]),
        ("ij,ij->ij", "3, 4", "3, 4", ["Einsum"]),
        ("ij,jk", "3, 5", "5, 4", ["Einsum"]),
        ("...ij,...jk->...ik", "2, 3, 5", "2, 5, 4", ["Einsum"]),
    ],
)
def test_use_matmul_for_einsum(equation, a, b, left):
    node = f'y = Einsum<equation = "{equation}">(a, b)'
    model = parse(f"agraph (float[{a}] a, float[{b}] b) => (y) {{ {node} }}")
    sizes = {"N": 2, "M": 1, "K": 5}
    rng = np.random.default_rng(0)
    feeds = {
        name: rng.standard_normal([sizes.get(n) or int(n) for n in shape.split(", ")], np.float32)
        for name, shape in (("a", a), ("b", b))
    }
    assert operators(model, feeds) == left
    assert_same_numbers(model, feeds)
