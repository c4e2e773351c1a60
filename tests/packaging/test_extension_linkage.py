"""What onnxforge_extension_linkage promises, held against a compiled module."""

from __future__ import annotations

import shutil
import sys

import lief
import pytest

from build_tools.symbols import exported_symbols
from tests.packaging.cmake_project import Project, ok

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads an ELF file")

BODY = """
include(Options)
include(Warnings)
include(Sanitizers)
include(Linkage)
# A careless dependency: everything in it has default visibility.
add_library(careless STATIC careless.cc)
set_target_properties(
  careless PROPERTIES CXX_VISIBILITY_PRESET default VISIBILITY_INLINES_HIDDEN OFF)
add_library(_core MODULE module.cc)
target_link_libraries(_core PRIVATE careless)
onnxforge_target_defaults(_core)
onnxforge_extension_linkage(_core PyInit__core)
"""
CARELESS = """
#include <string>
struct Careless { virtual ~Careless(); static int count; };
Careless::~Careless() {}
int Careless::count = 3;
template <class T> T& leaked_template() { static T value; return value; }
std::string leaked(const char* text) {
  leaked_template<std::string>() = text;
  return __FILE__ " is where this stands";
}
"""
MODULE = """
#include <string>
std::string leaked(const char*);
extern const char never_used[] = "nothing refers to this text";
const char* never_called() { return never_used; }
int also_leaked() { return static_cast<int>(leaked("x").size()); }
extern "C" __attribute__((visibility("default"))) void* PyInit__core() {
  static int size = also_leaked();
  return &size;
}
"""


@pytest.fixture(scope="module", params=["g++", "clang++"])
def module(request, tmp_path_factory):
    if shutil.which(request.param) is None:
        pytest.skip(f"no {request.param} here")
    folder = tmp_path_factory.mktemp("a folder ż")
    project = Project.write(folder, BODY, careless=CARELESS, module=MODULE)
    ok(project.configure(f"-DCMAKE_CXX_COMPILER={request.param}", "-DCMAKE_BUILD_TYPE=Release"))
    ok(project.compile())
    return next(project.build.glob("*_core*"))


def test_only_the_init_function_is_exported(module):
    assert exported_symbols(module) == ("PyInit__core",)


def test_no_path_of_this_machine(module):
    content = module.read_bytes()
    assert str(module.parent.parent).encode() not in content
    assert b"source/careless.cc" in content


def test_unused_sections_and_the_symbol_table_are_gone(module):
    assert b"nothing refers to this text" not in module.read_bytes()
    binary = lief.parse(module)
    assert binary is not None
    assert not binary.has_section(".symtab")


def test_read_only_relocations_at_once_and_no_executable_stack(module):
    binary = lief.parse(module)
    assert isinstance(binary, lief.ELF.Binary)
    assert binary.has(lief.ELF.Segment.TYPE.GNU_RELRO)
    flags = binary.get(lief.ELF.DynamicEntry.TAG.FLAGS_1)
    assert isinstance(flags, lief.ELF.DynamicEntryFlags)
    assert flags.has(lief.ELF.DynamicEntryFlags.FLAG.NOW)
    stack = binary.get(lief.ELF.Segment.TYPE.GNU_STACK)
    assert not stack.has(lief.ELF.Segment.FLAGS.X)
