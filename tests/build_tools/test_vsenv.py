"""Visual Studio: prompts, installations and the capture of an environment, from recordings."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import PureWindowsPath

import pytest

from build_tools.errors import ToolchainError
from build_tools.generator import NINJA, Generator
from build_tools.record import Record
from build_tools.toolchain.vsenv import (
    Instance,
    PromptKind,
    architecture,
    capture,
    enter,
    instances,
    parse_instances,
    parse_set,
    pick,
    recognise_prompt,
    vcvarsall_argument,
    wants_visual_studio,
    without_prompt,
)
from tests.build_tools.recordings import environ, text, windows_host
from tests.build_tools.support import RecordedRunner, has, said

BUILD_TOOLS = r"C:\Program Files (x86)\Microsoft Visual Studio\2019\BuildTools"
COMMUNITY = r"C:\Program Files\Microsoft Visual Studio\2022\Community"
VS2022 = Generator(name="Visual Studio 17 2022", platform="x64", major=17)
VSWHERE = has("vswhere.exe")
CAPTURE = has(".\\capture.cmd")


class TestPrompt:
    @pytest.mark.parametrize(
        ("prompt", "kind", "host", "target"),
        [
            ("x64-native-2019", PromptKind.NATIVE, "x64", "x64"),
            ("x64-native-2022", PromptKind.NATIVE, "x64", "x64"),
            ("x86-native-2019", PromptKind.WRONG_ARCH, "x86", "x86"),
            ("x64-x86-cross-2019", PromptKind.WRONG_ARCH, "x64", "x86"),
            ("x86-x64-cross-2019", PromptKind.CROSS, "x86", "x64"),
            ("developer-2019", PromptKind.NO_TARGET, "x86", "x86"),
            ("plain", PromptKind.NONE, "", ""),
        ],
    )
    def test_each_is_told_from_the_others(self, prompt, kind, host, target):
        found = recognise_prompt(environ(prompt))
        assert (found.kind, found.host, found.target) == (kind, host, target)
        assert found.fits is (kind in {PromptKind.NATIVE, PromptKind.CROSS})

    def test_what_it_says_about_itself(self):
        found = recognise_prompt(environ("x64-native-2019"))
        assert (found.version, found.major) == ("16.11.35", 16)
        assert (found.toolset, found.sdk) == ("14.29.30133", "10.0.19041.0")
        assert found.installation == BUILD_TOOLS

    def test_names_are_found_in_any_case(self):
        """`set` says VCToolsVersion; Python's os.environ says VCTOOLSVERSION on Windows."""
        lines = text("set-x64-native-2019.txt").splitlines()
        as_shown = dict(line.split("=", 1) for line in lines)
        assert "VCToolsVersion" in as_shown
        assert recognise_prompt(as_shown) == recognise_prompt(environ("x64-native-2019"))

    def test_the_right_target_is_pythons(self):
        x86 = environ("x86-native-2019")
        assert recognise_prompt(x86, wanted="x86").kind is PromptKind.NATIVE
        assert recognise_prompt(environ("x64-native-2019"), "x86").kind is PromptKind.WRONG_ARCH
        cross = recognise_prompt(environ("x64-x86-cross-2019"), "x86")
        assert cross.kind is PromptKind.CROSS

    def test_a_developer_prompt_that_was_told_its_target_is_a_native_one(self):
        """VsDevCmd.bat -arch=x64 -host_arch=x64 sets no Platform, as vcvarsall.bat would."""
        told = environ("x64-native-2019")
        del told["PLATFORM"]
        assert recognise_prompt(told).kind is PromptKind.NATIVE

    def test_a_prompt_without_cxx_tools_has_no_target(self):
        bare = {
            name: value
            for name, value in environ("developer-2019").items()
            if not name.startswith(("VCTOOLS", "VSCMD_ARG_TGT"))
        }
        assert recognise_prompt(bare).kind is PromptKind.NO_TARGET


