"""Sequences are Python's lists, and an optional is something or None."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from tests.python.kernel_support import run_op
from tests.python.properties.bits import (
    arrays_of,
    assert_same,
    dtypes_of,
    moved_arrays,
    tiers,
)
from tests.python.properties.models import any_shape, graph, run_graph, run_node
from tests.python.properties.support import axes_of, examples, kernels, shapes

STEPS = st.lists(st.sampled_from(["insert", "erase", "at", "length"]), max_size=6)


class Program:
    """Nodes that change a sequence, beside the list that they are to make."""

    def __init__(self, dtype: np.dtype) -> None:
        self.dtype = dtype
        self.items: list[np.ndarray] = []
        self.nodes: list[Any] = []
        self.feeds: dict[str, np.ndarray] = {}
        self.seen: dict[str, Any] = {}
        self.name = ""

    def feed(self, value: np.ndarray) -> str:
        name = f"x{len(self.feeds)}"
        self.feeds[name] = value
        return name

    def add(self, op_type: str, inputs: list[str], **attributes: Any) -> str:
        name = f"s{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, inputs, [name], **attributes))
        return name


def start(program: Program, data: st.DataObject) -> None:
    if data.draw(st.booleans()):
        kind = helper.np_dtype_to_tensor_dtype(program.dtype)
        is_float = program.dtype == np.float32 and data.draw(st.booleans())
        program.name = program.add("SequenceEmpty", [], **({} if is_float else {"dtype": kind}))
        return
    count = data.draw(st.integers(1, 3))
    program.items = [data.draw(arrays_of(program.dtype, shapes(max_dims=2))) for _ in range(count)]
    program.name = program.add("SequenceConstruct", [program.feed(x) for x in program.items])


def insert(program: Program, data: st.DataObject) -> None:
    size = len(program.items)
    item = data.draw(arrays_of(program.dtype, shapes(max_dims=2)))
    at = data.draw(st.none() | st.integers(-size, size))
    inputs = [program.name, program.feed(item)]
    program.name = program.add("SequenceInsert", [*inputs, *position(program, data, at)])
    program.items.insert(size if at is None else at + size * (at < 0), item)


def erase(program: Program, data: st.DataObject) -> None:
    if not program.items:
        return
    size = len(program.items)
    at = data.draw(st.none() | st.integers(-size, size - 1))
    inputs = [program.name, *position(program, data, at)]
    program.name = program.add("SequenceErase", inputs)
    del program.items[-1 if at is None else at]


def at(program: Program, data: st.DataObject) -> None:
    if program.items:
        size = len(program.items)
        index = data.draw(st.integers(-size, size - 1))
        name = program.add("SequenceAt", [program.name, *position(program, data, index)])
        program.seen[name] = program.items[index]


def length(program: Program, _: st.DataObject) -> None:
    name = program.add("SequenceLength", [program.name])
    program.seen[name] = np.array(len(program.items), np.int64)


def position(program: Program, data: st.DataObject, index: int | None) -> list[str]:
    kind = data.draw(st.sampled_from([np.int32, np.int64]))
    return [] if index is None else [program.feed(np.array(index, kind))]


@kernels(
    "SequenceConstruct",
    "SequenceEmpty",
    "SequenceInsert",
    "SequenceErase",
    "SequenceAt",
    "SequenceLength",
)
@examples
@given(data=st.data(), steps=STEPS, opset=st.sampled_from([11, 21, 28]), tier=tiers)
def test_a_sequence_is_a_list(data: st.DataObject, steps: list[str], opset: int, tier: str) -> None:
    program = Program(data.draw(st.sampled_from(dtypes_of("SequenceConstruct", opset))))
    start(program, data)
    for step in steps:
        {"insert": insert, "erase": erase, "at": at, "length": length}[step](program, data)
    kinds = {n: any_shape(x.dtype, x.ndim) for n, x in program.feeds.items()}
    body = graph(program.nodes, kinds, [*program.seen, program.name])
    *seen, items = run_graph(body, program.feeds, opset=opset, tier=tier)
    for found, expected in zip(seen, program.seen.values(), strict=True):
        assert_same(found, expected)
    assert len(items) == len(program.items)
    for found, expected in zip(items, program.items, strict=True):
        assert_same(found, expected)


@kernels("SplitToSequence", "ConcatFromSequence")
@examples
@given(data=st.data(), opset=st.sampled_from([11, 24]), tier=tiers)
def test_split_to_a_sequence_and_back(data: st.DataObject, opset: int, tier: str) -> None:
    x = data.draw(moved_arrays("SplitToSequence", opset, shapes(min_dims=1)))
    axis = data.draw(axes_of(x.ndim))
    extent = x.shape[axis]
    parts, split = data.draw(parts_of(extent))
    keepdims = data.draw(st.sampled_from([None, 0, 1]))
    written = {"axis": axis} | ({} if keepdims is None else {"keepdims": keepdims})
    (found,) = run_op("SplitToSequence", [x, split], written, opset=opset, tier=tier)
    ends = np.cumsum(parts, dtype=np.int64)
    expected = np.split(x, ends[:-1], axis) if parts else []
    dropped = split is None and keepdims == 0
    expected = [part.squeeze(axis) for part in expected] if dropped else expected
    assert len(found) == len(expected)
    for part, wanted in zip(found, expected, strict=True):
        assert_same(part, wanted)
    if expected:
        stack = {"new_axis": 1} if dropped else data.draw(st.sampled_from([{}, {"new_axis": 0}]))
        (whole,) = run_node("ConcatFromSequence", [found], {"axis": axis, **stack}, tier=tier)
        assert_same(whole, x)


@st.composite
def parts_of(draw: st.DrawFn, extent: int) -> tuple[list[int], np.ndarray | None]:
    """Sizes that an axis is split into, and the input that asks for them."""
    kind = draw(st.sampled_from([np.int32, np.int64]))
    form = draw(st.sampled_from(["none", "size", "sizes"]))
    if form == "none":
        return [1] * extent, None
    if form == "size":
        size = draw(st.integers(1, 6))
        parts = [min(size, extent - at) for at in range(0, extent, size)]
        return parts, np.array(size, kind)
    cuts = sorted(draw(st.lists(st.integers(0, extent), max_size=3)))
    parts = [b - a for a, b in zip([0, *cuts], [*cuts, extent], strict=True)]
    return parts, np.array(parts, kind)


@kernels("Optional", "OptionalHasElement", "OptionalGetElement")
@examples
@given(
    data=st.data(),
    opset=st.sampled_from([15, 18, 28]),
    sequence=st.booleans(),
    empty=st.booleans(),
    tier=tiers,
)
def test_an_optional_is_something_or_none(
    data: st.DataObject, opset: int, sequence: bool, empty: bool, tier: str
) -> None:
    dtype = data.draw(st.sampled_from(dtypes_of("Optional", opset)))
    arrays = [data.draw(arrays_of(dtype, shapes(max_dims=2))) for _ in range(1 + sequence)]
    value = arrays if sequence else arrays[0]
    kind = any_shape(dtype)
    kind = helper.make_sequence_type_proto(kind) if sequence else kind
    if empty:
        nodes = [helper.make_node("Optional", [], ["o"], type=kind)]
    else:
        nodes = [helper.make_node("Optional", ["x"], ["o"])]
        nodes.append(helper.make_node("OptionalGetElement", ["o"], ["value"]))
    nodes.append(helper.make_node("OptionalHasElement", ["o"], ["has"]))
    feeds = {} if empty else {"x": value}
    outputs = ["has"] if empty else ["has", "value"]
    body = graph(nodes, {} if empty else {"x": kind}, outputs)
    has, *got = run_graph(body, feeds, opset=opset, tier=tier)
    assert_same(has, np.array(not empty))
    if not empty:
        for item, expected in zip(got[0] if sequence else got, arrays, strict=True):
            assert_same(item, expected)


@kernels("OptionalHasElement", "OptionalGetElement")
@examples
@given(data=st.data(), opset=st.sampled_from([18, 28]), tier=tiers)
def test_what_is_no_optional_has_an_element(data: st.DataObject, opset: int, tier: str) -> None:
    """From version 18 on tensors are taken as they are, and nothing is taken as an empty one."""
    x = data.draw(moved_arrays("OptionalHasElement", opset, shapes()))
    assert_same(run_node("OptionalHasElement", [x], opset=opset, tier=tier)[0], np.array(True))
    assert_same(run_node("OptionalGetElement", [x], opset=opset, tier=tier)[0], x)
    assert_same(run_node("OptionalHasElement", [], opset=opset, tier=tier)[0], np.array(False))


@kernels("SequenceMap")
@examples
@given(data=st.data(), count=st.integers(0, 4), paired=st.booleans(), tier=tiers)
def test_sequence_map(data: st.DataObject, count: int, paired: bool, tier: str) -> None:
    """The body's first output doubles an element, the second goes with another input."""
    dtype = data.draw(st.sampled_from(dtypes_of("Concat", 13)))
    items = [data.draw(arrays_of(dtype, shapes(min_dims=1, max_dims=1))) for _ in range(count)]
    other = [data.draw(arrays_of(dtype, shapes(min_dims=1, max_dims=1))) for _ in range(count)]
    beside: Any = other if paired else data.draw(arrays_of(dtype, (2,)))
    line = any_shape(dtype, 1)
    body = graph(
        [
            helper.make_node("Concat", ["a", "a"], ["twice"], axis=0),
            helper.make_node("Concat", ["b", "a"], ["both"], axis=0),
        ],
        {"a": line, "b": line},
        {"twice": line, "both": line},
    )
    node = helper.make_node("SequenceMap", ["s", "t"], ["y", "z"], body=body)
    many = helper.make_sequence_type_proto(line)
    whole = graph([node], {"s": many, "t": many if paired else line}, ["y", "z"])
    twice, both = run_graph(whole, {"s": items, "t": beside}, opset=17, tier=tier)
    assert len(twice) == len(both) == count
    for i, item in enumerate(items):
        assert_same(twice[i], np.concatenate([item, item]))
        assert_same(both[i], np.concatenate([other[i] if paired else beside, item]))
