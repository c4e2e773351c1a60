"""Every kernel has a property test, and every function body of the standard's that the engine runs.

One that is added without fails here.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import onnxforge

STANDARD = {"", "ai.onnx.preview"}
"""The domains whose function bodies are run as they are."""


def noted(mark: str) -> frozenset[tuple[str, str]]:
    """The operators that the property tests of this folder say they run, in their `mark`s."""
    modules = sorted(path.stem for path in Path(__file__).parent.glob("test_*.py"))
    tests = {
        f"{module}.{name}": value
        for module in modules
        for name, value in vars(import_module(f"tests.python.properties.{module}")).items()
        if name.startswith("test_") and hasattr(value, mark)
    }
    by_example = [name for name, test in tests.items() if not hasattr(test, "hypothesis")]
    assert not by_example, f"@{mark} is for tests that hypothesis drives: {by_example}"
    return frozenset().union(*(vars(test)[mark] for test in tests.values()))


def operators(support: onnxforge.Support) -> frozenset[tuple[str, str]]:
    """The operators that have a version which is run in this way."""
    return frozenset(
        (row.domain, row.op_type)
        for row in onnxforge.operators()
        if row.support is support and not row.deprecated
    )


def test_every_kernel_has_a_property_test() -> None:
    kernels, tested = operators(onnxforge.Support.KERNEL), noted("kernels")
    assert sorted(kernels - tested) == []
    assert sorted(tested - kernels) == [], "no such kernel"


def test_every_function_body_of_the_standard_has_a_property_test() -> None:
    every = operators(onnxforge.Support.FUNCTION)
    bodies = {(domain, name) for domain, name in every if domain in STANDARD}
    tested = noted("functions")
    assert sorted(bodies - tested) == []
    assert sorted(tested - bodies) == [], "no such function body"
