"""The standard's own tests: node cases on every tier of this machine, others on the fastest."""

from __future__ import annotations

import pytest

import onnxforge
from tests.conformance.page import Results, page
from tests.conformance.suite import CATEGORIES, RANDOM, Configuration, names_of, operators, run

TIERS = [tier for tier in onnxforge.build_info().tiers if tier != "auto"]
SMALL = [category for category in CATEGORIES if category not in {"node", "real"}]


def test_the_suite_is_complete():
    expected = {
        "node": 1884,
        "simple": 23,
        "pytorch-operator": 35,
        "pytorch-converted": 82,
        "real": 9,
    }
    found = {category: len(names_of(category)) for category in CATEGORIES}
    assert found == expected
    assert set(names_of("node")) >= RANDOM


@pytest.mark.parametrize("tier", TIERS)
def test_node_cases(tier):
    names = [name for name in names_of("node") if name not in RANDOM]
    outcome = run("node", Configuration(tier=tier, optimize=True), names)
    assert outcome.wrong == {}
    assert len(outcome.passed) == len(names)


# The category "real" is in tests/python/test_real_models.py.
@pytest.mark.parametrize("optimize", [True, False], ids=["optimised", "as it stands"])
@pytest.mark.parametrize("category", SMALL)
def test_models(category, optimize):
    outcome = run(category, Configuration(tier="auto", optimize=optimize))
    assert outcome.wrong == {}
    assert outcome.passed == set(names_of(category))


def test_a_failure_is_noticed():
    """The runner really compares: a case fails where its session cannot be made."""
    outcome = run("node", Configuration(tier="no such tier", optimize=True), ["test_abs"])
    assert outcome.passed == set()
    assert "no tier 'no such tier'" in outcome.wrong["test_abs"]


def test_an_expanded_case_is_its_operators():
    assert operators()["test_softmax_axis_0_expanded_ver18"] == "Softmax"
    assert operators()["test_abs"] == "Abs"


def test_the_page_counts():
    text = page(
        Results(
            tests={
                "node": ("test_a", "test_a_expanded", "test_b", "test_draw"),
                "simple": ("test_s",),
            },
            wrong={"test_b": "AssertionError: not equal (reference, optimiser on)"},
            apart=frozenset({"test_draw"}),
            operators={"test_a": "A", "test_a_expanded": "A", "test_b": "B", "test_draw": "B"},
            onnx_version="1.2.3",
        )
    )
    assert "| node | 4 | 2 | 1 | 1 |" in text
    assert "| **all** | 5 | 3 | 1 | 1 |" in text
    assert "| A | 2 | 2 | 0 | 0 |" in text
    assert "| B | 2 | 0 | 1 | 1 |" in text
    assert "- `test_b`: AssertionError: not equal (reference, optimiser on)" in text
