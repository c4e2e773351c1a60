"""Values that no model should have: an error that names the node, no crash, nothing allocated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import onnxforge
from tests.python.kernel_support import TIERS, run_op
from tests.python.properties.bits import i64
from tests.python.properties.models import run_node
from tests.python.properties.support import examples

if TYPE_CHECKING:
    from collections.abc import Callable

X = np.ones((2, 2), np.float32)
LINE = np.ones((1, 4, 1), np.float32)
IMAGE = np.ones((1, 1, 3, 3), np.uint8)
HUGE = [2**63 - 1, 2**62, 2**61, 2**50]
"""Extents that no address space holds, in products that overflow or do not."""
FAR = st.sampled_from([*HUGE, -(2**63), -(2**62), -(2**50), -7, -3, 3, 7])
ANY = FAR | st.integers(-3, 3)
MOST = 1 << 20
PADDINGS = st.sampled_from(["constant", "reflect", "edge", "wrap"])
CIRCLES = st.sampled_from(["linear", "circular"])

Draw = Any
Case = tuple[list[Any], dict[str, Any]]


def numbers(draw: Draw, count: int) -> np.ndarray:
    return i64(*(draw(ANY) for _ in range(count)))


def full(draw: Draw, *shape: int) -> np.ndarray:
    return np.array([draw(ANY) for _ in range(int(np.prod(shape)))], np.int64).reshape(shape)


def scalar(draw: Draw) -> np.ndarray:
    return np.array(draw(ANY), np.int64)


CASES: dict[str, tuple[int, Callable[[Draw], Case]]] = {
    "CenterCropPad": (18, lambda draw: ([X, numbers(draw, 2)], {})),
    "Col2Im": (
        18,
        lambda draw: ([np.ones((1, 4, 1), "f4"), numbers(draw, 2), numbers(draw, 2)], {}),
    ),
    "Concat": (13, lambda draw: ([X, X], {"axis": draw(ANY)})),
    "ConstantOfShape": (21, lambda draw: ([numbers(draw, 3)], {})),
    "DFT": (20, lambda draw: ([LINE, scalar(draw), scalar(draw)], {})),
    "DepthToSpace": (13, lambda draw: ([IMAGE.astype("f4")], {"blocksize": draw(ANY)})),
    "Expand": (13, lambda draw: ([X, numbers(draw, 3)], {})),
    "EyeLike": (22, lambda draw: ([X], {"k": draw(ANY), "dtype": draw(st.integers(-1, 30))})),
    "Flatten": (21, lambda draw: ([X], {"axis": draw(ANY)})),
    "Gather": (13, lambda draw: ([X, full(draw, 2)], {"axis": draw(ANY)})),
    "GatherElements": (13, lambda draw: ([X, full(draw, 2, 2)], {"axis": draw(ANY)})),
    "GatherND": (13, lambda draw: ([X, full(draw, 2, 2)], {"batch_dims": draw(ANY)})),
    "MelWeightMatrix": (
        17,
        lambda draw: ([*(scalar(draw) for _ in "abc"), np.float32(0), np.float32(draw(ANY))], {}),
    ),
    "OneHot": (11, lambda draw: ([full(draw, 2), scalar(draw), X[0]], {"axis": draw(ANY)})),
    "Pad": (21, lambda draw: ([X, numbers(draw, 4)], {"mode": draw(PADDINGS)})),
    "Range": (11, lambda draw: ([scalar(draw), scalar(draw), scalar(draw)], {})),
    "Reshape": (21, lambda draw: ([X, numbers(draw, 3)], {"allowzero": draw(st.integers(0, 1))})),
    "ReverseSequence": (10, lambda draw: ([X, numbers(draw, 2)], {})),
    "STFT": (17, lambda draw: ([LINE, scalar(draw), None, scalar(draw)], {})),
    "ScatterElements": (18, lambda draw: ([X, full(draw, 2, 2), X], {"axis": draw(ANY)})),
    "ScatterND": (18, lambda draw: ([X, full(draw, 2, 1), X], {})),
    "Slice": (13, lambda draw: ([X, *(numbers(draw, 2) for _ in "seat")], {})),
    "SpaceToDepth": (13, lambda draw: ([IMAGE.astype("f4")], {"blocksize": draw(ANY)})),
    "Split": (18, lambda draw: ([X, numbers(draw, 2)], {"axis": draw(ANY)})),
    "SplitToSequence": (11, lambda draw: ([X, numbers(draw, 2)], {"axis": draw(ANY)})),
    "Squeeze": (21, lambda draw: ([X, numbers(draw, 2)], {})),
    "TensorScatter": (
        24,
        lambda draw: ([X, X[:, :1], full(draw, 2)], {"axis": 1, "mode": draw(CIRCLES)}),
    ),
    "Tile": (13, lambda draw: ([X, numbers(draw, 2)], {})),
    "TopK": (11, lambda draw: ([X, numbers(draw, 1)], {"axis": draw(ANY)})),
    "Transpose": (21, lambda draw: ([X], {"perm": [draw(ANY), draw(ANY)]})),
    "Trilu": (14, lambda draw: ([X, scalar(draw)], {})),
    "Unsqueeze": (21, lambda draw: ([X, numbers(draw, 2)], {})),
}
TWO = {"Split", "TopK"}


@pytest.mark.parametrize("op_type", CASES)
@examples
@given(data=st.data(), tier=st.sampled_from(TIERS))
def test_a_result_or_an_error_that_names_the_node(
    op_type: str, data: st.DataObject, tier: str
) -> None:
    opset, case = CASES[op_type]
    inputs, attributes = case(data.draw)
    outputs = 1 + (op_type in TWO)
    inputs = [None if v is None else np.asarray(v) for v in inputs]
    failure = None
    try:
        found = run_op(op_type, inputs, attributes, opset=opset, outputs=outputs, tier=tier)
    except onnxforge.Error as error:
        failure = error
    except ValueError as error:  # a result without elements, of a shape that NumPy does not have
        assume("array is too big" not in str(error))
        raise
    if failure is None:
        parts = [part for x in found for part in (x if isinstance(x, list) else [x])]
        assert sum(part.size for part in parts) < MOST
        return
    assert f"in node 'y0' ({op_type})" in str(failure)
    assert not isinstance(failure, onnxforge.InternalError)


def refused(
    op_type: str, inputs: list[Any], attributes: dict[str, Any], said: str, **options: Any
) -> Any:
    return pytest.param(op_type, inputs, attributes, said, options, id=f"{op_type}: {said}")


ONE, NONE = np.array(1, np.float32), np.array(0, np.uint8)
FILTERS = [IMAGE, ONE, NONE, IMAGE[..., :1, :1], ONE, NONE, ONE, NONE]
MICROSOFT: dict[str, Any] = {"domain": "com.microsoft", "opset": 1}


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize(
    ("op_type", "inputs", "attributes", "said", "options"),
    [
        refused("Einsum", [X, X], {"equation": "......,ij"}, "second ellipsis"),
        refused("Einsum", [X, X], {"equation": "...i...,ij->ij"}, "second ellipsis"),
        refused("Einsum", [X], {"equation": "ij->......"}, "second ellipsis"),
        refused("Einsum", [X, X], {"equation": "i-,ij->ij"}, "arrow's part"),
        refused("Einsum", [X], {"equation": "i>->i"}, "arrow's part"),
        refused("Pad", [X, i64(-(2**63), 0, -(2**63), 0)], {}, "too far from 0"),
        refused(
            "Split", [X, i64(1, 2**63 - 1)], {}, "does not fit into an axis", outputs=["y0", "y1"]
        ),
        refused("QLinearConv", FILTERS, {"kernel_shape": [2, 2]}, "the filters are of"),
        refused("ConvInteger", [IMAGE, IMAGE], {"kernel_shape": [2, 2]}, "the filters are of"),
        refused("ConvInteger", [IMAGE, IMAGE, np.zeros(0, np.uint8)], {}, "must have one element"),
        refused(
            "MelWeightMatrix",
            [*(np.array(2**31 - 1) for _ in "blr"), ONE, ONE],
            {},
            "address space|memory",
        ),
        refused(
            "Attention",
            [np.ones((1, 1, 1), "f4"), X[:1]],
            {"num_heads": 1, "qkv_hidden_sizes": [2**63 - 1, 2**63 - 1, 4]},
            "the weights have shape",
            **MICROSOFT,
        ),
        refused(
            "GroupQueryAttention",
            [np.ones((1, 1, 8), "f4"), None, None],
            {"num_heads": 2**62, "kv_num_heads": 2**61},
            "num_heads is",
            **MICROSOFT,
        ),
        refused(
            "GroupQueryAttention",
            [*[np.ones((1, 1, 16), "f4")] * 3, None, None, np.zeros(1, "i4"), np.array(2**60)],
            {"num_heads": 1, "kv_num_heads": 1},
            "total_sequence_length",
            **MICROSOFT,
        ),
    ],
)
def test_what_is_refused(
    op_type: str, inputs: list[Any], attributes: dict[str, Any], said: str, options: Any, tier: str
) -> None:
    with pytest.raises(onnxforge.Error, match=said):
        run_node(op_type, inputs, attributes, tier=tier, **options)
