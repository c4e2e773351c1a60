"""ONNX's nine light models with the suite's own expected outputs; magika against onnxruntime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import onnxforge
from tests.python.support import relative_difference, run_peer

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
LIGHT_MODELS = [
    "bvlc_alexnet", "densenet121", "inception_v1", "inception_v2", "resnet50", "shufflenet",
    "squeezenet", "vgg19", "zfnet512",
]  # fmt: skip


def light_input(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """What the backend test-suite feeds these models: 0, 1/n, 2/n, … (its generate_dummy_data)."""
    initialisers = {tensor.name for tensor in model.graph.initializer}
    (value,) = (v for v in model.graph.input if v.name not in initialisers)
    shape = [dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim]
    count = np.prod(shape)
    return {value.name: (np.arange(count).reshape(shape) / count).astype(np.float32)}


def test_the_list_is_complete():
    assert sorted(p.name.removesuffix(".onnx")[6:] for p in LIGHT.glob("*.onnx")) == LIGHT_MODELS


@pytest.mark.parametrize("optimize", [True, False], ids=["optimised", "as it stands"])
@pytest.mark.parametrize("name", LIGHT_MODELS)
def test_a_light_model_gives_the_suites_expected_output(name, optimize):
    path = LIGHT / f"light_{name}.onnx"
    expected = onnx.TensorProto.FromString((LIGHT / f"light_{name}_output_0.pb").read_bytes())
    session = onnxforge.Session(path, optimize=optimize)
    (actual,) = session.run(light_input(onnx.load(path))).values()
    # The suite's tolerances for these models.
    np.testing.assert_allclose(actual, numpy_helper.to_array(expected), rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("name", ["squeezenet", "shufflenet"])
def test_the_reference_kernels_agree_with_the_fast_ones(name):
    path = LIGHT / f"light_{name}.onnx"
    feeds = light_input(onnx.load(path))
    (fast,) = onnxforge.Session(path).run(feeds).values()
    (reference,) = onnxforge.Session(path, tier="reference").run(feeds).values()
    assert relative_difference(fast, reference) < 1e-5


@pytest.mark.network
@pytest.mark.parametrize("optimize", [True, False], ids=["optimised", "as it stands"])
@pytest.mark.parametrize("tier", ["auto", "reference"])
def test_magika_agrees_with_onnxruntime(magika_path, tier, optimize):
    session = onnxforge.Session(magika_path, tier=tier, optimize=optimize)
    (spec,) = session.inputs
    assert spec.dtype == "int32"
    rng = np.random.default_rng(0)
    for batch in (1, 3, 1, 1):
        feeds = {spec.name: rng.integers(0, 257, (batch, 2048), dtype=np.int32)}
        (expected,) = run_peer(str(magika_path), feeds)
        (actual,) = session.run(feeds).values()
        assert actual.shape == expected.shape
        assert relative_difference(actual, expected) < 1e-4
        np.testing.assert_array_equal(actual.argmax(axis=-1), expected.argmax(axis=-1))


@pytest.mark.network
def test_magika_runs_in_planned_memory(magika_path):
    session = onnxforge.Session(magika_path)
    (spec,) = session.inputs
    profile = session.profile({spec.name: np.zeros((1, 2048), np.int32)})
    assert profile.unplanned_allocations == 0
