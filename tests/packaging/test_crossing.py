"""The path of a crossed wheel with an extension of one page: seconds instead of minutes.

Nothing of the C or C++ library is linked in, which zig would have to compile first. All else is
what a wheel takes: the wrappers, the headers, the import library, and a Python of the target.
"""

from __future__ import annotations

import json
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from build_tools.across import python_definitions
from build_tools.binaries import identify
from build_tools.config import default_cache_dir
from build_tools.labs import NoLabError, Stand, environment, find_lab
from build_tools.matrix import load_matrix
from build_tools.python_headers import provide_python
from build_tools.symbols import exported_symbols
from build_tools.toolchain.zig import find_zig, write_wrappers
from tests.build_tools.site import make_site
from tests.packaging.cmake_project import Project, ok, said

PYTHON = f"3.{sys.version_info.minor}"
MATRIX = load_matrix()
pytestmark = [
    pytest.mark.network,
    pytest.mark.skipif(sys.platform != "linux", reason="crosses from Linux"),
    pytest.mark.skipif(PYTHON not in MATRIX.debian, reason="Debian has no CPython of this version"),
]

# The sizes are those of the interpreter's own structures, or the first call goes astray; the count
# of references is kept by code in the headers that depends on them, too.
SOURCE = """
#include <Python.h>
typedef char sizes[sizeof(void *) == SIZEOF_VOID_P && sizeof(long) == SIZEOF_LONG &&
                   sizeof(wchar_t) == SIZEOF_WCHAR_T && sizeof(size_t) == SIZEOF_SIZE_T ? 1 : -1];
static PyObject *facts(PyObject *module, PyObject *args) {
  PyObject *given;
  double real;
  if (!PyArg_ParseTuple(args, "Od", &given, &real)) return NULL;
  if (!PyUnicode_Check(given)) return PyErr_Format(PyExc_TypeError, "not a text");
  Py_INCREF(given);
  return Py_BuildValue("{s:N,s:n,s:n,s:d}", "given", given, "pointer", (Py_ssize_t)sizeof(void *),
                       "long", (Py_ssize_t)sizeof(long), "double", real * 2);
}
static PyMethodDef methods[] = {{"facts", facts, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef tiny = {PyModuleDef_HEAD_INIT, "tiny", NULL, 0, methods};
PyMODINIT_FUNC PyInit_tiny(void) { return PyModule_Create(&tiny); }
#ifdef _WIN32
int DllMainCRTStartup(void *dll, unsigned why, void *reserved) { return 1; }
#endif
"""
LINKED_WITH = """
include(Pybind11)
get_target_property(libraries Python::Module INTERFACE_LINK_LIBRARIES)
message(STATUS "linked with: '${libraries}' end")
"""
NOTHING_IS_LINKED = (
    *("-DCMAKE_CXX_COMPILER_FORCED=ON", "-DCMAKE_CXX_COMPILER_ID_RUN=ON"),
    *("-DCMAKE_CXX_COMPILER_ID=Clang", "-DCMAKE_CXX_COMPILER_VERSION=22.0"),
    "-DCMAKE_TRY_COMPILE_TARGET_TYPE=STATIC_LIBRARY",
)
PROGRAM = """
import json, os, sys
sys.path.insert(0, ".")
import tiny
said = tiny.facts("a text", 1.25)
try:
    tiny.facts(1, 1.0)
except TypeError as error:
    said["error"] = str(error)
said["file"] = os.path.basename(tiny.__file__)
print(json.dumps(said))
"""


@pytest.fixture(scope="module", params=["win_amd64", "manylinux2014_aarch64"])
def stand(request, tmp_path_factory):
    """A target and the usual cache: what is fetched to cross and to try wheels lies there."""
    (row,) = MATRIX.select([request.param], [PYTHON])
    site = make_site(tmp_path_factory.mktemp("crossing"), cache_dir=default_cache_dir())
    with closing(site.fetcher):
        yield Stand(
            site=replace(site, target=row.target),
            releases=MATRIX.debian,
            sample=Path(),
            model=Path(),
        )


def cross(stand, python, folder):
    """Compile and link the extension with the wrappers of the target."""
    site, target = stand.site, stand.target
    zig = find_zig(site.context.runner)
    compiler = write_wrappers(target, zig, stand.host, site.config.cache_dir) / "cc"
    (folder / "tiny.c").write_text(SOURCE, encoding="utf-8")
    made = folder / f"tiny{target.extension_suffix(python.version)}"
    compiled = ("-O2", "-fPIC", "-fvisibility=hidden", "-fno-stack-protector", "-c", "tiny.c")
    library = [python.library] if python.library else []
    for words in (
        [*compiled, f"-I{python.include_dir}", "-o", "tiny.o"],
        ["-shared", "-nostdlib", "tiny.o", *library, "-o", made],
    ):
        result = site.context.runner.run([compiler, *words], cwd=folder, env=stand.host.environ)
        assert result.ok, result.text
    return made


def test_what_the_builders_own_python_is_linked_with_stays_out(stand, tmp_path):
    """FindPython hands the builder's -ldl on, which no linker for Windows finds."""
    site, target = stand.site, stand.target
    if target.system != "windows":
        pytest.skip("elsewhere an extension is not linked with Python")
    python = provide_python(site, PYTHON, {}, stand.releases)
    wrappers = write_wrappers(
        target, find_zig(site.context.runner), stand.host, site.config.cache_dir
    )
    project = Project.write(tmp_path, LINKED_WITH)
    entries = python_definitions(python, target)
    found = project.configure(
        "-DCMAKE_SYSTEM_NAME=Windows",
        f"-DCMAKE_CXX_COMPILER={wrappers / 'c++'}",
        f"-DCMAKE_AR={wrappers / 'ar'}",
        *NOTHING_IS_LINKED,
        *(f"-D{name}={value}" for name, value in entries.items()),
    )
    assert "linked with: '' end" in said(ok(found))


def test_a_crossed_extension_is_loaded_by_a_python_of_its_target(stand, tmp_path):
    python = provide_python(stand.site, PYTHON, {}, stand.releases)
    made = cross(stand, python, tmp_path)
    assert identify(made).machine == stand.target.machine
    assert exported_symbols(made) == ("PyInit_tiny",)
    (row,) = MATRIX.select([stand.target.name], [PYTHON])
    try:
        lab = find_lab(PYTHON, row.way, stand)
    except NoLabError as reason:
        pytest.skip(str(reason))
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    result = stand.site.context.runner.run(
        [*lab.command, "-I", "-B", "program.py"],
        cwd=tmp_path,
        env=environment(stand, lab.environ),
        timeout=300.0,
    )
    assert result.ok, result.text
    long = 4 if stand.target.system == "windows" else 8
    assert json.loads(result.stdout) == {
        "given": "a text",
        "pointer": 8,
        "long": long,
        "double": 2.5,
        "error": "not a text",
        "file": made.name,
    }
