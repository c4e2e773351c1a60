"""Operators of text against Python's own.

Concatenation, splitting, matching, normalising, counting n-grams.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.python.kernel_support import TIERS, run_op
from tests.python.properties.support import examples, kernels, shapes

# What UTF-8 can hold, and of more than one byte.
LETTERS = st.text("ab-é😀 \t", max_size=8)


def words(shape: Any, elements: st.SearchStrategy[str]) -> st.SearchStrategy[np.ndarray]:
    return hnp.arrays(object, shape, elements=elements, fill=st.nothing())


@kernels("StringConcat")
@examples
@given(
    shapes=hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, min_side=0, max_side=3),
    data=st.data(),
    tier=st.sampled_from(TIERS),
)
def test_string_concat(shapes: hnp.BroadcastableShapes, data: st.DataObject, tier: str) -> None:
    a, b = (data.draw(words(shape, st.text(max_size=20))) for shape in shapes.input_shapes)
    (y,) = run_op("StringConcat", [a, b], opset=20, tier=tier)
    assert y.shape == shapes.result_shape
    assert y.tolist() == np.asarray(a + b, object).tolist()


@kernels("StringSplit")
@examples
@given(
    x=words(shapes(max_dims=2), LETTERS),
    delimiter=st.sampled_from([None, "", "-", "a", "--", "é"]),
    most=st.sampled_from([None, 0, 1, 2, 100]),
    tier=st.sampled_from(TIERS),
)
def test_string_split(x: np.ndarray, delimiter: str | None, most: int | None, tier: str) -> None:
    """Without a delimiter at runs of blanks, with none left at either end."""
    attributes: dict[str, Any] = {}
    if delimiter is not None:
        attributes["delimiter"] = delimiter
    if most is not None:
        attributes["maxsplit"] = most
    limit = -1 if most is None else most
    parts = [
        t.split(delimiter, limit) if delimiter else t.strip().split(None, limit) for t in x.flat
    ]
    width = max(map(len, parts), default=0)
    y, count = run_op("StringSplit", [x], attributes, opset=20, tier=tier, outputs=2)
    assert y.shape == (*x.shape, width)
    assert count.dtype == np.int64
    assert count.shape == x.shape
    assert count.ravel().tolist() == [len(part) for part in parts]
    padded = [part + [""] * (width - len(part)) for part in parts]
    assert y.reshape(-1, width).tolist() == padded if y.size else not any(padded)


STOPWORDS = st.lists(st.sampled_from(["a", "B", "the", "É", "x y"]), unique=True, max_size=3)


@kernels("StringNormalizer")
@examples
@given(
    x=words(
        st.integers(0, 6).flatmap(lambda n: st.sampled_from([(n,), (1, n)])),
        st.sampled_from(["a", "A", "b", "the", "THE", "é", "É", "straße", "", "x y", "Ω"]),
    ),
    change=st.sampled_from([None, "NONE", "LOWER", "UPPER"]),
    stopwords=STOPWORDS,
    sensitive=st.sampled_from([None, 0, 1]),
    tier=st.sampled_from(TIERS),
)
def test_string_normalizer(
    x: np.ndarray, change: str | None, stopwords: list[str], sensitive: int | None, tier: str
) -> None:
    """Stop words go before case changes; where nothing is left there is one empty string."""
    attributes: dict[str, Any] = {"stopwords": stopwords} if stopwords else {}
    if change is not None:
        attributes["case_change_action"] = change
    if sensitive is not None:
        attributes["is_case_sensitive"] = sensitive
    fold = str if sensitive else str.lower
    stopped = {fold(word) for word in stopwords}
    kept = [word for word in x.flat if fold(word) not in stopped]
    changed = {"LOWER": str.lower, "UPPER": str.upper}.get(change or "", str)
    expected = [changed(word) for word in kept] or [""]
    (y,) = run_op("StringNormalizer", [x], attributes, opset=10, tier=tier)
    assert y.shape == ((1, len(expected)) if x.ndim == 2 else (len(expected),))
    assert y.ravel().tolist() == expected


PATTERNS = st.recursive(
    st.sampled_from(["a", "b", "ab", ".", "[ab]", "[^a]", r"\w", r"\W", r"\d", "^", r"\b"]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda two: f"(?:{two[0]}|{two[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "*?"])).map(
            lambda two: f"(?:{two[0]}){two[1]}"
        ),
    ),
    max_leaves=6,
)
"""What RE2 and Python's re agree on (older ones do not on \\B in an empty text)."""


