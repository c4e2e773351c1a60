"""If, Loop and Scan beside the Python statements that they are."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import NodeProto, helper

from tests.python.properties.bits import arrays_of, assert_same, dtypes_of, i64, tiers
from tests.python.properties.models import any_shape, graph, run_graph
from tests.python.properties.support import examples, kernels, shapes

WHOLE = any_shape(np.dtype(np.int64), 0)
LINE = any_shape(np.dtype(np.int64), 1)
TRUTH = any_shape(np.dtype(bool), 0)
COUNTS = st.integers(-(2**63), 2**63 - 1)


def node(op_type: str, inputs: str, outputs: str, **attributes: Any) -> NodeProto:
    return helper.make_node(op_type, inputs.split(), outputs.split(), **attributes)


@kernels("If")
@examples
@given(
    data=st.data(),
    condition=st.booleans(),
    opset=st.sampled_from([11, 13, 16, 21, 25]),
    tier=tiers,
)
def test_if_takes_one_branch(data: st.DataObject, condition: bool, opset: int, tier: str) -> None:
    """Of one input to the next, the branches' shapes differ; what they read lies outside."""
    dtype = data.draw(st.sampled_from(dtypes_of("Transpose", opset)))
    x, z = (data.draw(arrays_of(dtype, data.draw(shapes(max_dims=3)))) for _ in "xz")
    shape = data.draw(st.sampled_from([(), (1,), (1, 1)]))
    kinds = {"x": any_shape(dtype, x.ndim), "z": any_shape(dtype, z.ndim)}
    branches = {
        "then_branch": graph([node("Transpose", "x", "t")], {}, {"t": kinds["x"]}),
        "else_branch": graph([node("Identity", "z", "e")], {}, {"e": kinds["z"]}),
    }
    whole = graph(
        [node("If", "c", "y", **branches)], {"c": any_shape(np.dtype(bool)), **kinds}, ["y"]
    )
    feeds = {"c": np.full(shape, condition), "x": x, "z": z}
    (y,) = run_graph(whole, feeds, opset=opset, tier=tier)
    assert_same(y, x.T if condition else z)


@kernels("Loop")
@examples
@given(
    trips=st.none() | st.integers(-1, 6),
    begin=st.none() | st.booleans(),
    stop=st.integers(0, 6),
    value=COUNTS,
    opset=st.sampled_from([11, 13, 16, 21, 25]),
    tier=tiers,
)
def test_loop_is_a_for_with_a_while(
    trips: int | None, begin: bool | None, stop: int, value: int, opset: int, tier: str
) -> None:
    """One carried number, modulo 2⁶⁴; a line that grows by one a turn; a row of each turn."""
    body = graph(
        [
            node("Add", "v v", "double"),
            node("Add", "double i", "v_out"),
            node("Constant", "", "one", value_ints=[1]),
            node("Reshape", "i one", "last"),
            node("Concat", "line last", "line_out", axis=0),
            node("Constant", "", "unit", value_int=1),
            node("Add", "i unit", "next"),
            node("Less", "next stop", "go"),
            node("Concat", "last last", "row", axis=0),
        ],
        {"i": WHOLE, "on": TRUTH, "v": WHOLE, "line": LINE},
        {"go": TRUTH, "v_out": WHOLE, "line_out": LINE, "row": LINE, "v_seen": WHOLE},
    )
    body.node.append(node("Identity", "v", "v_seen"))
    feeds: dict[str, Any] = {"stop": np.array(stop), "v": np.array(value), "line": i64(-1)}
    kinds = {"stop": WHOLE, "v": WHOLE, "line": LINE}
    if trips is not None:
        feeds["m"], kinds["m"] = np.array(trips), WHOLE
    if begin is not None:
        feeds["on"], kinds["on"] = np.array(begin), TRUTH
    inputs = ["m" if trips is not None else "", "on" if begin is not None else "", "v", "line"]
    outputs = ["v_end", "line_end", "rows", "seen"]
    whole = graph([helper.make_node("Loop", inputs, outputs, body=body)], kinds, outputs)
    found = run_graph(whole, feeds, opset=opset, tier=tier)
    line, seen, turn, going = [-1], [], 0, begin is not False
    while going and (trips is None or turn < trips):
        seen.append(value)
        value = wrapped(2 * value + turn)
        line.append(turn)
        turn += 1
        going = turn < stop
    assert_same(found[0], np.array(value))
    assert_same(found[1], i64(*line))
    assert found[2].dtype == np.int64
    assert found[2].tolist() == [[i, i] for i in range(turn)]
    assert_same(found[3], i64(*seen))


def wrapped(value: int) -> int:
    """A number as 64 bits carry it."""
    return (value + 2**63) % 2**64 - 2**63


