"""Quantised models run on integer kernels, within a step of what the reference tier gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import numpy_helper

import onnxforge
from tests.python.support import parse

RNG = np.random.default_rng(2027)
TIERS = [tier for tier in onnxforge.build_info().tiers if tier != "reference"]


def model(body: str, shape: str, tensors: dict[str, Any], opset: int = 13) -> Any:
    """A quantised model: `Q`, `D` with their scales written out; its tensors as initialisers."""
    parsed = parse(f"agraph (float[{shape}] x) => (y) {{ {body} }}", opset)
    parsed.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value), name) for name, value in tensors.items()
    )
    return parsed


GRIDS = {"s": np.float32(0.04), "z": np.uint8(120), "t": np.float32(0.09), "u": np.uint8(110)}
IN = "q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) "
OUT = "p = QuantizeLinear(r, t, u) y = DequantizeLinear(p, t, u)"


def weights(*shape: int, axis: int) -> dict[str, Any]:
    count = shape[axis]
    return {
        "w": RNG.integers(-128, 128, shape).astype(np.int8),
        "ws": RNG.uniform(0.002, 0.004, count).astype(np.float32),
        "wz": np.zeros(count, np.int8),
        "b": RNG.standard_normal(count).astype(np.float32),
    }


CASES = {
    "conv": (
        IN + "e = DequantizeLinear<axis = 0>(w, ws, wz) c = Conv<pads = [1, 1, 1, 1]>(d, e, b) "
        "r = Relu(c) " + OUT,
        "1, 6, 9, 9",
        {**GRIDS, **weights(20, 6, 3, 3, axis=0)},
        ["QLinearConv"],
    ),
    "depthwise, and an int32 bias": (
        IN + "e = DequantizeLinear<axis = 0>(w, ws, wz) bs = Mul(s, ws) "
        "bb = DequantizeLinear<axis = 0>(whole, bs) r = Conv<group = 24>(d, e, bb) " + OUT,
        "1, 24, 9, 9",
        {**GRIDS, **weights(24, 1, 3, 3, axis=0), "whole": np.arange(-1200, 1200, 100, np.int32)},
        ["QLinearConv"],
    ),
    "matmul and a row": (
        IN + "e = DequantizeLinear<axis = 1>(w, ws, wz) m = MatMul(d, e) r = Add(m, b) " + OUT,
        "2, 5, 32",
        {**GRIDS, **weights(32, 48, axis=1)},
        ["QLinearMatMul"],
    ),
    "gemm, transposed, clipped": (
        IN + "e = DequantizeLinear<axis = 0>(w, ws, wz) m = Gemm<transB = 1>(d, e, b) "
        "r = Clip(m, low, high) " + OUT,
        "5, 32",
        {**GRIDS, **weights(48, 32, axis=0), "low": np.float32(-1), "high": np.float32(2)},
        ["QLinearMatMul"],
    ),
    "weights quantised in the graph": (
        IN + "i = QuantizeLinear<axis = 1>(f, ws, wz) e = DequantizeLinear<axis = 1>(i, ws, wz) "
        "r = MatMul(d, e) " + OUT,
        "5, 32",
        {**GRIDS, **weights(32, 48, axis=1), "f": RNG.standard_normal((32, 48), np.float32) / 9},
        ["QLinearMatMul"],
    ),
    "a product that stays real": (
        IN + "e = DequantizeLinear<axis = 1>(w, ws, wz) m = MatMul(d, e) a = Add(b, m) y = Tanh(a)",
        "5, 32",
        {**GRIDS, **weights(32, 48, axis=1)},
        ["MatMulIntegerToFloat"],
    ),
    "two activations": (
        IN + "k = Transpose<perm = [1, 0]>(q) e = DequantizeLinear(k, s, z) "
        "r = MatMul(d, e) " + OUT,
        "20, 32",
        GRIDS,
        ["QLinearMatMul"],
    ),
    "a sum": (
        IN + "n = Neg(x) i = QuantizeLinear(n, t, u) e = DequantizeLinear(i, t, u) r = Add(d, e) "
        + OUT,
        "3, 40",
        GRIDS,
        ["QLinearAdd"],
    ),
    "a function": (IN + "r = Sigmoid(d) " + OUT, "3, 40", GRIDS, ["Lookup"]),
    "dynamically quantised": (
        "q, s, z = DynamicQuantizeLinear(x) m = MatMulInteger(q, w, z, wz) c = Cast<to = 1>(m) "
        "f = Mul(s, ws) a = Mul(c, f) y = Add(a, b)",
        "5, 32",
        weights(32, 48, axis=1),
        ["MatMulIntegerToFloat"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("tier", TIERS)
def test_integer_kernels_take_over(case: str, tier: str) -> None:
    body, shape, tensors, made = CASES[case]
    quantised = model(body, shape, {k: v for k, v in tensors.items() if used(k, body)})
    x = RNG.standard_normal([int(n) for n in shape.split(",")]).astype(np.float32)
    session = onnxforge.Session(quantised, tier=tier)
    operators = [node.op_type for node in session.profile({"x": x}, warmup=0).nodes]
    assert [op for op in operators if op in {*made, "Conv", "MatMul", "Gemm", "Add"}] == made
    expected = onnxforge.Session(quantised, tier="reference").run({"x": x})["y"]
    actual = session.run({"x": x})["y"]
    step = float(GRIDS["t"]) if " p = " in body else 1e-5 * float(np.max(np.abs(expected)))
    difference = np.abs(actual - expected)
    assert np.max(difference) <= 1.001 * step
    # The bound is a step; all but a few are on the same one.
    assert np.mean(difference > 0.5 * step) < 0.02


def used(name: str, body: str) -> bool:
    """Whether the tensor is an input of one of the nodes."""
    return any(f"{before}{name}{after}" in body for before in "( " for after in ",)")


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_convolutions_and_pools_of_bytes_keep_their_channels_last(dtype: Any) -> None:
    body = (
        "q = QuantizeLinear(x, s, z) "
        "c = QLinearConv<pads = [1, 1, 1, 1]>(q, s, z, w, ws, wz, t, z) "
        "m = MaxPool<kernel_shape = [3, 2], strides = [2, 1], pads = [1, 0, 1, 1]>(c) "
        "d = QLinearConv(m, t, z, v, ws, wz, t, z) y = DequantizeLinear(d, t, z)"
    )
    tensors = {**weights(20, 6, 3, 3, axis=0), "s": np.float32(0.04), "t": np.float32(0.09)}
    tensors |= {"z": dtype(12), "v": RNG.integers(-128, 128, (20, 20, 1, 1)).astype(np.int8)}
    quantised = model(body, "2, 6, 9, 8", {k: v for k, v in tensors.items() if k != "b"})
    x = {"x": RNG.standard_normal((2, 6, 9, 8)).astype(np.float32)}
    expected = onnxforge.Session(quantised, tier="reference").run(x)["y"]
    for tier in TIERS:
        session = onnxforge.Session(quantised, tier=tier)
        names = [node.op_type for node in session.profile(x, warmup=0).nodes]
        assert names.count("Transpose") == 2
        np.testing.assert_array_equal(session.run(x)["y"], expected)


def test_what_is_not_covered_stays_as_it_is() -> None:
    body = IN + "e = DequantizeLinear<axis = 0>(w, ws, wz) r = MatMul(d, e) " + OUT
    tensors = {**GRIDS, **weights(32, 48, axis=0)}  # scales along the depth
    quantised = model(body, "5, 32", {k: v for k, v in tensors.items() if k != "b"})
    x = {"x": RNG.standard_normal((5, 32)).astype(np.float32)}
    operators = [n.op_type for n in onnxforge.Session(quantised).profile(x, warmup=0).nodes]
    assert "QLinearMatMul" not in operators
