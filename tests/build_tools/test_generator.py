"""One generator for all projects: chosen on Windows, refused elsewhere, told to CMake alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from build_tools.cmake import CMakeBuild
from build_tools.config import GeneratorName
from build_tools.context import Context
from build_tools.errors import ConfigError
from build_tools.generator import (
    NINJA,
    Generator,
    driving,
    ignored_settings,
    settle_generator,
)
from build_tools.prepare import _settle_generator
from build_tools.process import SystemRunner
from build_tools.recipe import _generator_key
from build_tools.record import Record
from build_tools.sources import resolve
from build_tools.toolchain.model import Toolchain
from build_tools.tools import Tools
from build_tools.wheel import WheelPlan, _settings
from tests.build_tools.recordings import environ, text, windows_host
from tests.build_tools.support import RecordedRunner, has, make_host, said, write_tree
from tests.build_tools.test_msvc import compiler
from tests.build_tools.test_toolchain import ALL

VS2019 = Generator(
    name="Visual Studio 16 2019", platform="x64", major=16, instance="C:/VS/2019/BuildTools"
)
TOOLS = Tools(
    cmake=Path("cmake"), cmake_version="4", ninja=Path("ninja"), ninja_version="1", reasons=()
)


class TestChoice:
    @pytest.mark.parametrize(
        ("name", "machine", "arguments"),
        [
            (GeneratorName.NINJA, "x86_64", ("-G", "Ninja")),
            (
                GeneratorName.VISUAL_STUDIO_2019,
                "x86_64",
                ("-G", "Visual Studio 16 2019", "-A", "x64"),
            ),
            (
                GeneratorName.VISUAL_STUDIO_2022,
                "x86",
                ("-G", "Visual Studio 17 2022", "-A", "Win32"),
            ),
            (
                GeneratorName.VISUAL_STUDIO_2022,
                "arm64",
                ("-G", "Visual Studio 17 2022", "-A", "ARM64"),
            ),
        ],
    )
    def test_what_cmake_is_told(self, name, machine, arguments):
        host = windows_host(machine=machine)
        assert settle_generator(name, host, "default").arguments == arguments

    def test_visual_studio_is_for_windows(self):
        with pytest.raises(ConfigError, match="works on Windows only") as caught:
            settle_generator(GeneratorName.VISUAL_STUDIO_2022, make_host(system="linux"), "here")
        assert "(here)" in str(caught.value)

    def test_a_generator_nobody_knows_is_refused_on_every_system(self):
        with pytest.raises(ConfigError) as caught:
            resolve(["--generator", "Visual Studio 17 2020"], {}, {})
        assert "did you mean Visual Studio 17 2022?" in str(caught.value)

    def test_it_is_a_setting_like_the_others(self):
        variables = {"ONNXFORGE_GENERATOR": "visual studio 16 2019"}
        resolved = resolve([], variables, {}, windows=True)
        assert resolved.config.generator is GeneratorName.VISUAL_STUDIO_2019
        assert resolved.origins["generator"] == "environment ONNXFORGE_GENERATOR"

    def test_ninja_leaves_the_keys_alone_and_others_do_not(self):
        assert _generator_key(NINJA) == {}
        assert _generator_key(VS2019) == {"generator": "Visual Studio 16 2019, x64"}


class TestEnvironment:
    def test_what_contradicts_is_told(self):
        said_by_others = {
            "CMAKE_GENERATOR": "NMake Makefiles",
            "CMAKE_GENERATOR_PLATFORM": "x64",
            "CMAKE_GENERATOR_TOOLSET": "host=x64",
        }
        warnings = list(ignored_settings(NINJA, said_by_others))
        assert len(warnings) == 3
        assert "CMAKE_GENERATOR_PLATFORM=x64 in the environment is not followed" in warnings[1]

    def test_what_agrees_is_not(self):
        agreeing = {"CMAKE_GENERATOR": "Ninja", "CMAKE_GENERATOR_PLATFORM": ""}
        assert list(ignored_settings(NINJA, agreeing)) == []
        agreeing = {"CMAKE_GENERATOR": VS2019.name, "CMAKE_GENERATOR_PLATFORM": "x64"}
        assert list(ignored_settings(VS2019, agreeing)) == []


class TestSettled:
    """What a run on Windows comes to before anything is compiled."""

    def settle(self, *arguments, prompt="x64-native-2019", answers=(), **variables):
        host = windows_host(prompt)
        host = replace(host, environ={**host.environ, **variables})
        context = Context(host=host, runner=RecordedRunner(list(answers)), record=Record())
        resolved = resolve(list(arguments), host.environ, {}, windows=True)
        return (*_settle_generator(resolved, context), context.record)

    def test_in_a_native_prompt_with_ninja(self):
        generator, context, record = self.settle(CMAKE_GENERATOR_PLATFORM="x64")
        assert generator == NINJA
        assert context.host.environ["VSCMD_VER"] == "16.11.35"
        assert [it.subject for it in record.decisions] == ["Visual Studio", "CMake generator"]
        assert "CMAKE_GENERATOR_PLATFORM=x64" in record.warnings[0]

    def test_visual_studios_generator_drives_the_installation_of_the_prompt(self):
        generator, _, _ = self.settle("--generator", "Visual Studio 16 2019")
        assert generator.instance == (
            "C:/Program Files (x86)/Microsoft Visual Studio/2019/BuildTools"
        )

    def test_and_outside_a_prompt_the_one_that_was_picked(self):
        answers = [
            (has("vswhere.exe"), said(text("vswhere-two.json"))),
            (has(".\\capture.cmd"), said(text("vcvarsall-x64-2022.txt"))),
        ]
        generator, context, _ = self.settle(
            "--generator", "Visual Studio 17 2022", prompt="plain", answers=answers
        )
        assert generator.instance == "C:/Program Files/Microsoft Visual Studio/2022/Community"
        assert context.host.environ == environ("x64-native-2022")

    def test_another_compiler_needs_no_visual_studio(self):
        generator, context, _ = self.settle("--compiler", "gcc", prompt="plain")
        assert generator == NINJA
        assert context.host.environ == environ("plain")

    def test_another_compiler_and_visual_studios_generator_exclude_each_other(self):
        with pytest.raises(ConfigError, match="own compiler"):
            self.settle("--generator", "Visual Studio 16 2019", CXX=r"C:\mingw\g++.exe")


@pytest.fixture
def visual_studio(tmp_path):
    """CMake with Visual Studio's generator, whose programs are recorded."""
    chain = Toolchain(
        compiler=compiler(),
        probes=ALL,
        reasons=(),
        settings=(("CMAKE_MSVC_RUNTIME_LIBRARY", "MultiThreadedDLL"),),
    )
    runner = RecordedRunner([(has("cmake"), said())])
    return CMakeBuild(
        tools=TOOLS,
        toolchain=chain,
        runner=runner,
        record=Record(),
        host=windows_host(),
        generator=VS2019,
        build_type="Debug",
    )


