"""If, Loop, Scan, SequenceMap: what the standard's own cases expect, and what those leave out."""

from __future__ import annotations

import functools
import warnings

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.backend.test.loader import load_model_tests

import onnxforge
from tests.python.support import parse, session

STANDARD_CASES = [
    "test_if", "test_if_seq", "test_if_opt",
    "test_loop11", "test_loop13_seq", "test_loop16_seq_none",
    "test_scan_sum", "test_scan9_sum", "test_scan9_multi_state", "test_scan9_scalar",
    "test_range_float_type_positive_delta_expanded",
    "test_range_int32_type_negative_delta_expanded",
    "test_sequence_map_add_1_sequence_1_tensor", "test_sequence_map_add_2_sequences",
    "test_sequence_map_extract_shapes", "test_sequence_map_identity_1_sequence",
    "test_sequence_map_identity_1_sequence_1_tensor", "test_sequence_map_identity_2_sequences",
    "test_sequence_map_add_1_sequence_1_tensor_expanded",
]  # fmt: skip


@functools.cache
def standard_cases():
    warnings.simplefilter(
        "ignore"
    )  # making the cases overflows on purpose; pytest restores the filters
    return {case.name: case for case in load_model_tests(kind="node")}


def plain(value):
    """Arrays of what a case holds: arrays, protos, lists of them or None."""
    if isinstance(value, onnx.TensorProto):
        return onnx.numpy_helper.to_array(value)
    if isinstance(value, onnx.SequenceProto):
        return onnx.numpy_helper.to_list(value)
    if isinstance(value, onnx.OptionalProto):
        return onnx.numpy_helper.to_optional(value)
    return value


def assert_same(actual, expected, rtol):
    if isinstance(expected, list):
        assert len(actual) == len(expected)
        for a, e in zip(actual, expected, strict=True):
            assert_same(a, e, rtol)
    elif expected is None:
        assert actual is None
    else:
        np.testing.assert_allclose(actual, expected, rtol=rtol)
        assert actual.dtype == np.asarray(expected).dtype
        assert actual.shape == np.asarray(expected).shape


@pytest.mark.parametrize("optimize", [True, False])
@pytest.mark.parametrize("name", STANDARD_CASES)
def test_the_standards_own_case(name, optimize):
    case = standard_cases()[name]
    s = onnxforge.Session(case.model, optimize=optimize)
    names = [value.name for value in s.inputs]
    for inputs, outputs in case.data_sets:
        feeds = dict(zip(names, map(plain, inputs), strict=True))
        for _ in range(3):  # observed, laid out, steady
            results = list(s.run(feeds).values())
            for actual, expected in zip(results, outputs, strict=True):
                assert_same(actual, plain(expected), case.rtol)


# If

BRANCHES = """
agraph (bool c, float[N] x) => (float[M] y)
{{
    t = Mul(x, x)
    y = If(c) <
        then_branch = g1 () => (float[M] a) {{ {then} }},
        else_branch = g2 () => (float[M] b) {{ {other} }}>
}}
"""


