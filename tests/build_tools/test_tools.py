"""CMake and Ninja: the packages', the system's or a named one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from build_tools.config import BuildConfig
from build_tools.errors import ToolchainError
from build_tools.process import SystemRunner
from build_tools.tools import find_tools
from tests.build_tools.support import RecordedRunner, has, make_host, said, script

CMAKE_SAYS = "cmake version 4.1.3\n\nCMake suite maintained by Kitware\n"


def config(**changes):
    return BuildConfig(cache_dir=Path("unused"), **changes)


def test_the_pinned_packages_are_used_by_their_real_executables():
    pytest.importorskip("cmake")
    pytest.importorskip("ninja")
    tools = find_tools(config(), make_host(), SystemRunner())
    assert not tools.cmake.read_bytes().startswith(b"#!")
    assert tools.cmake.parts[-3:-1] == ("data", "bin")
    assert int(tools.cmake_version.partition(".")[0]) >= 3
    assert len(tools.reasons) == 2
    assert tools.ninja_version in tools.reasons[1]


def test_a_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cmake", None)
    with pytest.raises(ToolchainError) as caught:
        find_tools(config(), make_host(), SystemRunner())
    assert "the Python package cmake is not installed" in str(caught.value)
    assert "pip install cmake" in str(caught.value)


@pytest.fixture
def shims(tmp_path):
    """Two folders: a script of a Python environment that is gone, then a CMake that works."""
    complaint = "echo \"ModuleNotFoundError: No module named 'cmake'\" >&2; exit 1"
    script(tmp_path / "shim" / "cmake", complaint)
    script(tmp_path / "real dir" / "cmake", "echo cmake version 3.31.1")
    script(tmp_path / "real dir" / "ninja", "echo 1.11.1.git.kitware")
    path = os.pathsep.join([str(tmp_path / "shim"), str(tmp_path / "real dir"), "/usr/bin:/bin"])
    return make_host(environ={"PATH": path})


def test_a_broken_shim_on_path_is_passed_over(shims, tmp_path):
    tools = find_tools(config(cmake="system", ninja="system"), shims, SystemRunner())
    assert tools.cmake == tmp_path / "real dir" / "cmake"
    assert (tools.cmake_version, tools.ninja_version) == ("3.31.1", "1.11.1")


def test_when_nothing_works_everything_looked_at_is_named(tmp_path):
    script(tmp_path / "cmake", "echo cmake version 3.22.1")
    host = make_host(environ={"PATH": f"{tmp_path}"})
    with pytest.raises(ToolchainError) as caught:
        find_tools(config(cmake="system"), host, SystemRunner())
    assert f"{tmp_path / 'cmake'}: 3.22.1 is older than 3.26" in str(caught.value)


def test_a_named_program_that_is_not_there(tmp_path):
    with pytest.raises(ToolchainError, match="does not answer --version"):
        find_tools(config(cmake=str(tmp_path / "nowhere")), make_host(), SystemRunner())


def test_nothing_on_path():
    host = make_host(environ={"PATH": ""})
    with pytest.raises(ToolchainError, match="PATH: no cmake"):
        find_tools(config(cmake="system"), host, RecordedRunner([]))


def test_a_named_program_is_used_as_named(tmp_path):
    runner = RecordedRunner([(has("cm"), said(CMAKE_SAYS)), (has("nj"), said("1.12.1\n"))])
    tools = find_tools(config(cmake="/x/cm", ninja="/x/nj"), make_host(), runner)
    assert (tools.cmake, tools.cmake_version) == (Path("/x/cm"), "4.1.3")
    assert (tools.ninja, tools.ninja_version) == (Path("/x/nj"), "1.12.1")
