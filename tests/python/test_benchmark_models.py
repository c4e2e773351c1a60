"""The models of benchmarks/models: every tier against the reference tier, unoptimised."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import onnxforge
from benchmarks.models import bert_mini, chain, decoder_step, lstm, mobilenet_v2, resnet18, trees
from tests.python.support import relative_difference

MODELS = {
    "bert_mini": bert_mini.build,
    "bert_mini_20": partial(bert_mini.build, opset=20),
    "chain": partial(chain.build, 100),
    "decoder_step": decoder_step.build,
    "lstm": lstm.build,
    "mobilenet_v2": mobilenet_v2.build,
    "resnet18": resnet18.build,
    "trees": trees.build,
}
TIERS = [tier for tier in onnxforge.build_info().tiers if tier != "reference"]


@pytest.mark.parametrize("name", MODELS)
def test_every_tier_gives_what_the_reference_gives(name):
    model, feeds = MODELS[name]()
    expected = onnxforge.Session(model, tier="reference", optimize=False).run(feeds)
    for tier in TIERS:
        actual = onnxforge.Session(model, tier=tier).run(feeds)
        for output, values in expected.items():
            assert relative_difference(actual[output], values) < 1e-5, (tier, output)


def test_a_quantised_model_differs_by_no_more_than_its_steps():
    model, feeds = mobilenet_v2.build(quantized=True)
    (expected,) = onnxforge.Session(model, tier="reference", optimize=False).run(feeds).values()
    for tier in TIERS:
        (actual,) = onnxforge.Session(model, tier=tier).run(feeds).values()
        # A sum that falls on the other side of a step moves all that follows by one.
        assert np.mean(np.abs(actual - expected)) < 0.05 * np.std(expected), tier
        assert np.corrcoef(actual.ravel(), expected.ravel())[0, 1] > 0.999, tier
