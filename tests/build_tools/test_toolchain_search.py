"""Where compilers are looked for, and how CC and CXX are understood."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from build_tools.errors import ToolchainError
from build_tools.toolchain.search import search
from tests.build_tools.support import make_host, script


@pytest.fixture
def bin_dir(tmp_path):
    folder = tmp_path / "bin"
    names = ("gcc", "g++", "gcc-9", "g++-9", "gcc-13", "g++-13", "clang", "clang++", "cc", "c++")
    for name in (*names, "clang-16", "clang++-16", "ccache", "clang-format", "g++-config"):
        script(folder / name, f": {name}")
    return folder


def found(bin_dir, asked=None, root=Path("/nowhere"), **environ):
    host = make_host(environ={"PATH": str(bin_dir), **environ})
    return list(search(host, asked, root=root))


def names(candidates):
    return [candidate.cxx.name for candidate in candidates]


def test_plain_names_come_first_then_versions_the_newest_first(bin_dir):
    candidates = found(bin_dir)
    assert names(candidates) == ["g++", "clang++", "c++", "g++-13", "g++-9", "clang++-16"]
    assert candidates[3].cc.name == "gcc-13"
    assert candidates[5].cc.name == "clang-16"
    assert {candidate.origin for candidate in candidates} == {"PATH"}


def test_one_file_under_several_names_is_one_candidate(tmp_path):
    script(tmp_path / "g++-12", ":")
    (tmp_path / "g++").symlink_to("g++-12")
    (tmp_path / "c++").symlink_to("g++")
    assert names(found(tmp_path)) == ["g++"]


def test_ccache_in_disguise_is_not_one_compiler(tmp_path):
    script(tmp_path / "ccache", ":")
    (tmp_path / "g++").symlink_to("ccache")
    (tmp_path / "clang++").symlink_to("ccache")
    assert names(found(tmp_path)) == ["g++", "clang++"]


def test_newer_compilers_beside_path_come_last(tmp_path, bin_dir):
    toolset = tmp_path / "root/opt/rh/gcc-toolset-13/root/usr/bin"
    script(toolset / "g++", ":")
    script(tmp_path / "root/opt/rh/gcc-toolset-12/root/usr/bin/g++", ":")
    last = found(bin_dir, root=tmp_path / "root")[-2:]
    assert last[0].cxx == toolset / "g++"
    assert "gcc-toolset-12" in str(last[1].cxx)


def test_a_family_can_be_asked_for(bin_dir):
    assert names(found(bin_dir, "clang")) == ["clang++", "clang++-16"]
    assert names(found(bin_dir, "GCC")) == ["g++", "g++-13", "g++-9"]
    assert found(bin_dir, "clang")[0].origin == "--compiler clang"


@pytest.mark.parametrize("asked", ["g++-13", "gcc-13"])
def test_either_driver_names_the_pair(bin_dir, asked):
    (only,) = found(bin_dir, asked)
    assert (only.cc.name, only.cxx.name) == ("gcc-13", "g++-13")


def test_a_path_is_used_as_it_is_even_with_blanks(tmp_path):
    script(tmp_path / "my tools" / "x86_64-linux-gnu-g++", ":")
    script(tmp_path / "my tools" / "x86_64-linux-gnu-gcc", ":")
    path = tmp_path / "my tools" / "x86_64-linux-gnu-g++"
    for environ in ({"CXX": str(path)}, {"CXX": f'"{path}"'}, {"CXX": shlex.quote(str(path))}):
        (only,) = found(tmp_path, **environ)
        assert only.cxx == path
        assert only.cc == path.with_name("x86_64-linux-gnu-gcc")
        assert only.cxx_arguments == ()


def test_cc_with_arguments(bin_dir):
    (only,) = found(bin_dir, CC="gcc -m64 -pipe", CXX="g++ -m64")
    assert (only.cc_arguments, only.cxx_arguments) == (("-m64", "-pipe"), ("-m64",))
    assert only.origin == "environment CC, CXX"


def test_a_launcher_is_told_from_the_compiler(bin_dir):
    (only,) = found(bin_dir, CXX="ccache g++-9 -pipe")
    assert only.launcher == bin_dir / "ccache"
    assert (only.cxx, only.cc) == (bin_dir / "g++-9", bin_dir / "gcc-9")
    assert only.cxx_arguments == only.cc_arguments == ("-pipe",)


@pytest.mark.parametrize(
    ("environ", "pair", "origin"),
    [
        ({"CC": "gcc-9"}, ("gcc-9", "g++-9"), "environment CC"),
        ({"CXX": "clang++"}, ("clang", "clang++"), "environment CXX"),
        ({"CC": "clang", "CXX": ""}, ("clang", "clang++"), "environment CC"),
    ],
)
def test_one_of_cc_and_cxx_brings_its_companion(bin_dir, environ, pair, origin):
    (only,) = found(bin_dir, **environ)
    assert (only.cc.name, only.cxx.name) == pair
    assert only.origin == origin


def test_cc_without_its_companion_says_to_set_cxx(bin_dir):
    (bin_dir / "g++-9").unlink()
    with pytest.raises(ToolchainError) as caught:
        found(bin_dir, CC="gcc-9")
    assert "CXX is not set, and its companion is not there" in str(caught.value)
    assert "g++-9: no such file" in str(caught.value)
    assert "set CXX as well" in str(caught.value)


def test_an_unknown_name_needs_both_variables(bin_dir):
    script(bin_dir / "mycc", ":")
    with pytest.raises(ToolchainError, match="set both CC and CXX"):
        found(bin_dir, CC="mycc")
    (only,) = found(bin_dir, CC="mycc", CXX="g++")
    assert only.cc.name == "mycc"


def test_a_named_compiler_that_is_not_there_is_never_replaced(bin_dir):
    with pytest.raises(ToolchainError) as caught:
        found(bin_dir, CXX="g++-99")
    assert "'g++-99' of CXX does not exist" in str(caught.value)
    assert f"{bin_dir}: no g++-99" in str(caught.value)
    with pytest.raises(ToolchainError, match="of --compiler does not exist"):
        found(bin_dir, "/opt/none/g++")


def test_the_command_line_wins_over_cc(bin_dir):
    (only,) = found(bin_dir, "g++-13", CC="clang", CXX="clang++")
    assert only.cxx.name == "g++-13"


def test_an_open_quotation_mark_is_told(bin_dir):
    with pytest.raises(ToolchainError, match="No closing quotation"):
        found(bin_dir, CXX='"g++ -m64')


def test_no_compiler_is_no_candidate(tmp_path):
    assert found(tmp_path) == []
