"""A gradient-boosted classifier as skl2onnx writes it: 100 trees of depth 6 over 30 features."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .builder import Builder, Feeds

if TYPE_CHECKING:
    import onnx

TREES, DEPTH, FEATURES = 100, 6, 30
INNER = 2**DEPTH - 1


def build(rows: int = 100) -> tuple[onnx.ModelProto, Feeds]:
    """Return the model and a table of so many rows."""
    b = Builder(name="trees", opset=15)
    feeds: Feeds = {"features": b.random.standard_normal((rows, FEATURES)).astype(np.float32)}
    inner = np.arange(INNER)
    leaves = 2**DEPTH
    nodes = INNER + leaves
    is_leaf = np.tile(np.arange(nodes) >= INNER, TREES)
    count = len(is_leaf)
    left = np.concatenate([2 * inner + 1, np.zeros(leaves)]).astype(int)
    right = np.concatenate([2 * inner + 2, np.zeros(leaves)]).astype(int)
    labels, scores = b.op(
        "TreeEnsembleClassifier",
        "features",
        outputs=2,
        domain="ai.onnx.ml",
        nodes_treeids=np.repeat(np.arange(TREES), nodes).tolist(),
        nodes_nodeids=np.tile(np.arange(nodes), TREES).tolist(),
        nodes_featureids=np.where(is_leaf, 0, b.random.integers(0, FEATURES, count)).tolist(),
        nodes_values=np.where(is_leaf, 0, b.random.standard_normal(count)).tolist(),
        nodes_modes=np.where(is_leaf, "LEAF", "BRANCH_LEQ").tolist(),
        nodes_truenodeids=np.tile(left, TREES).tolist(),
        nodes_falsenodeids=np.tile(right, TREES).tolist(),
        class_treeids=np.repeat(np.arange(TREES), leaves).tolist(),
        class_nodeids=np.tile(np.arange(INNER, nodes), TREES).tolist(),
        class_ids=[0] * (TREES * leaves),
        class_weights=(0.1 * b.random.standard_normal(TREES * leaves)).tolist(),
        classlabels_int64s=[0, 1],
        post_transform="LOGISTIC",
    )
    return b.model(feeds, [labels, scores], {"ai.onnx.ml": 3}), feeds
