"""ONNX's light models with the suite's expected outputs; published ones against onnxruntime."""

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


NORMAL = np.random.default_rng(0).standard_normal
PUBLISHED = [
    # Text detection, the direction of text, and its recognition (PP-OCRv4).
    ("rapidocr-onnxruntime", "ch_PP-OCRv4_det_infer.onnx", {"x": (1, 3, 96, 128)}),
    ("rapidocr-onnxruntime", "ch_PP-OCRv4_det_infer.onnx", {"x": (2, 3, 64, 160)}),
    ("rapidocr-onnxruntime", "ch_ppocr_mobile_v2.0_cls_infer.onnx", {"x": (2, 3, 48, 192)}),
    ("rapidocr-onnxruntime", "ch_PP-OCRv4_rec_infer.onnx", {"x": (1, 3, 48, 96)}),
    # Detection (YOLOv8n).
    ("nudenet", "320n.onnx", {"images": (1, 3, 320, 320)}),
]


def agree(session: onnxforge.Session, path: Path, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Hold a run against onnxruntime's; return the outputs."""
    found = list(session.run(feeds).values())
    for got, want in zip(found, run_peer(str(path), feeds), strict=True):
        assert (got.shape, got.dtype) == (want.shape, want.dtype)
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=2e-5 * max(1.0, np.abs(want).max()))
    return found


@pytest.mark.network
@pytest.mark.parametrize("optimize", [True, False], ids=["optimised", "as it stands"])
@pytest.mark.parametrize(
    ("package", "file", "shapes"),
    PUBLISHED,
    ids=[f"{file}-{shapes}" for _, file, shapes in PUBLISHED],
)
def test_a_published_model_agrees_with_onnxruntime(package_models, package, file, shapes, optimize):
    path = package_models(package) / file
    feeds = {name: 0.3 * NORMAL(shape).astype(np.float32) for name, shape in shapes.items()}
    agree(onnxforge.Session(path, optimize=optimize), path, feeds)


@pytest.mark.network
@pytest.mark.parametrize("tier", ["auto", "reference"])
@pytest.mark.parametrize("optimize", [True, False], ids=["optimised", "as it stands"])
@pytest.mark.parametrize(("rate", "samples"), [(16000, 576), (8000, 288)])
def test_a_voice_activity_detector_keeps_its_state(package_models, rate, samples, optimize, tier):
    """Two models behind an If that asks for the rate, with more Ifs inside, and an LSTM."""
    path = package_models("silero-vad") / "silero_vad.onnx"
    session = onnxforge.Session(path, optimize=optimize, tier=tier)
    state = np.zeros((2, 1, 128), np.float32)
    for _ in range(4):
        sound = 0.3 * NORMAL((1, samples)).astype(np.float32)
        feeds = {"input": sound, "state": state, "sr": np.array(rate, np.int64)}
        _, state = agree(session, path, feeds)
    assert np.abs(state).max() > 0
