"""What the package promises: sources, types, arrays in and out, memory."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxforge
from tests.python.support import parse, session

NUMPY_DTYPES = [
    "float32", "uint8", "int8", "uint16", "int16", "int32", "int64", "bool", "float16",
    "float64", "uint32", "uint64", "complex64", "complex128",
]  # fmt: skip
ML_DTYPES = [
    "bfloat16", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "uint4",
    "int4", "float4_e2m1fn", "float8_e8m0fnu", "uint2", "int2", "float6_e2m3fn", "float6_e3m2fn",
]  # fmt: skip


def identity_model(elem_type, shape=("N",), opset=25):
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "identity",
        [helper.make_tensor_value_info("x", elem_type, shape)],
        [helper.make_tensor_value_info("y", elem_type, shape)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


# Models


def test_a_model_loads_from_each_kind_of_source(tiny_path):
    data = tiny_path.read_bytes()
    for source in (
        str(tiny_path),
        tiny_path,
        data,
        bytearray(data),
        memoryview(data),
        onnx.load(tiny_path),
    ):
        assert onnxforge.load(source).summary().nodes == 2


def test_a_loaded_model_is_passed_through(tiny_path):
    model = onnxforge.load(tiny_path)
    assert onnxforge.load(model) is model


def test_the_summary_says_what_the_model_is(tiny_path):
    summary = onnxforge.load(tiny_path).summary()
    assert [str(value) for value in summary.inputs] == ["x: float32[N, 3]", "bias: float32[3]"]
    assert summary.operators == {"Add": 1, "Relu": 1}
    assert summary.opsets == {"": 21}
    assert "x: float32[N, 3]" in repr(onnxforge.load(tiny_path))


def test_check_accepts_a_valid_model_and_names_what_is_wrong_with_another(tiny_path):
    onnxforge.check(tiny_path, full=True)
    broken = onnx.load(tiny_path)
    broken.graph.node[0].op_type = "NoSuchOperator"
    with pytest.raises(onnxforge.InvalidModelError, match="NoSuchOperator"):
        onnxforge.check(broken)


def test_infer_shapes_fills_in_inner_values(tiny_path):
    inferred = onnx.load_from_string(onnxforge.infer_shapes(tiny_path).serialize())
    assert [value.name for value in inferred.graph.value_info] == ["sum"]


def test_convert_version_changes_the_operator_set(tiny_path):
    converted = onnxforge.convert_version(tiny_path, 18)
    assert converted.summary().opsets[""] == 18
    assert onnxforge.load(tiny_path).summary().opsets[""] == 21


def test_save_writes_what_load_reads(tiny_path, tmp_path):
    onnxforge.save(tiny_path, tmp_path / "again.onnx")
    assert onnx.load(tmp_path / "again.onnx") == onnx.load(tiny_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again.onnx", "tiny.onnx"]


def test_save_puts_large_tensors_beside_the_model(tmp_path):
    weights = np.arange(4096, dtype=np.float32)
    model = parse("agraph (float[4096] x) => (float[4096] y) { y = Add(x, w) }")
    model.graph.initializer.append(numpy_helper.from_array(weights, "w"))
    path = tmp_path / "big.onnx"
    onnxforge.save(model, path, external_data_threshold=1024)
    assert (tmp_path / "big.onnx.data").stat().st_size >= weights.nbytes
    assert path.stat().st_size < 1024
    result = onnxforge.Session(path).run({"x": weights})
    np.testing.assert_array_equal(result["y"], 2 * weights)


# Sessions


def test_a_session_says_what_it_takes_and_gives(tiny_path):
    s = onnxforge.Session(tiny_path, threads=1)
    assert [(v.name, v.dtype, v.shape) for v in s.inputs] == [
        ("x", "float32", ("N", 3)),
        ("bias", "float32", (3,)),
    ]
    assert [v.name for v in s.outputs] == ["y"]
    assert s.threads == 1
    assert "float32[N, 3]" in repr(s)


@pytest.mark.parametrize("optimize", [True, False])
@pytest.mark.parametrize("tier", ["auto", "reference"])
def test_run_computes(tiny_path, tier, optimize):
    s = onnxforge.Session(tiny_path, tier=tier, optimize=optimize)
    assert s.tier == tier
    x = np.array([[1, -2, 3], [-4, 5, -6]], np.float32)
    bias = np.array([1, 1, 1], np.float32)
    np.testing.assert_array_equal(s.run({"x": x, "bias": bias})["y"], np.maximum(x + bias, 0))


def test_every_tier_of_the_machine_can_be_forced(tiny_path):
    tiers = onnxforge.build_info().tiers
    assert {"auto", "reference"} <= set(tiers)
    for tier in tiers:
        result = onnxforge.Session(tiny_path, tier=tier).run({"x": [[1, 2, 3]], "bias": [0, 0, 0]})
        np.testing.assert_array_equal(result["y"], [[1, 2, 3]])


def test_outputs_come_in_the_order_asked_for():
    s = session("agraph (float[1] x) => (float[1] a, float[1] b) { a = Neg(x) b = Add(x, x) }")
    feed = {"x": np.ones(1, np.float32)}
    assert list(s.run(feed)) == ["a", "b"]
    assert list(s.run(feed, ["b", "a"])) == ["b", "a"]
    assert s.run(feed, ["b"]) == {"b": np.float32(2)}


def test_inputs_with_a_default_may_be_left_out_and_overridden():
    model = parse("agraph (float[1] x, float[1] w) => (float[1] y) { y = Mul(x, w) }")
    model.graph.initializer.append(numpy_helper.from_array(np.array([3], np.float32), "w"))
    s = onnxforge.Session(model)
    assert [v.name for v in s.inputs] == ["x"]
    assert [v.name for v in s.overridable_inputs] == ["w"]
    assert s.run({"x": [2.0]})["y"] == 6
    assert s.run({"x": [2.0], "w": [5.0]})["y"] == 10
    assert s.run({"x": [2.0]})["y"] == 6


def test_only_numpy_is_needed(tmp_path):
    program = """
