"""Wrong arguments, broken and hostile models: one clear error each, and no crash."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from contextlib import suppress

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxforge
from onnxforge import InvalidArgumentError, InvalidModelError, ModelIOError, UnsupportedError
from tests.python.support import parse, session


@pytest.fixture
def tiny(tiny_path):
    return onnxforge.Session(tiny_path)


X = np.zeros((2, 3), np.float32)
BIAS = np.zeros(3, np.float32)


# Arguments


@pytest.mark.parametrize(
    ("feeds", "message"),
    [
        ({"x": X}, r"input 'bias' \(float32\[3\]\) is missing; .*inputs are: 'x', 'bias'"),
        ({"x": X, "bias": BIAS, "z": X}, r"no input 'z'; its inputs are: 'x', 'bias'"),
        ({"x": X.astype("f8"), "bias": BIAS}, r"'x': expected float32.*, got float64\[2, 3\]"),
        ({"x": X[0], "bias": BIAS}, r"expected float32\[N, 3\], got float32\[3\]; the rank is 1"),
        ({"x": X[:, :2], "bias": BIAS}, r"got float32\[2, 2\]; axis 1 is 2, not 3"),
        ({"x": None, "bias": BIAS}, r"input 'x': expected float32\[N, 3\], got None"),
        ({"x": [X], "bias": BIAS}, r"the rank is 3, not 2"),
        ({"x": {"a": 1}, "bias": BIAS}, r"input 'x': expected .*got a dict"),
        ({"x": "text", "bias": BIAS}, r"input 'x': expected float32\[N, 3\], got str"),
        ({"x": np.array([[1, "a"]], object), "bias": BIAS}, r"input 'x'.*Python objects"),
        ({"x": [[1, 2, 3], [4]], "bias": BIAS}, r"'x': a list that numpy.asarray cannot"),
        ({"x": X.astype("i8").astype("M8[s]"), "bias": BIAS}, r"no element type.*datetime64"),
        ({"x": X.astype(np.longdouble), "bias": BIAS}, r"no element type|got float64"),
    ],
)  # fmt: skip
def test_a_wrong_input_is_named_with_what_was_expected_and_what_came(tiny, feeds, message):
    with pytest.raises(InvalidArgumentError, match=message):
        tiny.run(feeds)


def test_a_session_works_on_after_an_error(tiny):
    for _ in range(3):
        with pytest.raises(InvalidArgumentError):
            tiny.run({"x": X})
        assert tiny.run({"x": X, "bias": BIAS})["y"].shape == (2, 3)


def test_a_wrong_output_is_named(tiny):
    with pytest.raises(InvalidArgumentError, match="no output 'z'; its outputs are: 'y'"):
        tiny.run({"x": X, "bias": BIAS}, ["z"])
    with pytest.raises(InvalidArgumentError, match=r"write \['y'\]"):
        tiny.run({"x": X, "bias": BIAS}, "y")


def test_wrong_options_are_named(tiny_path):
    with pytest.raises(InvalidArgumentError, match=r"AVX9.*reference"):
        onnxforge.Session(tiny_path, tier="AVX9")
    with pytest.raises(InvalidArgumentError, match=r"threads must be.*-1"):
        onnxforge.Session(tiny_path, threads=-1)
    with pytest.raises(InvalidArgumentError, match="not a int"):
        onnxforge.load(5)


def test_every_error_is_also_the_builtin_it_refines():
    assert issubclass(InvalidArgumentError, ValueError)
    assert issubclass(InvalidModelError, ValueError)
    assert issubclass(UnsupportedError, NotImplementedError)
    assert issubclass(ModelIOError, OSError)
    for error in (InvalidArgumentError, InvalidModelError, UnsupportedError, ModelIOError):
        assert issubclass(error, onnxforge.Error)
        assert error.__module__ == "onnxforge"


# A node that fails


def test_a_failing_node_is_named():
    s = session(
        "agraph (float[N] a, float[M] b) => (float[K] y) { [the_sum] c = Add(a, b) y = Neg(c) }"
    )
    with pytest.raises(onnxforge.Error, match=r"(?s)2 against 3.*in node 'the_sum' \(Add\)"):
        s.run({"a": np.ones(2, np.float32), "b": np.ones(3, np.float32)})
    assert s.run({"a": [1.0], "b": [1.0, 2.0]})["y"].tolist() == [-2, -3]


def test_a_failing_node_in_a_body_is_named_with_the_nodes_around_it():
    s = session(
        """agraph (bool c, float[N] a, float[M] b) => (float[K] y) {
            [outer] y = If(c) <
              then_branch = g1 () => (float[K] t) { [inner] t = Add(a, b) },
              else_branch = g2 () => (float[K] e) { e = Identity(a) }>
        }"""
    )
    with pytest.raises(
        onnxforge.Error, match=r"(?s)in node 'inner' \(Add\).*in node 'outer' \(If\)"
    ):
        s.run({"c": True, "a": np.ones(2, np.float32), "b": np.ones(3, np.float32)})


def test_data_that_asks_for_giant_memory_is_an_error():
    s = session(
        "agraph (int64[N] shape) => (float[] y) "
        "{ t = ConstantOfShape(shape) y = ReduceSum<keepdims = 0>(t) }"
    )
    assert s.run({"shape": [2, 2]})["y"] == 0
    for shape in ([1 << 40, 1 << 20], [1 << 62, 1 << 62], [-5]):
        with pytest.raises(onnxforge.Error, match="ConstantOfShape"):
            s.run({"shape": shape})
    assert s.run({"shape": [2, 2]})["y"] == 0


# Models


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ModelIOError, match=r"nowhere\.onnx"):
        onnxforge.load(tmp_path / "nowhere.onnx")
    with pytest.raises(ModelIOError, match=r"."):
        onnxforge.load(tmp_path)


@pytest.mark.parametrize(
    "data", [b"", b"\x00", b"not a model", b"\xff" * 100, bytes(range(256)) * 4]
)
def test_bytes_that_are_no_model(data):
    with pytest.raises(InvalidModelError):
        onnxforge.Session(data)


def test_each_truncation_of_a_model_is_an_error_or_a_smaller_model(tiny_path):
    data = tiny_path.read_bytes()
    for end in range(len(data)):
        with pytest.raises(onnxforge.Error):
            onnxforge.Session(data[:end]).run({"x": X, "bias": BIAS}, ["y"])


def mutants(data, count):
    generator = random.Random(7)
    for _ in range(count):
        mutant = bytearray(data)
        for _ in range(generator.randint(1, 4)):
            mutant[generator.randrange(len(mutant))] = generator.randrange(256)
        yield bytes(mutant)


def test_random_damage_is_an_error_or_harmless():
    model = parse(
        """agraph (float[2, 3] x, int64 n) => (float[K, 3] y) {
            w = Constant<value = float[3] {1.0, 2.0, 3.0}>()
            t = MatMul(x, v)
            r = Relu(t)
            cond = Constant<value = bool {1}>()
            f, scans = Loop(n, cond, r) <body = b (int64 i, bool c, float[2, 3] s)
                    => (bool d, float[2, 3] u, float[2, 3] o) {
                d = Identity(c)
                u = Add(s, w)
                o = Identity(u)
            }>
            y = Concat<axis = 0>(f, x)
        }"""
    )
    model.graph.initializer.append(numpy_helper.from_array(np.eye(3, dtype=np.float32), "v"))
    data = model.SerializeToString()
    feeds = {"x": X, "n": np.int64(3)}
    assert onnxforge.Session(data).run(feeds)["y"].shape == (4, 3)
    survived = 0
    for mutant in mutants(data, 1500):
        with suppress(onnxforge.Error):  # anything else, a crash not least, fails
            onnxforge.Session(mutant, threads=1).run(feeds)
            survived += 1
    assert 0 < survived < 1500


def test_an_unknown_operator_is_named():
    model = parse("agraph (float[1] x) => (float[1] y) { [odd] y = Relu(x) }")
    model.graph.node[0].op_type = "Frobnicate"
    with pytest.raises(onnxforge.Error, match="Frobnicate"):
        onnxforge.Session(model)
    model.graph.node[0].domain = "com.example"
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    with pytest.raises(onnxforge.Error, match="Frobnicate"):
        onnxforge.Session(model)


def test_a_cycle_is_named():
    model = parse("agraph (float[1] x) => (float[1] y) { a = Add(x, b) b = Neg(a) y = Neg(b) }")
    with pytest.raises(InvalidModelError):
        onnxforge.Session(model)


@pytest.mark.parametrize(
    ("node", "said"),
    [
        (helper.make_node("MatMul", ["x", ""], ["y"]), "its input 'B' is left out"),
        (helper.make_node("Transpose", [""], ["y"]), "its input 'data' is left out"),
        (
            helper.make_node(
                "LinearAttention", ["x", "x", "x"], ["y", "s"], q_num_heads=2, kv_num_heads=2
            ),
            "its input 'data' is left out.*LinearAttention",
        ),
    ],
)
def test_an_input_that_is_left_out_and_must_not_be_is_named(node, said):
    x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 2, 3, 4])
    outputs = [helper.make_value_info(name, onnx.TypeProto()) for name in node.output]
    graph = helper.make_graph([node], "g", [x], outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 27)], ir_version=10)
    for optimize in (True, False):
        with pytest.raises(onnxforge.InvalidModelError, match=f"(?s){said}"):
            onnxforge.Session(model, optimize=optimize)


def test_a_value_that_nothing_makes_is_named():
    model = parse("agraph (float[1] x) => (float[1] y) { y = Add(x, weights_lost) }")
    with pytest.raises(InvalidModelError, match="weights_lost"):
        onnxforge.Session(model)


@pytest.mark.parametrize(
    "dims",
    [[-1], [1 << 40, 1 << 40], [1 << 62], [3, -2]],
    ids=["negative", "overflow", "giant", "mixed"],
)
def test_hostile_extents_of_initialisers(dims):
    model = parse("agraph (float[1] x) => (float[1] y) { y = Add(x, w) }")
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims, raw_data=b"\0" * 4)
    model.graph.initializer.append(tensor)
    with pytest.raises(InvalidModelError, match="w"):
        onnxforge.Session(model)


@pytest.mark.parametrize("location", ["/etc/passwd", "../secret.bin", "a/../../secret.bin", ""])
def test_external_data_outside_the_folder_is_refused(tmp_path, location):
    folder = tmp_path / "models"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(b"\0" * 4096)
    model = parse("agraph (float[1] x) => (float[1] y) { y = Add(x, w) }")
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    model.graph.initializer.append(tensor)
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(onnxforge.Error, match=r"w|external"):
        onnxforge.Session(folder / "m.onnx")


def field(number, payload):
    """One length-delimited field in protobuf's wire format."""
    length, size = b"", len(payload)
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + payload


