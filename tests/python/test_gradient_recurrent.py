"""Gradient through RNN, GRU and LSTM, backwards through time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import helper

import onnxforge
from tests.python.gradient_checks import check, gradient, model_of, real

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
STEPS, BATCH, INPUT, HIDDEN = 3, 2, 2, 2


def layer(op_type: str, used: str = "Y Y_h Y_c", **attributes: Any) -> None:
    """Check a layer with all inputs; `sizes` and `fewer` leave some out or put some in."""
    opset = attributes.pop("opset", 22)
    lengths = attributes.pop("lengths", None)
    left_out = attributes.pop("left_out", "").split()
    directions = 2 if attributes.get("direction") == "bidirectional" else 1
    gates = GATES[op_type] * HIDDEN
    batch_first = attributes.get("layout", 0) == 1
    states = (BATCH, directions, HIDDEN) if batch_first else (directions, BATCH, HIDDEN)
    feeds = {
        "X": real(*((BATCH, STEPS) if batch_first else (STEPS, BATCH)), INPUT),
        "W": real(directions, gates, INPUT),
        "R": real(directions, gates, HIDDEN),
        "B": real(directions, 2 * gates),
        "sequence_lens": np.array(lengths, np.int32) if lengths else None,
        "initial_h": real(*states),
    }
    if op_type == "LSTM":
        feeds |= {"initial_c": real(*states), "P": real(directions, 3 * HIDDEN)}
    names = [name if v is not None and name not in left_out else "" for name, v in feeds.items()]
    outputs = ["Y", "Y_h", "Y_c"][: 3 if op_type == "LSTM" else 2]
    nodes = [helper.make_node(op_type, names, outputs, hidden_size=HIDDEN, **attributes)]
    wanted = [name for name in outputs if name in used.split()]
    nodes += [helper.make_node("Reshape", [name, "flat"], [f"{name}.flat"]) for name in wanted]
    nodes.append(helper.make_node("Concat", [f"{name}.flat" for name in wanted], ["y"], axis=0))
    constants = {"flat": np.array([-1])}
    if lengths:
        constants["sequence_lens"] = feeds["sequence_lens"]
    variables = {n: feeds[n] for n in names if n and n != "sequence_lens"}
    check(nodes, variables, constants, opset=opset)


@pytest.mark.parametrize("op_type", GATES)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("lengths", [None, [2, 3]])
def test_directions_and_lengths(op_type, direction, lengths):
    layer(op_type, direction=direction, lengths=lengths)


@pytest.mark.parametrize("op_type", GATES)
@pytest.mark.parametrize("lengths", [None, [3, 1]])
def test_the_batch_first(op_type, lengths):
    layer(op_type, direction="bidirectional", layout=1, lengths=lengths)


@pytest.mark.parametrize("op_type", GATES)
@pytest.mark.parametrize("used", ["Y", "Y_h"])
def test_single_outputs_of_a_layer_with_few_inputs(op_type, used):
    layer(op_type, used, left_out="B initial_h initial_c P")


def test_the_last_cell_alone():
    layer("LSTM", "Y_c", left_out="P")
    layer("LSTM", "Y_c", left_out="initial_c", opset=14)


@pytest.mark.parametrize("used", ["Y", "Y_h"])
@pytest.mark.parametrize("lengths", [None, [2, 3]])
def test_gru_that_resets_behind_the_product(used, lengths):
    layer("GRU", used, linear_before_reset=1, lengths=lengths)


def test_coupled_gates_and_clipped_ones():
    layer("LSTM", input_forget=1)
    for op_type in GATES:
        layer(op_type, clip=0.4)


FUNCTIONS = [
    ("Relu", [], []),
    ("Sigmoid", [], []),
    ("Affine", [0.7], [0.2]),
    ("leakyrelu", [0.3], []),
    ("ThresholdedRelu", [0.2], []),
    ("ScaledTanh", [0.8], [0.6]),
    ("HardSigmoid", [0.3], [0.4]),
    ("Elu", [0.6], []),
    ("Softsign", [], []),
    ("Softplus", [], []),
    ("HardSigmoid", [], []),
]


@pytest.mark.parametrize(("name", "alpha", "beta"), FUNCTIONS)
def test_functions_of_the_gates(name, alpha, beta):
    options = {"activation_alpha": alpha, "activation_beta": beta}
    options = {key: value for key, value in options.items() if value}
    layer("RNN", "Y", activations=[name], **options)


def test_other_functions_in_each_direction():
    layer("GRU", direction="bidirectional", activations=["HardSigmoid", "Elu", "Sigmoid", "Affine"],
          activation_alpha=[0.3, 0.5, 0.6], activation_beta=[0.4, 0.1])  # fmt: skip
    layer("LSTM", activations=["HardSigmoid", "Softsign", "ScaledTanh"],
          activation_alpha=[0.3, 0.8], activation_beta=[0.4, 0.7])  # fmt: skip


def test_a_second_derivative():
    """Of Y_h, along all of W at once, against differences of the first."""
    nodes = [
        helper.make_node("GRU", ["X", "W", "R"], ["", "y"], hidden_size=HIDDEN),
        gradient(["W"], "y", ["d"], ["X", "R"]),
        gradient(["W"], "d", ["dd"], ["X", "R"]),
    ]
    feeds = {"X": real(STEPS, BATCH, INPUT), "W": real(1, 6, INPUT), "R": real(1, 6, HIDDEN)}
    session = onnxforge.Session(model_of(nodes, feeds, ["d", "dd"]))
    found = session.run(feeds)["dd"]
    for at in np.ndindex(*found.shape):
        moved = [feeds["W"].copy() for _ in range(2)]
        moved[0][at] += 1e-6
        moved[1][at] -= 1e-6
        up, down = (session.run({**feeds, "W": w}, ["d"])["d"].sum() for w in moved)
        np.testing.assert_allclose(found[at], (up - down) / 2e-6, rtol=1e-5, atol=1e-7)


def test_an_unknown_function_is_refused():
    nodes = [
        helper.make_node("RNN", ["X", "W", "R"], ["y"], hidden_size=2, activations=["Cosine"]),
        gradient(["X"], "y", ["d"], ["W", "R"]),
    ]
    feeds = {"X": real(3, 1, 2), "W": real(1, 2, 2), "R": real(1, 2, 2)}
    with pytest.raises(onnxforge.Error, match="'Cosine'"):
        onnxforge.Session(model_of(nodes, feeds, ["d"]))
