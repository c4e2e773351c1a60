"""Matrix products and what is made of them.

Exact where it can be: factors are small whole numbers, so that every sum is exact in every type, in
any order. Real numbers are compared with sums in float64, within the rounding of a sum of k
products: k · ε · Σ|a · b|, where ε is that of the type the kernel sums in, plus one rounding to the
type itself.
"""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.python.kernel_support import TIERS, run_op
from tests.python.properties.bits import dtypes_of, is_text, rounding_of, tiers
from tests.python.properties.models import run_node
from tests.python.properties.support import examples, kernels

SMALL = st.integers(-4, 4)
SPECIAL = st.sampled_from([math.nan, math.inf, -math.inf])
SIDES = st.integers(1, 70)


def is_real(dtype: np.dtype) -> bool:
    return dtype.kind == "f" or dtype == ml_dtypes.bfloat16


@st.composite
def exact_arrays(draw: st.DrawFn, dtype: np.dtype, shape: Any, special: bool = False) -> np.ndarray:
    """Small whole numbers of a type; with `special`, some are none at all."""
    least = 0 if dtype.kind == "u" else -4
    elements: st.SearchStrategy[Any] = st.integers(least, 4)
    if special and is_real(dtype):
        elements = st.one_of(elements, elements, elements, SPECIAL)
    return draw(hnp.arrays(np.float64, shape, elements=elements)).astype(dtype)


def wide(x: np.ndarray) -> np.ndarray:
    """The numbers in the type that the formula is computed in."""
    return x.astype(np.float64) if is_real(x.dtype) else x


def assert_equal(found: Any, expected: np.ndarray, dtype: np.dtype) -> None:
    """Equal values, NaN among them; no sign is asked of a nought."""
    assert found.dtype == dtype
    assert found.shape == expected.shape
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(found, expected.astype(dtype))


