"""onnxruntime's contributed operators (com.microsoft), with onnxruntime's results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from onnx import TensorProto, TypeProto, helper, numpy_helper

import onnxforge
from tests.python.kernel_support import TIERS
from tests.python.support import run_peer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import onnx

rng = np.random.default_rng(0)


def floats(*shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)


def node_model(
    op_type: str,
    inputs: Sequence[np.ndarray | None],
    attributes: Mapping[str, Any],
    outputs: Sequence[tuple[str, int]],
    constants: Sequence[int] = (),
    domain: str = "com.microsoft",
) -> onnx.ModelProto:
    """One node; `outputs` are names and element types, `constants` inputs that are initialisers."""
    names = ["" if value is None else f"x{i}" for i, value in enumerate(inputs)]
    values = {name: value for name, value in zip(names, inputs, strict=True) if name}
    fixed = {names[i] for i in constants}
    node = helper.make_node(
        op_type, names, [name for name, _ in outputs], domain=domain, **attributes
    )
    graph = helper.make_graph(
        [node],
        op_type,
        [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape
            )
            for name, value in values.items()
            if name not in fixed
        ],
        [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs if name],
        [numpy_helper.from_array(values[name], name) for name in names if name in fixed],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def compare(
    op_type: str,
    inputs: Sequence[np.ndarray | None],
    attributes: Mapping[str, Any] | None = None,
    outputs: Sequence[tuple[str, int]] = (("y", TensorProto.FLOAT),),
    *,
    constants: Sequence[int] = (),
    steps: int = 0,
    rtol: float = 1e-4,
    atol: float = 1e-5,
    domain: str = "com.microsoft",
) -> None:
    """Hold both tiers against onnxruntime; `steps`: how far integers may be off."""
    model = node_model(op_type, inputs, attributes or {}, outputs, constants, domain)
    feeds = {
        f"x{i}": value for i, value in enumerate(inputs) if value is not None and i not in constants
    }
    expected = run_peer(model, feeds)
    for tier in TIERS:
        found = list(onnxforge.Session(model, tier=tier).run(feeds).values())
        assert len(found) == len(expected)
        for got, want in zip(found, expected, strict=True):
            assert (got.dtype, got.shape) == (want.dtype, want.shape)
            if want.dtype.kind in "iu":
                assert np.abs(got.astype(np.int64) - want.astype(np.int64)).max(initial=0) <= steps
            else:
                np.testing.assert_allclose(got, want, rtol=rtol, atol=atol)


@pytest.mark.parametrize(
    ("op_type", "inputs", "attributes"),
    [
        ("Gelu", [floats(3, 5)], {}),
        ("FastGelu", [floats(3, 5)], {}),
        ("FastGelu", [floats(3, 5), floats(5)], {}),
        ("BiasGelu", [floats(2, 3, 5), floats(5)], {}),
        ("QuickGelu", [floats(3, 5)], {}),
        ("QuickGelu", [floats(3, 5)], {"alpha": 1.0}),
    ],
)
def test_gelu(op_type, inputs, attributes):
    compare(op_type, inputs, attributes)


@pytest.mark.parametrize(
    ("a", "b", "attributes"),
    [
        ((2, 3, 4), (2, 4, 5), {"alpha": 0.5}),
        ((2, 4, 3), (2, 4, 5), {"transA": 1}),
        ((2, 3, 4), (2, 5, 4), {"transB": 1, "alpha": 2.0}),
        ((4, 3), (5, 4), {"transA": 1, "transB": 1}),
        ((3, 2, 4), (2, 4, 5), {"transBatchA": 1}),
        ((4, 2, 3), (2, 4, 5), {"transBatchA": 1, "transA": 1}),
        ((2, 3, 4), (4, 2, 5), {"transBatchB": 1}),
    ],
)
def test_fused_matmul(a, b, attributes):
    compare("FusedMatMul", [floats(*a), floats(*b)], attributes)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("beta", [False, True])
@pytest.mark.parametrize("skip", [(2, 3, 8), (1, 3, 8), (3, 8)])
def test_skip_layer_normalization(bias, beta, skip):
    inputs = [floats(2, 3, 8), floats(*skip), floats(8), floats(8) if beta else None]
    outputs = [("y", 1), ("", 0), ("", 0), ("sum", 1)]
    compare(
        "SkipLayerNormalization", [*inputs, floats(8) if bias else None], {"epsilon": 1e-5}, outputs
    )


@pytest.mark.parametrize("bias", [False, True])
def test_skip_simplified_layer_normalization(bias):
    inputs = [floats(2, 3, 8), floats(2, 3, 8), floats(8), floats(8) if bias else None]
    outputs = [("y", 1), ("", 0), ("", 0), ("sum", 1)]
    compare("SkipSimplifiedLayerNormalization", inputs, {"epsilon": 1e-5}, outputs)


def test_simplified_layer_normalization_in_the_standards_own_domain():
    compare(
        "SimplifiedLayerNormalization", [floats(2, 3, 8), floats(8)], {"epsilon": 1e-5}, domain=""
    )


@pytest.mark.parametrize("segments", [False, True])
@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize("positions", [False, True])
def test_embed_layer_normalization(segments, mask, positions):
    ids = rng.integers(0, 11, (2, 4)).astype(np.int32)
    inputs = [
        ids,
        rng.integers(0, 2, (2, 4)).astype(np.int32) if segments else None,
        floats(11, 8),
        floats(6, 8),
        floats(2, 8) if segments else None,
        floats(8),
        floats(8),
        np.array([[1, 1, 1, 0], [1, 1, 0, 0]], np.int32) if mask else None,
        np.array([[3, 2, 1, 0], [0, 1, 2, 3]], np.int32) if positions else None,
    ]
    outputs = [("y", 1), ("mask_index", TensorProto.INT32), ("sum", 1)]
    constants = [2, 3, *([4] if segments else []), 5, 6]
    compare("EmbedLayerNormalization", inputs, {"epsilon": 1e-6}, outputs, constants=constants)


@pytest.mark.parametrize(
    ("activation", "parameters"),
    [
        ("Relu", None),
        ("Tanh", None),
        ("Sigmoid", None),
        ("LeakyRelu", [0.2]),
        ("Clip", [-0.5, 0.5]),
        ("HardSigmoid", [0.3, 0.4]),
    ],
)
@pytest.mark.parametrize("added", [False, True])
def test_fused_conv(activation, parameters, added):
    attributes: dict[str, Any] = {"activation": activation, "pads": [1, 1, 1, 1], "strides": [2, 2]}
    if parameters is not None:
        attributes["activation_params"] = parameters
    inputs = [floats(1, 3, 7, 6), floats(4, 3, 3, 3), floats(4), floats(1, 4, 4, 3)]
    compare("FusedConv", inputs[: 4 if added else 3], attributes)


def test_fused_gemm():
    attributes = {"transB": 1, "alpha": 0.5, "activation": "LeakyRelu", "activation_alpha": 0.1}
    compare("FusedGemm", [floats(3, 4), floats(5, 4), floats(5)], attributes)


def scale(value: float) -> np.ndarray:
    return np.array(value, np.float32)


def quantized(dtype: type, *shape: int) -> np.ndarray:
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max + 1, shape).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize("op_type", ["QLinearAdd", "QLinearMul"])
def test_quantized_binary(op_type, dtype):
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    zero = np.array(3, dtype)
    inputs = [
        *(quantized(dtype, 2, 3, 16), scale(0.05), zero),
        *(quantized(dtype, 3, 1), scale(0.03), np.array(7, dtype)),
        *(scale(0.09), zero),
    ]
    compare(op_type, inputs, {}, [("y", kind)], steps=1)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize(
    ("op_type", "attributes"),
    [
        ("QLinearSigmoid", {}),
        ("QLinearLeakyRelu", {"alpha": 0.2}),
        ("QLinearGlobalAveragePool", {"channels_last": 0}),
        ("QLinearGlobalAveragePool", {"channels_last": 1}),
        ("QLinearAveragePool", {"kernel_shape": [2, 3], "pads": [1, 1, 0, 1], "strides": [2, 1]}),
        ("QLinearAveragePool", {"kernel_shape": [2, 2], "channels_last": 1}),
        ("QLinearSoftmax", {"axis": 1, "opset": 13}),
    ],
)
def test_quantized_unary(op_type, attributes, dtype):
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    output_scale = 1 / 256 if op_type in {"QLinearSigmoid", "QLinearSoftmax"} else 0.04
    output_zero = -128 if dtype is np.int8 and output_scale < 0.01 else 0
    inputs = [
        *(quantized(dtype, 2, 4, 6, 5), scale(0.05), np.array(5, dtype)),
        *(scale(output_scale), np.array(output_zero, dtype)),
    ]
    compare(op_type, inputs, attributes, [("y", kind)], constants=[1, 2, 3, 4], steps=1)


def test_quantized_concat():
    inputs = [
        *(scale(0.05), np.array(10, np.uint8)),
        *(quantized(np.uint8, 2, 3), scale(0.04), np.array(8, np.uint8)),
        *(quantized(np.uint8, 2, 2), scale(0.06), np.array(12, np.uint8)),
    ]
    constants = [0, 1, 3, 4, 6, 7]
    compare(
        "QLinearConcat",
        inputs,
        {"axis": 1},
        [("y", TensorProto.UINT8)],
        constants=constants,
        steps=1,
    )


@pytest.mark.parametrize("to_float", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("columns", [False, True], ids=["one scale", "one for each column"])
@pytest.mark.parametrize("transposed", [0, 1])
def test_quantized_gemm(transposed, columns, bias, to_float):
    b = quantized(np.int8, 6, 8) if transposed else quantized(np.int8, 8, 6)
    b_scale = (np.abs(floats(6)) + 0.5) / 50 if columns else scale(0.02)
    inputs = [
        *(quantized(np.uint8, 4, 8), scale(0.03), np.array(120, np.uint8)),
        *(b, b_scale, np.zeros(b_scale.shape, np.int8)),
        rng.integers(-500, 500, 6).astype(np.int32) if bias else None,
    ]
    if to_float:
        kind = TensorProto.FLOAT
    else:
        kind = TensorProto.UINT8
        inputs += [scale(0.4), np.array(128, np.uint8)]
    attributes = {"transB": transposed, "alpha": 1.0}
    constants = [i for i in (1, 2, 3, 4, 5, 7, 8) if i < len(inputs)]
    compare("QGemm", inputs, attributes, [("y", kind)], constants=constants, steps=1, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.int8])
def test_quantize_and_dequantize_in_this_domain(dtype):
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    parameters = [np.abs(floats(3)) / 20, np.array([1, 2, 3], dtype)]
    compare("QuantizeLinear", [floats(2, 3), *parameters], {"axis": 1}, [("y", kind)])
    compare("DequantizeLinear", [quantized(dtype, 2, 3), *parameters], {"axis": 1})


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_dynamic_quantize_matmul(dtype, zero, bias):
    inputs = [
        *(floats(2, 4, 8), quantized(dtype, 8, 6), np.array([0.02], np.float32)),
        np.array([3], dtype) if zero else None,
        floats(6) if bias else None,
    ]
    compare("DynamicQuantizeMatMul", inputs, {}, atol=1e-4)


@pytest.mark.parametrize("by_gate", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("given", [False, True], ids=["plain", "bias, lengths, states, peepholes"])
def test_dynamic_quantize_lstm(direction, dtype, by_gate, given):
    """onnxruntime rounds input and state to eight bits as well: hence the tolerance."""
    directions, steps, hidden, gates = 1 + (direction == "bidirectional"), 4, 8, 32
    grid = (directions, gates) if by_gate else (directions,)
    nought = np.full(grid, 128 if dtype == np.uint8 else 0, dtype)
    optional = [
        *(floats(directions, 2 * gates), np.array([4, 2], np.int32)),
        *(floats(directions, 2, hidden), floats(directions, 2, hidden)),
        floats(directions, 3 * hidden),
    ]
    inputs = [
        *(floats(steps, 2, 6), quantized(dtype, directions, 6, gates)),
        quantized(dtype, directions, hidden, gates),
        *(optional if given else [None] * 5),
        *(rng.uniform(0.002, 0.004, grid).astype(np.float32), nought),
        *(rng.uniform(0.002, 0.004, grid).astype(np.float32), nought),
    ]
    attributes = {"hidden_size": hidden, "direction": direction}
    outputs = [("y", 1), ("last", 1), ("cell", 1)]
    constants = [1, 2, 8, 9, 10, 11]
    compare("DynamicQuantizeLSTM", inputs, attributes, outputs, constants=constants, atol=0.02)


@pytest.mark.parametrize("bias", [False, True])
def test_matmul_integer_to_float(bias):
    inputs = [
        *(quantized(np.uint8, 2, 4, 8), quantized(np.int8, 8, 6)),
        *(scale(0.03), np.abs(floats(6)), np.array(120, np.uint8), np.zeros(6, np.int8)),
        floats(6) if bias else None,
    ]
    compare("MatMulIntegerToFloat", inputs, {}, atol=1e-3)


@pytest.mark.parametrize("constants", [[], [1, 2], [1, 2, 3]], ids=["run time", "some", "all"])
@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize(("bits", "block", "k"), [(4, 16, 48), (4, 32, 40), (8, 32, 64)])
def test_matmul_nbits(bits, block, k, zero, constants):
    blocks = -(-k // block)
    columns = 6
    packed = quantized(np.uint8, columns, blocks, block * bits // 8)
    inputs = [
        *(floats(2, 3, k), packed, np.abs(floats(columns * blocks)) / 8),
        quantized(np.uint8, columns * -(-blocks * bits // 8)) if zero else None,
    ]
    attributes = {"K": k, "N": columns, "bits": bits, "block_size": block}
    constants = [i for i in constants if inputs[i] is not None]
    # With weights of 8 bits that are constants onnxruntime's own sums are only so exact.
    compare("MatMulNBits", inputs, attributes, constants=constants, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("constants", [[1, 2, 3], []], ids=["constants", "run time"])
@pytest.mark.parametrize("zero", ["none", "real", "packed"])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_matmul_nbits_of_rows_that_name_their_group(bits, zero, constants):
    """The sums against the formula, and against onnxruntime where that reads g_idx.

    It takes 2 bits for 4, refuses 8, and leaves packed zero points out.
    """
    k, columns, block = 64, 6, 16
    blocks = k // block
    packed = quantized(np.uint8, columns, blocks, block * bits // 8)
    scales = np.abs(floats(columns, blocks)) / 8
    zeros = {
        "none": np.full((columns, blocks), 1 << (bits - 1)),
        "real": rng.integers(0, 1 << bits, (columns, blocks)).astype(np.float32),
        "packed": rng.integers(0, 1 << bits, (columns, blocks)).astype(np.uint8),
    }[zero]
    groups = rng.permutation(np.repeat(np.arange(blocks), block)).astype(np.int32)
    given = {"none": None, "real": zeros, "packed": pack(zeros.astype(np.uint8), bits)}[zero]
    given = None if given is None else given.reshape(-1)
    inputs = [floats(3, k), packed, scales.reshape(-1), given, groups, floats(columns)]
    attributes = {"K": k, "N": columns, "bits": bits, "block_size": block}
    constants = [i for i in (*constants, 4) if inputs[i] is not None]
    weights = unpack(packed.reshape(columns, -1), bits) - zeros[:, groups].astype(np.float64)
    expected = inputs[0] @ (weights * scales[:, groups]).T + inputs[5]
    model = node_model("MatMulNBits", inputs, attributes, [("y", 1)], constants)
    feeds = {f"x{i}": v for i, v in enumerate(inputs) if v is not None and i not in constants}
    for tier in TIERS:
        found = onnxforge.Session(model, tier=tier).run(feeds)["y"]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    if bits == 4 and zero != "packed":
        compare("MatMulNBits", inputs, attributes, constants=constants, rtol=1e-3, atol=1e-3)


def unpack(packed: np.ndarray, bits: int) -> np.ndarray:
    """The numbers in bytes, the lowest bits first."""
    parts = [(packed >> shift) & ((1 << bits) - 1) for shift in range(0, 8, bits)]
    return np.stack(parts, -1).reshape(*packed.shape[:-1], -1)


def pack(numbers: np.ndarray, bits: int) -> np.ndarray:
    parts = numbers.reshape(*numbers.shape[:-1], -1, 8 // bits)
    return np.bitwise_or.reduce(parts << np.arange(0, 8, bits, dtype=np.uint8), axis=-1)


@pytest.mark.parametrize("shape", [(1, 1), (5, 5), (2, 3, 7, 7)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_inverse(shape, dtype):
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    compare("Inverse", [floats(*shape).astype(dtype)], {}, [("y", kind)], rtol=1e-3, atol=1e-4)


def test_inverse_of_what_has_to_change_rows_and_of_what_is_not_square():
    compare("Inverse", [np.array([[0, 2], [4, 0]], np.float32)])
    model = node_model("Inverse", [floats(2, 3)], {}, [("y", 1)])
    with pytest.raises(onnxforge.Error, match=r"square matrices.*\[2, 3\]"):
        onnxforge.Session(model).run({"x0": floats(2, 3)})


@pytest.mark.parametrize("mask", [None, np.array([4, 2], np.int32)], ids=["all", "lengths"])
@pytest.mark.parametrize("columns", [False, True], ids=["one scale", "one for each column"])
@pytest.mark.parametrize("causal", [0, 1])
def test_quantized_attention(causal, columns, mask):
    inputs = [
        *(quantized(np.uint8, 2, 4, 12), quantized(np.int8, 12, 24), floats(24), scale(0.02)),
        np.abs(floats(24)) / 50 if columns else scale(0.02),
        *(mask, np.array(120, np.uint8)),
        np.zeros(24, np.int8) if columns else np.array(0, np.int8),
    ]
    attributes = {"num_heads": 2, "unidirectional": causal}
    constants = [1, 2, 3, 4, 6, 7]
    compare("QAttention", inputs, attributes, constants=constants, rtol=1e-3, atol=1e-3)


def test_quantized_attention_with_a_past():
    inputs = [
        *(quantized(np.uint8, 2, 1, 12), quantized(np.int8, 12, 24), floats(24), scale(0.02)),
        *(scale(0.02), None, np.array(120, np.uint8), np.array(0, np.int8), floats(2, 2, 2, 3, 4)),
    ]
    outputs = [("y", 1), ("present", 1)]
    attributes = {"num_heads": 2, "unidirectional": 1}
    constants = [1, 2, 3, 4, 6, 7]
    compare("QAttention", inputs, attributes, outputs, constants=constants, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_quantized_where(dtype):
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    inputs = [
        np.array([[True], [False]]),
        *(quantized(dtype, 2, 3), scale(0.1), np.array(4, dtype)),
        *(quantized(dtype, 2, 3), scale(0.2), np.array(9, dtype)),
        *(scale(0.15), np.array(2, dtype)),
    ]
    constants = [2, 3, 5, 6, 7, 8]
    compare("QLinearWhere", inputs, {}, [("y", kind)], constants=constants, steps=1)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_quantized_softmax_of_an_opset_in_which_the_axes_behind_are_one(axis):
    inputs = [quantized(np.uint8, 2, 3, 4), scale(0.1), np.array(128, np.uint8)]
    inputs += [scale(1 / 256), np.array(0, np.uint8)]
    attributes = {"axis": axis, "opset": 12}
    kind = [("y", TensorProto.UINT8)]
    compare("QLinearSoftmax", inputs, attributes, kind, constants=[1, 2, 3, 4], steps=1)


def test_what_the_standard_has_taken_over():
    compare("CDist", [floats(3, 4), floats(5, 4)], {"metric": "euclidean"})
    compare("CDist", [floats(3, 4), floats(5, 4)], {"metric": "sqeuclidean"})
    compare("ExpandDims", [floats(3, 4), np.array(-1, np.int32)], constants=[1])
    compare("GatherND", [floats(3, 4), np.array([[0, 1], [2, 3]], np.int32)])
    grid = rng.uniform(-1.2, 1.2, (1, 3, 3, 2)).astype(np.float32)
    # With "bicubic" at a border onnxruntime departs from the standard's own reference.
    for mode, padding in (("bilinear", "border"), ("nearest", "zeros"), ("bicubic", "reflection")):
        compare("GridSample", [floats(1, 2, 4, 5), grid], {"mode": mode, "padding_mode": padding})
    for mode in ("constant", "edge", "reflect"):
        value = np.array([0.5], np.float32)
        compare("Pad", [floats(3, 4), np.array([1, 0, 0, 2]), value], {"mode": mode})
    compare("Pad", [floats(3, 4), np.array([1, 0, 0, 2])])
    compare("Trilu", [floats(4, 5)], {"upper": 0})
    compare("Trilu", [floats(4, 5), np.array(1)], {"upper": 1})


@pytest.mark.parametrize("axis", [-1, 1])
def test_simplified_layer_normalizations_that_say_what_they_divide_by(axis):
    outputs = [("y", 1), ("inverse", 1)]
    inputs = [floats(2, 3, 8), floats(*((8,) if axis == -1 else (3, 8)))]
    compare("SimplifiedLayerNormalization", inputs, {"axis": axis}, outputs, domain="")


def test_a_skip_that_says_what_it_divides_by():
    """onnxruntime leaves that output empty on a CPU."""
    x, skip = floats(2, 3, 8), floats(2, 3, 8)
    outputs = [("y", 1), ("", 0), ("inverse", 1)]
    name = "SkipSimplifiedLayerNormalization"
    model = node_model(name, [x, skip, floats(8)], {"epsilon": 1e-5}, outputs)
    feeds = {"x0": x, "x1": skip, "x2": np.ones(8, np.float32)}
    found = onnxforge.Session(model).run(feeds)
    expected = 1 / np.sqrt(np.mean((x + skip) ** 2, axis=-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(found["inverse"], expected, rtol=1e-5)
    np.testing.assert_allclose(found["y"], (x + skip) * expected, rtol=1e-5)


@pytest.mark.parametrize("interleaved", [0, 1])
@pytest.mark.parametrize("offset", [False, True])
@pytest.mark.parametrize("shape", [(2, 3, 16), (2, 4, 3, 8)])
def test_rotary_embedding(shape, offset, interleaved):
    positions = np.array([2]) if offset else rng.integers(0, 9, (2, 3))
    inputs = [floats(*shape), positions.astype(np.int64), floats(9, 4), floats(9, 4)]
    compare("RotaryEmbedding", inputs, {"interleaved": interleaved})


def test_rotary_embedding_of_a_part_of_each_head():
    inputs = [floats(2, 3, 16), np.array([0], np.int64), floats(9, 2), floats(9, 2)]
    compare("RotaryEmbedding", inputs, {"num_heads": 2, "rotary_embedding_dim": 4})


BATCH, LENGTH, HEADS, WIDTH = 2, 4, 2, 8
HIDDEN = HEADS * WIDTH

MASKS = {
    "none": None,
    "lengths": np.array([4, 2], np.int32),
    "ends and begins": np.array([4, 3, 0, 1], np.int32),
    "keys": np.array([[1, 1, 1, 0], [1, 1, 0, 0]], np.int32),
    "queries": np.tril(np.ones((BATCH, LENGTH, LENGTH), np.int32)),
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("causal", [0, 1])
@pytest.mark.parametrize("biased", [False, True])
def test_attention(mask, causal, biased):
    inputs = [
        *(floats(BATCH, LENGTH, 12), floats(12, 3 * HIDDEN), floats(3 * HIDDEN), MASKS[mask], None),
        floats(1, HEADS, LENGTH, LENGTH) if biased else None,
    ]
    compare("Attention", inputs, {"num_heads": HEADS, "unidirectional": causal}, constants=[1, 2])


def test_attention_with_a_past():
    inputs = [
        *(floats(BATCH, LENGTH, 12), floats(12, 3 * HIDDEN), floats(3 * HIDDEN), None),
        floats(2, BATCH, HEADS, 3, WIDTH),
    ]
    outputs = [("y", 1), ("present", 1)]
    attributes = {"num_heads": HEADS, "unidirectional": 1}
    compare("Attention", inputs, attributes, outputs, constants=[1, 2])


def test_attention_with_values_of_another_width():
    sizes = [HIDDEN, HIDDEN, 2 * 5]
    inputs = [floats(BATCH, LENGTH, 12), floats(12, sum(sizes)), floats(sum(sizes))]
    compare("Attention", inputs, {"num_heads": HEADS, "qkv_hidden_sizes": sizes}, constants=[1, 2])


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("causal", [0, 1])
def test_multi_head_attention(causal, bias):
    length = LENGTH if causal else 5
    inputs = [floats(BATCH, n, HIDDEN) for n in (LENGTH, length, length)]
    attributes = {"num_heads": HEADS, "unidirectional": causal}
    compare("MultiHeadAttention", [*inputs, floats(3 * HIDDEN) if bias else None], attributes)


def test_multi_head_attention_with_another_sequences_keys():
    inputs = [floats(BATCH, LENGTH, HIDDEN), *(floats(BATCH, HEADS, 5, WIDTH) for _ in range(2))]
    compare("MultiHeadAttention", inputs, {"num_heads": HEADS})


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("bias", [False, True])
def test_packed_queries_keys_and_values_are_the_unpacked_ones(bias, tier):
    """onnxruntime has these forms on GPUs only."""
    query, key, value = (floats(BATCH, LENGTH, HEADS, WIDTH) for _ in range(3))
    added = floats(3 * HIDDEN) if bias else None
    forms = [
        [*(x.reshape(BATCH, LENGTH, HIDDEN) for x in (query, key, value)), added],
        [query.reshape(BATCH, LENGTH, HIDDEN), np.stack([key, value], 3), None, added],
        [np.stack([query, key, value], 3), None, None, added],
    ]
    results = []
    for inputs in forms:
        model = node_model("MultiHeadAttention", inputs, {"num_heads": HEADS}, [("y", 1)])
        feeds = {f"x{i}": value for i, value in enumerate(inputs) if value is not None}
        results += onnxforge.Session(model, tier=tier).run(feeds).values()
    np.testing.assert_array_equal(results[1], results[0])
    np.testing.assert_array_equal(results[2], results[0])


@pytest.mark.parametrize(
    "mask", [None, np.array([[1, 1, 1, 0], [1, 1, 0, 0]], np.int32)], ids=["all", "some"]
)
@pytest.mark.parametrize("biased", [False, True])
def test_multi_head_attention_masked(mask, biased):
    inputs = [floats(BATCH, LENGTH, HIDDEN) for _ in range(3)]
    inputs += [None, mask, floats(BATCH, 1, LENGTH, LENGTH) if biased else None]
    compare("MultiHeadAttention", inputs, {"num_heads": HEADS, "scale": 0.2})


def test_multi_head_attention_with_a_past():
    inputs = [floats(BATCH, 1, HIDDEN) for _ in range(3)] + [None] * 3
    inputs += [floats(BATCH, HEADS, 3, WIDTH) for _ in range(2)]
    outputs = [("y", 1), ("key", 1), ("value", 1)]
    compare("MultiHeadAttention", inputs, {"num_heads": HEADS, "unidirectional": 1}, outputs)


def grouped(
    past: int, queries: int, *, packed: bool = False, capacity: int | None = None
) -> list[Any]:
    """Inputs of GroupQueryAttention: 4 heads over 2."""
    heads, key_heads, width = 4, 2, 16
    capacity = past if capacity is None else capacity
    total = past + queries
    if packed:
        new = [floats(BATCH, queries, (heads + 2 * key_heads) * width), None, None]
    else:
        new = [floats(BATCH, queries, n * width) for n in (heads, key_heads, key_heads)]
    return [
        *new,
        *(floats(BATCH, key_heads, capacity, width) for _ in range(2)),
        np.full(BATCH, total - 1, np.int32),
        np.array(total, np.int32),
    ]


PRESENT = [("y", 1), ("key", 1), ("value", 1)]
GROUPS = {"num_heads": 4, "kv_num_heads": 2}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("past", [0, 5])
@pytest.mark.parametrize("interleaved", [0, 1])
def test_group_query_attention(past, packed, interleaved):
    queries = 1 if past else 4
    inputs = [*grouped(past, queries, packed=packed), floats(12, 8), floats(12, 8)]
    attributes = {**GROUPS, "do_rotary": 1, "rotary_interleaved": interleaved}
    compare("GroupQueryAttention", inputs, attributes, PRESENT)


@pytest.mark.parametrize(
    "attributes",
    [{"local_window_size": 3}, {"softcap": 2.0}, {"smooth_softmax": 1}, {"scale": 0.3}],
    ids=lambda a: next(iter(a)),
)
@pytest.mark.parametrize("past", [0, 6])
def test_group_query_attention_options(attributes, past):
    inputs = grouped(past, 1 if past else 7)
    compare("GroupQueryAttention", inputs, {**GROUPS, **attributes}, PRESENT)


def test_group_query_attention_of_sequences_of_different_lengths():
    inputs = grouped(6, 1)
    inputs[5] = np.array([6, 3], np.int32)
    model = node_model("GroupQueryAttention", inputs, GROUPS, PRESENT)
    feeds = {f"x{i}": value for i, value in enumerate(inputs)}
    expected = run_peer(model, feeds)
    found = list(onnxforge.Session(model).run(feeds).values())
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-4, atol=1e-5)
    # Behind a sequence's end lies whatever was there.
    for got, want in zip(found[1:], expected[1:], strict=True):
        np.testing.assert_array_equal(got[0], want[0])
        np.testing.assert_array_equal(got[1, :, :4], want[1, :, :4])


def test_types_are_known_behind_a_contributed_operator():
    """A body of standard operators is followed by shape inference like any other node."""
    model = node_model("FusedMatMul", [floats(2, 3), floats(3, 4)], {}, [("y", 1)])
    model.graph.output[0].type.CopyFrom(TypeProto())
    (output,) = onnxforge.Session(model).outputs
    assert output.text == "float32[2, 4]"


MHA = "MultiHeadAttention"
NBITS = {"K": 16, "N": 2, "block_size": 16, "bits": 3}


def lengths(*last: int) -> list[np.ndarray]:
    return [np.array(last, np.int32), np.array(4, np.int32)]


@pytest.mark.parametrize(
    ("op_type", "inputs", "attributes", "said"),
    [
        ("NoSuchOperator", [floats(2)], {}, "no kernel for com.microsoft.NoSuchOperator"),
        ("FusedConv", [floats(1, 1, 3, 3)] * 2, {"activation": "Foo"}, "FusedConv"),
        ("MatMulNBits", [floats(2, 16)] * 3, NBITS, "bits=3"),
        ("Attention", [floats(2)] * 2, {"num_heads": 2}, "3 axes"),
        ("Attention", [floats(2, 2, 4), floats(4, 12)], {"num_heads": 0}, "num_heads is 0"),
        ("Attention", [floats(2, 2, 4), floats(5, 12)], {"num_heads": 2}, "the weights have shape"),
        (MHA, [floats(2, 2, 4), floats(2, 2, 6), floats(2, 2, 4)], {"num_heads": 2}, "key"),
        (MHA, [floats(2, 2, 5)] * 3, {"num_heads": 2}, "no 2 heads"),
        ("GroupQueryAttention", [*grouped(0, 4)[:5], *lengths(9, 9)], GROUPS, "seqlens_k"),
        ("GroupQueryAttention", [*grouped(3, 1)[:5], *lengths(-5, 3)], GROUPS, "seqlens_k"),
    ],
)
def test_what_cannot_be_done_is_said(op_type, inputs, attributes, said):
    model = node_model(op_type, inputs, attributes, [("y", 1)])
    feeds = {f"x{i}": value for i, value in enumerate(inputs)}
    with pytest.raises(onnxforge.Error, match=said):
        onnxforge.Session(model).run(feeds)
