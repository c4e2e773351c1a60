"""ai.onnx.ml: linear models, support vectors and trees.

The formulas are NumPy's. A single score for two classes, on which the standard is silent, is as in
onnxruntime, whose outcome these models are converted for.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from tests.python.kernel_support import run_op
from tests.python.properties.layers import assert_close, layer, tiers
from tests.python.properties.support import arrays, examples, kernels
from tests.python.support import run_peer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hypothesis.strategies import DataObject, SearchStrategy

ML = "ai.onnx.ml"
features = st.sampled_from([np.float32, np.float64, np.int32, np.int64])
TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO")
transforms = st.sampled_from(TRANSFORMS)


def rows_of(dtype: Any, shape: tuple[int, ...]) -> SearchStrategy[np.ndarray]:
    """Features, small numbers of any type."""
    if np.dtype(dtype).kind == "f":
        return layer(shape, dtype)
    return arrays(dtype, shape, st.integers(-8, 8))


def floats(data: DataObject, *shape: int) -> Any:
    """Weights in eighths, up to one."""
    return data.draw(layer(shape, np.float64)) / 8


def transformed(name: str, scores: np.ndarray) -> Any:
    """post_transform over the last axis."""
    if name == "LOGISTIC":
        return 1 / (1 + np.exp(-scores))
    if name.startswith("SOFTMAX") and scores.size:
        powers = np.exp(scores - scores.max(-1, keepdims=True))
        if name == "SOFTMAX_ZERO":
            # onnxruntime takes what is not above 1e-7 for zero, which is the least probability too.
            powers = np.where(abs(scores) < 2e-7, 0, powers)
        total = powers.sum(-1, keepdims=True)
        return powers / np.where(total == 0, 1, total)
    return scores


def peer(
    op_type: str, x: np.ndarray, attributes: Mapping[str, Any], *, version: int = 1
) -> list[np.ndarray]:
    """Labels and scores that onnxruntime finds."""
    label = TensorProto.STRING if "classlabels_strings" in attributes else TensorProto.INT64
    node = helper.make_node(op_type, ["x"], ["label", "z"], domain=ML, **attributes)
    kind = helper.np_dtype_to_tensor_dtype(x.dtype)
    graph = helper.make_graph(
        [node],
        "peer",
        [helper.make_tensor_value_info("x", kind, x.shape)],
        [
            helper.make_tensor_value_info("label", label, None),
            helper.make_tensor_value_info("z", TensorProto.FLOAT, None),
        ],
    )
    opsets = [helper.make_opsetid("", 15), helper.make_opsetid(ML, version)]
    return run_peer(helper.make_model(graph, opset_imports=opsets, ir_version=8), {"x": x})


def labels_of(classes: int, text: bool, integers: str) -> tuple[dict[str, Any], np.ndarray]:
    """The attribute, and the labels as an array."""
    numbers = [10 + 3 * i for i in range(classes)]
    names = [f"klass {n}" for n in numbers]
    attributes = {"classlabels_strings": names} if text else {integers: numbers}
    return attributes, np.array(names, object) if text else np.array(numbers, np.int64)


@kernels("LinearRegressor", domain=ML)
@examples
@given(
    rows=st.integers(0, 4),
    width=st.integers(0, 4),
    targets=st.integers(1, 3),
    with_intercepts=st.booleans(),
    transform=transforms,
    dtype=features,
    tier=tiers,
    data=st.data(),
)
def test_linear_regressor(
    rows: int,
    width: int,
    targets: int,
    with_intercepts: bool,
    transform: str,
    dtype: Any,
    tier: str,
    data: DataObject,
) -> None:
    x = data.draw(rows_of(dtype, (rows, width)))
    coefficients, intercepts = floats(data, targets, width), floats(data, targets)
    attributes: dict[str, Any] = {"post_transform": transform}
    if width:
        attributes["coefficients"] = coefficients.reshape(-1).tolist()
    if targets != 1:
        attributes["targets"] = targets
    if with_intercepts:
        attributes["intercepts"] = intercepts.tolist()
    (y,) = run_op("LinearRegressor", [x], attributes, domain=ML, opset=1, tier=tier)
    scores = x.astype(np.float64) @ coefficients.T + (intercepts if with_intercepts else 0)
    assert_close(y, transformed(transform, scores), np.float32, scale=4.0, steps=8)


@kernels("LinearRegressor", domain=ML)
@examples
@given(x=arrays(np.float32, (6, 1), st.integers(1, 1023).map(lambda n: n / 1024)), tier=tiers)
def test_probit(x: np.ndarray, tier: str) -> None:
    """The quantile of the normal distribution, approximated to four thousandths.

    Near one half it is a small difference of large float32.
    """
    attributes = {"coefficients": [1.0], "post_transform": "PROBIT"}
    (y,) = run_op("LinearRegressor", [x], attributes, domain=ML, opset=1, tier=tier)
    expected = np.vectorize(NormalDist().inv_cdf)(x.astype(np.float64))
    np.testing.assert_allclose(y, expected, rtol=4e-3, atol=4e-4)


@kernels("LinearClassifier", domain=ML)
@examples
@given(
    rows=st.integers(0, 4),
    width=st.integers(1, 4),
    classes=st.integers(2, 4),
    text=st.booleans(),
    transform=transforms,
    dtype=features,
    tier=tiers,
    data=st.data(),
)
def test_linear_classifier(
    rows: int,
    width: int,
    classes: int,
    text: bool,
    transform: str,
    dtype: Any,
    tier: str,
    data: DataObject,
) -> None:
    """The greatest score wins, the first of equal ones."""
    x = data.draw(rows_of(dtype, (rows, width)))
    coefficients, intercepts = floats(data, classes, width), floats(data, classes)
    attributes, labels = labels_of(classes, text, "classlabels_ints")
    attributes |= {
        "post_transform": transform,
        "coefficients": coefficients.reshape(-1).tolist(),
        "intercepts": intercepts.tolist(),
    }
    y, z = run_op("LinearClassifier", [x], attributes, domain=ML, opset=1, outputs=2, tier=tier)
    scores = x.astype(np.float64) @ coefficients.T + intercepts
    np.testing.assert_array_equal(y, labels[scores.argmax(1)])
    assert_close(z, transformed(transform, scores), np.float32, scale=4.0, steps=8)


@kernels("LinearClassifier", domain=ML)
@examples
@given(
    rows=st.integers(1, 4),
    text=st.booleans(),
    transform=transforms,
    tier=tiers,
    data=st.data(),
)
def test_linear_classifier_of_one_score(
    rows: int, text: bool, transform: str, tier: str, data: DataObject
) -> None:
    """The score is the second class's; the first one's is what onnxruntime says it is."""
    x = data.draw(rows_of(np.float32, (rows, 2)))
    attributes, _ = labels_of(2, text, "classlabels_ints")
    attributes |= {
        "post_transform": transform,
        "coefficients": floats(data, 2).tolist(),
        "intercepts": floats(data, 1).tolist(),
    }
    y, z = run_op("LinearClassifier", [x], attributes, domain=ML, opset=1, outputs=2, tier=tier)
    label, scores = peer("LinearClassifier", x, attributes)
    assert y.tolist() == label.tolist()
    np.testing.assert_allclose(z, scores, rtol=1e-5, atol=1e-6)


def kernel_values(name: str, parameters: np.ndarray, x: np.ndarray, vectors: np.ndarray) -> Any:
    """The kernel function of every row and every support vector, with libsvm's parameters."""
    gamma, coef0, degree = parameters
    if name == "RBF":
        return np.exp(-gamma * ((x[:, None] - vectors[None]) ** 2).sum(-1))
    products = x @ vectors.T
    if name == "POLY":
        return (gamma * products + coef0) ** degree
    return np.tanh(gamma * products + coef0) if name == "SIGMOID" else products


