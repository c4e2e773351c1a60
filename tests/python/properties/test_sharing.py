"""Values that share memory: in-place kernels, a graph's inputs and outputs, runs in turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper, numpy_helper

import onnxforge
from tests.python.kernel_support import TIERS
from tests.python.properties.support import examples

if TYPE_CHECKING:
    from collections.abc import Callable

SHAPE = (2, 3)

STEPS: dict[str, tuple[int, Callable[..., np.ndarray]]] = {
    "Abs": (1, np.abs),
    "Add": (2, np.add),
    "Cast": (1, np.array),
    "Clip": (1, np.array),
    "Identity": (1, np.array),
    "Max": (2, np.maximum),
    "Min": (2, np.minimum),
    "Neg": (1, np.negative),
    "Relu": (1, lambda x: np.maximum(x, 0)),
    "Sub": (2, np.subtract),
    "Sum": (2, np.add),
    "Unsqueeze": (1, np.array),
}
"""How many inputs an operator takes, and its formula; whole numbers stay whole, so all is exact."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """A node of values before it; negative ones are the graph's inputs and its constant."""

    operator: str
    of: tuple[int, ...]


@st.composite
def programs(draw: st.DrawFn) -> tuple[list[Step], list[int]]:
    """Steps, each of any values that there are by then, and which values the graph hands out."""
    steps: list[Step] = []
    for i in range(draw(st.integers(1, 9))):
        operator = draw(st.sampled_from(sorted(STEPS)))
        count = STEPS[operator][0]
        of = tuple(draw(st.integers(-3, i - 1)) for _ in range(count))
        steps.append(Step(operator=operator, of=of))
    last = len(steps) - 1
    outputs = draw(st.lists(st.integers(0, last), unique=True, min_size=1, max_size=len(steps)))
    return steps, outputs


def name(value: int) -> str:
    return {-3: "a", -2: "b", -1: "constant"}.get(value, f"y{value}")


CONSTANT = np.array([[1, -2, 3], [-4, 5, -6]], np.float32)


def model_of(steps: list[Step], outputs: list[int]) -> ModelProto:
    nodes = []
    for i, step in enumerate(steps):
        operator, inputs, attributes = step.operator, [name(value) for value in step.of], {}
        if operator == "Cast":
            attributes = {"to": TensorProto.FLOAT}
        if operator == "Unsqueeze":  # a view, and another of it that has the shape again
            nodes.append(helper.make_node("Unsqueeze", [*inputs, "first"], [f"u{i}"]))
            operator, inputs = "Squeeze", [f"u{i}", "first"]
        nodes.append(helper.make_node(operator, inputs, [name(i)], **attributes))
    graph = helper.make_graph(
        nodes,
        "steps",
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, [None, None]) for x in ("a", "b")],
        [helper.make_tensor_value_info(name(i), TensorProto.FLOAT, [None, None]) for i in outputs],
        [
            numpy_helper.from_array(CONSTANT, "constant"),
            numpy_helper.from_array(np.array([0]), "first"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def evaluate(steps: list[Step], a: np.ndarray, b: np.ndarray) -> list[np.ndarray]:
    values: list[np.ndarray] = []
    before = {-3: a, -2: b, -1: CONSTANT}
    for step in steps:
        of = (before[value] if value < 0 else values[value] for value in step.of)
        values.append(STEPS[step.operator][1](*of))
    return values


@examples
@given(program=programs(), tier=st.sampled_from(TIERS), same=st.booleans(), data=st.data())
def test_no_value_is_written_over(
    program: tuple[list[Step], list[int]], tier: str, same: bool, data: st.DataObject
) -> None:
    """Not the caller's arrays, not a value that is read again, not what an earlier run gave out.

    `same`: one array is both inputs.
    """
    steps, outputs = program
    session = onnxforge.Session(model_of(steps, outputs), tier=tier)
    runs = []
    for _ in range(3):
        rng = np.random.default_rng(data.draw(st.integers(0, 1 << 32)))
        a = rng.integers(-9, 9, SHAPE).astype(np.float32)
        b = a if same else rng.integers(-9, 9, SHAPE).astype(np.float32)
        copies = a.copy(), b.copy()
        found = session.run({"a": a, "b": b})
        np.testing.assert_array_equal((a, b), copies)
        # What comes out may be handed in again and is the caller's to change.
        runs.append((found, evaluate(steps, *copies)))
        for earlier, expected in runs:
            for i in outputs:
                np.testing.assert_array_equal(earlier[name(i)], expected[i])
    for i in outputs:
        array = runs[-1][0][name(i)]
        if array.flags.writeable:
            array += 1
    for earlier, expected in runs[:-1]:
        for i in outputs:
            np.testing.assert_array_equal(earlier[name(i)], expected[i])
    np.testing.assert_array_equal((a, b), copies)
