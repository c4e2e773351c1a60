"""What CMake is given, what it refuses, and which CMake it is."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from build_tools.doctor import programs
from build_tools.doctor.facts import Program, VisualStudio, WindowsFacts
from build_tools.doctor.hurry import Hurried
from build_tools.errors import ToolchainError
from build_tools.process import SystemRunner
from tests.build_tools.doctor.cases import (
    FATAL,
    NOTE,
    TOOLS,
    WARNING,
    cmake,
    findings,
    make_facts,
    needs_make,
    only,
    posix,
    project,
    real_tools,
    run,
    severities,
    upstream,
)
from tests.build_tools.support import make_host, script


def test_cmake_policy_removed(tmp_path):
    facts = upstream(make_facts("--onnx-version", "1.16.0", tools=real_tools()))
    finding = only("cmake-policy-removed", facts)
    assert finding.severity is FATAL
    assert "3.1" in finding.what
    source = project(tmp_path, "cmake_minimum_required(VERSION 3.1)\nproject(old NONE)\n")
    said = cmake(source)
    assert said.returncode != 0
    assert "Compatibility with CMake < 3.5 has been removed from CMake." in said.stderr
    # The fix that is named helps, in either form.
    assert "-DCMAKE_POLICY_VERSION_MINIMUM=3.5" in finding.fix[0]
    assert cmake(source, "-DCMAKE_POLICY_VERSION_MINIMUM=3.5").returncode == 0
    assert cmake(source, CMAKE_POLICY_VERSION_MINIMUM="3.5").returncode == 0
    helped = make_facts(
        "--onnx-version", "1.13.1", "--cmake-arg=-DCMAKE_POLICY_VERSION_MINIMUM=3.5"
    )
    assert findings("cmake-policy-removed", helped) == ()


@pytest.mark.parametrize(
    ("release", "version", "count"),
    [("1.13.1", "4.0.0", 1), ("1.13.1", "3.31.2", 0), ("1.16.1", "4.4.4", 0), ("1.12.0", "4.0", 0)],
)
def test_the_policy_by_release_and_cmake(release, version, count):
    """Ours: the release without the pybind11 that it carries."""
    tools = replace(TOOLS, cmake_version=version)
    facts = make_facts("--onnx-version", release, tools=tools)
    assert len(findings("cmake-policy-removed", facts)) == count


@pytest.mark.parametrize(
    ("release", "version", "count"),
    [("1.16.2", "4.0.0", 1), ("1.17.0", "4.0.0", 0), ("1.16.2", "3.31.2", 0), ("1.20.0", "4.1", 0)],
)
def test_the_policy_of_upstreams_build(release, version, count):
    """The first CMake on PATH, and the pybind11 that the release carries."""
    program = Program(name="cmake", path=Path("/usr/bin/cmake"), version=version, origin="PATH")
    facts = upstream(make_facts("--onnx-version", release, programs=(program,)))
    assert len(findings("cmake-policy-removed", facts)) == count


class TestPlatform:
    def test_generator_platform(self, tmp_path):
        """Ninja is asked for a platform by a variable, as setup.py does by -A x64."""
        environ = {"CMAKE_GENERATOR_PLATFORM": "x64"}
        facts = make_facts(environ=environ)
        finding = only("generator-platform", upstream(facts))
        assert finding.severity is FATAL
        assert finding.fix == ("unset CMAKE_GENERATOR_PLATFORM",)
        assert only("generator-platform", facts).severity is NOTE
        source = project(tmp_path, "cmake_minimum_required(VERSION 3.26)\nproject(x NONE)\n")
        for said in (cmake(source, "-A", "x64"), cmake(source, **environ)):
            assert "does not support platform specification, but platform" in said.stderr

    def windows(self, *studios: VisualStudio, release: str = "1.21.0", **environ: str):
        return make_facts(
            "--onnx-version",
            release,
            host={"system": "windows"},
            environ=environ,
            windows=WindowsFacts(visual_studios=studios),
        )

    def test_setup_py_always_names_a_platform(self):
        """Recorded: no Visual Studio, so CMake's default generator is that of NMake."""
        finding = only("generator-platform", upstream(self.windows()))
        assert finding.severity is FATAL
        assert "NMake Makefiles takes no platform" in finding.what
        assert "-A x64 -T host=x64" in finding.what

    def test_generator_platform_with_visual_studio(self):
        studio = VisualStudio(
            name="Visual Studio 2022", version="17.14", path=Path("C:/VS"), toolsets=("14.44",)
        )
        assert findings("generator-platform", upstream(self.windows(studio))) == ()
        ninja = self.windows(studio, CMAKE_GENERATOR="Ninja")
        assert severities("generator-platform", upstream(ninja)) == [FATAL]
        empty = replace(studio, toolsets=())
        assert severities("generator-platform", upstream(self.windows(empty))) == [FATAL]

    def test_scikit_build_core_names_none(self):
        assert findings("generator-platform", upstream(self.windows(release="1.22.0"))) == ()

    def test_visual_studio_elsewhere(self):
        facts = make_facts(environ={"CMAKE_GENERATOR": "Visual Studio 17 2022"})
        assert severities("generator-platform", upstream(facts)) == [FATAL]