kinds = st.sampled_from(["LINEAR", "POLY", "RBF", "SIGMOID"])
parameters = st.tuples(
    st.sampled_from([0.125, 0.25]), st.sampled_from([0.0, 0.5]), st.sampled_from([1, 2, 3])
).map(lambda values: np.array(values, np.float64))


@kernels("SVMRegressor", domain=ML)
@examples
@given(
    rows=st.integers(0, 4),
    width=st.integers(1, 3),
    supports=st.integers(0, 4),
    kind=kinds,
    parameters=parameters,
    one_class=st.booleans(),
    transform=st.sampled_from(["NONE", "LOGISTIC"]),
    dtype=features,
    tier=tiers,
    data=st.data(),
)
def test_svm_regressor(
    rows: int,
    width: int,
    supports: int,
    kind: str,
    parameters: np.ndarray,
    one_class: bool,
    transform: str,
    dtype: Any,
    tier: str,
    data: DataObject,
) -> None:
    """Without vectors the coefficients are a linear model; one_class says in (1) or out (-1)."""
    x = data.draw(rows_of(dtype, (rows, width)))
    vectors = floats(data, supports, width)
    coefficients = floats(data, supports or width)
    rho = floats(data, 1)
    attributes: dict[str, Any] = {
        "kernel_type": kind,
        "kernel_params": parameters.tolist(),
        "coefficients": coefficients.tolist(),
        "rho": rho.tolist(),
        "n_supports": supports,
        "post_transform": transform,
    }
    if supports:
        attributes["support_vectors"] = vectors.reshape(-1).tolist()
    if one_class:
        attributes["one_class"] = 1
    (y,) = run_op("SVMRegressor", [x], attributes, domain=ML, opset=1, tier=tier)
    values = x.astype(np.float64)
    if supports:
        values = kernel_values(kind, parameters, values, vectors)
    terms = values * coefficients
    scores = terms.sum(1, keepdims=True) + rho
    expected = np.where(scores > 0, 1.0, -1.0) if one_class else transformed(transform, scores)
    if one_class:
        assume((abs(scores) > 1e-6).all())
    scale = abs(terms).sum(1, keepdims=True) + 1
    assert_close(y, expected, np.float32, scale=scale, steps=4)