class TestInstances:
    @pytest.mark.parametrize(
        ("recording", "names"),
        [
            ("vswhere-2019-build-tools.json", ["Visual Studio Build Tools 2019"]),
            ("vswhere-2022-community.json", ["Visual Studio Community 2022"]),
            (
                "vswhere-two.json",
                ["Visual Studio Community 2022", "Visual Studio Build Tools 2019"],
            ),
        ],
    )
    def test_vswheres_answer_is_read(self, recording, names):
        assert [found.name for found in parse_instances(text(recording))] == names

    def test_what_is_known_of_one(self):
        (found,) = parse_instances(text("vswhere-2019-build-tools.json"))
        assert found.path == PureWindowsPath(BUILD_TOOLS)
        assert (found.version, found.major) == ("16.11.34902.71", 16)
        assert str(found.vcvarsall) == BUILD_TOOLS + r"\VC\Auxiliary\Build\vcvarsall.bat"
        assert (found.complete, found.prerelease) == (True, False)

    def test_vswhere_is_asked_at_its_one_place_for_the_cxx_tools_of_pythons_processor(self):
        runner = RecordedRunner([(VSWHERE, said(text("vswhere-two.json")))])
        assert len(instances(windows_host(), runner)) == 2
        (call,) = runner.calls
        assert call.argv[0] == (
            r"C:\Program Files (x86)\Microsoft Visual Studio\Installer\vswhere.exe"
        )
        assert {"-utf8", "-prerelease", "[16.0,)"} <= set(call.argv)
        assert "Microsoft.VisualStudio.Component.VC.Tools.x86.x64" in call.argv
        instances(windows_host(machine="arm64"), runner)
        assert "Microsoft.VisualStudio.Component.VC.Tools.ARM64" in runner.calls[-1].argv

    def test_no_vswhere_is_no_installation(self):
        runner = RecordedRunner([(VSWHERE, said(returncode=127, stderr="no such file"))])
        assert instances(windows_host(), runner) == ()
        assert [call.argv[0].rpartition("\\")[0] for call in runner.calls][-1] == ""

    @pytest.mark.parametrize("answer", ["Error 0x1", '[{"instanceId": "1"}]', '{"a": 1}'])
    def test_an_answer_that_is_none_is_an_error(self, answer):
        with pytest.raises(ToolchainError, match="cannot be read"):
            parse_instances(answer)

    def test_an_empty_answer_is_no_installation(self):
        assert parse_instances("[]\n") == ()
        assert parse_instances("") == ()


class TestPick:
    found = parse_instances(text("vswhere-four.json"))

    def test_the_newest_that_is_whole_and_no_preview(self):
        choice = pick(self.found)
        assert choice.instance.name == "Visual Studio Community 2022"
        assert "newest" in choice.reason
        assert len(choice.rejected) == 3
        assert any("not complete" in why for why in choice.rejected)

    def test_a_generation_can_be_asked_for(self):
        assert pick(self.found, major=16).instance.path == PureWindowsPath(BUILD_TOOLS)
        assert pick(self.found, major=15).instance is None

    def test_the_prompts_own_comes_first(self):
        choice = pick(self.found, preferred=BUILD_TOOLS.lower())
        assert choice.instance.path == PureWindowsPath(BUILD_TOOLS)
        assert "prompt" in choice.reason

    def test_a_preview_is_better_than_nothing(self):
        choice = pick([found for found in self.found if found.prerelease])
        assert choice.instance.prerelease
        assert "preview" in choice.reason

    def test_versions_are_numbers(self):
        nine, ten = (
            Instance(path=PureWindowsPath(f"C:/{v}"), version=v, name=v)
            for v in ("16.9.31129.286", "16.10.31321.278")
        )
        assert pick([nine, ten]).instance == ten

    def test_nothing_to_pick_from(self):
        assert pick([]).instance is None