class TestMultiConfig:
    def test_configure_build_and_install(self, visual_studio, tmp_path):
        build = tmp_path / "build"
        logs = {"log": tmp_path / "log"}
        visual_studio.configure("x", tmp_path / "source", build, {"A": "1"}, **logs)
        visual_studio.build("x", build, jobs=3, **logs)
        visual_studio.install("x", build, tmp_path / "prefix", **logs)
        configure, compile_, install = (call.argv for call in visual_studio.runner.calls)
        assert configure[5:9] == ("-G", "Visual Studio 16 2019", "-A", "x64")
        assert compile_[-2:] == ("--config", "Debug")
        assert install[-2:] == ("--config", "Debug")
        cache = (build / "onnxforge-initial-cache.cmake").read_text()
        assert "CMAKE_GENERATOR_INSTANCE [[C:/VS/2019/BuildTools]]" in cache
        assert "CMAKE_CONFIGURATION_TYPES [[Debug]]" in cache
        assert "CMAKE_MSVC_RUNTIME_LIBRARY [[MultiThreadedDLL]]" in cache
        assert "CMAKE_CXX_COMPILER " not in cache
        assert "CMAKE_MAKE_PROGRAM" not in cache
        assert visual_studio.runner.calls[1].env["UseMultiToolTask"] == "true"

    def test_the_wheel_is_told_the_same(self, visual_studio, tmp_path):
        plan = WheelPlan(
            source_dir=tmp_path,
            build_dir=tmp_path / "b",
            build_type="Debug",
            definitions={},
            cmake_args=("-GNinja", "-DX=1"),
            jobs=1,
        )
        settings = _settings(plan, visual_studio)
        assert settings["cmake.args"] == ["-G", "Visual Studio 16 2019", "-A", "x64", "-DX=1"]
        assert settings["cmake.define.CMAKE_GENERATOR_INSTANCE"] == "C:/VS/2019/BuildTools"
        assert settings["cmake.define.CMAKE_MSVC_RUNTIME_LIBRARY"] == "MultiThreadedDLL"

    @pytest.mark.parametrize(
        ("left", "kept"),
        [
            ({}, True),
            ({"CMAKE_GENERATOR": "Ninja"}, False),
            ({"CMAKE_GENERATOR": "Visual Studio 17 2022"}, False),
            ({"CMAKE_GENERATOR_PLATFORM": "Win32"}, False),
            ({"CMAKE_GENERATOR_INSTANCE": "D:/VS/2019/Community"}, False),
            ({"CMAKE_GENERATOR_INSTANCE": "c:/vs/2019/buildtools"}, True),
        ],
    )
    def test_a_folder_that_another_generator_left_is_wiped(
        self, visual_studio, tmp_path, left, kept
    ):
        source = tmp_path / "source"
        facts = {
            "CMAKE_HOME_DIRECTORY": str(source),
            "CMAKE_GENERATOR": VS2019.name,
            "CMAKE_GENERATOR_PLATFORM": "x64",
            "CMAKE_GENERATOR_INSTANCE": VS2019.instance,
            **left,
        }
        lines = "".join(f"{name}:INTERNAL={value}\n" for name, value in facts.items())
        build = write_tree(tmp_path / "build", {"CMakeCache.txt": lines, "old.obj": ""})
        visual_studio.configure("x", source, build, {}, log=tmp_path / "log")
        assert (build / "old.obj").exists() is kept

    def test_a_setting_of_the_system_cannot_be_undone_by_an_argument(self, visual_studio, tmp_path):
        arguments = ["-DCMAKE_MSVC_RUNTIME_LIBRARY=MultiThreaded"]
        visual_studio.configure(
            "x", tmp_path, tmp_path / "b", {}, log=tmp_path / "log", arguments=arguments
        )
        assert not set(arguments) & set(visual_studio.runner.calls[0].argv)
        assert "MultiThreadedDLL is used" in visual_studio.record.warnings[0]


def test_ninja_drives_no_visual_studio():
    assert driving(NINJA, r"C:\VS") == NINJA


def test_cmake_itself_knows_the_generators_by_these_names():
    """Only on Windows does it list them; elsewhere its manual does."""
    cmake = pytest.importorskip("cmake")
    program = Path(cmake.CMAKE_BIN_DIR) / "cmake"
    shown = SystemRunner().run([program, "--help-manual", "cmake-generators"])
    if not shown.ok:
        pytest.skip("this CMake has no manual")
    for name in GeneratorName:
        assert name.value in shown.stdout