def coupled(pairs: np.ndarray, classes: int) -> np.ndarray:
    """Class probabilities p from those of pairs, r: least Σ (r[j, i] p[i] - r[i, j] p[j])².

    Method 2 of Wu, Lin and Weng, "Probability Estimates for Multi-class Classification by Pairwise
    Coupling", as the linear system that it is; the probabilities add up to one.
    """
    r = np.zeros((classes, classes))
    r[np.triu_indices(classes, 1)] = pairs
    r += np.tril(1 - r.T, -1)
    q = -r.T * r
    np.fill_diagonal(q, (r.T**2).sum(1) - np.diag(r) ** 2)
    system = np.ones((classes + 1, classes + 1))
    system[:classes, :classes], system[classes, classes] = q, 0
    return np.linalg.solve(system, np.eye(classes + 1)[classes])[:classes]


@st.composite
def svm_classifiers(draw: st.DrawFn, width: int) -> tuple[int, dict[str, Any], np.ndarray]:
    """The number of classes, attributes, and the labels as an array."""

    def numbers(*shape: int) -> Any:
        return draw(layer(shape, np.float64)) / 8

    classes = draw(st.integers(2, 4))
    per_class = [draw(st.integers(1, 2)) for _ in range(classes)]
    pairs = classes * (classes - 1) // 2
    attributes, labels = labels_of(classes, draw(st.booleans()), "classlabels_ints")
    attributes |= {
        "kernel_type": draw(kinds),
        "kernel_params": draw(parameters).tolist(),
        "vectors_per_class": per_class,
        "support_vectors": numbers(sum(per_class), width).reshape(-1).tolist(),
        "coefficients": numbers(classes - 1, sum(per_class)).reshape(-1).tolist(),
        "rho": numbers(pairs).tolist(),
        "post_transform": draw(transforms),
    }
    if draw(st.booleans()):
        attributes["prob_a"] = (-abs(numbers(pairs)) - 0.25).tolist()
        attributes["prob_b"] = numbers(pairs).tolist()
    return classes, attributes, labels