class TestMangled:
    def test_cmake_arguments_mangled(self, tmp_path):
        """Backslashes, on Windows: what shlex makes of them, and what CMake then sees."""
        text = r"-DONNX_CUSTOM_PROTOC_EXECUTABLE=C:\tools\protoc.exe"
        facts = make_facts(host={"system": "windows"}, environ={"CMAKE_ARGS": text})
        found = findings("cmake-arguments-mangled", upstream(facts))
        assert found[0].severity is FATAL
        assert "C:toolsprotoc.exe" in found[0].what
        assert facts.cmake_settings["ONNX_CUSTOM_PROTOC_EXECUTABLE"] == r"C:\tools\protoc.exe"
        show = tmp_path / "show.cmake"
        show.write_text('message("${ONNX_CUSTOM_PROTOC_EXECUTABLE}")\n', encoding="utf-8")
        said = run(real_tools().cmake, *shlex.split(text), "-P", show)
        assert said.stderr.strip() == "C:toolsprotoc.exe"

    def test_cmake_arguments_mangled_by_quotation_marks_around_all(self, tmp_path):
        """What ``set CMAKE_ARGS="…"`` leaves: one argument with a blank in it."""
        text = '"-DONE=1 -DTWO=2"'
        facts = make_facts(environ={"CMAKE_ARGS": text})
        finding = only("cmake-arguments-mangled", upstream(facts))
        assert finding.severity is FATAL
        assert only("cmake-arguments-mangled", facts).severity is NOTE
        assert facts.cmake_settings == {"ONE": "1", "TWO": "2"}
        show = tmp_path / "show.cmake"
        show.write_text('message("${ONE}|${TWO}")\n', encoding="utf-8")
        said = run(real_tools().cmake, *shlex.split(text), "-P", show)
        assert said.stderr.strip() == "1 -DTWO=2|"

    def test_a_backslash_at_the_end(self):
        """shlex gives up; the rules of Windows take it for what it is."""
        environ = {"CMAKE_ARGS": "-DCMAKE_PREFIX_PATH=C:\\tools\\"}
        facts = make_facts(host={"system": "windows"}, environ=environ)
        found = findings("cmake-arguments-mangled", upstream(facts))
        assert "becomes an error" in found[0].what

    def test_what_is_written_well_arrives(self):
        text = '-D CMAKE_BUILD_TYPE=Debug "-DX=a b" -DY=1'
        facts = make_facts("--onnx-version", "1.20.0", environ={"CMAKE_ARGS": text})
        assert findings("cmake-arguments-mangled", upstream(facts)) == ()

    def test_scikit_build_core_drops_two(self):
        environ = {"CMAKE_ARGS": "-DCMAKE_BUILD_TYPE=Debug"}
        facts = make_facts("--onnx-version", "1.22.0", environ=environ)
        assert severities("cmake-arguments-mangled", upstream(facts)) == [WARNING]

    def test_quotation_marks_and_paths_that_are_not_there(self):
        given = ('--cmake-arg=-DX="1"', "--cmake-arg=-DProtobuf_ROOT=/nowhere/protobuf")
        found = findings("cmake-arguments-mangled", make_facts(*given))
        assert [finding.severity for finding in found] == [WARNING, WARNING]
        assert found[0].fix == ("-DX=1",)
        assert "/nowhere/protobuf" in found[1].evidence


