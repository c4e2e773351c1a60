"""Operators of which the standard's suite has no node case: one of ours, against onnxruntime."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, TypeProto, helper

import onnxforge
from tests.conformance.suite import cases
from tests.python.kernel_support import TIERS
from tests.python.support import parse, run_peer

if TYPE_CHECKING:
    from collections.abc import Iterator

ML = "ai.onnx.ml"
rng = np.random.default_rng(17)
X = rng.standard_normal((5, 3)).astype(np.float32)
GAPS = np.where(np.abs(X) < 0.5, np.nan, X).astype(np.float32)
WORDS = np.array([["a"], ["b"], ["?"]], object)


@dataclass(frozen=True, kw_only=True)
class Node:
    """A node of ai.onnx.ml and what it is given."""

    inputs: tuple[Any, ...] = (X,)
    """Arrays, or a dictionary where the operator takes one."""
    attributes: dict[str, Any] = field(default_factory=dict)
    outputs: tuple[int, ...] = (TensorProto.FLOAT,)
    """Element types; of ZipMap, which gives dictionaries, none."""
    version: int = 1

    def model(self, op_type: str) -> onnx.ModelProto:
        """The node alone, under the names x0, x1, … and y0, y1, …."""
        results = [f"y{i}" for i in range(max(len(self.outputs), 1))]
        node = helper.make_node(op_type, list(self.feeds()), results, domain=ML, **self.attributes)
        infos = [
            helper.make_value_info(name, type_of(value)) for name, value in self.feeds().items()
        ]
        made = [
            helper.make_tensor_value_info(name, kind, None)
            for name, kind in zip(results, self.outputs, strict=False)
        ] or [helper.make_value_info("y0", dictionaries())]
        graph = helper.make_graph([node], "one_node", infos, made)
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid(ML, self.version)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)

    def feeds(self) -> dict[str, Any]:
        return {f"x{i}": value for i, value in enumerate(self.inputs)}


def type_of(value: Any) -> TypeProto:
    """Of an array, or of a dictionary from words or whole numbers to numbers."""
    if isinstance(value, dict):
        key = TensorProto.STRING if isinstance(next(iter(value)), str) else TensorProto.INT64
        held = helper.make_tensor_type_proto(TensorProto.FLOAT, [])
        return helper.make_map_type_proto(key, held)
    return helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)


def dictionaries() -> TypeProto:
    """A list of dictionaries from words to numbers."""
    held = helper.make_tensor_type_proto(TensorProto.FLOAT, [])
    return helper.make_sequence_type_proto(helper.make_map_type_proto(TensorProto.STRING, held))


LABELLED = (TensorProto.INT64, TensorProto.FLOAT)
TREE = {
    "nodes_treeids": [0, 0, 0],
    "nodes_nodeids": [0, 1, 2],
    "nodes_featureids": [1, 0, 0],
    "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
    "nodes_values": [0.25, 0.0, 0.0],
    "nodes_truenodeids": [1, 0, 0],
    "nodes_falsenodeids": [2, 0, 0],
}
VECTORS = {
    "kernel_type": "RBF",
    "kernel_params": [0.5, 0.0, 0.0],
    "support_vectors": X[:4].reshape(-1).tolist(),
}

NODES = {
    "CastMap": Node(inputs=({3: 1.5, 0: -2.0},), attributes={"map_form": "SPARSE", "max_map": 5}),
    "CategoryMapper": Node(
        inputs=(WORDS,),
        attributes={"cats_strings": ["a", "b"], "cats_int64s": [4, 7], "default_int64": 9},
        outputs=(TensorProto.INT64,),
    ),
    "DictVectorizer": Node(
        inputs=({"b": 2.0, "c": -1.0},), attributes={"string_vocabulary": ["a", "b", "c"]}
    ),
    "FeatureVectorizer": Node(inputs=(X, X[:, :2]), attributes={"inputdimensions": [3, 2]}),
    "Imputer": Node(
        inputs=(GAPS,),
        attributes={
            "imputed_value_floats": [1.0, 2.0, 3.0],
            "replaced_value_float": float("nan"),
        },
    ),
    "LinearClassifier": Node(
        attributes={
            "coefficients": X[:3].reshape(-1).tolist(),
            "intercepts": [0.5, 0.0, -0.5],
            "classlabels_ints": [5, 6, 7],
            "post_transform": "SOFTMAX",
        },
        outputs=LABELLED,
    ),
    "LinearRegressor": Node(
        attributes={
            "coefficients": X[:2].reshape(-1).tolist(),
            "intercepts": [0.5, -0.5],
            "targets": 2,
        }
    ),
    "Normalizer": Node(attributes={"norm": "L2"}),
    "OneHotEncoder": Node(inputs=(WORDS,), attributes={"cats_strings": ["b", "a"], "zeros": 1}),
    "SVMClassifier": Node(
        attributes={
            **VECTORS,
            "vectors_per_class": [2, 1, 1],
            "coefficients": [1.0, 0.5, -1.0, -0.5, 0.25, 1.0, -0.75, -0.5],
            "rho": [0.125, -0.25, 0.5],
            "prob_a": [-1.0, -0.5, -2.0],
            "prob_b": [0.0, 0.25, -0.25],
            "classlabels_ints": [5, 6, 7],
        },
        outputs=LABELLED,
    ),
    "SVMRegressor": Node(
        attributes={
            **VECTORS,
            "coefficients": [1.0, -0.5, 0.25, -0.75],
            "rho": [0.5],
            "n_supports": 4,
        }
    ),
    "Scaler": Node(attributes={"offset": [1.0, 0.0, -1.0], "scale": [0.5, 2.0, 1.0]}),
    "TreeEnsembleClassifier": Node(
        attributes={
            **TREE,
            "class_treeids": [0, 0, 0],
            "class_nodeids": [1, 2, 2],
            "class_ids": [0, 1, 2],
            "class_weights": [1.0, 0.25, 0.75],
            "classlabels_int64s": [5, 6, 7],
        },
        outputs=LABELLED,
        version=3,
    ),
    "TreeEnsembleRegressor": Node(
        attributes={
            **TREE,
            "target_treeids": [0, 0, 0, 0],
            "target_nodeids": [1, 1, 2, 2],
            "target_ids": [0, 1, 0, 1],
            "target_weights": [1.5, -0.5, 0.25, 2.0],
            "n_targets": 2,
            "base_values": [0.5, 1.0],
        },
        version=3,
    ),
    "ZipMap": Node(attributes={"classlabels_strings": ["a", "b", "c"]}, outputs=()),
}

GRAPHS = {
    "ConcatFromSequence": """
        g (float[5, 3] x) => (float[N, 3] y) {
            s = SequenceConstruct(x, x)
            y = ConcatFromSequence<axis = 0>(s)
        }""",
    "SequenceErase": """
        g (float[5, 3] x) => (float[5, 3] y) {
            double = Add(x, x)
            s = SequenceConstruct(x, double)
            first = Constant<value = int64 {0}>()
            rest = SequenceErase(s, first)
            y = SequenceAt(rest, first)
        }""",
    "GlobalLpPool": """
        g (float[5, 3] x) => (float[1, 5, 1] y) {
            axes = Constant<value = int64[1] {0}>()
            image = Unsqueeze(x, axes)
            y = GlobalLpPool<p = 3>(image)
        }""",
    "MaxRoiPool": """
        g (float[5, 3] x) => (float[1, 1, 2, 2] y) {
            axes = Constant<value = int64[2] {0, 1}>()
            image = Unsqueeze(x, axes)
            rois = Constant<value = float[1, 5] {0, 0, 1, 2, 3}>()
            y = MaxRoiPool<pooled_shape = [2, 2]>(image, rois)
        }""",
}

APART = {
    "Gradient": "tests/python/test_gradient.py: onnxruntime does not have it",
    "Multinomial": "tests/python/properties: a draw that nobody can repeat",
    "RandomNormal": "tests/python/properties: a draw that nobody can repeat",
    "RandomNormalLike": "tests/python/properties: a draw that nobody can repeat",
    "RandomUniform": "tests/python/properties: a draw that nobody can repeat",
}


def nodes_of(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """All nodes, of bodies too."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from nodes_of(attribute.g)