def duels(attributes: dict[str, Any], classes: int, x: np.ndarray) -> Any:
    """What every pair of classes scores in every row: libsvm's decision values."""
    per_class = attributes["vectors_per_class"]
    vectors = np.reshape(attributes["support_vectors"], (sum(per_class), -1))
    coefficients = np.reshape(attributes["coefficients"], (classes - 1, -1))
    owner = np.repeat(np.arange(classes), per_class)
    values = kernel_values(
        attributes["kernel_type"], np.array(attributes["kernel_params"]), x, vectors
    )
    out = []
    for i in range(classes):
        for j in range(i + 1, classes):
            of_i, of_j = owner == i, owner == j
            out.append(
                values[:, of_i] @ coefficients[j - 1, of_i]
                + values[:, of_j] @ coefficients[i, of_j]
            )
    return np.stack(out, 1) + attributes["rho"]


@kernels("SVMClassifier", domain=ML)
@examples
@given(width=st.integers(1, 3), rows=st.integers(1, 4), dtype=features, tier=tiers, data=st.data())
def test_svm_classifier(width: int, rows: int, dtype: Any, tier: str, data: DataObject) -> None:
    """Raw scores are of pairs, that of two classes twice; probabilities are of classes.

    libsvm, and so the kernel, ends its iteration at an error of 0.005.
    """
    classes, attributes, labels = data.draw(svm_classifiers(width))
    x = data.draw(rows_of(dtype, (rows, width)))
    scores = duels(attributes, classes, x.astype(np.float64))
    assume((abs(scores) > 1e-4).all())
    y, z = run_op("SVMClassifier", [x], attributes, domain=ML, opset=1, outputs=2, tier=tier)
    votes = np.zeros((rows, classes))
    pairs = [(i, j) for i in range(classes) for j in range(i + 1, classes)]
    for k, (i, j) in enumerate(pairs):
        votes[:, i] += scores[:, k] > 0
        votes[:, j] += scores[:, k] <= 0
    np.testing.assert_array_equal(y, labels[votes.argmax(1)])
    transform = attributes["post_transform"]
    slack = 1e-4
    if "prob_a" in attributes:
        lines = scores * attributes["prob_a"] + attributes["prob_b"]
        least = 1e-7
        sides = np.clip(1 / (1 + np.exp(lines)), least, 1 - least)
        scores, slack = np.stack([coupled(row, classes) for row in sides]), 1e-2
    elif classes == 2:
        rest = 1 - scores if transform.startswith("SOFTMAX") else -scores
        scores = np.concatenate([rest, scores], 1)
        transform = transform if transform == "LOGISTIC" else "NONE"
    np.testing.assert_allclose(z, transformed(transform, scores), rtol=slack, atol=slack)


@kernels("SVMClassifier", domain=ML)
@examples
@given(width=st.integers(1, 3), rows=st.integers(1, 4), tier=tiers, data=st.data())
def test_svm_classifier_like_onnxruntime(
    width: int, rows: int, tier: str, data: DataObject
) -> None:
    """Labels and scores, to within the roundings of float32."""
    classes, attributes, _ = data.draw(svm_classifiers(width))
    x = data.draw(rows_of(np.float32, (rows, width)))
    scores = duels(attributes, classes, x.astype(np.float64))
    assume((abs(scores) > 1e-4).all())
    y, z = run_op("SVMClassifier", [x], attributes, domain=ML, opset=1, outputs=2, tier=tier)
    label, wanted = peer("SVMClassifier", x, attributes)
    assert y.tolist() == label.tolist()
    np.testing.assert_allclose(z, wanted, rtol=1e-4, atol=1e-4)


BRANCHES: dict[str, Callable[[Any, Any], bool]] = {
    "BRANCH_LEQ": lambda x, t: x <= t,
    "BRANCH_LT": lambda x, t: x < t,
    "BRANCH_GTE": lambda x, t: x >= t,
    "BRANCH_GT": lambda x, t: x > t,
    "BRANCH_EQ": lambda x, t: x == t,
    "BRANCH_NEQ": lambda x, t: x != t,
}
MODES_5 = (*BRANCHES, "BRANCH_MEMBER")
"""As version 5 numbers them, as are the aggregates and the transforms."""
AGGREGATES = ("AVERAGE", "SUM", "MIN", "MAX")