class TestCapture:
    instance = parse_instances(text("vswhere-2019-build-tools.json"))[0]

    def runner(self, name="vcvarsall-x64-2019.txt", **changes):
        return RecordedRunner([(CAPTURE, said(text(name).replace("\n", "\r\n"), **changes))])

    def test_the_environment_of_the_native_prompt_comes_out(self):
        made = capture(self.instance, windows_host(), self.runner())
        expected = environ("x64-native-2019")
        assert made == expected
        assert made["USERPROFILE"] == r"C:\Users\Jörg"

    def test_the_script_gets_the_path_without_quoting_and_starts_in_a_clean_environment(self):
        runner = self.runner()
        capture(self.instance, windows_host("developer-2019"), runner)
        (call,) = runner.calls
        assert call.argv == (r"C:\Windows\system32\cmd.exe", "/d", "/c", ".\\capture.cmd")
        assert call.env["ONNXFORGE_VCVARSALL"] == str(self.instance.vcvarsall)
        assert call.env["ONNXFORGE_ARCH"] == "x64"
        assert "VSCMD_VER" not in call.env
        assert "INCLUDE" not in call.env

    def test_the_script_is_there_when_it_is_run(self):
        seen = []

        class Looking(RecordedRunner):
            def run(self, argv, *, cwd=None, env=None, timeout=None):
                seen.append((cwd / "capture.cmd").read_bytes())
                return super().run(argv, cwd=cwd, env=env, timeout=timeout)

        capture(self.instance, windows_host(), Looking(self.runner().answers))
        assert b'call "%ONNXFORGE_VCVARSALL%" %ONNXFORGE_ARCH%\r\n' in seen[0]
        assert seen[0].isascii()

    def test_a_failing_script_is_told_in_its_own_words(self):
        words = "[ERROR:vcvars.bat] Toolset directory for version '14.29' was not found.\n"
        runner = RecordedRunner([(CAPTURE, said(words, returncode=1))])
        with pytest.raises(ToolchainError, match="makes no environment for x64") as caught:
            capture(self.instance, windows_host(), runner)
        assert "Toolset directory" in str(caught.value)

    def test_a_script_that_says_ok_and_sets_nothing_is_found_out(self):
        runner = RecordedRunner(
            [(CAPTURE, said("onnxforge: the environment\n" + text("set-plain.txt")))]
        )
        with pytest.raises(ToolchainError, match="makes no environment"):
            capture(self.instance, windows_host(), runner)

    def test_values_with_line_breaks_stay_whole(self):
        assert parse_set('A={\n"x": 1\n}\nB=2\n') == {"A": '{\n"x": 1\n}', "B": "2"}


class TestWithoutPrompt:
    @pytest.mark.parametrize(
        "prompt",
        ["x64-native-2019", "x86-native-2019", "x64-x86-cross-2019", "developer-2019"],
    )
    def test_what_was_before_comes_back(self, prompt):
        before, plain = without_prompt(environ(prompt)), environ("plain")
        added = {name for name in before if name not in plain}
        assert added <= {"VS160COMNTOOLS"}
        assert {name: before[name] for name in plain if name in before} == plain

    def test_a_list_from_before_the_prompt_comes_back_too(self):
        prompt = {**environ("x64-native-2019"), "__VSCMD_PREINIT_INCLUDE": r"D:\mine"}
        assert without_prompt(prompt)["INCLUDE"] == r"D:\mine"

    def test_outside_a_prompt_nothing_is_taken_away(self):
        plain = {**environ("plain"), "INCLUDE": r"D:\mine", "PLATFORM": "x"}
        assert without_prompt(plain) == plain


@pytest.mark.parametrize(
    ("machine", "variables", "argument"),
    [
        ("x86_64", {}, "x64"),
        ("x86", {}, "x64_x86"),
        ("x86", {"PROCESSOR_ARCHITECTURE": "x86", "PROCESSOR_ARCHITEW6432": "AMD64"}, "x64_x86"),
        ("x86", {"PROCESSOR_ARCHITECTURE": "x86"}, "x86"),
        ("arm64", {"PROCESSOR_ARCHITECTURE": "ARM64"}, "arm64"),
        ("arm64", {}, "x64_arm64"),
    ],
)
def test_the_machines_own_tools_compile_for_pythons_processor(machine, variables, argument):
    host = windows_host(machine=machine, environ={**environ("plain"), **variables})
    assert vcvarsall_argument(host) == argument
    assert architecture(host) == argument.rpartition("_")[2]


@pytest.mark.parametrize(
    ("asked", "variables", "wanted"),
    [
        (None, {}, True),
        ("msvc", {}, True),
        ("clang-cl", {}, True),
        (r"C:\Program Files (x86)\VC\bin\cl.exe", {}, True),
        (None, {"CXX": r'"C:\Program Files\LLVM\bin\clang-cl.exe" -m64'}, True),
        (None, {"CC": "ccache cl"}, True),
        ("gcc", {}, False),
        ("clang", {}, False),
        (None, {"CXX": r"C:\mingw64\bin\g++.exe"}, False),
        (None, {"CC": "clickhouse-cc"}, False),
    ],
)
def test_who_needs_visual_studio(asked, variables, wanted):
    assert wants_visual_studio(asked, variables) is wanted


