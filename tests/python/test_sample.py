"""What the wheels for other machines are tried with, here by the Python of this one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import onnxforge
from build_tools import sample
from tests.python.conftest import REPOSITORY

pytestmark = pytest.mark.network


def test_the_sample_passes(tmp_path, magika_path):
    sample.write_sample(tmp_path)
    program = REPOSITORY / "build_tools" / "sample_program.py"
    packages = Path(onnxforge.__file__).parents[1]
    words = [packages, tmp_path, magika_path, magika_path.with_name("config.min.json")]
    done = subprocess.run(
        [sys.executable, "-I", "-B", program, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["sample"]["failed"] == {}
    assert seen["sample"]["cases"] > sample.SIZE
    assert seen["tiers"] == list(onnxforge.build_info().tiers)
