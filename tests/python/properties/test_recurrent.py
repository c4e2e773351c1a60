"""RNN, GRU and LSTM: the equations of the standard, one step of one sequence at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.python.kernel_support import run_op
from tests.python.properties.layers import assert_close, dtypes, layer, tiers, wide
from tests.python.properties.support import arrays, examples, kernels

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.strategies import DataObject


def sigmoid(x: np.ndarray) -> Any:
    return 1 / (1 + np.exp(-x))


FUNCTIONS: dict[str, Callable[[np.ndarray, float, float], np.ndarray]] = {
    "Relu": lambda x, a, b: np.maximum(x, 0),
    "Tanh": lambda x, a, b: np.tanh(x),
    "Sigmoid": lambda x, a, b: sigmoid(x),
    "Affine": lambda x, a, b: a * x + b,
    "LeakyRelu": lambda x, a, b: np.where(x >= 0, x, a * x),
    "ThresholdedRelu": lambda x, a, b: np.where(x >= a, x, 0),
    "ScaledTanh": lambda x, a, b: a * np.tanh(b * x),
    "HardSigmoid": lambda x, a, b: np.clip(a * x + b, 0, 1),
    "Elu": lambda x, a, b: np.where(x >= 0, x, a * (np.exp(x) - 1)),
    "Softsign": lambda x, a, b: x / (1 + np.abs(x)),
    "Softplus": lambda x, a, b: np.log1p(np.exp(x)),
}
HAS_ALPHA = ("Affine", "LeakyRelu", "ThresholdedRelu", "ScaledTanh", "HardSigmoid", "Elu")
HAS_BETA = ("Affine", "ScaledTanh", "HardSigmoid")
"""The names that take parameters; each has an entry of the lists, in order."""

# A jump makes of a rounding another result.
SMOOTH = sorted(set(FUNCTIONS) - {"ThresholdedRelu"})


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A kind of layer: how many gates it has, and what its functions are by default."""

    name: str
    gates: int
    functions: tuple[str, ...]
    outputs: int


CELLS = (
    Cell(name="RNN", gates=1, functions=("Tanh",), outputs=2),
    Cell(name="GRU", gates=3, functions=("Sigmoid", "Tanh"), outputs=2),
    Cell(name="LSTM", gates=4, functions=("Sigmoid", "Tanh", "Tanh"), outputs=3),
)