class Tree:
    """A question with two answers, or a leaf with votes (target, weight)."""

    def __init__(
        self,
        votes: list[tuple[int, float]],
        *,
        feature: int = 0,
        mode: str = "LEAF",
        value: Any = 0.0,
        missing: bool = False,
        answers: tuple[Tree, Tree] | None = None,
    ) -> None:
        self.votes = votes
        self.feature = feature
        self.mode = mode
        self.value = value
        self.missing = missing
        self.answers = answers

    def ask(self, row: np.ndarray) -> list[tuple[int, float]]:
        """The votes that a row of features leads to."""
        if self.answers is None:
            return self.votes
        x = row[self.feature]
        if np.isnan(x) and self.missing:
            yes = True
        elif self.mode == "BRANCH_MEMBER":
            yes = any(x == member for member in self.value)
        else:
            yes = BRANCHES[self.mode](x, self.value)
        return self.answers[0 if yes else 1].ask(row)

    def nodes(self) -> list[Tree]:
        """This node and all below, each before what it leads to."""
        return [self, *(n for answer in self.answers or () for n in answer.nodes())]


QUARTERS = st.integers(-8, 8).map(lambda n: n / 4)


@st.composite
def trees(
    draw: st.DrawFn, *, targets: int, depth: int, modes: tuple[str, ...], votes: int = 2
) -> Tree:
    """A tree, at most so deep; thresholds are numbers that features have too."""
    if depth == 0 or not draw(st.integers(0, 3)):
        vote = st.tuples(st.integers(0, targets - 1), QUARTERS)
        return Tree(draw(st.lists(vote, min_size=1, max_size=votes)))
    below = trees(targets=targets, depth=depth - 1, modes=modes, votes=votes)
    mode = draw(st.sampled_from(modes))
    value = draw(st.lists(QUARTERS, max_size=3)) if mode == "BRANCH_MEMBER" else draw(QUARTERS)
    return Tree(
        [],
        feature=draw(st.integers(0, 2)),
        mode=mode,
        value=value,
        missing=draw(st.booleans()),
        answers=(draw(below), draw(below)),
    )


def forest(prefix: str, grown: list[Tree]) -> dict[str, Any]:
    """Attributes of versions 1 and 3."""
    columns: dict[str, list[Any]] = {}

    def add(**row: Any) -> None:
        for name, value in row.items():
            columns.setdefault(name, []).append(value)

    for number, tree in enumerate(grown):
        nodes = tree.nodes()
        places = {id(node): place for place, node in enumerate(nodes)}
        for place, node in enumerate(nodes):
            yes, no = (places[id(n)] for n in node.answers) if node.answers else (0, 0)
            add(nodes_treeids=number, nodes_nodeids=place, nodes_featureids=node.feature)
            add(nodes_modes=node.mode, nodes_values=node.value)
            add(nodes_truenodeids=yes, nodes_falsenodeids=no)
            add(nodes_missing_value_tracks_true=int(node.missing))
            for target, weight in node.votes:
                add(**{f"{prefix}_treeids": number, f"{prefix}_nodeids": place})
                add(**{f"{prefix}_ids": target, f"{prefix}_weights": weight})
    return columns


def collected(grown: list[Tree], aggregate: str, x: np.ndarray, targets: int) -> np.ndarray:
    """The votes for each target, 0 where there are none."""
    folds: dict[str, Callable[[list[float]], float]] = {"SUM": sum, "MIN": min, "MAX": max}
    out = np.zeros((len(x), targets))
    for n, row in enumerate(x):
        votes = [vote for tree in grown for vote in tree.ask(row)]
        for target in range(targets):
            weights = [weight for t, weight in votes if t == target] or [0.0]
            if aggregate == "AVERAGE":
                out[n, target] = sum(weights) / len(grown)
            else:
                out[n, target] = folds[aggregate](weights)
    return out


