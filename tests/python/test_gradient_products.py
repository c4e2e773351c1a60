"""Gradient through products of many elements."""

from __future__ import annotations

import numpy as np
import pytest

from tests.python.gradient_checks import check, node, real


def with_zeros(*shape: int) -> np.ndarray:
    x = real(*shape)
    x.flat[1] = x.flat[-1] = 0
    return x


@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_cum_prod(exclusive, reverse, axis):
    nodes = [node("CumProd", ["x", "axis"], exclusive=exclusive, reverse=reverse)]
    for x in (real(2, 3, 4), with_zeros(2, 3, 4)):
        check(nodes, {"x": x}, {"axis": np.array(axis)}, opset=26)


def test_cum_prod_of_a_line_with_many_zeros_and_of_none():
    nodes = [node("CumProd", ["x", "axis"])]
    axis = {"axis": np.array([0], np.int32)}
    check(nodes, {"x": np.array([2.0, 0, 3, 0, 0, 4])}, axis, opset=26)
    check(nodes, {"x": real(1)}, axis, opset=26)
    check(nodes, {"x": real(0, 2)}, axis, opset=26)


@pytest.mark.parametrize("shape", [(3, 3), (2, 1, 4, 4), (3, 2, 2), (2, 1, 1)])
@pytest.mark.parametrize("opset", [11, 22])
def test_det(shape, opset):
    check([node("Det", ["x"])], {"x": real(*shape)}, opset=opset)


def test_det_of_singular_matrices():
    rank_one = np.outer([1.0, 2, 3], [4.0, 5, 6])
    rank_two = np.arange(9.0).reshape(3, 3)
    check([node("Det", ["x"])], {"x": np.stack([rank_one, rank_two, np.zeros((3, 3))])})