@kernels("Scan")
@examples
@given(data=st.data(), opset=st.sampled_from([9, 11, 16, 21, 25]), tier=tiers)
def test_scan_goes_along_axes(data: st.DataObject, opset: int, tier: str) -> None:
    """Two inputs, each along its axis and in its direction, and two outputs likewise."""
    steps = data.draw(st.integers(1, 4))
    shape = data.draw(shapes(max_dims=2))
    rank = len(shape)
    x, z = (data.draw(hnp.arrays(np.int64, (steps, *shape), elements=COUNTS)) for _ in "xz")
    state = data.draw(hnp.arrays(np.int64, shape, elements=COUNTS))
    lowest = -rank - 1 if opset >= 11 else 0
    axes = [data.draw(st.integers(lowest, rank)) for _ in range(4)]
    backwards = [data.draw(st.booleans()) for _ in range(4)]
    cell = any_shape(np.dtype(np.int64), rank)
    body = graph(
        [node("Add", "s a", "s_out"), node("Sub", "s b", "d"), node("Identity", "s_out", "e")],
        {"s": cell, "a": cell, "b": cell},
        {"s_out": cell, "d": cell, "e": cell},
    )
    attributes: dict[str, Any] = {
        "scan_input_axes": axes[:2],
        "scan_input_directions": [int(b) for b in backwards[:2]],
        "scan_output_axes": axes[2:],
        "scan_output_directions": [int(b) for b in backwards[2:]],
    }
    written = {k: v for k, v in attributes.items() if any(v) or data.draw(st.booleans())}
    scan = node("Scan", "s x z", "end d e", body=body, num_scan_inputs=2, **written)
    several = any_shape(np.dtype(np.int64), rank + 1)
    feeds = {"s": state, "x": np.moveaxis(x, 0, axes[0]), "z": np.moveaxis(z, 0, axes[1])}
    whole = graph([scan], {"s": cell, "x": several, "z": several}, ["end", "d", "e"])
    found = run_graph(whole, feeds, opset=opset, tier=tier)
    rows: list[list[np.ndarray]] = [[], []]
    xs, zs = (v[::-1] if back else v for v, back in zip((x, z), backwards[:2], strict=True))
    with np.errstate(all="ignore"):
        for a, b in zip(xs, zs, strict=True):
            rows[0].append(state - b)
            state = state + a
            rows[1].append(state)
    assert_same(found[0], state)
    for k in range(2):
        stacked = np.stack(rows[k][::-1] if backwards[k + 2] else rows[k])
        assert_same(found[k + 1], np.ascontiguousarray(np.moveaxis(stacked, 0, axes[k + 2])))


@kernels("Scan")
@examples
@given(data=st.data(), batch=st.integers(1, 3), steps=st.integers(1, 4), tier=tiers)
def test_scan_of_a_batch(data: st.DataObject, batch: int, steps: int, tier: str) -> None:
    """Version 8: each of a batch has its own length, and noughts behind it."""
    x = data.draw(hnp.arrays(np.float32, (batch, steps), elements=st.integers(-9, 9)))
    state = data.draw(hnp.arrays(np.float32, batch, elements=st.integers(-9, 9)))
    lengths = data.draw(st.none() | st.lists(st.integers(1, steps), min_size=batch, max_size=batch))
    cell = any_shape(np.dtype(np.float32), 0)
    body = graph(
        [node("Add", "s a", "s_out"), node("Identity", "s_out", "e")],
        {"s": cell, "a": cell},
        {"s_out": cell, "e": cell},
    )
    backwards = data.draw(st.sampled_from([None, 0, 1]))
    written = {} if backwards is None else {"directions": [backwards]}
    inputs = ["" if lengths is None else "n", "s", "x"]
    scan = helper.make_node("Scan", inputs, ["end", "y"], body=body, num_scan_inputs=1, **written)
    row, grid = any_shape(np.dtype(np.float32), 1), any_shape(np.dtype(np.float32), 2)
    kinds = {"s": row, "x": grid, **({} if lengths is None else {"n": LINE})}
    feeds = {"s": state, "x": x, **({} if lengths is None else {"n": i64(*lengths)})}
    end, y = run_graph(graph([scan], kinds, ["end", "y"]), feeds, opset=8, tier=tier)
    expected = np.zeros_like(x)
    last = state.copy()
    for b in range(batch):
        count = steps if lengths is None else lengths[b]
        order = x[b, :count][::-1] if backwards else x[b, :count]
        expected[b, :count] = state[b] + np.cumsum(order)
        last[b] = expected[b, count - 1]
    assert_same(end, last)
    assert_same(y, expected)
