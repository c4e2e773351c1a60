"""Attributes and inputs that contradict themselves: a clear error, in every tier, and no crash."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import numpy_helper

import onnxforge
from tests.python.kernel_support import TIERS, run_op

ML = "ai.onnx.ml"
HUGE = (1 << 63) - 1
X = np.ones((2, 3), np.float32)
IMAGE = np.ones((1, 1, 4, 4), np.float32)


def tensor(*values: float, dtype: type = np.float32) -> Any:
    return numpy_helper.from_array(np.array(values, dtype))


def stump(prefix: str, **changes: Any) -> dict[str, Any]:
    """A tree of one question, as versions 1 and 3 have it, with something changed."""
    attributes = {
        "nodes_treeids": [0, 0, 0],
        "nodes_nodeids": [0, 1, 2],
        "nodes_featureids": [0, 0, 0],
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
        "nodes_values": [0.5, 0.0, 0.0],
        "nodes_truenodeids": [1, 0, 0],
        "nodes_falsenodeids": [2, 0, 0],
        f"{prefix}_treeids": [0, 0],
        f"{prefix}_nodeids": [1, 2],
        f"{prefix}_ids": [0, 0],
        f"{prefix}_weights": [1.0, 2.0],
    }
    return attributes | changes


def stump_5(**changes: Any) -> dict[str, Any]:
    """The same as version 5 has it."""
    attributes = {
        "n_targets": 1,
        "tree_roots": [0],
        "nodes_featureids": [0],
        "nodes_modes": tensor(0, dtype=np.uint8),
        "nodes_splits": tensor(0.5),
        "nodes_truenodeids": [0],
        "nodes_falsenodeids": [1],
        "nodes_trueleafs": [1],
        "nodes_falseleafs": [1],
        "leaf_targetids": [0, 0],
        "leaf_weights": tensor(1, 2),
    }
    return attributes | changes


SVM = {
    "classlabels_ints": [0, 1, 2],
    "vectors_per_class": [1, 1, 1],
    "support_vectors": [1.0] * 9,
    "coefficients": [1.0] * 6,
    "rho": [0.0] * 3,
}

CASES: list[tuple[str, int, dict[str, Any], str]] = [
    ("TreeEnsembleRegressor", 3, stump("target", nodes_values=[0.5]), "different lengths"),
    ("TreeEnsembleRegressor", 3, stump("target", target_ids=[0]), "different lengths"),
    ("TreeEnsembleRegressor", 3, stump("target", nodes_modes=["LEAF"]), "different lengths"),
    ("TreeEnsembleRegressor", 3, stump("target", nodes_treeids=[0, 0, 1]), "tree 0 has no node 2"),
    ("TreeEnsembleRegressor", 3, stump("target", nodes_truenodeids=[7, 0, 0]), "has no node 7"),
    ("TreeEnsembleRegressor", 3, stump("target", target_nodeids=[1, HUGE]), "has no node"),
    ("TreeEnsembleRegressor", 3, stump("target", nodes_truenodeids=[0, 0, 0]), "cycle"),
    ("TreeEnsembleRegressor", 3, stump("target", target_ids=[0, 1]), "target 1 of 1"),
    ("TreeEnsembleRegressor", 3, stump("target", target_ids=[0, -1]), "target -1 of 1"),
    ("TreeEnsembleRegressor", 3, stump("target", n_targets=0), "'n_targets' must be positive"),
    ("TreeEnsembleRegressor", 3, stump("target", n_targets=-1), "'n_targets' must be positive"),
    ("TreeEnsembleRegressor", 3, stump("target", base_values=[1.0, 2.0]), "2 base values for 1"),
    ("TreeEnsembleRegressor", 3, stump("target", nodes_featureids=[3, 0, 0]), "ask for 4"),
    (
        "TreeEnsembleRegressor",
        3,
        stump("target", nodes_featureids=[HUGE, 0, 0]),
        "asks for feature",
    ),
    ("TreeEnsembleRegressor", 3, stump("target", nodes_featureids=[-1, 0, 0]), "asks for feature"),
    ("TreeEnsembleRegressor", 3, stump("target", nodes_modes=["BRANCH", "LEAF", "LEAF"]), "BRANCH"),
    ("TreeEnsembleClassifier", 3, stump("class"), "neither attribute 'classlabels_strings'"),
    (
        "TreeEnsembleClassifier",
        3,
        stump("class", classlabels_int64s=[5], class_ids=[0, 1]),
        "1 of 1",
    ),
    ("TreeEnsemble", 5, stump_5(nodes_trueleafs=[0]), "cycle"),
    ("TreeEnsemble", 5, stump_5(nodes_truenodeids=[7]), "leads to node 8 of 3"),
    ("TreeEnsemble", 5, stump_5(nodes_truenodeids=[HUGE]), "leads to node"),
    ("TreeEnsemble", 5, stump_5(tree_roots=[-1]), "leads to node -1 of 3"),
    ("TreeEnsemble", 5, stump_5(tree_roots=[3]), "leads to node 3 of 3"),
    ("TreeEnsemble", 5, stump_5(nodes_featureids=[HUGE]), "asks for feature"),
    ("TreeEnsemble", 5, stump_5(nodes_modes=tensor(7, dtype=np.uint8)), "'nodes_modes' has 7"),
    ("TreeEnsemble", 5, stump_5(nodes_splits=tensor(1, 2)), "different lengths"),
    ("TreeEnsemble", 5, stump_5(leaf_weights=tensor(1)), "different lengths"),
    ("TreeEnsemble", 5, stump_5(n_targets=0), "'n_targets' must be positive"),
    ("TreeEnsemble", 5, stump_5(aggregate_function=4), "aggregate_function is 4"),
    ("TreeEnsemble", 5, stump_5(post_transform=-1), "post_transform -1"),
    ("LinearRegressor", 1, {"coefficients": [1.0] * 3, "targets": 0}, "'targets' must be positive"),
    ("LinearRegressor", 1, {"targets": -3}, "'targets' must be positive"),
    ("LinearRegressor", 1, {"coefficients": [1.0] * 4}, "4 coefficients for 1 targets of 3"),
    ("LinearRegressor", 1, {"coefficients": [1.0] * 3, "intercepts": [1.0, 2.0]}, "2 intercepts"),
    (
        "LinearClassifier",
        1,
        {"coefficients": [1.0] * 9, "intercepts": [0.0] * 3, "classlabels_ints": [1, 2]},
        "3 sets of coefficients for 2 classes",
    ),
    ("SVMClassifier", 1, SVM | {"vectors_per_class": [HUGE, HUGE, 5]}, "'vectors_per_class'"),
    ("SVMClassifier", 1, SVM | {"vectors_per_class": [1, 1, -1]}, "'vectors_per_class'"),
    ("SVMClassifier", 1, SVM | {"vectors_per_class": [3]}, "do not fit 1 classes"),
    ("SVMClassifier", 1, SVM | {"coefficients": [1.0] * 5}, "do not fit 3 vectors"),
    ("SVMClassifier", 1, SVM | {"rho": [0.0] * 2}, "do not fit 3 classes"),
    ("SVMClassifier", 1, SVM | {"prob_a": [0.0] * 3}, "'prob_a' and 'prob_b'"),
    ("SVMClassifier", 1, SVM | {"kernel_params": [1.0]}, "'kernel_params'"),
    ("SVMClassifier", 1, SVM | {"kernel_type": "WARP"}, "'WARP'"),
    ("SVMClassifier", 1, SVM | {"support_vectors": [1.0] * 6}, "3 features, and the model 2"),
    ("SVMRegressor", 1, {"n_supports": 2, "coefficients": [1.0], "rho": [0.0]}, "n_supports=2"),
    ("SVMRegressor", 1, {"n_supports": HUGE, "coefficients": [1.0], "rho": [0.0]}, "n_supports"),
    ("SVMRegressor", 1, {"coefficients": [1.0] * 3}, "'rho' has 0"),
    ("Scaler", 1, {"offset": [1.0, 2.0]}, "2 numbers for 3 features"),
    ("Imputer", 1, {"imputed_value_floats": [1.0, 2.0]}, "2 numbers for 3 features"),
    ("Normalizer", 1, {"norm": "L3"}, "'L3'"),
    ("FeatureVectorizer", 1, {"inputdimensions": [2]}, "'inputdimensions'"),
    ("ZipMap", 1, {"classlabels_int64s": [1, 2]}, "for 2 labels"),
]


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize(("name", "version", "attributes", "said"), CASES)
def test_models_of_ml_are_refused(
    name: str, version: int, attributes: dict[str, Any], said: str, tier: str
) -> None:
    outputs = 2 if name.endswith("Classifier") else 1
    with pytest.raises(onnxforge.Error, match=said) as raised:
        run_op(name, [X], attributes, domain=ML, opset=version, outputs=outputs, tier=tier)
    assert not isinstance(raised.value, onnxforge.InternalError)


CROP = {"coordinate_transformation_mode": "tf_crop_and_resize"}
SIZES = np.array([4, 4], np.int64)


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("part", [np.nan, np.inf, -np.inf, 1e30])
def test_crops_are_places(part: float, mode: str, tier: str) -> None:
    roi = np.array([part, 0, 1, 1], np.float32)
    with pytest.raises(onnxforge.InvalidArgumentError, match="roi has the number"):
        run_op("Resize", [X, roi, None, SIZES], CROP | {"mode": mode}, tier=tier)


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("name", ["MaxPool", "AveragePool", "LpPool"])
@pytest.mark.parametrize("kernel", [[(1 << 31) - 1] * 2, [1 << 30, 1 << 30], [0, 1], [2, -2]])
def test_kernels_can_be_counted(name: str, kernel: list[int], tier: str) -> None:
    """Each extent may be allowed, and their product not."""
    attributes = {"kernel_shape": kernel, "auto_pad": "SAME_UPPER"}
    with pytest.raises(onnxforge.InvalidModelError, match=r"kernel_shape|too large"):
        run_op(name, [IMAGE], attributes, tier=tier)


@pytest.mark.parametrize("count", [0, 2])
def test_a_threshold_is_one_number(count: int) -> None:
    boxes, scores = np.zeros((1, 1, 4), np.float32), np.zeros((1, 1, 1), np.float32)
    most, many = np.array([1], np.int64), np.zeros(count, np.float32)
    cases: tuple[list[Any], ...] = ([boxes, scores, most, many], [boxes, scores, most, None, many])
    for inputs in cases:
        with pytest.raises(onnxforge.InvalidArgumentError, match="one threshold is expected"):
            run_op("NonMaxSuppression", inputs)


def test_nan_is_in_no_set() -> None:
    """BRANCH_MEMBER looks a feature up in a sorted set, in which NaN is nowhere."""
    attributes = stump_5(
        nodes_modes=tensor(6, dtype=np.uint8), membership_values=tensor(1, 2, np.nan)
    )
    x = np.array([[np.nan], [1], [1.5], [2]], np.float32)
    for tier in TIERS:
        (y,) = run_op("TreeEnsemble", [x], attributes, domain=ML, opset=5, tier=tier)
        np.testing.assert_array_equal(y, [[2], [1], [2], [1]])
