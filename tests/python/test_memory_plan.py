"""A steady run allocates nothing but its outputs, and no plan is trusted beyond its purpose."""

from __future__ import annotations

import json

import numpy as np
import pytest
from onnx import numpy_helper

import onnxforge
from tests.python.support import parse, relative_difference, run_peer, session

CHAIN = """
agraph (float[N, 64] x) => (float[N, 64] y)
{
    a = MatMul(x, w)
    b = Relu(a)
    c = Add(a, b)
    d = Softmax<axis = -1>(c)
    e = Concat<axis = 1>(d, a, b)
    f = ReduceMean<keepdims = 1>(e)
    g = Sub(c, f)
    h = Exp(d)
    y = Mul(g, h)
}
"""


@pytest.fixture
def chain():
    model = parse(CHAIN)
    weights = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32) / 8
    model.graph.initializer.append(numpy_helper.from_array(weights, "w"))
    return model


def inputs(n, seed=0):
    return {"x": np.random.default_rng(seed).standard_normal((n, 64)).astype(np.float32)}


def test_the_first_run_observes_and_the_third_allocates_nothing(chain):
    s = onnxforge.Session(chain)
    first = s.profile(inputs(8), warmup=0)
    assert first.unplanned_allocations > 0
    assert first.arena_bytes == 0
    for warmup in (0, 0, 0):
        steady = s.profile(inputs(8), warmup=warmup)
        assert steady.unplanned_allocations == 0
        assert steady.arena_bytes > 0
    # The output has memory of its own, and c, g and y are made in it one after the other.
    assert [node.op_type for node in steady.nodes if not node.in_arena] == ["Add", "Sub", "Mul"]


def test_the_arena_is_smaller_than_what_lies_in_it(chain):
    profile = onnxforge.Session(chain, optimize=False).profile(inputs(64))
    planned = sum(node.output_bytes for node in profile.nodes if node.in_arena)
    assert profile.arena_bytes < planned


def test_each_signature_has_its_own_plan_and_none_disturbs_another(chain):
    s = onnxforge.Session(chain)
    expected = {n: run_peer(chain, inputs(n))[0] for n in range(1, 50)}
    for _ in range(3):
        for n in [*range(1, 50), 3, 2, 1]:  # more than the cache holds
            assert relative_difference(s.run(inputs(n))["y"], expected[n]) < 1e-5
    assert s.profile(inputs(7)).unplanned_allocations == 0


def test_steady_bodies_allocate_nothing_but_what_leaves_them():
    s = session(
        """agraph (int64 n, float[N] x) => (float[N] y) {
            c = Constant<value = bool {1}>()
            y = Loop(n, c, x) <body = b (int64 i, bool ci, float[N] p) => (bool co, float[N] r) {
                co = Identity(ci)
                t = Mul(p, p)
                u = Add(t, p)
                v = Sub(u, t)
                r = Neg(v)
            }>
        }"""
    )
    feeds = {"n": 10, "x": np.ones(100, np.float32)}
    profile = s.profile(feeds)
    assert profile.unplanned_allocations == 0
    assert {node.depth for node in profile.nodes} == {0, 1}
    assert sum(node.depth == 1 for node in profile.nodes) >= 30


DATA_DEPENDENT = """
agraph (float[N] x) => (float[M] y)
{
    zero = Constant<value = float {0.0}>()
    mask = Greater(x, zero)
    kept = Compress<axis = 0>(x, mask)
    twice = Add(kept, kept)
    squared = Mul(twice, kept)
    y = Sub(squared, twice)
}
"""


def test_sizes_that_depend_on_data_fall_back_to_the_heap_and_are_learnt():
    try:
        s = session(DATA_DEPENDENT)
    except onnxforge.UnsupportedError as error:
        pytest.skip(str(error))
    rng = np.random.default_rng(0)
    for i in range(40):
        x = rng.standard_normal(1000).astype(np.float32) + np.float32(i % 5 - 2)
        kept = x[x > 0]
        np.testing.assert_allclose(
            s.run({"x": x})["y"], 2 * kept * kept - 2 * kept, rtol=1e-5, atol=1e-6
        )


def test_shapes_that_depend_on_data_keep_their_results_apart():
    s = session(
        """agraph (int64[K] shape, float v) => (float[] y, float[N] z) {
            zeros = ConstantOfShape(shape)
            a = Add(zeros, v)
            b = Mul(a, a)
            c = Add(b, a)
            z = Add(c, b)
            y = ReduceSum<keepdims = 0>(z)
        }"""
    )
    kept = []
    for size in [10, 10, 10, 1000, 10, 1000, 3, 0, 5000, 5000, 5000]:
        result = s.run({"shape": [size], "v": 3.0})
        assert result["y"] == size * 21
        kept.append((size, result["z"]))
    for size, z in kept:
        np.testing.assert_array_equal(z, np.full(size, 21))


@pytest.mark.parametrize("optimize", [True, False])
def test_views_of_planned_memory_keep_it_alive(optimize):
    s = session(
        """agraph (float[N, 4] x) => (float[A] p, float[B, N] q) {
            t = Neg(x)
            flat_shape = Constant<value = int64[1] {-1}>()
            wide_shape = Constant<value = int64[2] {4, -1}>()
            p = Reshape(t, flat_shape)
            u = Add(t, t)
            v = Mul(u, u)
            w = Sub(v, u)
            r = Reshape(w, wide_shape)
            s = Add(r, r)
            k = Add(s, s)
            q = Sub(k, r)
        }""",
        optimize=optimize,
    )
    kept = []
    for i in range(8):
        x = np.random.default_rng(i).standard_normal((5, 4)).astype(np.float32)
        kept.append((x, s.run({"x": x})))
    for x, result in kept:
        u = -2 * x
        np.testing.assert_array_equal(result["p"], -x.reshape(-1))
        np.testing.assert_allclose(result["q"], 3 * (u * u - u).reshape(4, 5), rtol=1e-5, atol=1e-5)


def test_a_failed_run_leaves_the_session_usable(chain):
    s = session(
        "agraph (float[N] a, float[M] b) => (float[K] y) "
        "{ p = Neg(a) q = Neg(b) r = Add(p, q) y = Mul(r, r) }"
    )
    good = {"a": np.ones(4, np.float32), "b": np.ones(4, np.float32)}
    for _ in range(4):
        with pytest.raises(onnxforge.Error):
            s.run({"a": np.ones(4, np.float32), "b": np.ones(3, np.float32)})
        np.testing.assert_array_equal(s.run(good)["y"], [4, 4, 4, 4])
    assert s.profile(good).unplanned_allocations == 0


def test_the_profile_can_be_read(chain):
    profile = onnxforge.Session(chain).profile(inputs(4))
    table = profile.table()
    assert "MatMul" in table
    assert profile.table(limit=1).count("\n") < table.count("\n")
    assert "0 unplanned allocations" in table
    costs = profile.by_operator()
    assert sum(cost.count for cost in costs) == len(profile.nodes)
    assert sum(cost.duration_ns for cost in costs) <= profile.total_ns

    trace = json.loads(profile.chrome_trace())
    assert len(trace["traceEvents"]) == len(profile.nodes)
    assert json.loads(profile.to_json())["arena_bytes"] == profile.arena_bytes
