"""What the protobuf recipe installs is used like upstream's, from any folder: the real thing."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import lief
import pytest

from build_tools.symbols import exported_symbols
from tests.packaging.cmake_project import REPOSITORY, Project, ok, program, run, said

pytestmark = [pytest.mark.build, pytest.mark.network]

RECIPE = REPOSITORY / "third_party" / "protobuf"
PROTO = """\
syntax = "proto3";
package trial;
import "google/protobuf/timestamp.proto";
message Note { string text = 1; repeated int64 numbers = 2; google.protobuf.Timestamp at = 3; }
"""
PROGRAM = """\
#include <iostream>
#include "note.pb.h"
int main() {
  trial::Note note, copy;
  note.set_text("written"); note.add_numbers(-7); note.mutable_at()->set_seconds(9);
  if (!copy.ParseFromString(note.SerializeAsString())) return 1;
  std::cout << copy.ShortDebugString() << std::endl;
}
"""
BODY = """
find_package(Protobuf 3.21 REQUIRED @MODE@)
add_custom_command(
  OUTPUT note.pb.cc note.pb.h
  COMMAND protobuf::protoc -I "${CMAKE_CURRENT_SOURCE_DIR}"
          --cpp_out . --python_out . --pyi_out . note.proto
  WORKING_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}"
  DEPENDS note.proto)