@pytest.mark.parametrize("depth", [40, 5000])
def test_bodies_nested_without_end_are_refused(depth):
    # Built as bytes: the Python library refuses to nest messages that deep.
    output = field(12, field(1, b"y") + field(2, field(1, b"\x08\x01")))
    graph = field(1, field(1, b"x") + field(2, b"y") + field(4, b"Identity")) + output
    for _ in range(depth):
        branches = b"".join(
            field(5, field(1, name) + field(6, body) + b"\xa0\x01\x05")
            for name, body in [
                (b"then_branch", graph),
                (b"else_branch", graph if depth < 9 else field(2, b"e")),
            ]
        )
        graph = field(1, field(1, b"c") + field(2, b"y") + field(4, b"If") + branches) + output
    model = b"\x08\x0a" + field(8, b"\x0a\x00\x10\x15") + field(7, field(2, b"deep") + graph)
    with pytest.raises(InvalidModelError):
        onnxforge.Session(model)


def test_a_function_that_calls_itself_is_refused():
    model = parse("agraph (float[1] x) => (float[1] y) { y = Relu(x) }")
    call = helper.make_node("Again", ["a"], ["b"], domain="local")
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("local", 1)]
    model.functions.append(helper.make_function("local", "Again", ["a"], ["b"], [call], opsets))
    model.opset_import.append(opsets[1])
    model.graph.node[0].op_type = "Again"
    model.graph.node[0].domain = "local"
    with pytest.raises(onnxforge.Error, match="Again"):
        onnxforge.Session(model)


