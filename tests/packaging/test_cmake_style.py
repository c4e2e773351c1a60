"""The rules for CMake files that can be held by reading them."""

from __future__ import annotations

import json
import re

import pytest

from tests.packaging.cmake_project import REPOSITORY

FOLDERS = ("build_tools", "cpp", "third_party", "tests")
FILES = [
    REPOSITORY / "CMakeLists.txt",
    *(
        path
        for folder in FOLDERS
        for path in sorted((REPOSITORY / folder).rglob("*"))
        if path.name == "CMakeLists.txt" or path.suffix == ".cmake"
    ),
]
FORBIDDEN = {
    "globbing": r"file\s*\(\s*GLOB",
    "flags for everybody": r"CMAKE_CXX_FLAGS\b(?!\})",
    "this machine's CPU": r"march=native",
    "include paths for everybody": r"^\s*include_directories",
}


def code(path):
    return re.sub(r"#.*", "", path.read_text(encoding="utf-8"))


def test_the_root_is_a_table_of_contents():
    text = (REPOSITORY / "CMakeLists.txt").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 100
    assert not re.search(
        r"^\s*(function|macro|target_\w+|add_compile_options)\(", text, re.MULTILINE
    )


@pytest.mark.parametrize("rule", FORBIDDEN)
def test_what_no_cmake_file_does(rule):
    assert len(FILES) > 10
    pattern = re.compile(FORBIDDEN[rule], re.MULTILINE)
    assert [str(path) for path in FILES if pattern.search(code(path))] == []


def test_every_module_says_what_it_is_for_and_is_included_once():
    for path in (REPOSITORY / "build_tools" / "cmake").glob("*.cmake"):
        text = path.read_text(encoding="utf-8")
        assert text.startswith("# "), path
        assert "include_guard(GLOBAL)" in text, path


def test_every_preset_can_be_built():
    presets = json.loads((REPOSITORY / "CMakePresets.json").read_text(encoding="utf-8"))
    configured = {p["name"] for p in presets["configurePresets"] if not p.get("hidden")}
    assert configured == {p["name"] for p in presets["buildPresets"]}
    assert {"dev", "release", "asan", "tsan"} <= configured
