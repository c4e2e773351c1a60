"""Operators of quantised tensors: every tier gives the bytes and sums of the reference tier."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import helper

import onnxforge
from tests.python.kernel_support import run_op

RNG = np.random.default_rng(2026)
TIERS = [tier for tier in onnxforge.build_info().tiers if tier != "reference"]
BYTES = (np.int8, np.uint8)


def drawn(dtype: Any, *shape: int) -> Any:
    """Bytes of the whole range, its ends among them: products of pairs must not saturate."""
    info = np.iinfo(dtype)
    values = RNG.integers(info.min, info.max + 1, shape)
    ends = RNG.choice([info.min, info.max], shape)
    return np.where(RNG.random(shape) < 0.3, ends, values).astype(dtype)


def assert_same_everywhere(op_type: str, inputs: list[Any], attributes: dict[str, Any]) -> None:
    (expected,) = run_op(op_type, inputs, attributes)
    for tier in TIERS:
        (actual,) = run_op(op_type, inputs, attributes, tier=tier)
        assert actual.dtype == expected.dtype
        np.testing.assert_array_equal(actual, expected, err_msg=tier)


@pytest.mark.parametrize("b_dtype", BYTES)
@pytest.mark.parametrize("a_dtype", BYTES)
@pytest.mark.parametrize(
    ("a_shape", "b_shape"),
    [
        ((1, 1), (1, 1)),
        ((1, 300), (300, 200)),
        ((13, 3), (3, 33)),
        ((7, 2100), (2100, 40)),
        ((2, 3, 5, 17), (17, 70)),
        ((2, 1, 5, 16), (3, 16, 31)),
        ((4,), (4, 9)),
        ((3, 0), (0, 5)),
    ],
)
@pytest.mark.parametrize("zero", ["none", "one", "columns"])
def test_matmul_integer(
    zero: str, a_shape: tuple[int, ...], b_shape: tuple[int, ...], a_dtype: Any, b_dtype: Any
) -> None:
    zeros: dict[str, list[Any]] = {
        "none": [],
        "one": [drawn(a_dtype), drawn(b_dtype)],
        "columns": [drawn(a_dtype), drawn(b_dtype, b_shape[-1])],
    }
    operands = [drawn(a_dtype, *a_shape), drawn(b_dtype, *b_shape)]
    assert_same_everywhere("MatMulInteger", [*operands, *zeros[zero]], {})


def test_matmul_integer_with_a_zero_point_per_row() -> None:
    operands = [drawn(np.uint8, 4, 9), drawn(np.int8, 9, 6)]
    assert_same_everywhere("MatMulInteger", [*operands, drawn(np.uint8, 4)], {})


@pytest.mark.parametrize("per_column", [False, True])
@pytest.mark.parametrize("y_dtype", BYTES)
@pytest.mark.parametrize("dtypes", [(np.uint8, np.int8), (np.int8, np.int8), (np.uint8, np.uint8)])
def test_qlinear_matmul(dtypes: tuple[Any, Any], y_dtype: Any, per_column: bool) -> None:
    a_dtype, b_dtype = dtypes
    columns = (45,) if per_column else ()
    inputs = [
        *(drawn(a_dtype, 2, 14, 100), np.float32(0.05), drawn(a_dtype)),
        *(drawn(b_dtype, 100, 45), RNG.uniform(0.01, 0.03, columns).astype(np.float32)),
        *(drawn(b_dtype, *columns), np.float32(4), drawn(y_dtype)),
    ]
    assert_same_everywhere("QLinearMatMul", [np.asarray(v) for v in inputs], {})


@pytest.mark.parametrize("dtypes", [(np.uint8, np.int8), (np.int8, np.uint8), (np.uint8, np.uint8)])
@pytest.mark.parametrize(
    ("x_shape", "w_shape", "attributes"),
    [
        ((2, 3, 11, 9), (33, 3, 3, 3), {"pads": [1, 1, 1, 1], "strides": [2, 1]}),
        ((1, 40, 6, 7), (10, 40, 3, 2), {"dilations": [2, 1], "pads": [2, 0, 1, 1]}),
        ((1, 16, 5, 5), (35, 16, 1, 1), {}),
        ((1, 12, 6, 6), (8, 3, 3, 3), {"group": 4}),
        ((1, 70, 8, 8), (70, 1, 3, 3), {"group": 70, "pads": [1, 1, 1, 1]}),
        ((2, 21, 3, 40), (21, 1, 3, 3), {"group": 21, "pads": [0, 1, 0, 1], "dilations": [1, 2]}),
        ((1, 300, 5, 12), (300, 1, 5, 7), {"group": 300, "pads": [2, 3, 2, 3], "strides": [1, 2]}),
        ((2, 5, 30), (7, 5, 4), {"pads": [3, 1]}),
    ],
)
def test_integer_convolutions(
    x_shape: tuple[int, ...], w_shape: tuple[int, ...], attributes: dict[str, Any], dtypes: Any
) -> None:
    x_dtype, w_dtype = dtypes
    x, w = drawn(x_dtype, *x_shape), drawn(w_dtype, *w_shape)
    filters = w_shape[0]
    for zero in (drawn(w_dtype), drawn(w_dtype, filters)):
        assert_same_everywhere("ConvInteger", [x, w, drawn(x_dtype), zero], attributes)
    bias = RNG.integers(-3000, 3000, filters).astype(np.int32)
    for count in ((), (filters,)):
        scale = RNG.uniform(0.01, 0.03, count).astype(np.float32)
        inputs = [x, np.float32(0.05), drawn(x_dtype), w, scale, drawn(w_dtype, *count)]
        inputs += [np.float32(0.5 * np.prod(w_shape[1:]) ** 0.5), drawn(x_dtype), bias]
        assert_same_everywhere("QLinearConv", [np.asarray(v) for v in inputs], attributes)


def test_scales_that_are_no_numbers() -> None:
    scale = RNG.uniform(0.01, 0.03, 40).astype(np.float32)
    scale[[3, 17, 39]] = np.nan, np.inf, -np.inf
    for shape, attributes in (((40, 6, 1, 1), {}), ((40, 1, 3, 3), {"group": 40})):
        x, w = (
            drawn(np.uint8, 1, shape[1] * attributes.get("group", 1), 9, 9),
            drawn(np.int8, *shape),
        )
        inputs = [x, np.float32(0.05), drawn(np.uint8), w, scale, np.zeros(40, np.int8)]
        inputs += [np.float32(2), drawn(np.uint8)]
        assert_same_everywhere("QLinearConv", [np.asarray(v) for v in inputs], attributes)


@pytest.mark.parametrize("dtype", BYTES)
def test_quantize_and_dequantize(dtype: Any) -> None:
    x = np.concatenate([np.arange(-40, 40) / 2, [np.nan, np.inf, -np.inf, 1e30]] * 3)
    x = x.astype(np.float32)
    for scale in (0.5, 1.0, 0.037):
        inputs = [x, np.float32(scale), drawn(dtype)]
        assert_same_everywhere("QuantizeLinear", [np.asarray(v) for v in inputs], {})
        inputs[0] = drawn(dtype, 77)
        assert_same_everywhere("DequantizeLinear", [np.asarray(v) for v in inputs], {})


def test_dynamic_quantize() -> None:
    for x in (RNG.standard_normal(1003) * 9, np.zeros(5), RNG.random(70000) + 3, np.zeros(0)):
        expected = run_op("DynamicQuantizeLinear", [x.astype(np.float32)], outputs=3)
        for tier in TIERS:
            actual = run_op("DynamicQuantizeLinear", [x.astype(np.float32)], outputs=3, tier=tier)
            for one, other in zip(actual, expected, strict=True):
                np.testing.assert_array_equal(one, other, err_msg=tier)


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 70, 33), (2, 5, 128)])
def test_transposes_of_bytes(shape: tuple[int, ...]) -> None:
    x = drawn(np.uint8, *shape)
    for perm in ([0, 2, 1], [1, 0, 2], [2, 1, 0]):
        (y,) = run_op("Transpose", [x], {"perm": perm}, tier="auto")
        np.testing.assert_array_equal(y, x.transpose(perm))


def test_a_missing_operand_type_is_an_error_that_names_the_node() -> None:
    node = helper.make_node("MatMulInteger", ["x", "w"], ["y"], name="product")
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info(n, 2, [None, None]) for n in ("x", "w")],
        [helper.make_tensor_value_info("y", 6, None)],
    )
    session = onnxforge.Session(helper.make_model(graph, ir_version=8))
    with pytest.raises(onnxforge.Error, match=r"product[\s\S]*5 against 4"):
        session.run({"x": drawn(np.uint8, 3, 5), "w": drawn(np.uint8, 4, 2)})


@pytest.mark.parametrize("block", [4, 2**63 - 1])
def test_a_block_may_be_larger_than_its_axis(block: int) -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    scale = np.array([[0.5], [2.0]], np.float32)
    (y,) = run_op("QuantizeLinear", [x, scale], {"block_size": block})
    assert y.tolist() == [[0, 2, 4], [2, 2, 2]]