@kernels("RegexFullMatch")
@examples
@given(
    pattern=PATTERNS,
    x=words(shapes(max_dims=2), st.text("ab1 \n", max_size=5)),
    tier=st.sampled_from(TIERS),
)
def test_regex_full_match(pattern: str, x: np.ndarray, tier: str) -> None:
    (y,) = run_op("RegexFullMatch", [x], {"pattern": pattern}, opset=20, tier=tier)
    matcher = re.compile(pattern, re.ASCII)
    assert y.dtype == np.bool_
    assert y.shape == x.shape
    assert y.ravel().tolist() == [matcher.fullmatch(word) is not None for word in x.flat]


Gram = tuple[Any, ...]


@st.composite
def pools(draw: st.DrawFn, items: st.SearchStrategy[Any]) -> list[list[Gram]]:
    """Different n-grams, those of each length in a list; the longest ones are there."""
    longest = draw(st.integers(1, 3))
    sizes = [0] * (longest - 1) + [1]
    return [
        draw(st.lists(st.tuples(*[items] * n), unique=True, min_size=size, max_size=4))
        for n, size in zip(range(1, longest + 1), sizes, strict=True)
    ]


def grams(row: list[Any], length: int, most_skipped: int) -> Counter[Gram]:
    """All n-grams of a length, at every distance; of single items there is only one distance."""
    found: Counter[Gram] = Counter()
    for distance in range(1, 2 if length == 1 else most_skipped + 2):
        span = distance * (length - 1) + 1
        for begin in range(len(row) - span + 1):
            found[tuple(row[begin : begin + span : distance])] += 1
    return found


@kernels("TfIdfVectorizer")
@examples
@given(data=st.data(), tier=st.sampled_from(TIERS), mode=st.sampled_from(["TF", "IDF", "TFIDF"]))
def test_tf_idf_vectorizer(data: st.DataObject, tier: str, mode: str) -> None:
    """Counts by brute force: IDF cuts them to 1, and the weights scale both it and TFIDF."""
    text = data.draw(st.booleans())
    items = st.sampled_from(["a", "b", "c", ""]) if text else st.integers(-2, 2)
    pool = data.draw(pools(items))
    flat = [gram for of_length in pool for gram in of_length]
    shortest = data.draw(st.integers(1, len(pool)))
    longest = data.draw(st.integers(shortest, len(pool)))
    skips = data.draw(st.integers(0, 3))
    columns = data.draw(st.permutations(range(len(flat))))
    weights = data.draw(
        st.none()
        | st.lists(st.sampled_from([0.5, 1.0, 3.0]), min_size=len(flat), max_size=len(flat))
    )
    starts = np.cumsum([0, *(len(of) * n for n, of in enumerate(pool[:-1], 1))]).tolist()
    attributes: dict[str, Any] = {
        "mode": mode,
        "min_gram_length": shortest,
        "max_gram_length": longest,
        "max_skip_count": skips,
        "ngram_counts": starts,
        "ngram_indexes": columns,
        "pool_strings" if text else "pool_int64s": [item for gram in flat for item in gram],
    }
    if weights is not None:
        attributes["weights"] = weights
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=7))
    dtype = object if text else data.draw(st.sampled_from([np.int32, np.int64]))
    x = data.draw(hnp.arrays(dtype, shape, elements=items, fill=st.nothing()))
    rows = x.reshape(shape[0] if len(shape) == 2 else 1, shape[-1])
    expected = np.zeros((len(rows), len(flat)), np.float32)
    for line, row in zip(expected, rows.tolist(), strict=True):
        for gram, column, weight in zip(flat, columns, weights or [1.0] * len(flat), strict=True):
            if not shortest <= len(gram) <= longest:
                continue
            count = grams(row, len(gram), skips)[gram]
            line[column] = (
                count if mode == "TF" else weight * (min(count, 1) if mode == "IDF" else count)
            )
    (y,) = run_op("TfIdfVectorizer", [x], attributes, opset=9, tier=tier)
    assert y.dtype == np.float32
    assert y.shape == (*shape[:-1], len(flat))
    assert y.reshape(-1, len(flat)).tolist() == expected.tolist()
