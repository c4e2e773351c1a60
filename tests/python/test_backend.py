"""ONNX's backend interface."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx.backend.base import Backend as Interface
from onnx.backend.base import BackendRep as Representation

import onnxforge
import onnxforge.backend
from tests.python.support import parse

SUM = "agraph (float[2] a, float[2] b) => (float[2] y, float[2] z) { y = Add(a, b)  z = Neg(y) }"
A, B = np.array([1, 2], np.float32), np.array([3, 5], np.float32)


def test_it_is_a_backend():
    assert issubclass(onnxforge.backend.Backend, Interface)
    assert isinstance(onnxforge.backend.prepare(parse(SUM)), Representation)


@pytest.mark.parametrize(
    "inputs", [[A, B], (A, B), {"b": B, "a": A}], ids=["list", "tuple", "dict"]
)
def test_inputs_by_position_and_by_name(inputs):
    outputs = onnxforge.backend.prepare(parse(SUM)).run(inputs)
    assert isinstance(outputs, tuple)
    assert outputs[0].tolist() == [4, 7]
    assert outputs["z"].tolist() == [-4, -7]


def test_a_lone_input_needs_no_list():
    model = parse("agraph (float[2] a) => (float[2] y) { y = Neg(a) }")
    assert onnxforge.backend.run_model(model, A)[0].tolist() == [-1, -2]


def test_inputs_with_a_default_may_be_given_or_left_out():
    model = parse(
        "agraph (float[2] a, float[2] b) => (float[2] y) <float[2] b = {10, 20}> { y = Add(a, b) }"
    )
    prepared = onnxforge.backend.prepare(model)
    assert prepared.run([A])[0].tolist() == [11, 22]
    assert prepared.run([A, B])[0].tolist() == [4, 7]


@pytest.mark.parametrize("inputs", [[A], [A, B, B]])
def test_a_wrong_number_of_inputs_is_told(inputs):
    with pytest.raises(onnxforge.InvalidArgumentError, match=r"takes 2 inputs \(a, b\), not"):
        onnxforge.backend.prepare(parse(SUM)).run(inputs)


def test_devices():
    assert onnxforge.backend.supports_device("CPU")
    assert onnxforge.backend.supports_device("CPU:0")
    assert not onnxforge.backend.supports_device("CUDA")
    with pytest.raises(onnxforge.UnsupportedError, match="not on 'CUDA'"):
        onnxforge.backend.prepare(parse(SUM), "CUDA")


def test_options_are_the_sessions():
    prepared = onnxforge.backend.prepare(parse(SUM), tier="reference", threads=1)
    assert (prepared.session.tier, prepared.session.threads) == ("reference", 1)
    with pytest.raises(TypeError):
        onnxforge.backend.prepare(parse(SUM), colour="red")
    with pytest.raises(onnxforge.InvalidArgumentError, match="no options"):
        prepared.run([A, B], colour="red")


def test_compatibility_is_whether_everything_is_there():
    assert onnxforge.backend.is_compatible(parse(SUM))
    missing = parse("agraph (float[2] a) => (float[2] y) { y = my.domain.Foo(a) }")
    assert not onnxforge.backend.is_compatible(missing)


def test_one_node():
    node = helper.make_node("Clip", ["x", "", "most"], ["y"])
    (y,) = onnxforge.backend.run_node(node, [A, np.float32(1.5)])
    assert y.tolist() == [1, 1.5]
    (y,) = onnxforge.backend.run_node(node, {"x": A, "most": np.array(1.5, np.float32)})
    assert y.tolist() == [1, 1.5]


def test_one_node_of_an_old_opset_and_with_the_types_of_its_outputs():
    node = helper.make_node("Softmax", ["x"], ["y"])
    x = np.zeros((2, 2, 2), np.float32)
    info = [(np.dtype(np.float32), (2, 2, 2))]
    # Before opset 13 all axes from the first on are one.
    (old,) = onnxforge.backend.run_node(node, [x], outputs_info=info, opset_version=11)
    (new,) = onnxforge.backend.run_node(node, x, outputs_info=info)
    assert old.max() == 0.25
    assert new.max() == 0.5


def test_one_node_on_sequences_and_maps_and_of_another_domain():
    node = helper.make_node("SequenceAt", ["s", "i"], ["y"])
    assert onnxforge.backend.run_node(node, [[A, B], np.array(1)])[0].tolist() == B.tolist()
    node = helper.make_node("CastMap", ["m"], ["y"], domain="ai.onnx.ml")
    assert onnxforge.backend.run_node(node, [{2: 0.5, 1: 1.5}])[0].tolist() == [[1.5, 0.5]]
    node = helper.make_node("StringConcat", ["a", "b"], ["y"])
    words = np.array(["x"], object)
    assert onnxforge.backend.run_node(node, [words, words])[0].tolist() == ["xx"]


def test_one_node_with_too_few_inputs_is_told():
    with pytest.raises(onnxforge.InvalidArgumentError, match=r"takes 2 inputs \(a, b\), not 1"):
        onnxforge.backend.run_node(helper.make_node("Add", ["a", "b"], ["y"]), [A])
    node = onnx.helper.make_node("Add", ["a", "a"], ["y"])
    assert onnxforge.backend.run_node(node, [A])[0].tolist() == [2, 4]


def test_without_onnx_the_import_says_what_is_missing():
    program = "import sys; sys.modules['onnx'] = None; import onnxforge.backend"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "pip install onnx" in done.stderr