import sys, onnxforge
onnxforge.Session(open(sys.argv[1], "rb").read()).run({"x": [[1, 2, 3]], "bias": [0, 0, 0]})
assert "onnxforge.profile" not in sys.modules  # nor what it needs
assert {"Profile", "build_info"} <= set(dir(onnxforge))
loaded = {name.partition(".")[0] for name in sys.modules}
assert not loaded & {"onnx", "ml_dtypes", "google", "onnxruntime"}, loaded
assert "numpy" in loaded
"""
    model = parse("agraph (float[N,3] x, float[3] bias) => (float[N,3] y) { y = Add(x, bias) }")
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    subprocess.run([sys.executable, "-c", program, str(path)], check=True)


def test_what_is_imported_on_demand_is_there():
    for name in onnxforge.__all__:
        assert getattr(onnxforge, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Sessions'"):
        _ = onnxforge.Sessions


def test_the_version_is_one():
    assert onnxforge.build_info().version == onnxforge.__version__


# Arrays


@pytest.mark.parametrize("name", NUMPY_DTYPES)
def test_each_dtype_of_numpy_passes_through(name):
    elem = helper.np_dtype_to_tensor_dtype(np.dtype(name))
    x = (np.arange(7) % 2 if name == "bool" else np.arange(7)).astype(name)
    y = onnxforge.Session(identity_model(elem)).run({"x": x})["y"]
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(y, x)


@pytest.mark.parametrize("name", ML_DTYPES)
def test_each_dtype_of_ml_dtypes_passes_through(name):
    dtype = np.dtype(getattr(ml_dtypes, name))
    width = 2 if name.endswith("int2") else 6 if name.startswith("float6") else 4
    bits = np.arange(1 << width, dtype=np.uint8)
    x = bits.view(dtype) if "float" in name and dtype.itemsize == 1 else bits.astype(dtype)
    s = onnxforge.Session(identity_model(helper.np_dtype_to_tensor_dtype(dtype)))
    assert s.inputs[0].dtype == name
    y = s.run({"x": x})["y"]
    assert y.dtype == dtype
    np.testing.assert_array_equal(y.view(np.uint8), x.view(np.uint8))


def test_a_missing_ml_dtypes_is_named():
    # A fresh interpreter in which the package cannot be imported.
    model = parse("agraph (float[N] x) => (bfloat16[N] y) { y = Cast<to = 16>(x) }")
    program = """
