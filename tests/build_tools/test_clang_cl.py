"""Microsoft's words, understood by a real driver and linker: clang-cl and lld-link."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from build_tools.binaries import FileKind, dynamic_facts, identify, imported_dll, real_linkage
from build_tools.config import Linkage
from build_tools.process import SystemRunner
from build_tools.symbols import exported_symbols
from build_tools.toolchain.dialect import MSVC_DIALECT

CLANG, LINK = shutil.which("clang"), shutil.which("lld-link")
WINE = shutil.which("wine64", path="/usr/lib/wine") or shutil.which("wine64")
pytestmark = pytest.mark.skipif(not (CLANG and LINK), reason="no clang or no lld-link here")

# There are no libraries of Windows here: nothing is linked but what is written in the tests.
BARE = ("/nodefaultlib", "/subsystem:console")
LIBRARY = """\
extern "C" __declspec(dllexport) int answer() { return 42; }
extern "C" int hidden() { return 1; }
"""
PROGRAM = """\
extern "C" int answer();
static_assert(__cplusplus >= 201703L, "what /Zc:__cplusplus is for");
extern "C" int mainCRTStartup() { return answer() - 42; }
"""


@pytest.fixture
def compile_(tmp_path):
    """Compile and link in the dialect; what it says is part of the failure."""
    driver = tmp_path / "clang-cl"
    driver.symlink_to(CLANG)

    def run(output, source, *, flags=(), libraries=()):
        name = f"{Path(output).stem}.cc"
        (tmp_path / name).write_text(source, encoding="utf-8")
        standard = (*MSVC_DIALECT.standard("c++17"), *flags)
        words = MSVC_DIALECT.program(output, [name], standard, (*libraries, *BARE))
        said = SystemRunner().run([driver, "-fuse-ld=lld", *words], cwd=tmp_path)
        assert said.ok, said.text
        return tmp_path / output

    return run


def test_a_dll_its_import_library_and_a_program(compile_, tmp_path):
    dll = compile_("answer.dll", LIBRARY, flags=MSVC_DIALECT.shared(), libraries=["/noentry"])
    imports = tmp_path / "answer.lib"
    assert identify(dll).kind is FileKind.SHARED_LIBRARY
    assert exported_symbols(dll) == ("answer",)
    assert (real_linkage(imports), imported_dll(imports)) == (Linkage.SHARED, "answer.dll")
    program = compile_("main.exe", PROGRAM, flags=MSVC_DIALECT.quick(), libraries=[str(imports)])
    assert dynamic_facts(program).needed == ("answer.dll",)
    assert dynamic_facts(program).linker == (14, 0)
    if WINE:
        env = {"WINEPREFIX": str(tmp_path / "wine"), "WINEDEBUG": "-all", "PATH": "/usr/bin:/bin"}
        assert SystemRunner().run([WINE, program], cwd=tmp_path, env=env).returncode == 0


def test_a_whole_archive_becomes_a_dll(compile_, tmp_path):
    """As a Python extension takes all of ONNX's library."""
    llvm_lib = shutil.which("llvm-lib")
    if llvm_lib is None:
        pytest.skip("no llvm-lib here")
    archive, code = tmp_path / "static.lib", tmp_path / "static.cc"
    code.write_text(LIBRARY, encoding="utf-8")
    object_file = code.with_suffix(".obj")
    driver = [tmp_path / "clang-cl", "/nologo", "/TP", "/c", f"/Fo{object_file}", code]
    subprocess.run(driver, check=True)
    subprocess.run([llvm_lib, f"/out:{archive}", object_file], check=True)
    assert real_linkage(archive) is Linkage.STATIC
    whole = [f"/WHOLEARCHIVE:{archive}", "/noentry"]
    made = compile_("extension.dll", "", flags=MSVC_DIALECT.shared(), libraries=whole)
    assert exported_symbols(made) == ("answer",)


def test_the_header_that_is_taken_is_told(tmp_path):
    driver = tmp_path / "clang-cl"
    driver.symlink_to(CLANG)
    folder = tmp_path / "an include folder"
    (folder / "google").mkdir(parents=True)
    (folder / "google/x.inc").write_text("int x;\n", encoding="utf-8")
    (tmp_path / "front.cc").write_text("#include <google/x.inc>\n", encoding="utf-8")
    words = (*MSVC_DIALECT.include(folder), *MSVC_DIALECT.preprocess("front.cc"))
    said = SystemRunner().run([driver, *words], cwd=tmp_path)
    assert said.ok, said.text
    taken = MSVC_DIALECT.included(said.stdout, said.stderr, "google/x.inc")
    assert Path(taken) == folder / "google/x.inc"
