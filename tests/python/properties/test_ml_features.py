"""ai.onnx.ml: feature columns, labels and maps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, TypeProto, helper, numpy_helper

import onnxforge
from tests.python.kernel_support import run_op
from tests.python.properties.layers import assert_close, layer, tiers
from tests.python.properties.support import arrays, examples, kernels, numbers, shapes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hypothesis.strategies import DataObject, SearchStrategy

ML = "ai.onnx.ml"
FEATURES = (np.float32, np.float64, np.int32, np.int64)
features = st.sampled_from(FEATURES)
words = st.text("abé", max_size=3)
TEXT: Any = object
"""The type of arrays of strings."""


def ml(
    op_type: str,
    inputs: Sequence[np.ndarray],
    attributes: Mapping[str, Any] | None = None,
    *,
    version: int = 1,
    tier: str,
) -> Any:
    (y,) = run_op(op_type, inputs, attributes, domain=ML, opset=version, tier=tier)
    return y


def strings(shape: tuple[int, ...], values: SearchStrategy[str]) -> SearchStrategy[np.ndarray]:
    return arrays(TEXT, shape, values)


def same(actual: np.ndarray, expected: np.ndarray) -> None:
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    np.testing.assert_array_equal(actual, expected)


@kernels("ArrayFeatureExtractor", domain=ML)
@examples
@given(
    shape=shapes(min_dims=1, max_dims=3),
    dtype=st.sampled_from([*FEATURES, object]),
    tier=tiers,
    data=st.data(),
)
def test_array_feature_extractor(
    shape: tuple[int, ...], dtype: Any, tier: str, data: DataObject
) -> None:
    """Of a vector it makes one row, as onnxruntime does."""
    x = data.draw(strings(shape, words) if dtype is object else arrays(dtype, shape))
    places = st.lists(st.integers(0, shape[-1] - 1), max_size=4) if shape[-1] else st.just([])
    indices = np.array(data.draw(places), np.int64)
    y = ml("ArrayFeatureExtractor", [x, indices], tier=tier)
    expected = x[..., indices]
    same(y, expected[None] if len(shape) == 1 else expected)


@kernels("Binarizer", domain=ML)
@examples
@given(
    dtype=features,
    threshold=st.sampled_from([None, -1.0, 0.5, 3.0, float("inf")]),
    tier=tiers,
    data=st.data(),
)
def test_binarizer(dtype: Any, threshold: float | None, tier: str, data: DataObject) -> None:
    """NaN is above nothing."""
    x = data.draw(arrays(dtype))
    attributes = {} if threshold is None else {"threshold": threshold}
    same(ml("Binarizer", [x], attributes, tier=tier), (x > (threshold or 0.0)).astype(dtype))


@kernels("FeatureVectorizer", domain=ML)
@examples
@given(
    rows=st.integers(0, 3),
    widths=st.lists(st.integers(0, 3), min_size=1, max_size=3),
    flat=st.booleans(),
    told=st.booleans(),
    dtype=features,
    tier=tiers,
    data=st.data(),
)
def test_feature_vectorizer(
    rows: int, widths: list[int], flat: bool, told: bool, dtype: Any, tier: str, data: DataObject
) -> None:
    """Vectors are rows; the output is float32."""
    columns = [
        data.draw(arrays(dtype, (n,) if flat else (rows, n), st.integers(-100, 100)))
        for n in widths
    ]
    attributes = {"inputdimensions": widths} if told else {}
    y = ml("FeatureVectorizer", columns, attributes, tier=tier)
    expected = np.concatenate([c[None] if flat else c for c in columns], 1)
    same(y, expected.astype(np.float32))


@kernels("Imputer", domain=ML)
@examples
@given(
    shape=shapes(min_dims=1, max_dims=3),
    dtype=features,
    replaced=st.sampled_from([None, 1, float("nan")]),
    each=st.booleans(),
    tier=tiers,
    data=st.data(),
)
def test_imputer(
    shape: tuple[int, ...],
    dtype: Any,
    replaced: float | None,
    each: bool,
    tier: str,
    data: DataObject,
) -> None:
    """One value for all features or one for each; -0.0 equals 0."""
    floats = np.dtype(dtype).kind == "f"
    if not floats and replaced != replaced:
        replaced = 2
    x = data.draw(arrays(dtype, shape, numbers(dtype) | st.sampled_from([0, 1, 2])))
    count = shape[-1] if each and shape[-1] else 1
    values = data.draw(st.lists(st.integers(-9, 9), min_size=count, max_size=count))
    attributes: dict[str, Any] = (
        {"imputed_value_floats": [float(v) for v in values]}
        if floats
        else {"imputed_value_int64s": values}
    )
    if replaced is not None and floats:
        attributes["replaced_value_float"] = float(replaced)
    elif replaced is not None:
        attributes["replaced_value_int64"] = replaced
    y = ml("Imputer", [x], attributes, tier=tier)
    wanted = replaced or 0
    missing = np.isnan(x) if wanted != wanted else x == wanted
    same(y, np.where(missing, np.array(values, dtype), x).astype(dtype))


@kernels("Normalizer", domain=ML)
@examples
@given(
    shape=shapes(min_dims=1, max_dims=2),
    dtype=features,
    norm=st.sampled_from([None, "MAX", "L1", "L2"]),
    tier=tiers,
    data=st.data(),
)
def test_normalizer(
    shape: tuple[int, ...], dtype: Any, norm: str | None, tier: str, data: DataObject
) -> None:
    """L1 divides by the sum of magnitudes and L2 keeps signs, as onnxruntime and scikit-learn do.

    The standard's formulas have neither.
    """
    floats = np.dtype(dtype).kind == "f"
    wild = floats and norm in ("L1", "L2")
    x = (
        data.draw(layer(shape, dtype, wild=wild))
        if floats
        else data.draw(arrays(dtype, shape, st.integers(-9, 9)))
    )
    y = ml("Normalizer", [x], {} if norm is None else {"norm": norm}, tier=tier)
    values = x.astype(np.float64)
    with np.errstate(all="ignore"):
        if norm == "L1":
            divisor = abs(values).sum(-1, keepdims=True)
        elif norm == "L2":
            divisor = np.sqrt((values**2).sum(-1, keepdims=True))
        else:
            divisor = values.max(-1, keepdims=True, initial=-np.inf)
        expected = values / np.where(divisor == 0, 1, divisor)
    assert_close(y, expected, np.float32, steps=2)


@kernels("OneHotEncoder", domain=ML)
@examples
@given(
    dtype=st.sampled_from([*FEATURES, object]),
    zeros=st.sampled_from([None, 1]),
    tier=tiers,
    data=st.data(),
)
def test_one_hot_encoder(dtype: Any, zeros: int | None, tier: str, data: DataObject) -> None:
    """Numbers are cut to integers first."""
    shape = data.draw(shapes(max_dims=3))
    if dtype is object:
        x = data.draw(strings(shape, words))
        names: list[Any] = data.draw(st.lists(words, unique=True, min_size=1, max_size=4))
        attributes: dict[str, Any] = {"cats_strings": names}
    else:
        halves = st.integers(-6, 6).map(lambda n: n / 2)
        x = data.draw(
            arrays(dtype, shape, halves if np.dtype(dtype).kind == "f" else st.integers(-3, 3))
        )
        names = data.draw(st.lists(st.integers(-3, 3), unique=True, min_size=1, max_size=4))
        attributes = {"cats_int64s": names}
    if zeros is not None:
        attributes["zeros"] = zeros
    y = ml("OneHotEncoder", [x], attributes, tier=tier)
    whole = x if dtype is object else np.trunc(x)
    expected = np.stack([whole == name for name in names], -1)
    same(y, expected.astype(np.float32))


@kernels("Scaler", domain=ML)
@examples
@given(
    shape=shapes(min_dims=1, max_dims=3),
    dtype=features,
    each=st.tuples(st.booleans(), st.booleans()),
    there=st.tuples(st.booleans(), st.booleans()),
    tier=tiers,
    data=st.data(),
)
def test_scaler(
    shape: tuple[int, ...],
    dtype: Any,
    each: tuple[bool, bool],
    there: tuple[bool, bool],
    tier: str,
    data: DataObject,
) -> None:
    floats = np.dtype(dtype).kind == "f"
    x = data.draw(layer(shape, dtype, wild=True) if floats else arrays(dtype, shape))
    offset, scale = (
        data.draw(layer((shape[-1] if one and shape[-1] else 1,), np.float32)) for one in each
    )
    attributes = {}
    if there[0]:
        attributes["offset"] = offset.tolist()
    if there[1]:
        attributes["scale"] = scale.tolist()
    y = ml("Scaler", [x], attributes, tier=tier)
    by = scale.astype(np.float64) if there[1] else np.ones(1)
    away = offset.astype(np.float64) if there[0] else np.zeros(1)
    values = x.astype(np.float64)
    with np.errstate(all="ignore"):
        expected = (values - away) * by
        magnitude = (abs(values) + abs(away)) * abs(by)
    assert_close(y, expected, np.float32, scale=magnitude, steps=2)


LABELS: dict[Any, SearchStrategy[Any]] = {
    object: words,
    np.int64: st.integers(-3, 3),
    np.float32: st.sampled_from([0.0, -0.0, 1.5, float("nan"), float("inf"), -2.0]),
    np.float64: st.sampled_from([0.0, -0.0, 1.5, float("nan"), 1e-300, -2.0]),
    np.int32: st.integers(-3, 3),
    np.int16: st.integers(-3, 3),
}
LISTED = {object: "strings", np.int64: "int64s", np.float32: "floats"}
DEFAULTS: dict[Any, tuple[str, Any]] = {
    object: ("default_string", "_Unused"),
    np.int64: ("default_int64", -1),
    np.float32: ("default_float", -0.0),
}


def label_lists(prefix: str, values: np.ndarray, dtype: Any, *, as_tensor: bool) -> dict[str, Any]:
    """A list of labels as the attribute that its type asks for."""
    if dtype in LISTED and not as_tensor:
        return {f"{prefix}_{LISTED[dtype]}": values.tolist()}
    if dtype is object:
        texts = [text.encode() for text in values]
        return {f"{prefix}_tensor": helper.make_tensor("", TensorProto.STRING, values.shape, texts)}
    return {f"{prefix}_tensor": numpy_helper.from_array(values)}


@kernels("LabelEncoder", domain=ML)
@examples
@given(
    of=st.sampled_from(list(LABELS)),
    to=st.sampled_from(list(LABELS)),
    version=st.sampled_from([2, 4]),
    as_tensor=st.booleans(),
    with_default=st.booleans(),
    tier=tiers,
    data=st.data(),
)
def test_label_encoder(
    of: Any,
    to: Any,
    version: int,
    as_tensor: bool,
    with_default: bool,
    tier: str,
    data: DataObject,
) -> None:
    """NaN is a key like others, both zeros are one, and of equal keys the last one counts."""
    if version == 2:
        of, to = (kind if kind in LISTED else np.int64 for kind in (of, to))
        as_tensor = False
    count = data.draw(st.integers(1, 5))
    keys = data.draw(arrays(of, (count,), LABELS[of]))
    values = data.draw(arrays(to, (count,), LABELS[to]))
    x = data.draw(arrays(of, elements=LABELS[of]))
    attributes = label_lists("keys", keys, of, as_tensor=as_tensor)
    attributes |= label_lists("values", values, to, as_tensor=as_tensor)
    name, fallback = DEFAULTS.get(to, ("", -0.0 if np.dtype(to).kind == "f" else -1))
    if with_default:
        fallback = data.draw(LABELS[to])
        if name and not as_tensor:
            attributes[name] = fallback
        else:
            one = np.array([fallback], to)
            attributes |= label_lists("default", one, to, as_tensor=True)
    y = ml("LabelEncoder", [x], attributes, version=version, tier=tier)
    expected = np.empty(x.shape, to)
    for place in np.ndindex(*x.shape):
        v = x[place]
        hits = [i for i, key in enumerate(keys) if key == v or (key != key and v != v)]
        expected[place] = values[hits[-1]] if hits else fallback
    same(y, expected)


@kernels("LabelEncoder", "CategoryMapper", domain=ML)
@examples
@given(
    backwards=st.booleans(),
    mapped=st.booleans(),
    defaults=st.tuples(st.none() | st.integers(-9, 9), st.none() | words),
    tier=tiers,
    data=st.data(),
)
def test_two_way_mappings(
    backwards: bool,
    mapped: bool,
    defaults: tuple[int | None, str | None],
    tier: str,
    data: DataObject,
) -> None:
    """CategoryMapper has numbers of its own, LabelEncoder-1 the places of its strings."""
    names = data.draw(st.lists(words, unique=True, min_size=1, max_size=5))
    places = list(range(len(names)))
    if mapped:
        some = st.integers(-5, 5)
        places = data.draw(st.lists(some, unique=True, min_size=len(names), max_size=len(names)))
    attributes: dict[str, Any] = {"cats_strings": names, "cats_int64s": places}
    if not mapped:
        attributes = {"classes_strings": names}
    if defaults[0] is not None:
        attributes["default_int64"] = defaults[0]
    if defaults[1] is not None:
        attributes["default_string"] = defaults[1]
    name = "CategoryMapper" if mapped else "LabelEncoder"
    if backwards:
        x = data.draw(arrays(np.int64, elements=st.integers(-6, 6)))
        there: dict[Any, Any] = dict(zip(places, names, strict=True))
        fallback: Any = "_Unused" if defaults[1] is None else defaults[1]
    else:
        x = data.draw(arrays(TEXT, elements=words))
        there = dict(zip(names, places, strict=True))
        fallback = -1 if defaults[0] is None else defaults[0]
    y = ml(name, [x], attributes, tier=tier)
    expected = np.empty(x.shape, object if backwards else np.int64)
    for place in np.ndindex(*x.shape):
        expected[place] = there.get(x[place], fallback)
    same(y, expected)


@kernels("ZipMap", domain=ML)
@examples
@given(
    rows=st.none() | st.integers(0, 4),
    text=st.booleans(),
    tier=tiers,
    data=st.data(),
)
def test_zip_map(rows: int | None, text: bool, tier: str, data: DataObject) -> None:
    """A list of dictionaries, one for each row; a vector is one row."""
    labels = data.draw(
        st.lists(words if text else st.integers(-99, 99), unique=True, min_size=1, max_size=4)
    )
    shape = (len(labels),) if rows is None else (rows, len(labels))
    x = data.draw(arrays(np.float32, shape, st.floats(allow_nan=False, width=32)))
    attributes = {"classlabels_strings" if text else "classlabels_int64s": labels}
    y = ml("ZipMap", [x], attributes, tier=tier)
    table = x.reshape(-1, len(labels)).tolist()
    assert y == [dict(zip(labels, row, strict=True)) for row in table]


def run_map(
    op_type: str,
    values: dict[Any, Any],
    types: tuple[int, int],
    attributes: dict[str, Any],
    tier: str,
) -> Any:
    """A node whose input is a map of (key, value) types."""
    held = helper.make_tensor_type_proto(types[1], [])
    x = helper.make_value_info("x", helper.make_map_type_proto(types[0], held))
    y = helper.make_value_info("y", TypeProto())
    node = helper.make_node(op_type, ["x"], ["y"], domain=ML, **attributes)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid(ML, 1)]
    graph = helper.make_graph([node], "g", [x], [y])
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    return onnxforge.Session(model, tier=tier).run({"x": values})["y"]


HELD: dict[int, tuple[Any, SearchStrategy[Any]]] = {
    TensorProto.FLOAT: (np.float32, st.integers(-99, 99).map(lambda n: n / 4)),
    TensorProto.DOUBLE: (np.float64, st.integers(-99, 99).map(lambda n: n / 4)),
    TensorProto.INT64: (np.int64, st.integers(-99, 99)),
    TensorProto.STRING: (object, words),
}


@kernels("DictVectorizer", domain=ML)
@examples
@given(
    types=st.sampled_from(
        [
            (TensorProto.STRING, TensorProto.INT64),
            (TensorProto.INT64, TensorProto.STRING),
            (TensorProto.INT64, TensorProto.FLOAT),
            (TensorProto.INT64, TensorProto.DOUBLE),
            (TensorProto.STRING, TensorProto.FLOAT),
            (TensorProto.STRING, TensorProto.DOUBLE),
        ]
    ),
    tier=tiers,
    data=st.data(),
)
def test_dict_vectorizer(types: tuple[int, int], tier: str, data: DataObject) -> None:
    """One row, as onnxruntime has it; keys outside of the vocabulary are passed over."""
    text = types[0] == TensorProto.STRING
    keys: SearchStrategy[Any] = words if text else st.integers(-3, 3)
    vocabulary = data.draw(st.lists(keys, unique=True, min_size=1, max_size=4))
    dtype, elements = HELD[types[1]]
    values = data.draw(st.dictionaries(keys, elements, min_size=1, max_size=4))
    attributes = {"string_vocabulary" if text else "int64_vocabulary": vocabulary}
    y = run_map("DictVectorizer", values, types, attributes, tier)
    nothing = "" if dtype is object else 0
    expected = np.array([values.get(key, nothing) for key in vocabulary], dtype)
    same(y, expected[None])


@kernels("CastMap", domain=ML)
@examples
@given(
    values=st.dictionaries(st.integers(0, 6), st.integers(-99, 99), min_size=1, max_size=4),
    text=st.booleans(),
    cast_to=st.sampled_from([None, "TO_FLOAT", "TO_INT64", "TO_STRING"]),
    sparse=st.none() | st.integers(7, 9),
    tier=tiers,
)
def test_cast_map(
    values: dict[int, int], text: bool, cast_to: str | None, sparse: int | None, tier: str
) -> None:
    """One row in the order of the keys, or with each value at the place of its key among zeros."""
    kind = TensorProto.STRING if text else TensorProto.FLOAT
    given_values = {k: str(v) if text else float(v) for k, v in values.items()}
    attributes: dict[str, Any] = {} if cast_to is None else {"cast_to": cast_to}
    if sparse is not None:
        attributes |= {"map_form": "SPARSE", "max_map": sparse}
    y = run_map("CastMap", given_values, (TensorProto.INT64, kind), attributes, tier)
    dtype, turn, nothing = {
        "TO_INT64": (np.int64, int, 0),
        "TO_STRING": (object, str, "0"),
    }.get(cast_to or "", (np.float32, float, 0))
    order = range(sparse) if sparse is not None else sorted(values)
    cells = [turn(values[k]) if k in values else nothing for k in order]
    expected = np.array(cells, dtype)[None]
    same(y, expected)
