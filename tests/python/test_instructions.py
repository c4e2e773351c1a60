"""A guard of speed that no load on the machine disturbs: instructions, counted by callgrind.

A few kernels and the making of sessions are held against `instructions.json`. What callgrind shows
a program is a processor with AVX2, whatever the machine has; the compiler has to be the one the
numbers were recorded with. After a change that is meant to cost or spare instructions:

    ONNXFORGE_RECORD_INSTRUCTIONS=1 pytest -m slow tests/python/test_instructions.py
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import onnx
import pytest

import onnxforge
from benchmarks.models import chain, lstm
from tests.python.support import parse

PROGRAM = Path(__file__).resolve().parents[2] / "build" / "dev" / "tests" / "cpp" / "instructions"
RECORDED = Path(__file__).with_name("instructions.json")
RECORDING = "ONNXFORGE_RECORD_INSTRUCTIONS" in os.environ
TOLERANCE = 0.03
"""Other builds of the C++ library count a little differently; a regression is rarely this small."""

LAYER = """agraph (float[64, 256] x) => (float[64, 256] y)
<float[256, 256] w = {1.0}, float[256] b = {0.5}> {
    xw = MatMul(x, w)
    y = Add(xw, b)
}"""
IMAGE = """agraph (float[1, 32, 32, 32] x) => (float[1, 32, 32, 32] y)
<float[32, 32, 3, 3] w = {0.1}, float[32, 1, 3, 3] d = {0.1}> {
    a = Conv<pads = [1, 1, 1, 1]>(x, w)
    b = Relu(a)
    y = Conv<pads = [1, 1, 1, 1], group = 32>(b, d)
}"""
ROWS = """agraph (float[64, 256] x) => (float[64, 256] y)
<float[256] s = {1.0}, float[256] b = {0.0}> {
    a = LayerNormalization<axis = -1>(x, s, b)
    c = Gelu(a)
    y = Softmax<axis = -1>(c)
}"""


def filled(text):
    """Make a model in which constants of one number have the size that their type says."""
    model = parse(text)
    for tensor in model.graph.initializer:
        if len(tensor.float_data) == 1:
            count = 1
            for extent in tensor.dims:
                count *= extent
            tensor.float_data.extend(tensor.float_data[:1] * (count - 1))
    return model


CASES = {
    "run matmul": ("run", lambda: filled(LAYER)),
    "run conv": ("run", lambda: filled(IMAGE)),
    "run rows": ("run", lambda: filled(ROWS)),
    "run lstm": ("run", lambda: lstm.build()[0]),
    "create 100 nodes": ("create", lambda: chain.build(100)[0]),
    "create 1000 nodes": ("create", lambda: chain.build(1000)[0]),
    "create conv": ("create", lambda: filled(IMAGE)),
}


def count_instructions(what, model, folder):
    path = folder / "model.onnx"
    onnx.save(model, path)
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder / 'callgrind.out'}"]
    command += [f"--toggle-collect=onnxforge::Counted{what.title()}*", PROGRAM, what, path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (collected,) = re.findall(r"Collected : (\d+)", done.stderr)
    return int(collected)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("valgrind"), reason="needs valgrind")
@pytest.mark.skipif(not PROGRAM.exists(), reason="needs python -m build_tools develop")
@pytest.mark.parametrize("name", CASES)
def test_instructions(name, tmp_path):
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
    compiler = onnxforge.build_info().compiler
    what, build = CASES[name]
    if not RECORDING and recorded["compiler"] != compiler:
        pytest.skip(f"recorded with {recorded['compiler']}, and this is {compiler}")
    count = count_instructions(what, build(), tmp_path)
    if RECORDING:
        recorded["compiler"] = compiler
        recorded["instructions"][name] = count
        RECORDED.write_text(json.dumps(recorded, indent=1) + "\n", encoding="utf-8")
        return
    expected = recorded["instructions"][name]
    assert abs(count / expected - 1) <= TOLERANCE, f"{count:,} instructions, recorded {expected:,}"
