"""Zig as a compiler: what the wrappers make of a call, and where they are written."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from build_tools.errors import ToolchainError
from build_tools.matrix import load_matrix
from build_tools.toolchain import zig_driver
from build_tools.toolchain.zig import DRIVER, Zig, find_zig, write_wrappers
from tests.build_tools.support import RecordedRunner, make_host

ZIG = Zig(program=Path("/somewhere/zig"), version="0.17.1")


def target(name):
    (row,) = load_matrix().select([name], [])
    return row.target


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["x.cc", "-o", "x"], True),
        (["-shared", "a.o", "-o", "x.so"], True),
        (["-c", "x.cc", "-o", "x.o"], False),
        (["-E", "-dM", "-"], False),
        (["-dumpmachine"], False),
        (["--version"], False),
        (["-v"], False),
        (["-v", "abi.o", "-o", "abi"], True),
        (["-print-search-dirs"], False),
        ([], False),
    ],
)
def test_a_link_is_told_from_everything_else(arguments, expected):
    assert zig_driver.is_link(arguments) is expected


def facts(**changes):
    return {"target": "x-linux-gnu", "flags": ["-g0"], "system": "linux", "folder": "/w", **changes}


def test_every_link_asks_for_one_flavour_of_the_runtime():
    linked = zig_driver.translate(["a.o", "-o", "a"], facts())
    assert linked == ["-target", "x-linux-gnu", "-g0", "-O2", "-s", "a.o", "-o", "a"]
    compiled = zig_driver.translate(["-c", "a.cc"], facts())
    assert compiled == ["-target", "x-linux-gnu", "-g0", "-c", "a.cc"]


@pytest.mark.parametrize(
    ("target", "bare"),
    [
        ("x86_64-linux-gnu.2.17", "x86_64-linux-gnu"),
        ("aarch64-macos.11.0", "aarch64-macos"),
        ("x86_64-linux-musl", "x86_64-linux-musl"),
    ],
)
def test_a_question_goes_to_clang_without_the_systems_version(target, bare):
    words = zig_driver.translate(["-dumpversion"], facts(target=target))
    assert words[:2] == ["-target", bare]
    assert zig_driver.translate(["-c", "a.cc"], facts(target=target))[1] == target


def test_windows_has_a_header_with_a_capital_letter():
    words = zig_driver.translate(["-c", "a.cc"], facts(system="windows", folder="/a b"))
    assert words[3:5] == ["-isystem", "/a b/headers"]


def test_the_file_that_is_written_is_known():
    assert zig_driver.output_of(["-shared", "a.o", "-o", "out dir/x.so"]) == "out dir/x.so"
    assert zig_driver.output_of(["a.o"]) == "a.out"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-bundle", "-o", "m.so", "a.o"], True),
        (["-shared", "a.o"], True),
        (["-shared", "a.cc"], False),
        (["a.o"], False),
    ],
)
def test_what_is_loaded_is_told_from_programs(arguments, expected):
    assert zig_driver.makes_library(arguments) is expected


def test_the_macos_linker_gets_what_is_meant_for_it():
    words = zig_driver.linker_words(
        [
            *("-O3", "-DNDEBUG", "-std=c++17", "-bundle", "-Wl,-headerpad_max_install_names"),
            *("-o", "m.so", "-undefined", "dynamic_lookup", "-Wl,-exported_symbols_list,/a b/x"),
            *("-Xlinker", "-dead_strip", "a.o", "lib y/liby.a", "-lm"),
        ]
    )
    assert words == [
        *("-headerpad_max_install_names", "-o", "m.so", "-undefined", "dynamic_lookup"),
        *("-exported_symbols_list", "/a b/x", "-dead_strip", "a.o", "lib y/liby.a", "-lm"),
    ]


def test_targets_that_the_linker_does_not_know_leave_the_list_of_names(tmp_path):
    darwin = tmp_path / "lib" / "libc" / "darwin"
    darwin.mkdir(parents=True)
    text = "targets: [ x86_64-macos, arm64-macos,\n  arm64e.x1-macos, arm64e.x1-maccatalyst ]\n"
    (darwin / "libSystem.tbd").write_text(text, encoding="utf-8")
    copy = zig_driver.system_names({"zig": str(tmp_path / "zig")}, tmp_path)
    assert copy.read_text(encoding="utf-8") == "targets: [ x86_64-macos, arm64-macos ]\n"


class TestWrappers:
    def test_a_wrapper_calls_the_driver_from_a_folder_with_blanks(self, tmp_path):
        """A stand-in for zig says what it was called with."""
        program = tmp_path / "a zig"
        program.write_text('#!/bin/sh\nprintf "%s|" "$@"\n', encoding="utf-8")
        program.chmod(0o755)
        zig = Zig(program=program, version="1")
        cache = tmp_path / "my cache"
        folder = write_wrappers(target("win_amd64"), zig, make_host_with_python(), cache)
        said = subprocess.run(
            [folder / "c++", "-c", "a b.cc"], capture_output=True, text=True, check=True
        )
        words = said.stdout.rstrip("|").split("|")
        assert words[:3] == ["c++", "-target", "x86_64-windows-gnu"]
        assert words[-2:] == ["-c", "a b.cc"]
        assert f"{folder}/headers" in words
        assert (folder / "headers" / "Windows.h").is_file()

    def test_they_are_written_once(self, tmp_path):
        host = make_host()
        first = write_wrappers(target("manylinux2014_aarch64"), ZIG, host, tmp_path)
        assert write_wrappers(target("manylinux2014_aarch64"), ZIG, host, tmp_path) == first
        assert [path.name for path in (tmp_path / "zig").iterdir()] == [first.name]

    def test_another_environment_with_the_same_zig_has_the_same(self, tmp_path):
        """Libraries are kept by the compiler that made them, which is known by its path."""
        first = write_wrappers(target("win_amd64"), ZIG, make_host(), tmp_path)
        (first / "runtime.json").touch()
        moved = Zig(program=Path("/elsewhere/zig"), version=ZIG.version)
        assert write_wrappers(target("win_amd64"), moved, make_host(), tmp_path) == first
        known = json.loads((first / "facts.json").read_text(encoding="utf-8"))
        assert known["zig"] == "/elsewhere/zig"
        names = {"facts.json", "headers", "runtime.json", "cc", "c++", "ar", "ranlib"}
        assert {path.name for path in first.iterdir()} == names

    def test_another_zig_or_another_target_has_its_own(self, tmp_path):
        host, newer = make_host(), Zig(program=ZIG.program, version="0.18.0")
        folders = {
            write_wrappers(target("manylinux2014_aarch64"), ZIG, host, tmp_path),
            write_wrappers(target("manylinux2014_aarch64"), newer, host, tmp_path),
            write_wrappers(target("musllinux_1_2_aarch64"), ZIG, host, tmp_path),
        }
        assert len(folders) == 3

    def test_musl_goes_by_its_own_name(self, tmp_path):
        folder = write_wrappers(target("musllinux_1_2_x86_64"), ZIG, make_host(), tmp_path)
        known = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        assert known["renamed_libraries"] == {"libc.so": "libc.musl-x86_64.so.1"}

    def test_macos_needs_its_linker(self, tmp_path):
        host = make_host(environ={"PATH": str(tmp_path)})
        with pytest.raises(ToolchainError, match=r"linker"):
            write_wrappers(target("macosx_11_0_arm64"), ZIG, host, tmp_path)


def make_host_with_python():
    """A host whose Python is the one that runs the tests."""
    from build_tools.host import detect_host  # noqa: PLC0415

    return detect_host()


def test_without_its_package_the_way_to_it_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ziglang", None)
    with pytest.raises(ToolchainError, match="is not there") as caught:
        find_zig(RecordedRunner([]))
    assert "nox -s wheels" in str(caught.value)


def test_the_driver_is_a_program_of_the_standard_library_alone():
    text = DRIVER.read_text(encoding="utf-8")
    assert "build_tools" not in text.replace("build_tools/", "")