@dataclass(frozen=True, kw_only=True)
class Step:
    """What a direction of a layer has in each step, in float64."""

    cell: Cell
    functions: list[Callable[[np.ndarray], np.ndarray]]
    w: list[np.ndarray]
    r: list[np.ndarray]
    wb: list[np.ndarray]
    rb: list[np.ndarray]
    p: list[np.ndarray]
    clip: float
    linear_before_reset: bool
    input_forget: bool

    def bounded(self, x: np.ndarray) -> Any:
        return np.clip(x, -self.clip, self.clip)

    def gate(self, k: int, x: np.ndarray, h: np.ndarray) -> Any:
        return self.w[k] @ x + self.r[k] @ h + self.wb[k] + self.rb[k]

    def take(self, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The states after it."""
        f = self.functions[0]
        if self.cell.name == "RNN":
            return f(self.bounded(self.gate(0, x, h))), c
        g = self.functions[1]
        if self.cell.name == "GRU":
            z = f(self.bounded(self.gate(0, x, h)))
            r = f(self.bounded(self.gate(1, x, h)))
            if self.linear_before_reset:
                inner = self.w[2] @ x + self.wb[2] + r * (self.r[2] @ h + self.rb[2])
            else:
                inner = self.w[2] @ x + self.wb[2] + self.r[2] @ (r * h) + self.rb[2]
            return (1 - z) * g(self.bounded(inner)) + z * h, c
        i = f(self.bounded(self.gate(0, x, h) + self.p[0] * c))
        forget = f(self.bounded(self.gate(2, x, h) + self.p[2] * c))
        if self.input_forget:
            forget = 1 - i
        new = forget * c + i * g(self.bounded(self.gate(3, x, h)))
        o = f(self.bounded(self.gate(1, x, h) + self.p[1] * new))
        return o * self.functions[2](new), new


def functions_of(
    names: list[str], alphas: list[float], betas: list[float]
) -> list[Callable[[np.ndarray], np.ndarray]]:
    """With the parameters that are given; those that are not have the operators' defaults."""
    alphas, betas = list(alphas), list(betas)
    defaults = {"HardSigmoid": (0.2, 0.5), "LeakyRelu": (0.01, 0.0), "Affine": (1.0, 0.0)}

    def one(name: str) -> Callable[[np.ndarray], np.ndarray]:
        a, b = defaults.get(name, (1.0, 1.0))
        if name in HAS_ALPHA and alphas:
            a = alphas.pop(0)
        if name in HAS_BETA and betas:
            b = betas.pop(0)
        return lambda x: FUNCTIONS[name](x, a, b)

    return [one(name) for name in names]


@st.composite
def settings_of(draw: st.DrawFn, cell: Cell) -> tuple[dict[str, Any], list[Any]]:
    """Attributes of a node, and the functions of its gates that they mean."""
    attributes: dict[str, Any] = {
        "direction": draw(st.sampled_from(["forward", "reverse", "bidirectional"])),
        "layout": draw(st.integers(0, 1)),
        "clip": draw(st.sampled_from([None, 0.5, 2.0])),
    }
    if cell.name == "GRU":
        attributes["linear_before_reset"] = draw(st.integers(0, 1))
    if cell.name == "LSTM":
        attributes["input_forget"] = draw(st.integers(0, 1))
    names = list(cell.functions) * (2 if attributes["direction"] == "bidirectional" else 1)
    lists: list[list[float]] = [[], []]
    if draw(st.booleans()):
        names = [draw(st.sampled_from(SMOOTH)) for _ in names]
        takes = [sum(name in have for name in names) for have in (HAS_ALPHA, HAS_BETA)]
        parts = st.sampled_from([0.25, 0.5, 0.75])
        if draw(st.booleans()):
            lists = [draw(st.lists(parts, min_size=n, max_size=n)) for n in takes]
        attributes |= {
            # They are compared without case.
            "activations": [draw(st.sampled_from([name, name.lower()])) for name in names],
            "activation_alpha": lists[0] or None,
            "activation_beta": lists[1] or None,
        }
    defaults = (None, 0, "forward")
    attributes = {name: value for name, value in attributes.items() if value not in defaults}
    return attributes, functions_of(names, *lists)


@st.composite
def inputs_of(
    draw: st.DrawFn, cell: Cell, dtype: Any, hidden: int, attributes: dict[str, Any]
) -> list[Any]:
    """Weights are below one, so that states are, and errors do not grow from step to step."""
    some = st.sampled_from([2, 3, 1, 4, 2, 3, 0])
    steps, batch, width = draw(some), draw(some), draw(some)
    directions = 2 if attributes.get("direction") == "bidirectional" else 1
    first = "layout" in attributes
    rows = cell.gates * hidden
    states = (batch, directions, hidden) if first else (directions, batch, hidden)

    def weights(*shape: int) -> Any:
        return (draw(layer(shape, np.float64)) / 8).astype(dtype)

    def maybe(*shape: int) -> np.ndarray | None:
        return weights(*shape) if draw(st.booleans()) else None

    lengths = st.none() | arrays(np.int32, (batch,), st.integers(0, steps))
    inputs = [
        weights(*((batch, steps) if first else (steps, batch)), width),
        weights(directions, rows, width),
        weights(directions, rows, hidden),
        maybe(directions, 2 * rows),
        draw(lengths),
        maybe(*states),
    ]
    if cell.name == "LSTM":
        inputs += [maybe(*states), maybe(directions, 3 * hidden)]
    while inputs[-1] is None:
        inputs.pop()
    return inputs


@kernels("RNN", "GRU", "LSTM")
@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
@examples
@given(
    hidden=st.integers(1, 4),
    dtype=dtypes,
    tier=tiers,
    data=st.data(),
)
def test_recurrent_layers(cell: Cell, hidden: int, dtype: Any, tier: str, data: DataObject) -> None:
    """Behind the end of a sequence Y is 0, and the last states are those of its end.

    Each step rounds its states once, in the type in which it computes.
    """
    attributes, functions = data.draw(settings_of(cell))
    inputs = data.draw(inputs_of(cell, dtype, hidden, attributes))
    found = run_op(
        cell.name,
        inputs,
        attributes | {"hidden_size": hidden},
        opset=22,
        outputs=cell.outputs,
        tier=tier,
    )
    wanted = recur(
        cell, [*wide(*inputs), *[None] * (8 - len(inputs))], functions, attributes, hidden
    )
    for actual, expected in zip(found, wanted, strict=True):
        assert_close(actual, expected, dtype, scale=np.maximum(abs(expected), 4), steps=8)


def recur(
    cell: Cell,
    inputs: list[Any],
    functions: list[Callable[[np.ndarray], np.ndarray]],
    attributes: dict[str, Any],
    hidden: int,
) -> list[np.ndarray]:
    """Y, Y_h and, of LSTM, Y_c, in the layout that is asked for."""
    x, w, r, b, lengths, h0, c0, p = inputs
    if attributes.get("layout"):
        x, h0, c0 = (None if a is None else a.swapaxes(0, 1) for a in (x, h0, c0))
    steps, batch, _ = x.shape
    directions, count = w.shape[0], cell.gates
    y = np.zeros((steps, directions, batch, hidden))
    h = np.zeros((directions, batch, hidden)) if h0 is None else h0.copy()
    c = np.zeros((directions, batch, hidden)) if c0 is None else c0.copy()
    bias = np.zeros((directions, 2 * count * hidden)) if b is None else b
    peepholes = np.zeros((directions, 3 * hidden)) if p is None else p
    each = len(functions) // directions
    for d in range(directions):
        step = Step(
            cell=cell,
            functions=functions[d * each : (d + 1) * each],
            w=np.split(w[d], count),
            r=np.split(r[d], count),
            wb=np.split(bias[d], 2 * count)[:count],
            rb=np.split(bias[d], 2 * count)[count:],
            p=np.split(peepholes[d], 3),
            clip=attributes.get("clip", math.inf),
            linear_before_reset=bool(attributes.get("linear_before_reset")),
            input_forget=bool(attributes.get("input_forget")),
        )
        back = d == 1 or attributes.get("direction") == "reverse"
        for n in range(batch):
            length = steps if lengths is None else int(lengths[n])
            for t in reversed(range(length)) if back else range(length):
                h[d, n], c[d, n] = step.take(x[t, n], h[d, n], c[d, n])
                y[t, d, n] = h[d, n]
    out = [y, h, c][: cell.outputs]
    if attributes.get("layout"):
        out = [y.transpose(2, 0, 1, 3), *(a.swapaxes(0, 1) for a in out[1:])]
    return out