def test_a_file_being_replaced_stays_whole_when_saving_fails(tiny_path, tmp_path):
    target = tmp_path / "folder-that-is-missing" / "m.onnx"
    with pytest.raises(ModelIOError, match="folder-that-is-missing"):
        onnxforge.save(tiny_path, target)
    before = tiny_path.read_bytes()
    (tmp_path / "dir.onnx").mkdir()
    with pytest.raises(ModelIOError, match=r"dir\.onnx"):
        onnxforge.save(tiny_path, tmp_path / "dir.onnx")
    assert tiny_path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dir.onnx", "tiny.onnx"]


# Interrupts

ENDLESS = """
agraph (float[1] x) => (float[1] y) {
    n = Constant<value = int64 {9223372036854775807}>()
    c = Constant<value = bool {1}>()
    y = Loop(n, c, x) <body = b (int64 i, bool ci, float[1] s) => (bool co, float[1] t) {
        co = Identity(ci)
        t = Neg(s)
    }>
}
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
def test_ctrl_c_ends_a_run():
    program = """
import signal, sys, onnxforge
# Also where Ctrl-C is ignored: in the background of a shell.
signal.signal(signal.SIGINT, signal.default_int_handler)
session = onnxforge.Session(sys.stdin.buffer.read())
print("running", flush=True)
try:
    session.run({"x": [1.0]})
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdin.write(parse(ENDLESS).SerializeToString())
        process.stdin.close()
        assert process.stdout.readline() == b"running\n"
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(timeout=20) == 0
        finally:
            process.kill()
        assert process.stdout.read() == b"interrupted\n"


def test_load_is_not_fooled_by_a_proto_like_object():
    class Fake:
        def SerializeToString(self):  # noqa: N802
            return b"nonsense"

    with pytest.raises(InvalidModelError):
        onnxforge.load(Fake())


def test_onnx_version_mismatch_is_no_obstacle(tiny_path):
    # Only bytes are taken from a ModelProto, so that any version of onnx will do.
    class Old:
        def SerializeToString(self):  # noqa: N802
            return onnx.load(tiny_path).SerializeToString()

    assert onnxforge.load(Old()).summary().nodes == 2