@st.composite
def product_shapes(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shapes of two factors, lines among them, whose batches broadcast."""
    m, k, n = (draw(st.integers(0, 5)) for _ in "mkn")
    batch = draw(
        hnp.mutually_broadcastable_shapes(num_shapes=2, min_side=0, max_side=3, max_dims=2)
    )
    left, right = ((*batch.input_shapes[0], m, k), (*batch.input_shapes[1], k, n))
    form = draw(st.sampled_from(["matrices", "matrices", "row", "column", "lines"]))
    if form in ("row", "lines"):
        left = (k,)
    if form in ("column", "lines"):
        right = (k,)
    return left, right


@kernels("MatMul")
@examples
@given(
    data=st.data(),
    both=product_shapes(),
    opset=st.sampled_from([1, 9, 13]),
    fixed=st.booleans(),
    special=st.booleans(),
    tier=tiers,
)
def test_matmul(
    data: st.DataObject, both: Any, opset: int, fixed: bool, special: bool, tier: str
) -> None:
    """NumPy's matmul; NaN and infinities go where the products of them go."""
    dtype = data.draw(st.sampled_from(dtypes_of("MatMul", opset)))
    a, b = (data.draw(exact_arrays(dtype, shape, special)) for shape in both)
    constants = [1] if fixed and dtype != ml_dtypes.bfloat16 else []
    (y,) = run_node("MatMul", [a, b], opset=opset, tier=tier, constants=constants)
    with np.errstate(invalid="ignore"):
        assert_equal(y, np.asarray(np.matmul(wide(a), wide(b))), dtype)


def normal(seed: int, dtype: np.dtype, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def assert_close(found: Any, expected: np.ndarray, magnitude: np.ndarray, terms: int) -> None:
    """Within the roundings of a sum of so many terms, of which Σ|term| is the magnitude."""
    summed = np.dtype(np.float64 if found.dtype == np.float64 else np.float32)
    error = (terms + 2) * np.finfo(summed).eps * magnitude
    error = error + rounding_of(found.dtype) * np.abs(expected)
    assert found.shape == expected.shape
    worst = np.max(np.abs(found.astype(np.float64) - expected) - error, initial=-1)
    assert worst <= 0, f"wrong by {worst} more than {np.max(error)}"


@kernels("MatMul", "Gemm")
@examples
@given(
    sides=st.tuples(SIDES, SIDES, SIDES),
    dtype=st.sampled_from(["float16", "float32", "float64"]),
    seed=st.integers(0, 999),
    fixed=st.booleans(),
    tier=tiers,
)
def test_products_of_real_numbers(
    sides: tuple[int, int, int], dtype: str, seed: int, fixed: bool, tier: str
) -> None:
    """Sizes around those of the tiles, with weights that are packed ahead and others."""
    m, k, n = sides
    a, b, c = (normal(seed + i, np.dtype(dtype), *s) for i, s in enumerate([(m, k), (k, n), (n,)]))
    x, w, v = (t.astype(np.float64) for t in (a, b, c))
    constants = [1, 2] if fixed else []
    (y,) = run_node("MatMul", [a, b], opset=13, tier=tier, constants=constants[:1])
    assert_close(y, x @ w, np.abs(x) @ np.abs(w), k)
    (z,) = run_node("Gemm", [a, b, c], opset=13, tier=tier, constants=constants)
    assert_close(z, x @ w + v, np.abs(x) @ np.abs(w) + np.abs(v), k + 1)


@kernels("Gemm")
@examples
@given(
    data=st.data(),
    opset=st.sampled_from([6, 7, 9, 11, 13]),
    transposed=st.tuples(st.booleans(), st.booleans()),
    fixed=st.booleans(),
    special=st.booleans(),
    tier=tiers,
)
def test_gemm(
    data: st.DataObject, opset: int, transposed: Any, fixed: bool, special: bool, tier: str
) -> None:
    dtype = data.draw(st.sampled_from(dtypes_of("Gemm", opset)))
    m, k, n = (data.draw(st.integers(0, 5)) for _ in "mkn")
    a = data.draw(exact_arrays(dtype, (k, m) if transposed[0] else (m, k), special))
    b = data.draw(exact_arrays(dtype, (n, k) if transposed[1] else (k, n), special))
    c_shapes = [(), (1,), (n,), (m, 1), (1, n), (m, n)]
    c_shape = data.draw(st.sampled_from([*c_shapes, *([None] if opset >= 11 else [])]))
    c = None if c_shape is None else data.draw(exact_arrays(dtype, c_shape, special))
    factors = [None, 0.0, 1.0, -1.0, 2.0] + ([0.5] if is_real(dtype) else [])
    factors = [f for f in factors if dtype.kind != "u" or f is None or f >= 0]
    alpha, beta = (data.draw(st.sampled_from(factors)) for _ in "ab")
    written: dict[str, Any] = {"alpha": alpha, "beta": beta}
    written |= {"transA": int(transposed[0]), "transB": int(transposed[1])}
    written = {name: value for name, value in written.items() if value is not None}
    written |= {"broadcast": 1} if opset == 6 else {}
    constants = [1, 2] if fixed and dtype != ml_dtypes.bfloat16 else []
    (y,) = run_node("Gemm", [a, b, c], written, opset=opset, tier=tier, constants=constants)
    left, right = (
        wide(t).T if turn else wide(t) for t, turn in zip((a, b), transposed, strict=True)
    )
    with np.errstate(invalid="ignore"):
        expected = (left @ right) * (1 if alpha is None else scalar(alpha, left))
        if c is not None:
            expected = expected + wide(c) * (1 if beta is None else scalar(beta, left))
    assert_equal(y, expected, dtype)


def scalar(value: float, like: np.ndarray) -> Any:
    return like.dtype.type(value)


@st.composite
def equations(draw: st.DrawFn) -> tuple[str, list[tuple[int, ...]]]:
    """An equation of up to three terms and the shapes of its operands."""
    extents = {letter: draw(st.integers(1, 3)) for letter in "aBcd"}
    spread = draw(st.sampled_from([(), (2,), (2, 3)])) if draw(st.booleans()) else None
    terms, shapes = [], []
    for _ in range(draw(st.integers(1, 3))):
        letters = draw(st.lists(st.sampled_from("aBcd"), max_size=3))
        at = draw(st.integers(0, len(letters))) if spread is not None else 0
        sides = [extents[letter] for letter in letters]
        text = "".join(letters)
        if spread is not None:
            kept = spread[draw(st.integers(0, len(spread))) :]
            broadcast = tuple(1 if draw(st.integers(0, 3)) == 0 else side for side in kept)
            sides[at:at] = broadcast
            text = text[:at] + "..." + text[at:]
        terms.append(text)
        shapes.append(tuple(sides))
    text = ",".join(terms)
    if draw(st.booleans()):
        seen = sorted(set("".join(terms)) - {"."})
        output = draw(st.permutations(seen))[: draw(st.integers(0, len(seen)))] if seen else []
        dots = "..." if spread is not None else ""
        text += draw(st.sampled_from(["->", " -> "])) + dots + "".join(output)
    return text, shapes


@kernels("Einsum")
@examples
@given(data=st.data(), case=equations(), opset=st.sampled_from([12, 28]), tier=tiers)
def test_einsum(data: st.DataObject, case: Any, opset: int, tier: str) -> None:
    """NumPy's einsum, of letters that are repeated and of axes that are broadcast."""
    equation, shapes = case
    kinds = [k for k in dtypes_of("Einsum", opset) if np.dtype(k).itemsize > 1]
    dtype = data.draw(st.sampled_from(kinds))
    operands = [data.draw(exact_arrays(dtype, shape)) for shape in shapes]
    exact = [x.astype(object).astype(np.int64) for x in operands]
    expected = np.einsum(equation.replace(" ", ""), *exact)
    assume(np.max(np.abs(expected), initial=0) <= 128)  # or bfloat16 would have to round
    (y,) = run_op("Einsum", operands, {"equation": equation}, opset=opset, tier=tier)
    assert_equal(y, np.asarray(expected), dtype)


def leibniz(matrix: np.ndarray) -> Fraction:
    """The sum over all permutations, in whole numbers."""
    total = Fraction(0)
    for perm in itertools.permutations(range(len(matrix))):
        swaps = sum(a > b for a, b in itertools.combinations(perm, 2))
        product = math.prod(Fraction(float(matrix[i, j])) for i, j in enumerate(perm))
        total += -product if swaps % 2 else product
    return total


@kernels("Det")
@examples
@given(data=st.data(), opset=st.sampled_from([11, 22]), absent=st.booleans(), tier=tiers)
def test_det(data: st.DataObject, opset: int, absent: bool, tier: str) -> None:
    """Elimination rounds: 16 ε of the product of the rows' lengths, which no determinant exceeds.

    A NaN anywhere makes the determinant NaN, as every sum of products with it is.
    """
    dtype = data.draw(st.sampled_from(dtypes_of("Det", opset)))
    n = data.draw(st.integers(0, 4))
    batch = data.draw(hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=2))
    x = data.draw(exact_arrays(dtype, (*batch, n, n)))
    if absent and x.size:
        x.reshape(-1)[data.draw(st.integers(0, x.size - 1))] = math.nan
    (y,) = run_op("Det", [x], opset=opset, tier=tier)
    assert y.dtype == dtype
    assert y.shape == batch
    for place in np.ndindex(*batch):
        matrix = x[place].astype(np.float64)
        if np.isnan(matrix).any():
            assert np.isnan(y[place])
            continue
        bound = math.prod(float(np.linalg.norm(row)) for row in matrix)
        rounding = 16 * np.finfo(np.float64).eps + rounding_of(dtype)
        assert abs(float(y[place]) - float(leibniz(matrix))) <= rounding * bound


@kernels("Inverse", domain="com.microsoft")
@examples
@given(data=st.data(), dtype=st.sampled_from([np.float16, np.float32, np.float64]), tier=tiers)
def test_inverse(data: st.DataObject, dtype: type[np.generic], tier: str) -> None:
    """A matrix whose diagonal outweighs its rows is well conditioned: its inverse undoes it.

    The rows' sums of the rest are at most n, the diagonal at least 2 n: the inverse's are at most
    1/n, so that the product is off by few ε. A NaN spreads, and does not hang or crash.
    """
    n = data.draw(st.integers(0, 5))
    batch = data.draw(hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3))
    off = data.draw(hnp.arrays(np.float64, (*batch, n, n), elements=st.floats(-1, 1, width=16)))
    signs = data.draw(hnp.arrays(np.float64, (*batch, n), elements=st.sampled_from([-1.0, 1.0])))
    x = off.copy()
    x[..., range(n), range(n)] = 2 * n * signs
    order = data.draw(st.permutations(range(n)))
    x = np.ascontiguousarray(x[..., order, :], dtype)
    (y,) = run_op("Inverse", [x], domain="com.microsoft", opset=1, tier=tier)
    assert (y.dtype, y.shape) == (x.dtype, x.shape)
    product = x.astype(np.float64) @ y.astype(np.float64)
    rounding = 16 * max(n, 1) * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(product, np.broadcast_to(np.eye(n), x.shape), rtol=0, atol=rounding)
    if x.size:
        x.reshape(-1)[data.draw(st.integers(0, x.size - 1))] = math.nan
        (y,) = run_op("Inverse", [x], domain="com.microsoft", opset=1, tier=tier)
        assert np.isnan(y).any()