class TestEnter:
    def runner(self, found="vswhere-two.json", made="vcvarsall-x64-2022.txt"):
        return RecordedRunner([(VSWHERE, said(text(found))), (CAPTURE, said(text(made)))])

    def enter(self, prompt, runner=None, generator=NINJA, **changes):
        record = Record()
        host = windows_host(prompt, **changes)
        runner = runner or self.runner()
        return enter(host, runner, record, generator), record, runner, host

    def test_the_native_prompt_is_left_alone(self):
        entered, record, runner, host = self.enter("x64-native-2019")
        assert entered is host
        assert runner.calls == []
        (decision,) = record.decisions
        assert decision.choice.startswith(
            "native prompt: x64 tools for x64, Visual Studio 16.11.35"
        )
        assert "left as it is: C++ tools 14.29.30133" in decision.reason
        assert record.warnings == []

    def test_outside_a_prompt_the_newest_is_taken_and_told(self):
        entered, record, _, host = self.enter("plain")
        assert entered.environ == environ("x64-native-2022")
        assert replace(entered, environ=host.environ) == host
        chosen = record.decisions[-1]
        assert chosen.choice.startswith("Visual Studio Community 2022 17.11.35312.102 in ")
        assert "vcvarsall.bat x64" in chosen.reason
        assert record.decisions[0].subject == "Visual Studio not taken"
        assert record.warnings == []

    @pytest.mark.parametrize("prompt", ["x86-native-2019", "x64-x86-cross-2019", "developer-2019"])
    def test_a_wrong_prompt_is_replaced_by_the_right_one_of_the_same_installation(self, prompt):
        runner = self.runner(made="vcvarsall-x64-2019.txt")
        entered, record, _, _ = self.enter(prompt, runner)
        assert entered.environ == {
            **environ("x64-native-2019"),
            "VS160COMNTOOLS": BUILD_TOOLS + "\\Common7\\Tools\\",
        }
        assert "the one that the prompt belongs to" in record.decisions[-1].reason
        assert runner.calls[-1].env["ONNXFORGE_VCVARSALL"].startswith(BUILD_TOOLS)
        (warning,) = record.warnings
        assert "Python is x64" in warning

    def test_a_cross_prompt_for_the_right_processor_is_kept_with_a_warning(self):
        entered, record, runner, host = self.enter("x86-x64-cross-2019")
        assert entered is host
        assert runner.calls == []
        assert "32-bit compiler" in record.warnings[0]

    def test_a_generator_of_another_generation_takes_that_one(self):
        entered, record, _, _ = self.enter("x64-native-2019", generator=VS2022)
        assert recognise_prompt(entered.environ).installation == COMMUNITY
        assert "--generator is of another release" in record.warnings[0]

    def test_a_generator_without_its_visual_studio_is_an_error(self):
        runner = self.runner("vswhere-2019-build-tools.json")
        with pytest.raises(ToolchainError, match="for --generator 'Visual Studio 17 2022'") as it:
            self.enter("plain", runner, generator=VS2022)
        assert "it is of version 16, and 17 is asked for" in str(it.value)

    def test_a_wrong_prompt_and_nothing_else_is_an_error_that_says_which_prompt_to_open(self):
        runner = RecordedRunner([(VSWHERE, said("[]"))])
        with pytest.raises(ToolchainError, match="prompt for another processor") as caught:
            self.enter("x86-native-2019", runner)
        assert "x64 Native Tools Command Prompt" in str(caught.value)

    def test_no_visual_studio_at_all_leaves_it_to_path(self):
        runner = RecordedRunner([(VSWHERE, said(returncode=127))])
        entered, record, _, host = self.enter("plain", runner)
        assert entered is host
        assert "no Visual Studio" in record.warnings[0]


def test_the_recordings_are_whole():
    """Every variable that the issue names is in every prompt, so that no test runs on air."""
    names = {
        *("VSCMD_ARG_TGT_ARCH", "VSCMD_ARG_HOST_ARCH", "VSCMD_VER", "VCTOOLSVERSION", "LIBPATH"),
        *("VCINSTALLDIR", "WINDOWSSDKVERSION", "INCLUDE", "LIB", "PATH", "__VSCMD_PREINIT_PATH"),
    }
    for prompt in ("x64-native-2019", "x86-native-2019", "developer-2019", "x64-native-2022"):
        assert names <= set(environ(prompt))
    assert len(json.loads(text("vswhere-four.json"))) == 4