def rows_for_trees(dtype: Any, most: int) -> SearchStrategy[np.ndarray]:
    """Rows of three features, NaN and infinities among the real ones."""
    odd = st.sampled_from([np.nan, np.inf, -np.inf])
    real = np.dtype(dtype).kind == "f"
    return st.integers(0, most).flatmap(
        lambda rows: arrays(dtype, (rows, 3), QUARTERS | odd if real else st.integers(-3, 3))
    )


@kernels("TreeEnsembleRegressor", domain=ML)
@examples
@given(
    targets=st.integers(1, 3),
    modes=st.sets(st.sampled_from(sorted(BRANCHES)), min_size=1, max_size=2),
    aggregate=st.sampled_from(AGGREGATES),
    with_base=st.booleans(),
    transform=transforms,
    dtype=features,
    tier=tiers,
    data=st.data(),
)
def test_tree_ensemble_regressor(
    targets: int,
    modes: set[str],
    aggregate: str,
    with_base: bool,
    transform: str,
    dtype: Any,
    tier: str,
    data: DataObject,
) -> None:
    """Base values are added to what was aggregated."""
    tree = trees(targets=targets, depth=3, modes=tuple(sorted(modes)))
    grown = data.draw(st.lists(tree, min_size=1, max_size=4))
    x = data.draw(rows_for_trees(dtype, 12))
    base = floats(data, targets)
    attributes = forest("target", grown) | {
        "n_targets": targets,
        "aggregate_function": aggregate,
        "post_transform": transform,
    }
    if with_base:
        attributes["base_values"] = base.tolist()
    (y,) = run_op("TreeEnsembleRegressor", [x], attributes, domain=ML, opset=3, tier=tier)
    scores = collected(grown, aggregate, x, targets) + (base if with_base else 0)
    assert_close(y, transformed(transform, scores), np.float32, scale=4.0, steps=4)


@kernels("TreeEnsembleClassifier", domain=ML)
@examples
@given(
    classes=st.integers(3, 4),
    modes=st.sets(st.sampled_from(sorted(BRANCHES)), min_size=1, max_size=2),
    text=st.booleans(),
    transform=transforms,
    dtype=features,
    tier=tiers,
    data=st.data(),
)
def test_tree_ensemble_classifier(
    classes: int,
    modes: set[str],
    text: bool,
    transform: str,
    dtype: Any,
    tier: str,
    data: DataObject,
) -> None:
    """The greatest sum wins, the first of equal ones; a class without votes has 0."""
    tree = trees(targets=classes, depth=3, modes=tuple(sorted(modes)))
    grown = data.draw(st.lists(tree, min_size=1, max_size=4))
    x = data.draw(rows_for_trees(dtype, 12))
    base = floats(data, classes)
    attributes, labels = labels_of(classes, text, "classlabels_int64s")
    attributes |= forest("class", grown)
    attributes |= {"post_transform": transform, "base_values": base.tolist()}
    y, z = run_op(
        "TreeEnsembleClassifier", [x], attributes, domain=ML, opset=3, outputs=2, tier=tier
    )
    scores = collected(grown, "SUM", x, classes) + base
    np.testing.assert_array_equal(y, labels[scores.argmax(1)])
    assert_close(z, transformed(transform, scores), np.float32, scale=4.0, steps=4)


