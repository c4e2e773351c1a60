"""Models of scikit-learn, LightGBM and XGBoost, converted, against what these libraries predict.

`recorded/make_converted_models.py` fitted and converted them; onnxruntime runs the same files here.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import onnxforge
from tests.python.kernel_support import TIERS
from tests.python.support import run_peer

FILE = Path(__file__).with_name("recorded") / "converted_models.json"
MODELS: dict[str, dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))["models"]


def load(entry: dict[str, Any]) -> onnx.ModelProto:
    return onnx.load_model_from_string(base64.b64decode(entry["model"]))


def feeds_of(model: onnx.ModelProto, entry: dict[str, Any]) -> list[dict[str, Any]]:
    """What to run: all rows at once, or one dictionary after the other."""
    (given,) = model.graph.input
    if given.type.HasField("map_type"):
        return [{given.name: row} for row in entry["x"]]
    text = given.type.tensor_type.elem_type == onnx.TensorProto.STRING
    return [{given.name: np.array(entry["x"], object if text else np.float32)}]


def table(scores: Any) -> np.ndarray:
    """Rows of numbers, of ZipMap's dictionaries too."""
    if isinstance(scores, list):
        scores = [list(row.values()) for row in scores]
    return np.asarray(scores)


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("name", MODELS)
def test_predictions(name: str, tier: str) -> None:
    entry = MODELS[name]
    model = load(entry)
    session = onnxforge.Session(model, tier=tier)
    runs = [list(session.run(feeds).values()) for feeds in feeds_of(model, entry)]
    first = np.concatenate([table(run[0]) for run in runs])
    wanted = entry.get("transformed", entry.get("predicted"))
    if first.dtype.kind == "f":
        wanted = np.array(wanted, np.float64).reshape(first.shape)
        np.testing.assert_allclose(first, wanted, rtol=1e-4, atol=1e-5)
    else:
        assert first.reshape(-1).tolist() == np.array(wanted, object).reshape(-1).tolist()
    if "probabilities" in entry:
        (run,) = runs
        np.testing.assert_allclose(table(run[1]), entry["probabilities"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_outputs_are_those_of_onnxruntime(name: str) -> None:
    """All of them: raw scores, too, which libraries have no name for."""
    entry = MODELS[name]
    model = load(entry)
    session = onnxforge.Session(model)
    for feeds in feeds_of(model, entry):
        for found, wanted in zip(session.run(feeds).values(), run_peer(model, feeds), strict=True):
            if isinstance(wanted, list):
                assert [list(row) for row in found] == [list(row) for row in wanted]
            actual, expected = table(found), table(wanted)
            assert actual.shape == expected.shape
            if expected.dtype.kind == "f":
                np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)
            else:
                assert actual.tolist() == expected.tolist()
