"""Every kernel has a property test: a kernel that is added without one fails here."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import onnxforge


def noted() -> dict[str, frozenset[tuple[str, str]]]:
    """The operators that each property test of this folder says it runs."""
    modules = sorted(path.stem for path in Path(__file__).parent.glob("test_*.py"))
    tests = {
        f"{module}.{name}": value
        for module in modules
        for name, value in vars(import_module(f"tests.python.properties.{module}")).items()
        if name.startswith("test_") and hasattr(value, "kernels")
    }
    by_example = [name for name, test in tests.items() if not hasattr(test, "hypothesis")]
    assert not by_example, f"@kernels is for tests that hypothesis drives: {by_example}"
    return {name: test.kernels for name, test in tests.items()}


def test_every_kernel_has_a_property_test() -> None:
    kernels = {
        (row.domain, row.op_type)
        for row in onnxforge.operators()
        if row.support is onnxforge.Support.KERNEL and not row.deprecated
    }
    tested = frozenset().union(*noted().values())
    assert sorted(kernels - tested) == []
    assert sorted(tested - kernels) == [], "no such kernel"