@kernels("TreeEnsembleClassifier", domain=ML)
@examples
@given(
    positive=st.booleans(),
    voted=st.integers(0, 1),
    text=st.booleans(),
    transform=transforms,
    with_base=st.booleans(),
    tier=tiers,
    data=st.data(),
)
def test_tree_ensemble_classifier_of_one_score(
    positive: bool,
    voted: int,
    text: bool,
    transform: str,
    with_base: bool,
    tier: str,
    data: DataObject,
) -> None:
    """Two classes, and all votes are for one: what onnxruntime makes of that score.

    It passes over a base value for the second class, which is not tried here; and it makes NaN of
    zeros alone by SOFTMAX_ZERO, which stay zeros here.
    """
    grown = data.draw(
        st.lists(trees(targets=1, depth=2, modes=("BRANCH_LEQ",), votes=1), min_size=1, max_size=3)
    )
    for node in (node for tree in grown for node in tree.nodes()):
        node.votes = [(voted, abs(w) if positive else w) for _, w in node.votes]
    x = data.draw(rows_for_trees(np.float32, 4))
    assume(len(x) > 0)
    attributes, _ = labels_of(2, text, "classlabels_int64s")
    attributes |= forest("class", grown) | {"post_transform": transform}
    if with_base and voted == 0:
        attributes["base_values"] = floats(data, 1).tolist()
    y, z = run_op(
        "TreeEnsembleClassifier", [x], attributes, domain=ML, opset=3, outputs=2, tier=tier
    )
    label, scores = peer("TreeEnsembleClassifier", x, attributes, version=3)
    assert y.tolist() == label.tolist()
    np.testing.assert_allclose(z, np.nan_to_num(scores), rtol=1e-5, atol=1e-6)


def forest_5(grown: list[Tree], dtype: Any) -> dict[str, Any]:
    """Attributes of version 5: questions and leaves apart, each leaf with one vote."""
    nodes = [node for tree in grown for node in tree.nodes()]
    inner = [node for node in nodes if node.answers is not None]
    leaves = [node for node in nodes if node.answers is None]
    places = {id(node): i for group in (inner, leaves) for i, node in enumerate(group)}
    members = [m for n in inner if n.mode == "BRANCH_MEMBER" for m in [*n.value, np.nan]]
    splits = [0.0 if n.mode == "BRANCH_MEMBER" else n.value for n in inner]
    modes = [MODES_5.index(n.mode) for n in inner]
    out: dict[str, Any] = {
        "tree_roots": [places[id(tree)] for tree in grown],
        "nodes_modes": numpy_helper.from_array(np.array(modes, np.uint8)),
        "nodes_splits": numpy_helper.from_array(np.array(splits, dtype)),
        "leaf_targetids": [n.votes[0][0] for n in leaves],
        "leaf_weights": numpy_helper.from_array(np.array([n.votes[0][1] for n in leaves], dtype)),
        "nodes_featureids": [n.feature for n in inner],
        "nodes_missing_value_tracks_true": [int(n.missing) for n in inner],
    }
    for answer, name in enumerate(("true", "false")):
        to = [n.answers[answer] for n in inner if n.answers]
        out[f"nodes_{name}nodeids"] = [places[id(n)] for n in to]
        out[f"nodes_{name}leafs"] = [int(n.answers is None) for n in to]
    if members:
        out["membership_values"] = numpy_helper.from_array(np.array(members, dtype))
    return out


@kernels("TreeEnsemble", domain=ML)
@examples
@given(
    targets=st.integers(1, 3),
    modes=st.sets(st.sampled_from(MODES_5), min_size=1, max_size=3),
    aggregate=st.sampled_from(AGGREGATES),
    transform=transforms,
    dtype=st.sampled_from([np.float16, np.float32, np.float64]),
    tier=tiers,
    data=st.data(),
)
def test_tree_ensemble(
    targets: int,
    modes: set[str],
    aggregate: str,
    transform: str,
    dtype: Any,
    tier: str,
    data: DataObject,
) -> None:
    """Sets of members end with a NaN, and NaN is in none; transforms are in float32."""
    tree = trees(targets=targets, depth=3, modes=tuple(sorted(modes)), votes=1)
    grown = data.draw(
        st.lists(tree.filter(lambda t: t.answers is not None), min_size=1, max_size=3)
    )
    x = data.draw(rows_for_trees(dtype, 12))
    attributes = forest_5(grown, dtype) | {
        "n_targets": targets,
        "aggregate_function": AGGREGATES.index(aggregate),
        "post_transform": TRANSFORMS.index(transform),
    }
    (y,) = run_op("TreeEnsemble", [x], attributes, domain=ML, opset=5, tier=tier)
    scores = transformed(transform, collected(grown, aggregate, x, targets))
    steps = 8 if dtype is not np.float64 or transform == "NONE" else 8 * 2.0**29
    assert_close(y, scores, dtype, scale=4.0, steps=steps)
