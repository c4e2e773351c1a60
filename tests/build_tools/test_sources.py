"""Settings come from command line, environment, pyproject.toml or nowhere, in that order."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from build_tools.config import BuildType, Linkage, settings
from build_tools.errors import ConfigError, UsageError
from build_tools.sources import (
    Parser,
    add_settings,
    environment_names,
    load_pyproject,
    option_name,
    resolve,
)


def project(**table):
    return {"tool": {"onnxforge": table}}


def test_nothing_said_is_the_default_and_known_to_be():
    resolved = resolve([], {}, {})
    assert resolved.config.jobs is None
    assert set(resolved.origins.values()) == {"default"}
    assert not resolved.given("jobs")
    assert resolved.warnings == ()


def test_command_line_over_environment_over_pyproject():
    environ = {"ONNXFORGE_JOBS": "3", "ONNXFORGE_ONNX_VERSION": "1.17.0"}
    table = project(jobs=2, **{"onnx-version": "1.14.1", "build-type": "debug"})
    resolved = resolve(["--jobs", "4"], environ, table)
    assert resolved.config.jobs == 4
    assert resolved.config.onnx_version == "1.17.0"
    assert resolved.config.build_type is BuildType.DEBUG
    assert resolved.origins["jobs"] == "--jobs on the command line"
    assert resolved.origins["onnx_version"] == "environment ONNXFORGE_ONNX_VERSION"
    assert resolved.origins["build_type"] == "pyproject.toml"
    assert resolved.given("jobs")


def test_well_known_variables_are_understood_ours_first():
    assert resolve([], {"MAX_JOBS": "5"}, {}).config.jobs == 5
    both = {"MAX_JOBS": "5", "CMAKE_BUILD_PARALLEL_LEVEL": "6", "ONNXFORGE_JOBS": "7"}
    assert resolve([], both, {}).config.jobs == 7
    del both["ONNXFORGE_JOBS"]
    assert resolve([], both, {}).origins["jobs"] == "environment CMAKE_BUILD_PARALLEL_LEVEL"


def test_an_empty_variable_says_nothing():
    assert resolve([], {"ONNXFORGE_JOBS": "", "CMAKE_ARGS": " "}, {}).config.jobs is None


@pytest.mark.parametrize("raw", ['"/my libs/pb"', "'/my libs/pb'", "/my libs/pb"])
def test_quotation_marks_around_a_variable_are_no_part_of_it(raw):
    resolved = resolve([], {"ONNXFORGE_PROTOBUF_ROOT": raw}, {})
    assert resolved.config.protobuf_root == Path("/my libs/pb")


@pytest.mark.parametrize(
    ("raw", "value"),
    [("1", True), ("ON", True), ("yes", True), ("0", False), ("Off", False), ("false", False)],
)
def test_switches_in_the_environment(raw, value):
    assert resolve([], {"ONNXFORGE_OFFLINE": raw}, {}).config.offline is value


def test_a_switch_can_be_turned_off_on_the_command_line():
    resolved = resolve(["--no-repair"], {"ONNXFORGE_REPAIR": "1"}, {})
    assert resolved.config.repair is False
    assert resolved.origins["repair"] == "--no-repair on the command line"


def test_lists_add_up_and_the_command_line_comes_last_where_cmake_lets_it_win():
    resolved = resolve(
        ["--cmake-arg=-DA=line", "--cmake-arg=-DB=a b"],
        {"CMAKE_ARGS": "-DA=env -DC=1"},
        project(**{"cmake-args": ["-DA=file"]}),
    )
    assert resolved.config.cmake_args == ("-DA=file", "-DA=env", "-DC=1", "-DA=line", "-DB=a b")
    assert "environment CMAKE_ARGS" in resolved.origins["cmake_args"]
    assert "pyproject.toml" in resolved.origins["cmake_args"]


def test_folders_in_the_environment_are_written_like_path():
    resolved = resolve(["--archives", "/c"], {"ONNXFORGE_ARCHIVES": "/a:/b b"}, {})
    assert resolved.config.archives == (Path("/a"), Path("/b b"), Path("/c"))
    windows = resolve([], {"ONNXFORGE_ARCHIVES": r"C:\a;D:\b"}, {}, windows=True)
    assert windows.config.archives == (Path(r"C:\a"), Path(r"D:\b"))


def test_backslashes_of_windows_survive_in_cmake_args():
    environ = {"CMAKE_ARGS": r'"-DProtobuf_PROTOC_EXECUTABLE=C:\tools\protoc.exe"'}
    resolved = resolve([], environ, {}, windows=True)
    assert resolved.config.cmake_args == (r"-DProtobuf_PROTOC_EXECUTABLE=C:\tools\protoc.exe",)


class TestSharedLibsWish:
    """ONNX_USE_PROTOBUF_SHARED_LIBS, in the environment or in CMAKE_ARGS."""

    NAME = "ONNX_USE_PROTOBUF_SHARED_LIBS"

    def test_it_stands_in_for_the_linkage_that_nobody_chose(self):
        resolved = resolve([], {self.NAME: "ON"}, {})
        assert resolved.config.protobuf is Linkage.SHARED
        assert resolved.config.use_shared_env is True
        assert resolved.origins["protobuf"] == f"environment {self.NAME}"

    def test_off_is_an_answer_too(self):
        resolved = resolve([], {self.NAME: "OFF"}, project(protobuf="shared"))
        assert resolved.config.protobuf is Linkage.STATIC

    def test_in_cmake_args_it_wins_as_in_cmake(self):
        environ = {"CMAKE_ARGS": f"-D{self.NAME}:BOOL=ON", self.NAME: "OFF"}
        resolved = resolve([], environ, {})
        assert resolved.config.protobuf is Linkage.SHARED
        assert resolved.origins["use_shared_env"] == f"{self.NAME} in CMAKE_ARGS"

    @pytest.mark.parametrize(
        ("argv", "environ"),
        [(["--protobuf", "static"], {}), ([], {"ONNXFORGE_PROTOBUF": "static"})],
    )
    def test_a_chosen_linkage_stands_and_the_wish_stays_known(self, argv, environ):
        resolved = resolve(argv, {self.NAME: "ON", **environ}, {})
        assert resolved.config.protobuf is Linkage.STATIC
        assert resolved.config.use_shared_env is True

    def test_nonsense_is_an_error(self):
        with pytest.raises(ConfigError, match="neither on nor off: 'MAYBE'"):
            resolve([], {"CMAKE_ARGS": f"-D{self.NAME}=MAYBE"}, {})


@pytest.mark.parametrize(
    ("argv", "environ", "table", "complaint", "hint"),
    [
        ([], {"ONNXFORGE_JBOS": "2"}, {}, "ONNXFORGE_JBOS", "ONNXFORGE_JOBS"),
        ([], {}, {"protobuff": "static"}, "protobuff", "did you mean protobuf?"),
        ([], {}, {"zebra": 1}, "zebra", "known: archives"),
        ([], {"ONNXFORGE_PROTOBUF": "statik"}, {}, "'statik'", "did you mean static?"),
        (["--protobuf", "dynamic"], {}, {}, "--protobuf cannot be 'dynamic'", "static, shared"),
        ([], {"MAX_JOBS": "0"}, {}, "environment MAX_JOBS", "above 0"),
        ([], {}, {"jobs": True}, "pyproject.toml: jobs", "above 0"),
        ([], {}, {"offline": "perhaps"}, "'perhaps'", "ON or OFF"),
        ([], {}, {"archives": "dir"}, "must be a list", "[...]"),
        ([], {}, {"onnx-version": 1.17}, "pyproject.toml: onnx_version", "not empty"),
    ],
)
def test_what_is_wrong_is_named_with_its_place_and_the_nearest_right_one(
    argv, environ, table, complaint, hint
):
    with pytest.raises(ConfigError) as caught:
        resolve(argv, environ, project(**table))
    assert complaint in str(caught.value)
    assert hint in str(caught.value)


def test_a_foreign_variable_with_our_prefix_is_told_but_does_no_harm():
    resolved = resolve([], {"ONNXFORGE_XYZZY": "1"}, {})
    assert len(resolved.warnings) == 1
    assert "ONNXFORGE_XYZZY" in resolved.warnings[0]


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        (["--protbuf", "static"], "did you mean --protobuf?"),
        (["--jobs=2", "left-over"], "left-over"),
        (["--jobs"], "expected one argument"),
    ],
)
def test_a_misspelt_command_line_is_a_usage_error(argv, hint):
    with pytest.raises(UsageError) as caught:
        resolve(argv, {}, {})
    assert hint in str(caught.value)


def test_help_names_every_option_with_its_manual_default_and_variable():
    parser = Parser(prog="x")
    add_settings(parser)
    text = " ".join(parser.format_help().split())
    for entry in settings():
        if entry.name != "use_shared_env":
            assert option_name(entry.name) in text
            assert environment_names(entry)[0] in text
    assert "default: static" in text
    assert "default: 1.23.2" in text
    assert "Compile jobs at a time." in text


def test_a_verb_may_take_only_some_settings():
    parser = Parser(prog="x", allow_abbrev=False)
    add_settings(parser, ["json"])
    assert parser.parse_known(["--json"]) == argparse.Namespace(json=True)
    with pytest.raises(UsageError, match="--jobs"):
        parser.parse_known(["--jobs=2"])


def test_pyproject_is_read_missing_or_broken(tmp_path):
    file = tmp_path / "pyproject.toml"
    assert load_pyproject(file) == {}
    file.write_text("[tool.onnxforge]\njobs = 2\n", encoding="utf-8")
    assert resolve([], {}, load_pyproject(file)).config.jobs == 2
    file.write_text("[tool\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_pyproject(file)