@kernels("Col2Im")
@examples
@given(data=st.data(), tier=tiers)
def test_col2im_adds_the_blocks_up(data: st.DataObject, tier: str) -> None:
    """Each column lands where the block that it was read from lies; what overlaps is added.

    A sum of truths is one where any of them is.
    """
    dtype = data.draw(st.sampled_from([k for k in dtypes_of("Col2Im", 18) if not is_text(k)]))
    rank = data.draw(st.integers(1, 3))
    block, strides, dilations = (
        [data.draw(st.integers(1, most)) for _ in range(rank)] for most in (2, 2, 2)
    )
    pads = [data.draw(st.integers(0, 1)) for _ in range(2 * rank)]
    image = [data.draw(st.integers(1, 4)) for _ in range(rank)]
    room = [
        image[i] + pads[i] + pads[rank + i] - dilations[i] * (block[i] - 1) - 1 for i in range(rank)
    ]
    assume(min(room) >= 0)
    counts = [r // s + 1 for r, s in zip(room, strides, strict=True)]
    n, c = data.draw(st.integers(0, 2)), data.draw(st.integers(1, 2))
    x = data.draw(exact_arrays(dtype, (n, c * math.prod(block), math.prod(counts))))
    x = x * dtype.type(1 - 2j) if dtype.kind == "c" else x
    written = {"strides": strides, "dilations": dilations, "pads": pads}
    ones = {"strides": [1] * rank, "dilations": [1] * rank, "pads": [0] * 2 * rank}
    written = {k: v for k, v in written.items() if v != ones[k] or data.draw(st.booleans())}
    shapes = [np.array(v, np.int64) for v in (image, block)]
    (y,) = run_op("Col2Im", [x, *shapes], written, opset=18, tier=tier)
    extents = [i + pads[k] + pads[rank + k] for k, i in enumerate(image)]
    padded = np.zeros((n, c, *extents), np.complex128 if dtype.kind == "c" else np.float64)
    blocks = x.astype(padded.dtype).reshape(n, c, *block, *counts)
    for tap in np.ndindex(*block):
        for place in np.ndindex(*counts):
            sums = np.multiply(place, strides) + np.multiply(tap, dilations)
            at = (slice(None), slice(None), *sums.tolist())
            source = (slice(None), slice(None), *tap, *place)
            padded[at] += blocks[source]
    cut = [slice(pads[k], pads[k] + i) for k, i in enumerate(image)]
    whole = (slice(None), slice(None), *cut)
    assert_equal(y, padded[whole], dtype)


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("rows", [[[0, 1], [math.nan, 1]], [[0, math.nan], [0, 1]]])
def test_no_nought_hides_a_nan(rows: list[list[float]], tier: str) -> None:
    (y,) = run_op("Det", [np.array(rows, np.float32)], opset=22, tier=tier)
    assert np.isnan(y)