def test_every_schema_without_a_case_is_here() -> None:
    seen = {node.op_type for case in cases() for node in nodes_of(case.model.graph)}
    schemas = {schema.name for schema in onnx.defs.get_all_schemas()}
    assert schemas - seen == {*NODES, *GRAPHS, *APART}


def compare(found: list[Any], wanted: list[Any]) -> None:
    for actual, expected in zip(found, wanted, strict=True):
        if isinstance(expected, list):
            assert [list(row) for row in actual] == [list(row) for row in expected]
            rows = [[list(row.values()) for row in table] for table in (actual, expected)]
            np.testing.assert_allclose(np.array(rows[0]), np.array(rows[1]), rtol=1e-6)
            continue
        assert actual.dtype == expected.dtype
        assert actual.shape == expected.shape
        if expected.dtype.kind == "f":
            np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)
        else:
            assert actual.tolist() == expected.tolist()


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("name", NODES)
def test_ml(name: str, tier: str) -> None:
    model, feeds = NODES[name].model(name), NODES[name].feeds()
    compare(list(onnxforge.Session(model, tier=tier).run(feeds).values()), run_peer(model, feeds))


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("name", GRAPHS)
def test_others(name: str, tier: str) -> None:
    model = parse(GRAPHS[name], opset=17)
    feeds = {"x": X}
    session = onnxforge.Session(model, tier=tier, optimize=False)
    compare(list(session.run(feeds).values()), run_peer(model, feeds))
