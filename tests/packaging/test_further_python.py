"""What a further Python costs a crossed target: the files of the module, and nothing else."""

from __future__ import annotations

import shutil
import sys

import pytest

from build_tools.across import python_definitions
from build_tools.cmake import as_text
from build_tools.matrix import load_matrix
from build_tools.ninja_log import last_run, read_lines
from build_tools.python_headers import TargetPython
from tests.packaging.cmake_project import Project, ok

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="links as for Linux"),
    pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ here"),
]

BODY = """
include(Options)
include(Warnings)
include(Sanitizers)
include(Linkage)
include(Pybind11)
add_library(engine STATIC engine.cc)
onnxforge_target_defaults(engine)
# As in cpp/: what concerns Python holds for its folder alone.
add_subdirectory(bindings)
"""
BINDINGS = """
onnxforge_add_extension(_core ../module.cc)
target_link_libraries(_core PRIVATE engine)
"""
MODULE = """
#include <Python.h>
extern int answer();
extern "C" __attribute__((visibility("default"))) void* PyInit__core() {
  static int kept = answer() + PYTHON_MINOR;
  return &kept;
}
"""


@pytest.fixture
def project(tmp_path):
    made = Project.write(tmp_path, BODY, engine="int answer() { return 42; }\n", module=MODULE)
    (made.source / "bindings").mkdir()
    (made.source / "bindings" / "CMakeLists.txt").write_text(BINDINGS, encoding="utf-8")
    return made


def headers(folder, version):
    """The headers of a CPython, as far as CMake and the module look."""
    folder.mkdir()
    text = f'#define PY_VERSION "{version}.0"\n#define PYTHON_MINOR {version.split(".")[1]}\n'
    (folder / "patchlevel.h").write_text(text, encoding="utf-8")
    (folder / "pyconfig.h").touch()
    (folder / "Python.h").write_text('#include "patchlevel.h"\n', encoding="utf-8")
    return TargetPython(version=version, include_dir=folder, library=None, origin="the test")


def build(project, python):
    """Compile for one Python; return what was made, by kind."""
    (row,) = load_matrix().select(["manylinux2014_x86_64"], [])
    entries = python_definitions(python, row.target)
    defined = [f"-D{name}={as_text(value)}" for name, value in entries.items()]
    before = read_lines(project.build)
    cross = ("-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_BUILD_TYPE=Release")
    ok(project.configure(*cross, *defined))
    ok(project.compile())
    run = last_run(project.build, before)
    return sorted((command.kind, command.outputs[0]) for command in run.commands)


def test_a_further_python_compiles_the_module_alone(project, tmp_path):
    first = build(project, headers(tmp_path / "3.11", "3.11"))
    assert [kind for kind, _ in first] == ["archive", "compile", "compile", "link"]
    further = build(project, headers(tmp_path / "3.13", "3.13"))
    assert [kind for kind, _ in further] == ["compile", "link"]
    names = [name for _, name in further]
    assert "bindings" in names[0]
    assert names[1].endswith("_core.cpython-313-x86_64-linux-gnu.so")