def short(folder: Path) -> Path:
    """This Python under a path that a first line can name: one without a blank."""
    python = folder / "python"
    python.symlink_to(sys.executable)
    return python


@posix
class TestScript:
    def test_cmake_is_a_script(self, tmp_path):
        """pip's cmake, found from an environment that has no such module."""
        path = tmp_path / "bin/cmake"
        path.parent.mkdir()
        text = f"#!{short(tmp_path)} -IS\nfrom cmake import cmake\n"
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)
        program = programs.ask("cmake", path, "PATH", make_host(), SystemRunner())
        facts = make_facts(programs=(program,))
        finding = only("cmake-is-a-script", upstream(facts))
        assert finding.severity is FATAL
        assert "No module named 'cmake'" in finding.evidence
        assert only("cmake-is-a-script", facts).severity is NOTE
        assert "No module named 'cmake'" in run(path, "--version").stderr

    def test_one_that_works_is_still_one(self, tmp_path):
        path = tmp_path / "cmake"
        path.write_text(f"#!{short(tmp_path)} -IS\nprint('cmake version 3.31.2')\n")
        path.chmod(0o755)
        program = programs.ask("cmake", path, "PATH", make_host(), SystemRunner())
        assert program.version == "3.31.2"
        facts = make_facts(programs=(program,))
        assert severities("cmake-is-a-script", upstream(facts)) == [WARNING]

    def test_the_real_one_is_none(self):
        program = programs.ask("cmake", real_tools().cmake, "PATH", make_host(), SystemRunner())
        assert (program.is_script, program.machine) == (False, make_host().machine)
        assert findings("cmake-is-a-script", upstream(make_facts(programs=(program,)))) == ()


@posix
def test_tool_silent(tmp_path):
    path = script(tmp_path / "ninja", "sleep 60")
    runner = Hurried(SystemRunner(), 0.3)
    program = programs.ask("ninja", path, "PATH", make_host(), runner)
    facts = make_facts(programs=(program,))
    assert "still running" in only("tool-silent", facts).evidence
    failed = ToolchainError(
        "no usable cmake was found", looked=["/x/cmake: 3.20 is older"], fix="pip install cmake"
    )
    finding = only("tool-silent", make_facts(tools=None, no_tools=failed))
    assert (finding.severity, finding.fix) == (FATAL, ("pip install cmake",))


class TestGeneratedTwice:
    text = """\
cmake_minimum_required(VERSION 3.26)
project(race NONE)
add_custom_command(OUTPUT made.txt COMMAND ${CMAKE_COMMAND} -E echo making
                   COMMAND ${CMAKE_COMMAND} -E sleep 0.2
                   COMMAND ${CMAKE_COMMAND} -E touch made.txt VERBATIM)
add_custom_target(one ALL DEPENDS made.txt)
add_custom_target(two ALL DEPENDS made.txt)
"""

    @needs_make
    def test_proto_generated_twice(self, tmp_path):
        """Two targets that depend on one file: with makefiles each runs the command."""
        facts = make_facts(
            "--onnx-version", "1.16.1", environ={"CMAKE_GENERATOR": "Unix Makefiles"}
        )
        assert severities("proto-generated-twice", upstream(facts)) == [WARNING]
        assert severities("proto-generated-twice", facts) == [NOTE]
        source, tool = project(tmp_path, self.text), real_tools().cmake
        run(tool, "-S", source, "-B", tmp_path / "make", "-G", "Unix Makefiles")
        made = run("make", "-C", tmp_path / "make", "-j2")
        assert made.stdout.count("making\n") == 2, made.stdout + made.stderr
        cmake(source)
        once = run(tool, "--build", source / "build", "--verbose")
        assert once.stdout.count("echo making") == 1

    def test_ninja_has_one_rule(self):
        ninja = Program(name="ninja", path=Path("/usr/bin/ninja"), version="1.11", origin="PATH")
        facts = make_facts("--onnx-version", "1.16.1", programs=(ninja,))
        assert findings("proto-generated-twice", upstream(facts)) == ()
        alone = make_facts("--onnx-version", "1.16.1", "--jobs", "1")
        assert findings("proto-generated-twice", upstream(alone)) == ()
