"""The command line, as a person or a program calls it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from onnx import TensorProto, helper

import onnxforge
from onnxforge.cli import main
from tests.python.support import parse


@pytest.fixture
def call(capsys):
    """Run a command; return its exit code and what it wrote."""

    def run(*arguments):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as exit_:  # argparse
            code = exit_.code
        out, err = capsys.readouterr()
        return code, out, err

    return run


def succeed(call, *arguments):
    code, out, err = call(*arguments, "--json")
    assert code == 0, err
    return json.loads(out)


def test_the_module_and_its_help():
    for arguments, words in [
        (["--help"], ["info", "check", "run", "profile", "exit codes"]),
        (["run", "--help"], ["--inputs", "--dim", "batch=4", "--seed", "--output", "--json"]),
        (["--version"], [onnxforge.__version__]),
    ]:
        done = subprocess.run(
            [sys.executable, "-m", "onnxforge", *arguments],
            capture_output=True,
            text=True,
            check=True,
        )
        assert all(word in done.stdout for word in words)


def test_info(call, tiny_path):
    code, out, _ = call("info", tiny_path)
    assert code == 0
    assert "x: float32[N, 3]" in out
    assert "Add 1, Relu 1" in out
    facts = succeed(call, "info", tiny_path)
    assert facts["operators"] == {"Add": 1, "Relu": 1}
    assert facts["inputs"][0]["shape"] == ["N", 3]


def test_check(call, tiny_path, tmp_path):
    assert call("check", tiny_path)[1] == f"{tiny_path}: valid\n"
    assert succeed(call, "check", "--full", "--runnable", tiny_path)["runnable"] is True
    broken = parse("agraph (float[1] x) => (float[1] y) { y = Add(x, lost) }")
    path = tmp_path / "broken.onnx"
    path.write_bytes(broken.SerializeToString())
    code, out, err = call("check", path)
    assert (code, out) == (1, "")
    assert "lost" in err


def test_run_on_random_inputs_is_repeatable(call, tiny_path):
    first = succeed(call, "run", tiny_path, "--dim", "N=4", "--seed", 1)
    again = succeed(call, "run", tiny_path, "--dim", "N=4", "--seed", 1)
    other = succeed(call, "run", tiny_path, "--dim", "N=4", "--seed", 2)
    assert first["outputs"]["y"]["shape"] == [4, 3]
    assert first["outputs"] == again["outputs"]
    assert first["outputs"] != other["outputs"]
    assert len(succeed(call, "run", tiny_path, "--repeat", 3)["run_ms"]) == 3


def test_run_from_and_to_files(call, tiny_path, tmp_path):
    x = np.array([[1, -2, 3]], np.float32)
    np.savez(tmp_path / "in.npz", x=x)
    np.save(tmp_path / "bias.npy", np.ones(3, np.float32))
    code, out, err = call(
        "run", tiny_path, "--inputs", tmp_path / "in.npz",
        "--input", f"bias={tmp_path / 'bias.npy'}", "--output", tmp_path / "out.npz",
    )  # fmt: skip
    assert code == 0, err
    assert "written to" in out
    with np.load(tmp_path / "out.npz") as written:
        np.testing.assert_array_equal(written["y"], np.maximum(x + 1, 0))


def test_run_with_a_shape_where_the_model_declares_no_rank(call, tmp_path):
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Neg", ["x"], ["y"])],
        "g",
        [value("x", TensorProto.FLOAT, None)],
        [value("y", TensorProto.FLOAT, None)],
    )
    path = tmp_path / "m.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    path.write_bytes(model.SerializeToString())
    code, _, err = call("run", path)
    assert code == 1
    assert "--shape x=" in err
    assert succeed(call, "run", path, "--shape", "x=2,5")["outputs"]["y"]["shape"] == [2, 5]
    assert succeed(call, "run", path, "--shape", "x=scalar")["outputs"]["y"]["shape"] == []


@pytest.mark.parametrize(
    "elem",
    [e for e in TensorProto.DataType.values() if e != TensorProto.UNDEFINED],
    ids=TensorProto.DataType.Name,
)
def test_run_makes_reads_and_writes_every_dtype(call, tmp_path, elem):
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "g",
        [value("x", elem, [2, 3])],
        [value("y", elem, [2, 3])],
    )
    path = tmp_path / "m.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 28)], ir_version=14)
    path.write_bytes(model.SerializeToString())
    out = tmp_path / "y.npz"
    first = succeed(call, "run", path, "--output", out, "--seed", 3)
    assert first["outputs"]["y"] == first["inputs"]["x"]
    with np.load(out) as written:
        np.savez(tmp_path / "x.npz", x=written["y"])
    again = succeed(call, "run", path, "--inputs", tmp_path / "x.npz")
    assert again["outputs"]["y"] == first["outputs"]["y"]


def test_run_writes_sequences(call, tmp_path):
    model = parse(
        "agraph (float[2] x) => (seq(float[2]) s) { t = Neg(x) s = SequenceConstruct(x, t) }"
    )
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    code, out, err = call("run", path, "--output", tmp_path / "s.npz")
    if code and "there is no kernel" in err:
        pytest.skip(err)
    assert code == 0, err
    assert "sequence of 2" in out
    with np.load(tmp_path / "s.npz") as written:
        np.testing.assert_array_equal(written["s.0"], -written["s.1"])


def test_a_pass_can_be_left_out(call, tmp_path):
    path = tmp_path / "m.onnx"
    model = parse("agraph (float[2] x) => (float[2] y) { a = Identity(x) y = Neg(a) }")
    path.write_bytes(model.SerializeToString())
    for options, left in [((), ["Neg"]), (("eliminate_identity",), ["Identity", "Neg"])]:
        arguments = [word for name in options for word in ("--disable-pass", name)]
        profile = succeed(call, "profile", path, *arguments)
        assert [node["op_type"] for node in profile["nodes"]] == left


def test_profile(call, tiny_path, tmp_path):
    code, out, _ = call("profile", tiny_path, "--trace", tmp_path / "trace.json")
    assert code == 0
    assert "operator" in out
    assert json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    page = tmp_path / "page.html"
    nodes = succeed(call, "profile", tiny_path, "--html", page)["nodes"]
    ElementTree.fromstring(re.search("<svg.*</svg>", page.read_text(), re.DOTALL)[0])
    assert page.read_text().count("<title>") == 1 + len(nodes)
    assert succeed(call, "profile", tiny_path)["unplanned_allocations"] == 0


# What goes wrong


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["info", "nowhere.onnx"], "nowhere.onnx"),
        (["check", "nowhere.onnx"], "nowhere.onnx"),
        (["run", "nowhere.onnx"], "nowhere.onnx"),
        (["run", "{tiny}", "--dim", "M=3"], "no symbolic axis of that name; it has: 'N'"),
        (["run", "{tiny}", "--shape", "z=3"], "no input of that name; it has: 'x', 'bias'"),
        (["run", "{tiny}", "--shape", "x=3"], "the rank is 1, not 2"),
        (["run", "{tiny}", "--only", "z"], "no output 'z'"),
        (["run", "{tiny}", "--tier", "AVX9"], "AVX9"),
        (["run", "{tiny}", "--disable-pass", "fuse_all"], "no pass 'fuse_all' to leave out"),
        (["run", "{tiny}", "--inputs", "nowhere.npz"], "cannot read nowhere.npz"),
        (["run", "{tiny}", "--inputs", "{tiny}"], "not an array file"),
        (["run", "{tiny}", "--output", "{tmp}/no/such/folder/y.npz"], "cannot write"),
        (["profile", "{tiny}", "--trace", "{tmp}/no/such/folder/t.json"], "cannot write"),
        (["profile", "{tiny}", "--html", "{tmp}/no/such/folder/t.html"], "cannot write"),
    ],
)  # fmt: skip
def test_an_error_is_one_line_and_a_code(call, tiny_path, tmp_path, arguments, message):
    arguments = [a.format(tiny=tiny_path, tmp=tmp_path) for a in arguments]
    code, out, err = call(*arguments)
    assert code == 1
    assert out == ""
    assert err.startswith("onnxforge: error: ")
    assert err.count("\n") == 1
    assert message in err
    code, out, _ = call(*arguments, "--json")
    assert code == 1
    assert message in json.loads(out)["error"]["message"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["tiny.onnx"]


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["fly"], ["run"], ["run", "m.onnx", "--dim", "N"], ["run", "m.onnx", "--dim", "N=x"],
        ["run", "m.onnx", "--shape", "x=1,b"], ["run", "m.onnx", "--repeat", "0"],
    ],
)  # fmt: skip
def test_a_wrong_command_line_is_code_2(call, arguments):
    code, _, err = call(*arguments)
    assert code == 2
    assert "usage: onnxforge" in err


@pytest.mark.skipif(sys.platform == "win32", reason="pipes close otherwise there")
def test_a_closed_pipe_is_no_error(tiny_path):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "onnxforge", "info", str(tiny_path)],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")