@pytest.mark.parametrize(
    ("then", "other", "f", "g"),
    [
        ("a = Neg(t)", "b = Abs(t)", lambda x: -x * x, lambda x: abs(x * x)),
        ("a = Identity(t)", "b = Identity(x)", lambda x: x * x, lambda x: x),
        (
            "a = Add(t, x)", "b = Concat<axis = 0>(t, x, t)",
            lambda x: x * x + x, lambda x: np.concatenate([x * x, x, x * x]),
        ),
        (
            "a = Constant<value = float[2] {5.0, 6.0}>()", "u = Neg(t) v = Neg(u) b = Exp(v)",
            lambda _: np.float32([5, 6]), lambda x: np.exp(x * x),
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("optimize", [True, False])
def test_if_alternating_between_branches(then, other, f, g, optimize):
    s = session(BRANCHES.format(then=then, other=other), optimize=optimize)
    for i in range(12):
        x = np.linspace(-1, i / 4, 3 + i % 2, dtype=np.float32)
        result = s.run({"c": i % 3 == 0, "x": x})["y"]
        np.testing.assert_allclose(result, (f if i % 3 == 0 else g)(x), rtol=1e-6)


def test_a_branch_that_passes_a_value_through_keeps_it_alive():
    # The else branch makes t live on as y; the plan was observed with the other branch.
    s = session(
        """agraph (bool c, float[N] x) => (float[N] z) {
            t = Mul(x, x)
            y = If(c) <then_branch = g1 () => (float[N] a) { a = Neg(t) },
                       else_branch = g2 () => (float[N] b) { b = Identity(t) }>
            u = Add(x, x)
            v = Add(u, u)
            w = Add(v, y)
            z = Neg(w)
        }""",
        optimize=False,
    )
    x = np.arange(1000, dtype=np.float32)
    for c in [True, True, True, False, False, True, False]:
        expected = -(4 * x + (-x * x if c else x * x))
        np.testing.assert_array_equal(s.run({"c": c, "x": x})["z"], expected)


def test_nested_bodies_read_values_from_every_level():
    s = session(
        """agraph (bool c, bool d, float[N] x) => (float[N] y) {
            a = Neg(x)
            y = If(c) <
              then_branch = g1 () => (float[N] t) {
                b = Mul(x, x)
                t = If(d) <then_branch = g2 () => (float[N] p) { q = Add(a, b) p = Add(q, x) },
                           else_branch = g3 () => (float[N] r) { r = Sub(a, b) }>
              },
              else_branch = g4 () => (float[N] e) { e = Identity(a) }>
        }"""
    )
    x = np.float32([1, 2, 3])
    for c, d, expected in [(True, True, x * x), (True, False, -x - x * x), (False, True, -x)] * 3:
        np.testing.assert_array_equal(s.run({"c": c, "d": d, "x": x})["y"], expected)


# Loop

COUNTING = """
agraph (int64 n, bool c, float[N] x, float limit) => (float[N] y, float[K, N] all)
{
    y, all = Loop(n, c, x) <body = b (int64 i, bool go, float[N] s)
            => (bool more, float[N] t, float[N] out) {
        one = Constant<value = float {1.0}>()
        t = Add(s, one)
        out = Identity(t)
        total = ReduceSum<keepdims = 0>(t)
        more = Less(total, limit)
    }>
}
"""


@pytest.mark.parametrize("optimize", [True, False])
def test_loop_stops_at_the_trip_count_or_the_condition(optimize):
    s = session(COUNTING, optimize=optimize)
    x = np.zeros(2, np.float32)
    cases = [
        (5, True, 1e9, 5),
        (5, True, 6.0, 3),
        (0, True, 1e9, 0),
        (7, False, 1e9, 0),
        (100, True, 1e9, 100),
    ]
    for n, c, limit, trips in cases * 2:
        result = s.run({"n": n, "c": c, "x": x, "limit": limit})
        np.testing.assert_array_equal(result["y"], x + trips)
        rows = np.arange(1, trips + 1, dtype=np.float32)[:, None]
        np.testing.assert_array_equal(
            result["all"], np.broadcast_to(rows, (trips, 2)) if trips else np.zeros((0, 0))
        )


def test_loop_without_trip_count_or_condition():
    body = helper.make_graph(
        [
            helper.make_node("Add", ["s", "s"], ["t"]),
            helper.make_node("Less", ["t", "limit"], ["more"]),
        ],
        "b",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("s", TensorProto.FLOAT, []),
        ],
        [
            helper.make_tensor_value_info("more", TensorProto.BOOL, []),
            helper.make_tensor_value_info("t", TensorProto.FLOAT, []),
        ],
    )
    graph = helper.make_graph(
        [helper.make_node("Loop", ["", "", "x"], ["y"], body=body)],
        "g",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, []) for n in ("x", "limit")],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    s = onnxforge.Session(model)
    assert s.run({"x": 1.0, "limit": 1000.0})["y"] == 1024


def test_loop_whose_carried_value_grows():
    s = session(
        """agraph (int64 n, float[N] x) => (float[M] y) {
            c = Constant<value = bool {1}>()
            y = Loop(n, c, x) <body = b (int64 i, bool ci, float[K] s) => (bool co, float[L] t) {
                co = Identity(ci)
                f = Cast<to = 1>(i)
                axes = Constant<value = int64[1] {0}>()
                u = Unsqueeze(f, axes)
                t = Concat<axis = 0>(s, u)
            }>
        }"""
    )
    for n in [3, 200, 3, 0]:
        expected = np.concatenate([[-1.0], np.arange(n)])
        np.testing.assert_array_equal(s.run({"n": n, "x": [-1.0]})["y"], expected)


def test_loop_swapping_its_carried_values():
    s = session(
        """agraph (int64 n, float[N] a, float[N] b) => (float[N] x, float[N] y) {
            c = Constant<value = bool {1}>()
            x, y = Loop(n, c, a, b) <body = g (int64 i, bool ci, float[N] p, float[N] q)
                    => (bool co, float[N] r, float[N] s) {
                co = Identity(ci)
                r = Identity(q)
                s = Add(p, q)
            }>
        }"""
    )
    a, b = np.zeros(2, np.float32), np.ones(2, np.float32)
    for n, (x, y) in {0: (0, 1), 1: (1, 1), 2: (1, 2), 10: (55, 89)}.items():
        result = s.run({"n": n, "a": a, "b": b})
        np.testing.assert_array_equal(result["x"], [x, x])
        np.testing.assert_array_equal(result["y"], [y, y])
    np.testing.assert_array_equal(a, 0)
    np.testing.assert_array_equal(b, 1)


def test_scan_outputs_of_different_shapes_are_an_error():
    s = session(
        """agraph (int64 n) => (float[K, L] y) {
            c = Constant<value = bool {1}>()
            y = Loop(n, c) <body = b (int64 i, bool ci) => (bool co, float[L] t) {
                co = Identity(ci)
                axes = Constant<value = int64[1] {0}>()
                shape = Unsqueeze(i, axes)
                t = ConstantOfShape(shape)
            }>
        }"""
    )
    with pytest.raises(
        onnxforge.InvalidModelError, match=r"(?s)was float32\[0\] and is float32\[1\].*\(Loop\)"
    ):
        s.run({"n": 3})


# Scan


def scan_model(*, opset, attributes, x_shape, node_inputs=("s", "x")):
    """Running sums: s' = s + x_t, row = 10 * s'."""
    body = helper.make_graph(
        [
            helper.make_node("Add", ["state", "element"], ["next"]),
            helper.make_node("Add", ["next", "next"], ["row"]),
        ],
        "body",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in ("state", "element")],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, [2]) for n in ("next", "row")],
    )
    inputs = [
        helper.make_tensor_value_info("s", TensorProto.FLOAT, None),
        helper.make_tensor_value_info("x", TensorProto.FLOAT, x_shape),
    ]
    if "lens" in node_inputs:
        inputs.append(helper.make_tensor_value_info("lens", TensorProto.INT64, ["B"]))
    graph = helper.make_graph(
        [
            helper.make_node(
                "Scan",
                list(node_inputs),
                ["last", "rows"],
                body=body,
                num_scan_inputs=1,
                **attributes,
            )
        ],
        "g",
        inputs,
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in ("last", "rows")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


@pytest.mark.parametrize("opset", [9, 11, 16, 21])
@pytest.mark.parametrize("backwards", [0, 1])
@pytest.mark.parametrize("out_backwards", [0, 1])
@pytest.mark.parametrize(("axis", "out_axis"), [(0, 0), (1, 1), (1, 0), (0, 1)])
def test_scan_over_any_axis_in_any_direction(opset, backwards, out_backwards, axis, out_axis):
    model = scan_model(
        opset=opset,
        x_shape=None,
        attributes={
            "scan_input_axes": [axis],
            "scan_output_axes": [out_axis],
            "scan_input_directions": [backwards],
            "scan_output_directions": [out_backwards],
        },
    )
    rng = np.random.default_rng(0)
    elements = rng.integers(0, 9, (5, 2)).astype(np.float32)
    walked = elements[::-1] if backwards else elements
    sums = np.cumsum(walked, axis=0) + 1
    rows = 2 * (sums[::-1] if out_backwards else sums)
    s = onnxforge.Session(model)
    x = np.ascontiguousarray(np.moveaxis(elements, 0, axis))
    for _ in range(3):
        result = s.run({"s": np.ones(2, np.float32), "x": x})
        np.testing.assert_array_equal(result["last"], sums[-1])
        np.testing.assert_array_equal(result["rows"], np.moveaxis(rows, 0, out_axis))


@pytest.mark.parametrize("axis", [-1, 2])
def test_scan_stacks_strings_and_inner_axes(axis):
    body = helper.make_graph(
        [helper.make_node("Identity", ["element"], ["row"])],
        "body",
        [helper.make_tensor_value_info("element", TensorProto.STRING, None)],
        [helper.make_tensor_value_info("row", TensorProto.STRING, None)],
    )
    graph = helper.make_graph(
        [
            helper.make_node(
                "Scan",
                ["x"],
                ["rows"],
                body=body,
                num_scan_inputs=1,
                scan_input_axes=[axis],
                scan_output_axes=[0],
            )
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.STRING, [2, 3, 4])],
        [helper.make_tensor_value_info("rows", TensorProto.STRING, [4, 2, 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=8)
    x = np.arange(24).astype(str).reshape(2, 3, 4)
    assert onnxforge.Session(model).run({"x": x})["rows"].tolist() == np.moveaxis(x, 2, 0).tolist()


@pytest.mark.parametrize("backwards", [0, 1])
def test_batched_scan_with_lengths(backwards):
    model = scan_model(
        opset=8,
        attributes={"directions": [backwards]},
        x_shape=["B", "T", 2],
        node_inputs=("lens", "s", "x"),
    )
    x = np.random.default_rng(1).integers(0, 9, (3, 4, 2)).astype(np.float32)
    state = np.arange(6, dtype=np.float32).reshape(3, 2)
    lengths = [4, 1, 3]
    rows = np.zeros((3, 4, 2), np.float32)
    last = np.zeros((3, 2), np.float32)
    for b, length in enumerate(lengths):
        walked = x[b, :length][::-1] if backwards else x[b, :length]
        sums = np.cumsum(walked, axis=0) + state[b]
        last[b], rows[b, :length] = sums[-1], 2 * sums
    result = onnxforge.Session(model).run({"s": state, "x": x, "lens": lengths})
    np.testing.assert_array_equal(result["last"], last)
    np.testing.assert_array_equal(result["rows"], rows)


def test_batched_scan_with_a_wrong_length_is_an_error():
    model = scan_model(
        opset=8, attributes={}, x_shape=["B", "T", 2], node_inputs=("lens", "s", "x")
    )
    s = onnxforge.Session(model)
    feeds = {"s": np.zeros((2, 2), np.float32), "x": np.zeros((2, 4, 2), np.float32)}
    with pytest.raises(onnxforge.InvalidArgumentError, match=r"sequence_lens holds 5.*\[0, 4\]"):
        s.run({**feeds, "lens": [1, 5]})


def test_scans_of_different_lengths_are_an_error():
    body = helper.make_graph(
        [helper.make_node("Add", ["a", "b"], ["row"])],
        "body",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in "ab"],
        [helper.make_tensor_value_info("row", TensorProto.FLOAT, None)],
    )
    graph = helper.make_graph(
        [helper.make_node("Scan", ["x", "y"], ["rows"], body=body, num_scan_inputs=2)],
        "g",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in "xy"],
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=8)
    with pytest.raises(onnxforge.InvalidArgumentError, match="the first has 3, number 1 has 4"):
        onnxforge.Session(model).run(
            {"x": np.zeros((3, 2), np.float32), "y": np.zeros((4, 2), np.float32)}
        )


def test_a_condition_that_is_no_single_bool_is_an_error():
    s = session(
        """agraph (bool[N] c, float[1] x) => (float[1] y) {
            y = If(c) <then_branch = g1 () => (float[1] a) { a = Neg(x) },
                       else_branch = g2 () => (float[1] b) { b = Abs(x) }>
        }"""
    )
    assert s.run({"c": [True], "x": [1.0]})["y"] == -1
    with pytest.raises(onnxforge.InvalidModelError, match=r"must be one bool, and is bool\[2\]"):
        s.run({"c": [True, False], "x": [1.0]})


def test_parse_helper_makes_valid_models():
    onnx.checker.check_model(parse(COUNTING), full_check=True)
