"""ai.onnx.ml against onnxruntime and formulas: the standard has hardly any tests here."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from tests.python.kernel_support import run_op
from tests.python.support import run_peer

RNG = np.random.default_rng(11)
ML = "ai.onnx.ml"


def ml(
    op_type: str,
    x: np.ndarray,
    attributes: dict[str, Any],
    *,
    version: int = 3,
    outputs: int = 1,
    others: tuple = (),
) -> list[Any]:
    return run_op(op_type, [x, *others], attributes, domain=ML, opset=version, outputs=outputs)


def peer(
    op_type: str, x: np.ndarray, attributes: dict[str, Any], dtypes: list[int], version: int = 3
) -> list[Any]:
    results = [f"y{i}" for i in range(len(dtypes))]
    node = helper.make_node(op_type, ["x"], results, domain=ML, **attributes)
    graph = helper.make_graph(
        [node],
        "peer",
        [helper.make_tensor_value_info("x", helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)],
        [
            helper.make_tensor_value_info(name, dtype, None)
            for name, dtype in zip(results, dtypes, strict=True)
        ],
    )
    opsets = [helper.make_opsetid("", 15), helper.make_opsetid(ML, version)]
    return run_peer(helper.make_model(graph, opset_imports=opsets, ir_version=8), {"x": x})


X = RNG.standard_normal((7, 4)).astype(np.float32)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int64])
def test_scaler_normalizer_binarizer(dtype: type) -> None:
    x = (X * 5).astype(dtype)
    offset, scale = [1.0, 2.0, 3.0, 4.0], [0.5, 2.0, 1.0, -1.0]
    (y,) = ml("Scaler", x, {"offset": offset, "scale": scale}, version=1)
    np.testing.assert_allclose(y, (x - np.array(offset)) * scale, rtol=1e-5)
    (y,) = ml("Binarizer", x, {"threshold": 0.5}, version=1)
    np.testing.assert_array_equal(y, (x > 0.5).astype(dtype))
    (y,) = ml("Normalizer", x, {"norm": "L2"}, version=1)
    norm = np.sqrt(np.sum(x.astype(np.float64) ** 2, 1, keepdims=True))
    np.testing.assert_allclose(y, x / np.where(norm == 0, 1, norm), rtol=1e-5)


def test_imputer_replaces_nan_or_a_value() -> None:
    x = np.array([[1, np.nan], [np.nan, 4]], np.float32)
    (y,) = ml(
        "Imputer",
        x,
        {"imputed_value_floats": [7.0, 8.0], "replaced_value_float": float("nan")},
        version=1,
    )
    np.testing.assert_array_equal(y, [[1, 8], [7, 4]])
    (y,) = ml(
        "Imputer",
        np.array([[0, 5]], np.int64),
        {"imputed_value_int64s": [3], "replaced_value_int64": 0},
        version=1,
    )
    np.testing.assert_array_equal(y, [[3, 5]])


def test_one_hot_of_strings_and_numbers() -> None:
    x = np.array([["b"], ["z"], ["a"]], dtype=object)
    (y,) = ml("OneHotEncoder", x, {"cats_strings": ["a", "b"]}, version=1)
    np.testing.assert_array_equal(y, [[[0, 1]], [[0, 0]], [[1, 0]]])
    (y,) = ml("OneHotEncoder", np.array([2.0, 5.0], np.float32), {"cats_int64s": [5, 2]}, version=1)
    np.testing.assert_array_equal(y, [[0, 1], [1, 0]])
    with pytest.raises(Exception, match="none of the categories"):
        ml("OneHotEncoder", x, {"cats_strings": ["a", "b"], "zeros": 0}, version=1)


def test_label_encoder() -> None:
    x = np.array(["a", "?", "b"], dtype=object)
    (y,) = ml(
        "LabelEncoder",
        x,
        {"keys_strings": ["a", "b"], "values_int64s": [5, 6], "default_int64": 9},
        version=2,
    )
    np.testing.assert_array_equal(y, [5, 9, 6])
    nan = np.array([np.nan, 1.0, -0.0], np.float32)
    (y,) = ml(
        "LabelEncoder",
        nan,
        {"keys_floats": [float("nan"), 0.0], "values_strings": ["n", "z"], "default_string": "?"},
        version=2,
    )
    assert y.tolist() == ["n", "?", "z"]
    (y,) = ml("LabelEncoder", x, {"classes_strings": ["b", "a"]}, version=1)
    np.testing.assert_array_equal(y, [1, -1, 0])


def test_array_feature_extractor() -> None:
    index = np.array([[3, 0]], np.int64)
    (y,) = ml("ArrayFeatureExtractor", X, {}, version=1, others=(index,))
    np.testing.assert_array_equal(y, X[:, [3, 0]])


@pytest.mark.parametrize("transform", ["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO"])
def test_linear_models(transform: str) -> None:
    coefficients, intercepts = RNG.standard_normal(12).tolist(), [0.1, -0.2, 0.3]
    attributes = {
        "coefficients": coefficients,
        "intercepts": intercepts,
        "post_transform": transform,
    }
    expected = peer(
        "LinearClassifier",
        X,
        {**attributes, "classlabels_ints": [3, 5, 8]},
        [TensorProto.INT64, TensorProto.FLOAT],
    )
    found = ml(
        "LinearClassifier", X, {**attributes, "classlabels_ints": [3, 5, 8]}, version=1, outputs=2
    )
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-4, atol=1e-6)
    (expected_y,) = peer("LinearRegressor", X, {**attributes, "targets": 3}, [TensorProto.FLOAT])
    np.testing.assert_allclose(
        ml("LinearRegressor", X, {**attributes, "targets": 3}, version=1)[0],
        expected_y,
        rtol=1e-4,
        atol=1e-6,
    )


@pytest.mark.parametrize("transform", ["NONE", "LOGISTIC"])
def test_linear_classifier_with_one_score_of_two_classes(transform: str) -> None:
    attributes = {
        "coefficients": [0.5, -1.0, 2.0, 0.1],
        "intercepts": [0.2],
        "classlabels_strings": ["no", "yes"],
        "post_transform": transform,
    }
    expected = peer("LinearClassifier", X, attributes, [TensorProto.STRING, TensorProto.FLOAT])
    found = ml("LinearClassifier", X, attributes, version=1, outputs=2)
    assert found[0].tolist() == expected[0].tolist()
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-4, atol=1e-6)


def stumps(prefix: str, votes: list[tuple[int, int, int, float]]) -> dict[str, Any]:
    """Two trees of one branch each; votes are (tree, node, target, weight)."""
    return {
        "nodes_treeids": [0, 0, 0, 1, 1, 1],
        "nodes_nodeids": [0, 1, 2, 0, 1, 2],
        "nodes_featureids": [0, 0, 0, 2, 0, 0],
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF", "BRANCH_GT", "LEAF", "LEAF"],
        "nodes_values": [0.1, 0.0, 0.0, -0.3, 0.0, 0.0],
        "nodes_truenodeids": [1, 0, 0, 1, 0, 0],
        "nodes_falsenodeids": [2, 0, 0, 2, 0, 0],
        "nodes_missing_value_tracks_true": [1, 0, 0, 0, 0, 0],
        f"{prefix}_treeids": [vote[0] for vote in votes],
        f"{prefix}_nodeids": [vote[1] for vote in votes],
        f"{prefix}_ids": [vote[2] for vote in votes],
        f"{prefix}_weights": [vote[3] for vote in votes],
    }


@pytest.mark.parametrize("aggregate", ["SUM", "AVERAGE", "MIN", "MAX"])
def test_tree_regressor(aggregate: str) -> None:
    x = np.concatenate([X, np.full((1, 4), np.nan, np.float32)])
    votes = [
        (0, 1, 0, 0.25),
        (0, 2, 0, -1.5),
        (1, 1, 1, 2.0),
        (1, 2, 1, 0.5),
        (1, 1, 0, 0.75),
        (1, 2, 0, -0.25),
    ]
    attributes = {
        **stumps("target", votes),
        "n_targets": 2,
        "aggregate_function": aggregate,
        "base_values": [0.5, -1.0],
    }
    (expected,) = peer("TreeEnsembleRegressor", x, attributes, [TensorProto.FLOAT])
    np.testing.assert_allclose(ml("TreeEnsembleRegressor", x, attributes)[0], expected, rtol=1e-5)


@pytest.mark.parametrize("transform", ["NONE", "SOFTMAX", "LOGISTIC"])
@pytest.mark.parametrize("classes", [3, 2])
@pytest.mark.parametrize("sign", [1, -1])
def test_tree_classifier(transform: str, classes: int, sign: int) -> None:
    if classes == 2:  # all votes are for one class: a single score decides
        votes = [(0, 1, 0, 0.4), (0, 2, 0, sign * 0.1), (1, 1, 0, sign * 0.3), (1, 2, 0, 0.2)]
    else:
        votes = [(0, 1, 0, 0.4), (0, 2, 1, sign * 0.9), (1, 1, 2, 0.3), (1, 2, 1, 0.2)]
    attributes = {
        **stumps("class", votes),
        "classlabels_int64s": list(range(10, 10 + classes)),
        "post_transform": transform,
    }
    expected = peer("TreeEnsembleClassifier", X, attributes, [TensorProto.INT64, TensorProto.FLOAT])
    found = ml("TreeEnsembleClassifier", X, attributes, outputs=2)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-5, atol=1e-6)
    # onnxruntime never chooses a class without votes; by the standard the greatest score wins.
    labels = expected[0] if classes == 2 else 10 + np.argmax(expected[1], axis=1)
    np.testing.assert_array_equal(found[0], labels)


TREE_NODES = (
    *("treeids", "nodeids", "featureids", "modes", "values", "truenodeids"),
    *("falsenodeids", "missing_value_tracks_true"),
)


def grown(mode: str, missing: bool, trees: int) -> dict[str, Any]:
    """Trees that grow as it comes, 9 deep at most, with thresholds that inputs have too."""
    rng = np.random.default_rng(len(mode) + trees)
    columns: dict[str, list[Any]] = {f"nodes_{name}": [] for name in TREE_NODES} | {
        f"class_{name}": [] for name in ("treeids", "nodeids", "ids", "weights")
    }

    def add(**row: Any) -> None:
        for name, value in row.items():
            columns[name].append(value)

    for tree in range(trees):
        depths, node = [0], 0
        while node < len(depths):
            leaf = depths[node] == 9 or (node > 0 and rng.random() < 0.3)
            children = (0, 0) if leaf else (len(depths), len(depths) + 1)
            depths += [] if leaf else [depths[node] + 1] * 2
            add(nodes_treeids=tree, nodes_nodeids=node, nodes_featureids=int(rng.integers(0, 4)))
            add(nodes_modes="LEAF" if leaf else mode, nodes_values=float(rng.integers(-4, 5)) / 4)
            add(nodes_truenodeids=children[1], nodes_falsenodeids=children[0])
            add(nodes_missing_value_tracks_true=int(missing and rng.random() < 0.5))
            if leaf:
                add(class_treeids=tree, class_nodeids=node, class_ids=int(rng.integers(0, 3)))
                add(class_weights=float(rng.standard_normal()))
            node += 1
    return {**columns, "classlabels_int64s": [0, 1, 2]}


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("mode", ["LEQ", "LT", "GTE", "GT", "EQ"])
def test_trees_are_walked_alike_on_every_tier(mode: str, missing: bool) -> None:
    attributes = grown(f"BRANCH_{mode}", missing, trees=21)
    x = RNG.integers(-5, 6, (203, 4)).astype(np.float32) / 4
    x[RNG.random(x.shape) < 0.1] = np.nan
    x[RNG.random(x.shape) < 0.05] = -np.inf
    for rows in (203, 64, 9, 8, 7, 1):
        expected, actual = (
            run_op(
                "TreeEnsembleClassifier",
                [x[:rows]],
                attributes,
                domain="ai.onnx.ml",
                opset=3,
                outputs=2,
                tier=tier,
            )
            for tier in ("reference", "auto")
        )
        np.testing.assert_array_equal(actual[0], expected[0])
        np.testing.assert_array_equal(actual[1], expected[1])