add_executable(trial main.cc "${CMAKE_CURRENT_BINARY_DIR}/note.pb.cc")
target_include_directories(trial PRIVATE "${CMAKE_CURRENT_BINARY_DIR}")
target_link_libraries(trial PRIVATE protobuf::libprotobuf)
message(STATUS "found ${Protobuf_VERSION}")
"""
CASES = [("g++", "static"), ("clang++", "shared")]


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def prefix(request, tmp_path_factory):
    """protobuf 3.21.12, installed to one folder and then moved to another."""
    compiler, linkage = request.param
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler} here")
    fetch = ["-m", "build_tools", "fetch", "protobuf==3.21.12", "--print-cmake"]
    found = re.search(r'SOURCE "(.*)"', ok(run(sys.executable, *fetch, cwd=REPOSITORY)).stdout)
    assert found
    folder = tmp_path_factory.mktemp("protobuf")
    recipe = Project(source=RECIPE, build=folder / "build")
    shared = f"-DBUILD_SHARED_LIBS={'ON' if linkage == 'shared' else 'OFF'}"
    settings = [shared, f"-DCMAKE_CXX_COMPILER={compiler}", "-DCMAKE_INSTALL_LIBDIR=lib"]
    ok(recipe.configure(f"-DPROTOBUF_SOURCE={found[1]}", *settings))
    ok(recipe.compile())
    ok(recipe.install(folder / "first"))
    shutil.rmtree(folder / "build")
    return (folder / "first").rename(folder / "a moved prefix ż"), linkage


@pytest.mark.parametrize("mode", ["CONFIG", "MODULE"])
def test_a_project_finds_and_uses_it(prefix, tmp_path, mode):
    root, linkage = prefix
    project = Project.write(tmp_path, BODY.replace("@MODE@", mode), main=PROGRAM)
    (project.source / "note.proto").write_text(PROTO, encoding="utf-8")
    asked = "-DProtobuf_USE_STATIC_LIBS=" + ("ON" if linkage == "static" else "OFF")
    found = ok(project.configure(f"-DCMAKE_PREFIX_PATH={root}", asked))
    assert "found 3.21.12" in said(found)
    ok(project.compile())
    output = ok(run(str(project.build / "trial"))).stdout
    assert output == 'text: "written" numbers: -7 at { seconds: 9 }\n'
    assert "class Note" in (project.build / "note_pb2.pyi").read_text(encoding="utf-8")
    assert (project.build / "note_pb2.py").stat().st_size > 500


def test_protoc_has_two_languages(prefix):
    root, _ = prefix
    assert "libprotoc 3.21.12" in said(ok(run(str(root / "bin" / "protoc"), "--version")))
    help_text = ok(run(str(root / "bin" / "protoc"), "--help")).stdout
    assert set(re.findall(r"--(\w+)_out=OUT_DIR", help_text)) == {"cpp", "python", "pyi"}


def test_the_libraries_are_what_was_asked_for(prefix):
    root, linkage = prefix
    if linkage == "static":
        archive = program("ar")
        for name in ("protobuf", "protobuf-lite"):
            assert ok(run(archive, "t", str(root / "lib" / f"lib{name}.a"))).stdout.count(".o") > 1
        assert not list((root / "lib").glob("*.so*"))
        return
    for name in ("protobuf", "protobuf-lite"):
        library = root / "lib" / f"lib{name}.so"
        binary = lief.ELF.parse(library)
        assert binary is not None
        sonames = [
            e.name for e in binary.dynamic_entries if isinstance(e, lief.ELF.DynamicSharedObject)
        ]
        assert sonames == [f"lib{name}.so.32"]
        assert all("google" in symbol for symbol in exported_symbols(library))
    assert not list((root / "lib").glob("*.a"))


def test_nothing_installed_names_the_folders_it_was_built_in(prefix):
    root, _ = prefix
    built_in = str(root.parent).encode()
    files = [path for path in root.rglob("*") if path.is_file()]
    assert len(files) > 100
    assert [path for path in files if built_in in path.read_bytes()] == []


LITE_PROTO = """\
syntax = "proto3";
package trial;
option optimize_for = LITE_RUNTIME;
message Note { string text = 1; map<string, int64> numbers = 2; }
"""
LITE_PROGRAM = """\
#include <iostream>
#include "note.pb.h"
int main() {
  trial::Note note, copy;
  note.set_text("written"); (*note.mutable_numbers())["seven"] = -7;
  if (!copy.ParseFromString(note.SerializeAsString())) return 1;
  std::cout << copy.text() << ' ' << copy.numbers().at("seven") << std::endl;
}
"""
# What ONNX's own CMakeLists.txt does: the module, then abseil and utf8_range as packages.
LITE_BODY = BODY.replace("Protobuf 3.21 REQUIRED @MODE@", "Protobuf REQUIRED MODULE").replace(
    "PRIVATE protobuf::libprotobuf)",
    "PRIVATE protobuf::libprotobuf-lite absl::strings utf8_range::utf8_validity)",
)


@pytest.mark.slow
def test_one_library_holds_protobuf_and_its_abseil(tmp_path):
    """protobuf 31.1, from the archive that a package index has: whole, and in a moved prefix."""
    fetch = ["-m", "build_tools", "fetch", "protobuf==31.1", "abseil-cpp", "--print-cmake"]
    answer = ok(run(sys.executable, *fetch, cwd=REPOSITORY)).stdout
    sources = dict(re.findall(r'ONNXFORGE_(\w+_SOURCE) "(.*)"', answer))
    recipe = Project(source=RECIPE.with_name("protobuf_abseil"), build=tmp_path / "build")
    settings = [f"-D{name}={folder}" for name, folder in sources.items()]
    ok(recipe.configure(*settings, "-DCMAKE_INSTALL_LIBDIR=lib"))
    ok(recipe.compile())
    ok(recipe.install(tmp_path / "first"))
    shutil.rmtree(tmp_path / "build")
    root = (tmp_path / "first").rename(tmp_path / "a moved prefix ż")
    assert "libprotoc 31.1" in said(ok(run(str(root / "bin" / "protoc"), "--version")))

    body = "find_package(absl REQUIRED)\nfind_package(utf8_range REQUIRED)\n" + LITE_BODY
    project = Project.write(tmp_path / "user", body, main=LITE_PROGRAM)
    (project.source / "note.proto").write_text(LITE_PROTO, encoding="utf-8")
    ok(project.configure(f"-DCMAKE_PREFIX_PATH={root}", "-DCMAKE_CXX_STANDARD=17"))
    ok(project.compile())
    assert ok(run(str(project.build / "trial"))).stdout == "written -7\n"


def test_sources_that_are_none(tmp_path):
    recipe = Project(source=RECIPE, build=tmp_path / "build")
    result = recipe.configure(f"-DPROTOBUF_SOURCE={Path(tmp_path)}")
    assert not result.ok
    assert "No protobuf sources" in said(result)
