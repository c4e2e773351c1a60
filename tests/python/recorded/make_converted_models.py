"""Write converted_models.json: models of scikit-learn, LightGBM and XGBoost, as they are converted.

Run as ``python tests/python/recorded/make_converted_models.py`` where these, skl2onnx and
onnxmltools are installed; the tests need none of them. What the libraries themselves predict stands
beside each model.
"""

from __future__ import annotations

import base64
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import xgboost
from onnxmltools.convert import convert_lightgbm, convert_xgboost
from onnxmltools.convert.common import data_types as other_types
from skl2onnx import to_onnx
from skl2onnx.common import data_types
from sklearn import (
    ensemble,
    impute,
    linear_model,
    preprocessing,
    svm,
    tree,
)
from sklearn.calibration import CalibratedClassifierCV
from sklearn.feature_extraction import DictVectorizer

FILE = Path(__file__).with_name("converted_models.json")
OPSETS = {"": 17, "ai.onnx.ml": 3}
PACKAGES = ("scikit-learn", "skl2onnx", "lightgbm", "xgboost", "onnxmltools")
rng = np.random.default_rng(5)

X = rng.standard_normal((60, 4)).astype(np.float32)
CLASS = np.digitize(X[:, 0] + X[:, 1] * X[:, 2], [-0.6, 0.6])
VALUE = X[:, 0] * 2 - X[:, 1] + np.sin(X[:, 3])
FEATURES = rng.standard_normal((12, 4)).astype(np.float32)
WORDS = np.array([["red", "s"], ["blue", "m"], ["green", "l"], ["red", "l"]], object)


def targets(classes: int, text: bool) -> np.ndarray:
    """The classes to learn, numbers or words."""
    numbers = np.minimum(CLASS, classes - 1)
    return np.array(["low", "middle", "high"])[numbers] if text else numbers * 3 + 1


def predictions(model: Any, x: Any) -> dict[str, Any]:
    """What the library says of the rows."""
    if hasattr(model, "transform") and not hasattr(model, "predict"):
        out = model.transform(x)
        out = out.toarray() if hasattr(out, "toarray") else np.asarray(out)
        return {"transformed": out.tolist()}
    found = {"predicted": np.asarray(model.predict(x)).tolist()}
    if hasattr(model, "predict_proba"):
        found["probabilities"] = model.predict_proba(x).tolist()
    return found


def entry(onnx_model: Any, model: Any, x: Any) -> dict[str, Any]:
    return {
        "model": base64.b64encode(onnx_model.SerializeToString()).decode(),
        "x": x.tolist() if isinstance(x, np.ndarray) else x,
        **predictions(model, x),
    }


def support_vectors() -> dict[str, Any]:
    out: dict[str, Any] = {}
    for kernel in ("linear", "poly", "rbf", "sigmoid"):
        for classes in (2, 3):
            model = svm.SVC(kernel=kernel, coef0=0.25, gamma=0.25)
            text = kernel in ("linear", "rbf")
            out[f"SVC {kernel} {classes}"] = model.fit(X, targets(classes, text))
        out[f"SVR {kernel}"] = svm.SVR(kernel=kernel, coef0=0.25, gamma=0.25).fit(X, VALUE)
    out["NuSVC"] = svm.NuSVC(nu=0.2).fit(X, targets(3, text=True))
    out["NuSVR"] = svm.NuSVR().fit(X, VALUE)
    out["OneClassSVM"] = svm.OneClassSVM(nu=0.3).fit(X)
    out["LinearSVC"] = svm.LinearSVC().fit(X, targets(3, text=True))
    out["LinearSVC 2"] = svm.LinearSVC().fit(X, targets(2, text=False))
    out["LinearSVR"] = svm.LinearSVR().fit(X, VALUE)
    return out


def with_probabilities() -> dict[str, Any]:
    out: dict[str, Any] = {}
    for classes in (2, 3):
        for text in (False, True):
            model = svm.SVC(probability=True, random_state=0)
            out[f"SVC with probabilities {classes} {text}"] = model.fit(X, targets(classes, text))
    model = svm.NuSVC(nu=0.2, probability=True, random_state=0)
    out["NuSVC with probabilities"] = model.fit(X, targets(3, text=True))
    calibrated = CalibratedClassifierCV(svm.LinearSVC(), cv=2)
    out["calibrated LinearSVC"] = calibrated.fit(X, targets(2, text=True))
    return out


def linear() -> dict[str, Any]:
    both = np.stack([VALUE, -VALUE * 2], 1)
    return {
        "LinearRegression": linear_model.LinearRegression().fit(X, VALUE),
        "LinearRegression of two": linear_model.LinearRegression().fit(X, both),
        "Ridge": linear_model.Ridge().fit(X, VALUE),
        "LogisticRegression 2": linear_model.LogisticRegression().fit(X, targets(2, text=True)),
        "LogisticRegression 3": linear_model.LogisticRegression().fit(X, targets(3, text=False)),
        "SGDClassifier": linear_model.SGDClassifier(random_state=0).fit(X, targets(3, text=True)),
        "Perceptron": linear_model.Perceptron().fit(X, targets(2, text=False)),
    }


