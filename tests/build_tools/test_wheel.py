"""Making the wheel: what scikit-build-core is told, and what its failure says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from build_tools.cmake import CMakeBuild
from build_tools.context import Context
from build_tools.errors import CompileError, ConfigureError, WheelError
from build_tools.record import Record
from build_tools.toolchain import Compiler, Family, Probe, Probes, Toolchain
from build_tools.tools import Tools
from build_tools.wheel import WheelPlan, make_wheel
from tests.build_tools.support import RecordedRunner, Watcher, has, make_host, said

TOOLS = Tools(
    cmake=Path("/tools/cmake"),
    cmake_version="4.4.4",
    ninja=Path("/tools/ninja"),
    ninja_version="1.13.2",
    reasons=(),
)
FINE = Probe(ok=True, why="")
PROBES = Probes(
    runs=FINE,
    cxx17=FINE,
    cxx20=FINE,
    filesystem_link=FINE,
    shared_objects=FINE,
    visibility=FINE,
    lto=FINE,
)
COMPILER = Compiler(
    family=Family.GCC,
    version="12.2.0",
    target="x86_64-linux-gnu",
    cc=Path("/usr/bin/gcc"),
    cxx=Path("/usr/bin/g++"),
    origin="PATH",
)
TOOLCHAIN = Toolchain(compiler=COMPILER, probes=PROBES, reasons=())


def ready(answer, **environ):
    watcher = Watcher()
    context = Context(
        host=make_host(environ={"PATH": "/bin", **environ}),
        runner=RecordedRunner([(has("build", "--wheel"), answer)]),
        record=Record(observer=watcher),
    )
    cmake = CMakeBuild(
        tools=TOOLS,
        toolchain=TOOLCHAIN,
        runner=context.runner,
        record=context.record,
        host=context.host,
    )
    return context, cmake, watcher


def plan(tmp_path, **changes) -> WheelPlan:
    values = {
        "source_dir": tmp_path / "tree",
        "build_dir": tmp_path / "build ä" / "x",
        "build_type": "Release",
        "definitions": {"ONNXFORGE_ONNX_PREFIX": Path("/a b/onnx"), "ONNXFORGE_LTO": False},
        "cmake_args": (),
        "jobs": 3,
        **changes,
    }
    return WheelPlan(**values)


def packing(tmp_path):
    """An answer that leaves a wheel, as the real one does."""
    into = tmp_path / "raw"
    into.mkdir()

    def answer(_command):
        (into / "toy-1.0-py3-none-any.whl").write_bytes(b"")
        return said("[1/2] Building CXX object a.o\n[2/2] Linking\n")

    return into, answer


def test_settings_reach_scikit_build_core_whole(tmp_path):
    into, answer = packing(tmp_path)
    context, cmake, watcher = ready(answer, CMAKE_ARGS="-DX=1", SOURCE_DATE_EPOCH="1700000000")
    wheel = make_wheel(
        plan(tmp_path, cmake_args=("-DX=a b",)), into, tmp_path / "log", cmake, context
    )
    assert wheel == into / "toy-1.0-py3-none-any.whl"
    (call,) = context.runner.calls
    settings = json.loads(call.argv[call.argv.index("--config-json") + 1])
    assert settings["build-dir"] == str(tmp_path / "build ä" / "x")
    assert settings["cmake.args"] == ["-G", "Ninja", "-DX=a b"]
    assert settings["cmake.define.ONNXFORGE_ONNX_PREFIX"] == "/a b/onnx"
    assert settings["cmake.define.ONNXFORGE_LTO"] == "OFF"
    assert "CMAKE_ARGS" not in call.env
    assert call.env["CMAKE_BUILD_PARALLEL_LEVEL"] == "3"
    assert call.env["SOURCE_DATE_EPOCH"] == "1700000000"
    assert ("wheel: compile and pack", 2, 2, "Linking") in watcher.of("progress")


def test_what_was_decided_cannot_be_undone_by_an_argument(tmp_path):
    into, answer = packing(tmp_path)
    context, cmake, _ = ready(answer)
    arguments = ("-DONNXFORGE_LTO=ON", "-DOTHER=1")
    make_wheel(plan(tmp_path, cmake_args=arguments), into, tmp_path / "log", cmake, context)
    (call,) = context.runner.calls
    settings = json.loads(call.argv[call.argv.index("--config-json") + 1])
    assert settings["cmake.args"] == ["-G", "Ninja", "-DOTHER=1"]
    assert any("-DONNXFORGE_LTO=ON cannot be followed" in text for text in context.record.warnings)


@pytest.mark.parametrize(
    ("output", "kind"),
    [
        ("[3/9] x\nFAILED: a.o\nerror: no\nninja: build stopped.\n", CompileError),
        ("CMake Error at CMakeLists.txt:3:\n  no\n", ConfigureError),
        ("Readme file not found\n", WheelError),
    ],
)
def test_a_failure_is_told_apart(tmp_path, output, kind):
    into = tmp_path / "raw"
    into.mkdir()
    context, cmake, _ = ready(said(output, returncode=1))
    with pytest.raises(kind) as caught:
        make_wheel(plan(tmp_path), into, tmp_path / "log", cmake, context)
    assert type(caught.value) is kind
    assert str(tmp_path / "log") in str(caught.value)


def test_no_wheel_is_a_failure_even_when_all_seemed_well(tmp_path):
    into = tmp_path / "raw"
    into.mkdir()
    context, cmake, _ = ready(said("done\n"))
    with pytest.raises(WheelError):
        make_wheel(plan(tmp_path), into, tmp_path / "log", cmake, context)