import sys
sys.modules["ml_dtypes"] = None
import onnxforge
try:
    onnxforge.Session(sys.stdin.buffer.read()).run({"x": [1.0]})
except onnxforge.UnsupportedError as error:
    assert "bfloat16" in str(error) and "ml_dtypes" in str(error), error
else:
    raise SystemExit("no error")
"""
    subprocess.run([sys.executable, "-c", program], input=model.SerializeToString(), check=True)


LAYOUTS = {
    "contiguous": lambda a: a,
    "transposed": np.asfortranarray,
    "strided": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "reversed": lambda a: a[::-1, ::-1].copy()[::-1, ::-1],
    "byte-swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "unaligned": lambda a: (
        np.frombuffer(b"." + a.tobytes(), np.uint8)[1:].view(a.dtype).reshape(a.shape)
    ),
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_arrays_of_any_layout_mean_what_they_show(layout):
    s = session("agraph (float[N, M] x) => (float[N, M] y) { y = Neg(x) }")
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.testing.assert_array_equal(s.run({"x": LAYOUTS[layout](x)})["y"], -x)


@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3), (1,) * 10])
def test_scalars_empty_arrays_and_many_axes(shape):
    declared = ", ".join(map(str, shape))
    s = session(f"agraph (float[{declared}] x) => (float[{declared}] y) {{ y = Neg(x) }}")
    y = s.run({"x": np.ones(shape, np.float32)})["y"]
    assert isinstance(y, np.ndarray)
    np.testing.assert_array_equal(y, -np.ones(shape, np.float32), strict=True)


def test_numbers_and_lists_take_the_declared_dtype():
    s = session(
        "agraph (float[] x, int64[N] i) => (float[] y, int64[N] j) { y = Neg(x) j = Neg(i) }"
    )
    result = s.run({"x": 2, "i": [1, 2]})
    assert result["y"].dtype == np.float32
    assert result["y"] == -2
    np.testing.assert_array_equal(result["j"], [-1, -2], strict=True)
    with pytest.raises(onnxforge.InvalidArgumentError, match=r"'i': expected int64.*got float64"):
        s.run({"x": 2, "i": [1.5]})


@pytest.mark.parametrize(
    "array",
    [
        np.array(["a", "żółw", ""]),
        np.array(["a", "żółw", ""], dtype=object),
        np.array([b"a", "żółw".encode(), b""]),
        pytest.param(["a", "żółw", ""], id="list"),
    ],
)
def test_strings_of_each_kind(array):
    s = onnxforge.Session(identity_model(TensorProto.STRING))
    y = s.run({"x": array})["y"]
    assert y.dtype == object
    assert y.tolist() == ["a", "żółw", ""]


@pytest.mark.skipif(not hasattr(np.dtypes, "StringDType"), reason="NumPy before 2.0 has none")
def test_strings_of_variable_width():
    x = np.array([["a", "żółw" * 100]], dtype=np.dtypes.StringDType())
    y = onnxforge.Session(identity_model(TensorProto.STRING, ("N", "M"))).run({"x": x})["y"]
    assert y.tolist() == x.tolist()


def test_bytes_that_are_not_text_survive():
    y = onnxforge.Session(identity_model(TensorProto.STRING)).run({"x": np.array([b"\xff\xfe"])})[
        "y"
    ]
    assert y[0].encode("utf-8", "surrogateescape") == b"\xff\xfe"
    again = onnxforge.Session(identity_model(TensorProto.STRING)).run({"x": y})["y"]
    assert again[0] == y[0]


def sequence_model(node, inputs, outputs):
    graph = helper.make_graph([node], "g", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def test_sequences_are_lists():
    tensors = helper.make_tensor_sequence_value_info
    model = sequence_model(
        helper.make_node("Identity", ["s"], ["t"]),
        [tensors("s", TensorProto.FLOAT, None)],
        [tensors("t", TensorProto.FLOAT, None)],
    )
    s = onnxforge.Session(model)
    assert s.inputs[0].kind == "sequence"
    given = [np.ones((2,), np.float32), np.zeros((1, 3), np.float32)]
    result = s.run({"s": given})["t"]
    assert isinstance(result, list)
    for actual, expected in zip(result, given, strict=True):
        np.testing.assert_array_equal(actual, expected, strict=True)
        assert not np.shares_memory(actual, expected)
    assert s.run({"s": []})["t"] == []


def test_optionals_are_none_or_the_value():
    tensor_type = helper.make_tensor_type_proto(TensorProto.FLOAT, ["N"])
    optional = helper.make_optional_type_proto(tensor_type)
    model = sequence_model(
        helper.make_node("Identity", ["o"], ["p"]),
        [helper.make_value_info("o", optional)],
        [helper.make_value_info("p", optional)],
    )
    s = onnxforge.Session(model)
    assert s.run({"o": None})["p"] is None
    assert s.run({})["p"] is None
    np.testing.assert_array_equal(s.run({"o": np.ones(2, np.float32)})["p"], [1, 1])


# Memory


def test_contiguous_input_is_not_copied_and_other_input_is():
    s = session("agraph (float[N, M] x) => (float[1, 1] y) { y = ReduceMax(x) }", threads=1)
    x = np.zeros((1000, 4000), np.float32)

    def peak(array):
        s.run({"x": array})
        tracemalloc.start()
        s.run({"x": array})
        allocated = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return allocated

    assert peak(x) < x.nbytes / 100
    assert peak(np.asfortranarray(x)) >= x.nbytes


def test_outputs_own_their_memory():
    s = session(
        "agraph (float[N] x) => (float[N] y, float[N] z) { t = Neg(x) y = Neg(t) z = Abs(t) }"
    )
    kept = [s.run({"x": np.full(1000, i, np.float32)}) for i in range(6)]
    del s
    for i, result in enumerate(kept):
        np.testing.assert_array_equal(result["y"], np.full(1000, i))
        np.testing.assert_array_equal(result["z"], np.full(1000, i))
        assert result["y"].flags.writeable


def test_an_output_shares_nothing_with_inputs_constants_or_other_outputs():
    model = parse(
        "agraph (float[2] x) => (float[2] a, float[2] b, float[2] c) "
        "{ a = Identity(x) b = Identity(w) c = Identity(w) }"
    )
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 2], np.float32), "w"))
    s = onnxforge.Session(model)
    x = np.array([7, 8], np.float32)
    result = s.run({"x": x})
    for name in "abc":
        result[name][:] = -1
    np.testing.assert_array_equal(x, [7, 8])
    again = s.run({"x": x})
    np.testing.assert_array_equal(again["a"], [7, 8])
    np.testing.assert_array_equal(again["b"], [1, 2])
    np.testing.assert_array_equal(again["c"], [1, 2])


@pytest.mark.parametrize("optimize", [True, False])
def test_inputs_are_never_written_to(optimize):
    s = session(
        "agraph (float[N] x) => (float[N] y) { a = Relu(x) b = Neg(a) y = Add(b, x) }",
        optimize=optimize,
    )
    x = np.linspace(-1, 1, 100, dtype=np.float32)
    before = x.copy()
    for _ in range(3):
        s.run({"x": x})
    np.testing.assert_array_equal(x, before)
