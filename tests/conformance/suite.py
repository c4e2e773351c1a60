"""ONNX's backend test-suite, run by the suite's own runner against `onnxforge.backend`."""

from __future__ import annotations

import contextlib
import functools
import os
import tempfile
import unittest
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx.backend.test import BackendTest
from onnx.backend.test.loader import load_model_tests

import onnxforge.backend

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CATEGORIES = {
    "node": "OnnxBackendNodeModelTest",
    "simple": "OnnxBackendSimpleModelTest",
    "pytorch-operator": "OnnxBackendPyTorchOperatorModelTest",
    "pytorch-converted": "OnnxBackendPyTorchConvertedModelTest",
    "real": "OnnxBackendRealModelTest",
}
"""By the name of a category, the runner's name for its tests."""

RANDOM = frozenset(
    f"test_bernoulli{kind}{expanded}"
    for kind in ("", "_double", "_seed")
    for expanded in ("", "_expanded")
)
"""Their expected values are draws that nobody can repeat: the generator stands elsewhere by then.

test_random_cases.py holds what can be held: type, shape, support and distribution.
"""


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """How the sessions of one round are made."""

    tier: str
    """As in `Session(tier=…)`."""
    optimize: bool

    def __str__(self) -> str:
        return f"{self.tier}, optimiser {'on' if self.optimize else 'off'}"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one category's tests in one configuration."""

    passed: frozenset[str] = frozenset()
    wrong: dict[str, str] = field(default_factory=dict)
    """By name: the last line of what was said. A test that was skipped did not pass."""


@functools.cache
def names_of(category: str) -> tuple[str, ...]:
    """Return the names of a category's tests."""
    return tuple(sorted(case.name for case in _tests(category)))


@functools.cache
def _tests(category: str) -> list[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # node cases are made by computing them
        return load_model_tests(kind=category)


@functools.cache
def operators() -> dict[str, str]:
    """Return the operator that each node case is about; an expanded case is about its call's."""
    first = {case.name: case.model.graph.node[0].op_type for case in cases()}
    return {name: first.get(name.partition("_expanded")[0], own) for name, own in first.items()}


@functools.cache
def cases() -> list[Any]:
    """Return the node cases."""
    return [case for case in _tests("node") if case.model is not None]


def run(category: str, configuration: Configuration, names: Sequence[str] = ()) -> Outcome:
    """Run the tests of one category, or those of these names."""
    options = {"tier": configuration.tier, "optimize": configuration.optimize}
    every = names_of(category)  # the first call makes the cases, and the runner finds them made
    tests = _Runner(onnxforge.backend.Backend, __name__, dict.fromkeys(every, options)).test_cases[
        CATEGORIES[category]
    ]
    result = _Result()
    with _scratch_home():
        for name in names or every:
            tests(f"{name}_cpu").run(result)
    return Outcome(passed=frozenset(result.passed), wrong=result.wrong)


class _Runner(BackendTest):
    """The suite's runner counts the elements of what is in a sequence, and a scalar has none."""

    @classmethod
    def assert_similar_outputs(
        cls, ref_outputs: Any, outputs: Any, rtol: float, atol: float, model_dir: str | None = None
    ) -> None:
        """Compare outputs; a scalar as the only element of a list."""
        if isinstance(ref_outputs, np.ndarray) and ref_outputs.ndim == 0:
            ref_outputs, outputs = [ref_outputs], [outputs]
        super().assert_similar_outputs(ref_outputs, outputs, rtol, atol, model_dir)


class _Result(unittest.TestResult):
    """Keeps what was said by the test's name."""

    def __init__(self) -> None:
        super().__init__()
        self.passed: list[str] = []
        self.wrong: dict[str, str] = {}

    def addSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802 - unittest's name
        self.passed.append(_name(test))

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:  # noqa: N802
        self.wrong[_name(test)] = _said(err)

    addError = addFailure  # noqa: N815

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:  # noqa: N802
        self.wrong[_name(test)] = f"skipped: {reason}"


def _name(test: unittest.TestCase) -> str:
    return test.id().rpartition(".")[2].removesuffix("_cpu")


def _said(err: Any) -> str:
    lines = [line.strip() for line in str(err[1]).splitlines() if line.strip()]
    return f"{type(err[1]).__name__}: {lines[0] if lines else ''}"


@contextlib.contextmanager
def _scratch_home() -> Iterator[None]:
    """Have the runner write the light models' data to a folder that goes away."""
    before = os.environ.get("ONNX_HOME")
    with tempfile.TemporaryDirectory(prefix="onnx-home-") as folder:
        os.environ["ONNX_HOME"] = folder
        try:
            yield
        finally:
            os.environ.pop("ONNX_HOME")
            if before is not None:
                os.environ["ONNX_HOME"] = before
