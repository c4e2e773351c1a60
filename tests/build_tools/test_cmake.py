"""Configure, compile and install with CMake: a small real project, and recorded failures."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from build_tools.cmake import INITIAL_CACHE, CMakeBuild, initial_cache
from build_tools.config import BuildConfig
from build_tools.errors import CompileError, ConfigureError, DiskFullError
from build_tools.process import SystemRunner
from build_tools.record import Record
from build_tools.toolchain.model import Compiler, Family, Toolchain
from build_tools.tools import Tools, find_tools
from tests.build_tools.support import (
    RecordedRunner,
    Watcher,
    has,
    make_host,
    said,
    write_tree,
)
from tests.build_tools.test_toolchain import ALL

PROJECT = """\
cmake_minimum_required(VERSION 3.26)
project(small LANGUAGES C CXX)
add_library(small STATIC one.cc two.cc)
install(TARGETS small DESTINATION lib COMPONENT library)
file(WRITE "${CMAKE_BINARY_DIR}/seen.txt" "${WORDS}|${FOLDER}|${SWITCH}|$ENV{CC}")
install(FILES "${CMAKE_BINARY_DIR}/seen.txt" DESTINATION share COMPONENT notes)
"""
HARD = 'a "b" ${X} $ENV{HOME} \\ ]==] ;c]'


def toolchain(name="g++", **changes):
    found = Path(shutil.which(name) or "/missing/g++")
    facts = {
        "family": Family.GCC,
        "version": "12.2.0",
        "target": "x86_64-linux-gnu",
        "cc": found.with_name({"g++": "gcc", "clang++": "clang"}[name]),
        "cxx": found,
        "origin": "PATH",
    }
    return Toolchain(compiler=Compiler(**{**facts, **changes}), probes=ALL, reasons=())


@pytest.fixture
def source(tmp_path):
    files = {
        "CMakeLists.txt": PROJECT,
        "one.cc": "int one() { return 1; }\n",
        "two.cc": "int two() { return 2; }\n",
    }
    return write_tree(tmp_path / "quelle mit ö", files)


@pytest.fixture
def watcher():
    return Watcher()


@pytest.fixture
def cmake(watcher):
    environ = {"PATH": os.environ["PATH"], "DESTDIR": "/must/not/be/used", "CMAKE_GENERATOR": "X"}
    host = make_host(environ=environ)
    wanted = BuildConfig(cache_dir=Path("unused"))
    if not all(map(_importable, ("cmake", "ninja"))):
        wanted = BuildConfig(cache_dir=Path("unused"), cmake="system", ninja="system")
    return CMakeBuild(
        tools=find_tools(wanted, host, SystemRunner()),
        toolchain=toolchain(),
        runner=SystemRunner(environ),
        record=Record(observer=watcher),
        host=host,
    )


def _importable(name):
    return __import__("importlib.util").util.find_spec(name) is not None


def test_a_project_is_configured_built_and_installed(cmake, watcher, source, tmp_path):
    build, prefix, logs = tmp_path / "bau ü", tmp_path / "pre fix", tmp_path / "logs"
    cache = {"WORDS": HARD, "FOLDER": Path("/a b/c"), "SWITCH": True, "CMAKE_BUILD_TYPE": "Debug"}
    cmake.configure("small", source, build, cache, log=logs / "c.log", arguments=["-DSWITCH=user"])
    cmake.build("small", build, jobs=2, log=logs / "b.log")
    cmake.install("small", build, prefix, log=logs / "i.log")
    assert (prefix / "lib" / "libsmall.a").is_file()
    words, folder, switch, _ = (prefix / "share" / "seen.txt").read_text().rsplit("|", 3)
    assert (words, folder, switch) == (HARD, "/a b/c", "user")
    names = [step.name for step in cmake.record.steps]
    assert names == ["small: configure", "small: compile", "small: install"]
    assert all(step.log and step.log.is_file() for step in cmake.record.steps)
    progress = watcher.of("progress")
    assert progress[-1][:3] == ("small: compile", 3, 3)
    assert "libsmall.a" in progress[-1][3]


def test_components_and_staging(cmake, source, tmp_path):
    build, stage = tmp_path / "build", tmp_path / "stage"
    cmake.configure("small", source, build, {}, log=tmp_path / "c.log")
    cmake.build("small", build, jobs=1, log=tmp_path / "b.log", targets=["small"])
    cmake.install(
        "small",
        build,
        Path("/final/place"),
        log=tmp_path / "i.log",
        components=["library"],
        destdir=stage,
    )
    assert (stage / "final/place/lib/libsmall.a").is_file()
    assert not (stage / "final/place/share").exists()


def test_configuring_again_takes_changed_settings_and_keeps_what_was_compiled(
    cmake, source, tmp_path
):
    build = tmp_path / "build"
    cmake.configure("small", source, build, {"WORDS": "one"}, log=tmp_path / "c.log")
    cmake.build("small", build, jobs=1, log=tmp_path / "b.log")
    made = (build / "libsmall.a").stat().st_mtime_ns
    cmake.configure("small", source, build, {"WORDS": "two"}, log=tmp_path / "c.log")
    cmake.build("small", build, jobs=1, log=tmp_path / "b.log")
    assert (build / "seen.txt").read_text().startswith("two|")
    assert (build / "libsmall.a").stat().st_mtime_ns == made


@pytest.mark.skipif(not shutil.which("clang++"), reason="needs a second compiler")
def test_a_build_folder_of_another_compiler_is_made_anew(cmake, source, tmp_path):
    build = tmp_path / "build"
    cmake.configure("small", source, build, {}, log=tmp_path / "c.log")
    (build / "left.txt").write_text("left by GCC")
    other = CMakeBuild(
        tools=cmake.tools,
        toolchain=toolchain("clang++", family=Family.CLANG),
        runner=cmake.runner,
        record=cmake.record,
        host=cmake.host,
    )
    other.configure("small", source, build, {}, log=tmp_path / "c.log")
    assert not (build / "left.txt").exists()
    assert "clang++" in (build / "CMakeCache.txt").read_text()


def test_a_source_reached_through_a_link_is_the_same_source(cmake, source, tmp_path):
    (tmp_path / "link").symlink_to(source)
    cmake.configure("small", tmp_path / "link", tmp_path / "b", {}, log=tmp_path / "c.log")
    (tmp_path / "b" / "kept.txt").write_text("kept")
    for place in (tmp_path / "link", source):
        cmake.configure("small", place, tmp_path / "b", {}, log=tmp_path / "c.log")
        assert (tmp_path / "b" / "kept.txt").is_file()


def test_a_folder_that_holds_the_source_is_never_removed(cmake, source, tmp_path):
    (source / "CMakeCache.txt").write_text("CMAKE_HOME_DIRECTORY:INTERNAL=/elsewhere\n")
    with pytest.raises(ConfigureError):
        cmake.configure("small", source, source, {}, log=tmp_path / "c.log")
    assert (source / "one.cc").is_file()


def test_compiler_arguments_reach_every_command(cmake, source, tmp_path):
    chain = toolchain(cxx_arguments=("-DGIVEN=1",))
    bound = CMakeBuild(
        tools=cmake.tools,
        toolchain=chain,
        runner=cmake.runner,
        record=cmake.record,
        host=cmake.host,
        verbose=True,
    )
    bound.configure("small", source, tmp_path / "b", {}, log=tmp_path / "c.log")
    (tmp_path / "b" / "kept.txt").write_text("kept")
    bound.configure("small", source, tmp_path / "b", {}, log=tmp_path / "c.log")
    assert (tmp_path / "b" / "kept.txt").is_file()
    bound.build("small", tmp_path / "b", jobs=1, log=tmp_path / "b.log")
    compiles = [
        line for line in (tmp_path / "b.log").read_text().splitlines() if ".cc.o -c" in line
    ]
    assert len(compiles) == 2
    assert all("-DGIVEN=1" in line for line in compiles)


def test_what_the_builder_settles_is_not_overruled_but_told(cmake, source, tmp_path):
    arguments = [
        "-DCMAKE_INSTALL_PREFIX=/conda",
        "-DCMAKE_CXX_COMPILER=/other",
        "-DSWITCH=0",
        "-DSWITCH=YES",
        "-DWORDS=free",
    ]
    settings = {"SWITCH": True, "WORDS": "ours"}
    cmake.configure(
        "small",
        source,
        tmp_path / "b",
        settings,
        log=tmp_path / "c.log",
        arguments=arguments,
        fixed=["SWITCH"],
    )
    assert (tmp_path / "b" / "seen.txt").read_text().startswith("free||ON|")
    assert cmake.record.warnings == [
        "-DCMAKE_INSTALL_PREFIX=/conda cannot be followed here",
        f"-DCMAKE_CXX_COMPILER=/other cannot be followed here: {shutil.which('g++')} is used",
        "-DSWITCH=0 cannot be followed here: ON is used",
    ]


def test_a_failing_compile_shows_the_error_and_the_logs_end(cmake, source, tmp_path):
    (source / "two.cc").write_text("int two() { return nothing; }\n")
    cmake.configure("small", source, tmp_path / "b", {}, log=tmp_path / "c.log")
    with pytest.raises(CompileError) as caught:
        cmake.build("small", tmp_path / "b", jobs=1, log=tmp_path / "b.log")
    text = str(caught.value)
    assert text.startswith("small: compile failed (exit status 1): ")
    assert re.search("nothing.+was not declared", text.splitlines()[0])
    assert f"the end of {tmp_path / 'b.log'}" in text
    assert [step.failed for step in cmake.record.steps] == [False, True]


def test_a_failing_configure_shows_cmakes_words(cmake, source, tmp_path):
    (source / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.26)\nproject(x NONE)\n"
        'message(FATAL_ERROR "no moon today")\n'
    )
    with pytest.raises(ConfigureError) as caught:
        cmake.configure("small", source, tmp_path / "b", {}, log=tmp_path / "c.log")
    assert "no moon today" in str(caught.value).splitlines()[0]


def recorded(output, watcher):
    runner = RecordedRunner([(has("--build"), said(output, returncode=1))])
    tools = Tools(
        cmake=Path("/x/cmake"),
        cmake_version="4.1.3",
        ninja=Path("/x/ninja"),
        ninja_version="1.12",
        reasons=(),
    )
    return CMakeBuild(
        tools=tools,
        toolchain=toolchain(),
        runner=runner,
        record=Record(observer=watcher),
        host=make_host(environ={"CMAKE_ARGS": "-DX=1", "HOME": "/h"}),
    )


def test_a_full_disk_is_an_error_of_its_own(watcher, tmp_path):
    output = "[1/9] Building x.o\nas: x.o: fatal error: write: No space left on device\n"
    with pytest.raises(DiskFullError) as caught:
        recorded(output, watcher).build("pb", tmp_path, jobs=4, log=tmp_path / "l")
    assert caught.value.exit_code == 31
    assert "--cache-dir" in str(caught.value)


def test_a_killed_compiler_gets_advice(watcher, tmp_path):
    output = "c++: fatal error: Killed signal terminated program cc1plus\nninja: build stopped\n"
    bound = recorded(output, watcher)
    with pytest.raises(CompileError, match="--jobs 1"):
        bound.build("pb", tmp_path, jobs=4, log=tmp_path / "l")
    (call,) = bound.runner.calls
    assert call.argv[1:] == ("--build", str(tmp_path), "--parallel", "4")
    assert "CMAKE_ARGS" not in call.env
    assert call.env["HOME"] == "/h"
    assert call.env["CXX"] == toolchain().environment()["CXX"]


@pytest.mark.parametrize("text", ["", "]", "]]", "]=]", "a]=", "[[x]]", "\nfirst", HARD])
def test_any_text_survives_the_initial_cache(cmake, tmp_path, text):
    script = tmp_path / "read.cmake"
    (tmp_path / INITIAL_CACHE).write_text(initial_cache({"TEXT": text}), encoding="utf-8")
    shown = tmp_path / "shown.txt"
    script.write_text(f'file(WRITE "{shown}" "${{TEXT}}")\n', encoding="utf-8")
    result = SystemRunner().run(
        [cmake.tools.cmake, "-P", _joined(tmp_path / INITIAL_CACHE, script, tmp_path / "all.cmake")]
    )
    assert result.ok, result.text
    assert shown.read_bytes().decode() == text


def _joined(first, second, target):
    target.write_text(f'include("{first}")\ninclude("{second}")\n', encoding="utf-8")
    return target
