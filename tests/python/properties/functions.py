"""One node that runs as its operator's function body, in the ways that a session may run it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
from hypothesis import strategies as st
from onnx import TypeProto, helper

import onnxforge
from tests.python.kernel_support import TIERS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

LATEST = 27
"""The last opset of ai.onnx that these properties are written for."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """How a node is run: a body is built for what is known of the call, and rewritten then."""

    opset: int
    tier: str
    optimize: bool
    known: bool
    """Whether the model says the shapes of its inputs, or only their ranks."""


def ways(opsets: Iterable[int], *, known: bool | None = None) -> st.SearchStrategy[Way]:
    """A way with one of these opsets; `known`: as given, where a body asks for it."""
    return st.builds(
        Way,
        opset=st.sampled_from(list(opsets)),
        tier=st.sampled_from(TIERS),
        optimize=st.booleans(),
        known=st.booleans() if known is None else st.just(known),
    )


def call(
    op_type: str,
    inputs: Sequence[np.ndarray | None],
    attributes: Mapping[str, Any],
    way: Way,
    *,
    outputs: Sequence[str] = ("y",),
    domain: str = "",
    told: Collection[int] = (),
) -> list[np.ndarray]:
    """Run one node (None: an input left out; "": an output left out).

    `told`: the inputs whose shapes the model says in any way.
    """
    names = [f"x{i}" if value is not None else "" for i, value in enumerate(inputs)]
    while names and not names[-1]:
        names.pop()
    node = helper.make_node(op_type, names, outputs, domain=domain, **attributes)
    feeds = {name: x for name, x in zip(names, inputs, strict=False) if x is not None}
    known = {f"x{i}" for i in told}
    graph = helper.make_graph(
        [node],
        "one_node",
        [
            helper.make_tensor_value_info(
                name,
                helper.np_dtype_to_tensor_dtype(x.dtype),
                x.shape if way.known or name in known else [None] * x.ndim,
            )
            for name, x in feeds.items()
        ],
        [helper.make_value_info(name, TypeProto()) for name in outputs if name],
    )
    imports = [helper.make_opsetid("", LATEST if domain else way.opset)]
    imports += [helper.make_opsetid(domain, way.opset)] if domain else []
    model = helper.make_model(graph, opset_imports=imports, ir_version=10)
    session = onnxforge.Session(model, tier=way.tier, optimize=way.optimize)
    return list(session.run(feeds).values())


def rounding(*dtypes: Any) -> float:
    """From 1 to the next number, of the coarsest type."""
    info: Any = ml_dtypes.finfo
    return max(float(info(dtype).eps) for dtype in dtypes)


def assert_near(found: np.ndarray, exact: Any, dtype: Any, error: Any = 0.0) -> None:
    """Type, shape, and numbers that are no farther off than `error` and one rounding."""
    assert found.dtype == dtype
    exact = np.asarray(exact, np.float64)
    assert found.shape == exact.shape
    value = found.astype(np.float64)
    info: Any = ml_dtypes.finfo
    least = float(info(dtype).smallest_subnormal)
    with np.errstate(invalid="ignore"):
        allowed = np.nan_to_num(error + rounding(dtype) * abs(exact)) + least
        good = abs(value - exact) <= allowed
    good = np.where(
        np.isfinite(exact), good, (value == exact) | (np.isnan(value) & np.isnan(exact))
    )
    assert good.all(), f"{value[~good][:4]}, not {exact[~good][:4]}"
