"""Matrix products of real tensors, matrix products and convolutions of quantised ones."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxforge
from tests.python.kernel_support import TIERS, run_op

RNG = np.random.default_rng(7)


def real(*shape: int, dtype: type = np.float32) -> np.ndarray:
    return RNG.standard_normal(shape).astype(dtype)


MATMUL_SHAPES = [
    ((3,), (3,)),
    ((3,), (3, 4)),
    ((2, 3), (3,)),
    ((5, 7), (7, 9)),
    ((2, 1, 3, 4), (5, 4, 2)),
    ((2, 3, 4), (4,)),
    ((2, 0), (0, 3)),
    ((0, 2), (2, 3)),
    ((1, 300), (300, 131)),
    ((1, 700), (700, 1301)),
    ((40, 256), (256, 517)),
    ((6, 1, 640), (6, 640, 650)),
    ((3, 70, 90), (3, 90, 333)),
]


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize(("a", "b"), MATMUL_SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_matmul_shapes(a: tuple, b: tuple, dtype: type, tier: str) -> None:
    x, y = real(*a, dtype=dtype), real(*b, dtype=dtype)
    expected = np.matmul(x, y)
    (z,) = run_op("MatMul", [x, y], tier=tier)
    assert z.shape == expected.shape
    np.testing.assert_allclose(z, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("trans_b", [0, 1])
def test_one_row_is_declared(rows: int, trans_b: int) -> None:
    """Weights for one row are not packed; a model that promises one row and has three runs too."""
    weights = real(*((517, 130) if trans_b else (130, 517)))
    graph = helper.make_graph(
        [
            helper.make_node("Relu", ["x"], ["h"]),
            helper.make_node("Gemm", ["h", "w"], ["y"], transB=trans_b),
        ],
        "one_row",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 130])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 517])],
        [numpy_helper.from_array(weights, "w")],
        value_info=[helper.make_tensor_value_info("h", TensorProto.FLOAT, [1, 130])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    x = real(rows, 130)
    expected = np.maximum(x, 0) @ (weights.T if trans_b else weights)
    found = onnxforge.Session(model).run({"x": x})["y"]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.int32, np.uint32, np.int64, np.uint64])
def test_integer_matmul_wraps(dtype: type) -> None:
    big = np.iinfo(dtype).max
    a = np.array([[big, 2], [3, big]], dtype)
    np.testing.assert_array_equal(run_op("MatMul", [a, a])[0], a @ a)


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize(("trans_a", "trans_b"), list(itertools.product([0, 1], repeat=2)))
@pytest.mark.parametrize("c", [None, (), (1,), (5,), (4, 1), (4, 5)])
def test_gemm(trans_a: int, trans_b: int, c: tuple | None, tier: str) -> None:
    a, b = real(*((3, 4) if trans_a else (4, 3))), real(*((5, 3) if trans_b else (3, 5)))
    bias = None if c is None else real(*c)
    attributes = {"transA": trans_a, "transB": trans_b, "alpha": 0.5, "beta": 2.0}
    expected = 0.5 * (a.T if trans_a else a) @ (b.T if trans_b else b) + (
        0 if bias is None else 2 * bias
    )
    (y,) = run_op("Gemm", [a, b, bias], attributes, opset=13, tier=tier)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def convolve(
    x: np.ndarray, w: np.ndarray, strides: tuple, dilations: tuple, pads: tuple, groups: int
) -> np.ndarray:
    """The definition: a sum per output element."""
    x = np.pad(x, [(0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])])
    n, _, height, width = x.shape
    m, per_group, kh, kw = w.shape
    oh = (height - (kh - 1) * dilations[0] - 1) // strides[0] + 1
    ow = (width - (kw - 1) * dilations[1] - 1) // strides[1] + 1
    y = np.zeros((n, m, oh, ow))
    for out in range(m):
        first = out // (m // groups) * per_group
        for i, j in np.ndindex(oh, ow):
            rows = slice(i * strides[0], i * strides[0] + (kh - 1) * dilations[0] + 1, dilations[0])
            columns = slice(
                j * strides[1], j * strides[1] + (kw - 1) * dilations[1] + 1, dilations[1]
            )
            y[:, out, i, j] = np.sum(
                x[:, first : first + per_group, rows, columns] * w[out], axis=(1, 2, 3)
            )
    return y


@pytest.mark.parametrize(
    ("a_type", "b_type"), list(itertools.product([np.int8, np.uint8], repeat=2))
)
def test_matmul_integer(a_type: type, b_type: type) -> None:
    a, b = (
        RNG.integers(np.iinfo(t).min, np.iinfo(t).max, s).astype(t)
        for t, s in ((a_type, (3, 4)), (b_type, (4, 5)))
    )
    a_zero, b_zero = np.array(5, a_type), RNG.integers(0, 9, 5).astype(b_type)
    expected = (a.astype(np.int32) - 5) @ (b.astype(np.int32) - b_zero.astype(np.int32))
    np.testing.assert_array_equal(run_op("MatMulInteger", [a, b, a_zero, b_zero])[0], expected)


def test_qlinear_conv_per_channel() -> None:
    x = RNG.integers(0, 255, (1, 3, 6, 6)).astype(np.uint8)
    w = RNG.integers(-127, 127, (4, 3, 3, 3)).astype(np.int8)
    bias = RNG.integers(-1000, 1000, 4).astype(np.int32)
    scales = (RNG.random(4) * 0.01).astype(np.float32)
    x_zero, y_zero = np.array(120, np.uint8), np.array(7, np.uint8)
    sums = (
        convolve(x.astype(np.int64) - 120, w.astype(np.int64), (1, 1), (1, 1), (1, 1, 1, 1), 1)
        + bias[:, None, None]
    )
    expected = np.clip(np.rint(sums * (0.02 * scales[:, None, None] / 0.5)) + 7, 0, 255)
    inputs = [
        x,
        np.float32(0.02),
        x_zero,
        w,
        scales,
        np.zeros(4, np.int8),
        np.float32(0.5),
        y_zero,
        bias,
    ]
    (y,) = run_op("QLinearConv", [np.asarray(v) for v in inputs], {"pads": [1, 1, 1, 1]})
    assert np.max(np.abs(y.astype(int) - expected)) <= 1


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_quantize_and_back_per_axis(axis: int) -> None:
    x = real(3, 4, 5) * 10
    extent = x.shape[axis]
    scale = (RNG.random(extent) + 0.1).astype(np.float32)
    zero = RNG.integers(-20, 20, extent).astype(np.int8)
    shape = [1] * 3
    shape[axis] = extent
    s, z = scale.reshape(shape), zero.reshape(shape).astype(np.float32)
    (q,) = run_op("QuantizeLinear", [x, scale, zero], {"axis": axis})
    np.testing.assert_array_equal(q, np.clip(np.rint(x / s) + z, -128, 127).astype(np.int8))
    (back,) = run_op("DequantizeLinear", [q, scale, zero], {"axis": axis})
    np.testing.assert_allclose(back, (q - z) * s, rtol=1e-6)


def test_blocked_dequantize() -> None:
    x = RNG.integers(-128, 127, (2, 5, 3)).astype(np.int8)
    scale = RNG.random((2, 3, 3)).astype(np.float32)
    (y,) = run_op("DequantizeLinear", [x, scale], {"axis": 1, "block_size": 2})
    np.testing.assert_allclose(y, x * np.repeat(scale, 2, axis=1)[:, :5], rtol=1e-6)


EQUATIONS = [
    ("ij,jk->ik", [(2, 3), (3, 4)]),
    ("ij,jk", [(2, 3), (3, 4)]),
    ("bij,bjk->bik", [(2, 3, 4), (2, 4, 5)]),
    ("...ij,...jk->...ik", [(2, 1, 3, 4), (5, 4, 2)]),
    ("ii->i", [(3, 3)]),
    ("ij->", [(3, 4)]),
    ("i,j,k->kji", [(2,), (3,), (4,)]),
    ("ab,bc,cd->ad", [(2, 3), (3, 4), (4, 5)]),
    ("...i->...", [(2, 3, 4)]),
]


@pytest.mark.parametrize(("equation", "shapes"), EQUATIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
def test_einsum(equation: str, shapes: list[tuple], dtype: type) -> None:
    values = [(real(*shape) * 5).astype(dtype) for shape in shapes]
    (y,) = run_op("Einsum", values, {"equation": equation})
    np.testing.assert_allclose(y, np.einsum(equation, *values), rtol=1e-4, atol=1e-4)
