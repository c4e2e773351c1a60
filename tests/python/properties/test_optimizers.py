"""Adagrad, Adam and Momentum of ai.onnx.preview.training against the formulas of the standard.

The formulas are computed in float64; a kernel's result is that, rounded to the tensor's type.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.python.kernel_support import TIERS, run_op
from tests.python.properties.numerics import assert_close, moderate
from tests.python.properties.support import examples, kernels, shapes

if TYPE_CHECKING:
    from collections.abc import Callable

DOMAIN = "ai.onnx.preview.training"

Update = tuple[np.ndarray, ...]


def adagrad(r: float, t: int, x: Any, g: Any, h: Any, **a: Any) -> Update:
    rate = r / (1 + t * a["decay_factor"])
    g = a["norm_coefficient"] * x + g
    h = h + g * g
    return x - rate * g / (np.sqrt(h) + a["epsilon"]), h


def adam(r: float, t: int, x: Any, g: Any, v: Any, h: Any, **a: Any) -> Update:
    g = a["norm_coefficient"] * x + g
    v = a["alpha"] * v + (1 - a["alpha"]) * g
    h = a["beta"] * h + (1 - a["beta"]) * g * g
    rate = r * np.sqrt(1 - a["beta"] ** t) / (1 - a["alpha"] ** t) if t > 0 else r
    x = x - rate * v / (np.sqrt(h) + a["epsilon"])
    return (1 - a["norm_coefficient_post"]) * x, v, h


def momentum(r: float, t: int, x: Any, g: Any, v: Any, **a: Any) -> Update:
    g = a["norm_coefficient"] * x + g
    v = a["alpha"] * v + (a["beta"] if t > 0 else 1) * g
    step = g + a["alpha"] * v if a["mode"] == "nesterov" else v
    return x - r * step, v


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """An operator: what it computes of one tensor, and its attributes."""

    update: Callable[..., Update]
    """Of the rate, the count of updates, the tensor, its gradient and its states."""
    states: int
    """How many tensors it keeps for each."""
    required: dict[str, tuple[Any, ...]]
    """Attributes without a default, and values to choose from."""
    optional: dict[str, tuple[float, ...]]
    """The first value is the default."""


OPTIMIZERS = {
    "Adagrad": Optimizer(
        update=adagrad,
        states=1,
        required={},
        optional={
            "decay_factor": (0.0, 0.1),
            "epsilon": (1e-6, 1e-2),
            "norm_coefficient": (0.0, 0.001),
        },
    ),
    "Adam": Optimizer(
        update=adam,
        states=2,
        required={},
        optional={
            "alpha": (0.9, 0.5),
            "beta": (0.999, 0.8),
            "epsilon": (1e-6, 1e-2),
            "norm_coefficient": (0.0, 0.001),
            "norm_coefficient_post": (0.0, 0.01),
        },
    ),
    "Momentum": Optimizer(
        update=momentum,
        states=1,
        required={
            "alpha": (0.9, 0.5),
            "beta": (0.1, 1.0),
            "mode": ("standard", "nesterov"),
            "norm_coefficient": (0.0, 0.001),
        },
        optional={},
    ),
}


def in_float32(value: Any) -> Any:
    return value if isinstance(value, str) else float(np.float32(value))


@kernels(*OPTIMIZERS, domain=DOMAIN)
@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
@examples
@given(
    sides=st.lists(shapes(max_dims=3), min_size=1, max_size=3),
    dtype=st.sampled_from([np.float32, np.float64]),
    count=st.sampled_from([0, 1, 2, 1000]),
    tier=st.sampled_from(TIERS),
    data=st.data(),
)
def test_one_step(
    name: str, sides: list[tuple[int, ...]], dtype: Any, count: int, tier: str, data: st.DataObject
) -> None:
    """Of several tensors at once.

    All the values come first, then all gradients, then each kind of state.
    """
    optimizer = OPTIMIZERS[name]
    attributes = data.draw(
        st.fixed_dictionaries(
            {key: st.sampled_from(values) for key, values in optimizer.required.items()},
            optional={key: st.sampled_from(values) for key, values in optimizer.optional.items()},
        )
    )
    every = {key: values[0] for key, values in optimizer.optional.items()} | attributes
    parameters = {key: in_float32(value) for key, value in every.items()}
    rate = np.array(data.draw(st.sampled_from([0.1, 0.01, 1.0])), np.float32)
    of_type = np.dtype(dtype)
    values, gradients = ([data.draw(moderate(of_type, shape)) for shape in sides] for _ in range(2))
    # Squared gradients that are summed up are not negative.
    states = [
        [data.draw(moderate(of_type, shape, 0.1, 4)) for shape in sides]
        for _ in range(optimizer.states)
    ]
    inputs: list[Any] = [
        rate,
        np.array(count, np.int64),
        *values,
        *gradients,
        *(s for kind in states for s in kind),
    ]
    found = run_op(
        name,
        inputs,
        attributes,
        opset=1,
        domain=DOMAIN,
        outputs=len(sides) * (1 + optimizer.states),
        tier=tier,
    )
    for i in range(len(sides)):
        of_one = [x.astype(np.float64) for x in (values[i], gradients[i], *(s[i] for s in states))]
        expected = optimizer.update(float(rate), count, *of_one, **parameters)
        for k, result in enumerate(expected):
            y = found[k * len(sides) + i]
            assert y.dtype == dtype
            assert_close(y, result, ulps=2, slack=8.0)