def trees() -> dict[str, Any]:
    few = {"max_depth": 3, "random_state": 0}
    some = {**few, "n_estimators": 4}
    out: dict[str, Any] = {}
    for classes, text in ((2, True), (3, False)):
        y = targets(classes, text)
        out[f"DecisionTreeClassifier {classes}"] = tree.DecisionTreeClassifier(**few).fit(X, y)
        out[f"RandomForestClassifier {classes}"] = ensemble.RandomForestClassifier(**some).fit(X, y)
        boosting = ensemble.GradientBoostingClassifier(**some)
        out[f"GradientBoostingClassifier {classes}"] = boosting.fit(X, y)
    both = np.stack([VALUE, -VALUE * 2], 1)
    out["DecisionTreeRegressor"] = tree.DecisionTreeRegressor(**few).fit(X, both)
    out["ExtraTreesRegressor"] = ensemble.ExtraTreesRegressor(**some).fit(X, VALUE)
    out["GradientBoostingRegressor"] = ensemble.GradientBoostingRegressor(**some).fit(X, VALUE)
    out["IsolationForest"] = ensemble.IsolationForest(n_estimators=4, random_state=0).fit(X)
    return out


def preprocessors() -> dict[str, Any]:
    return {
        "StandardScaler": preprocessing.StandardScaler().fit(X),
        "MinMaxScaler": preprocessing.MinMaxScaler().fit(X),
        "MaxAbsScaler": preprocessing.MaxAbsScaler().fit(X),
        "RobustScaler": preprocessing.RobustScaler().fit(X),
        "Binarizer": preprocessing.Binarizer(threshold=0.25).fit(X),
        "Normalizer l1": preprocessing.Normalizer("l1").fit(X),
        "Normalizer l2": preprocessing.Normalizer("l2").fit(X),
        "KBinsDiscretizer": preprocessing.KBinsDiscretizer(
            3, encode="ordinal", quantile_method="averaged_inverted_cdf"
        ).fit(X),
    }


def of_other_columns() -> dict[str, Any]:
    """What takes words, gaps or dictionaries."""
    words = [("words", data_types.StringTensorType([None, 2]))]
    gaps = np.where(np.abs(FEATURES) < 0.3, np.nan, FEATURES).astype(np.float32)
    out = {}
    for model in (preprocessing.OneHotEncoder(), preprocessing.OrdinalEncoder()):
        made = to_onnx(model.fit(WORDS), initial_types=words, target_opset=OPSETS)
        out[type(model).__name__] = entry(made, model, WORDS)
    for strategy in ("mean", "most_frequent"):
        imputer = impute.SimpleImputer(strategy=strategy).fit(gaps)
        made = to_onnx(imputer, gaps, target_opset=OPSETS)
        out[f"SimpleImputer {strategy}"] = entry(made, imputer, gaps)
    dicts = [{"a": 1.0, "b": 2.5}, {"b": -1.0, "c": 4.0}]
    vectorizer = DictVectorizer().fit(dicts)
    kind = data_types.DictionaryType(
        data_types.StringTensorType([1]), data_types.FloatTensorType([1])
    )
    made = to_onnx(vectorizer, initial_types=[("row", kind)], target_opset=OPSETS)
    out["DictVectorizer"] = entry(made, vectorizer, dicts)
    return out


def boosted() -> dict[str, Any]:
    """LightGBM and XGBoost, with gaps among the features."""
    gaps = np.where(np.abs(X) < 0.2, np.nan, X).astype(np.float32)
    rows = np.where(np.abs(FEATURES) < 0.3, np.nan, FEATURES).astype(np.float32)
    types = [("x", other_types.FloatTensorType([None, 4]))]
    few = {"n_estimators": 4, "max_depth": 3}
    light = {**few, "min_child_samples": 3, "verbose": -1, "n_jobs": 1}
    out = {}
    for classes in (2, 3):
        y = np.minimum(CLASS, classes - 1)
        model = lightgbm.LGBMClassifier(**light).fit(gaps, y)
        made = convert_lightgbm(model, initial_types=types, target_opset=15)
        out[f"LGBMClassifier {classes}"] = entry(made, model, rows)
        model = xgboost.XGBClassifier(**few, n_jobs=1).fit(gaps, y)
        made = convert_xgboost(model, initial_types=types, target_opset=15)
        out[f"XGBClassifier {classes}"] = entry(made, model, rows)
    model = lightgbm.LGBMRegressor(**light).fit(gaps, VALUE)
    made = convert_lightgbm(model, initial_types=types, target_opset=15)
    out["LGBMRegressor"] = entry(made, model, rows)
    model = xgboost.XGBRegressor(**few, n_jobs=1).fit(gaps, VALUE)
    made = convert_xgboost(model, initial_types=types, target_opset=15)
    out["XGBRegressor"] = entry(made, model, rows)
    return out


def main() -> None:
    """Fit, convert and write."""
    models = {**support_vectors(), **with_probabilities(), **linear(), **trees(), **preprocessors()}
    found = {
        name: entry(to_onnx(model, X[:1], target_opset=OPSETS), model, FEATURES)
        for name, model in models.items()
    }
    found |= of_other_columns()
    found |= boosted()
    head = {
        "made by": "tests/python/recorded/make_converted_models.py",
        "with": {name: version(name) for name in PACKAGES},
    }
    lines = [f" {json.dumps(name)}: {json.dumps(row)}" for name, row in found.items()]
    # A model to a line: a diff shows which one has changed.
    text = json.dumps(head)[:-1] + ', "models": {\n' + ",\n".join(lines) + "\n}}\n"
    FILE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
