"""The verb on strange machines: it never crashes, and says what it could not find out."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from build_tools.context import Context
from build_tools.doctor.checks import CHECKS
from build_tools.doctor.examination_report import report
from build_tools.doctor.facts import Trouble, VisualStudio, WindowsFacts
from build_tools.doctor.gather import Providers, gather
from build_tools.doctor.inventory import SECTIONS
from build_tools.doctor.model import diagnose
from build_tools.doctor.plan import plan
from build_tools.process import SystemRunner
from build_tools.record import Record
from build_tools.sources import resolve
from tests.build_tools.doctor.cases import (
    FATAL,
    ROOT,
    WARNING,
    doctor,
    look,
    make_facts,
    named,
    only,
    posix,
    protobuf,
    severities,
    taking,
    upstream,
)
from tests.build_tools.site import clean_environment
from tests.build_tools.support import make_host, script
from tests.build_tools.toy_protobuf import Toy, needs_compiler, needs_shell


def test_everything_for_a_program():
    code, result, errors = doctor()
    assert errors == ""
    assert code == (1 if result["verdict"] == "will fail" else 0)
    assert set(result) == {
        *("verdict", "judged", "seconds", "plan", "findings", "checks", "inventory"),
    }
    assert result["judged"] == "nox -s build"
    assert {entry["check"] for entry in result["checks"]} == {c.identifier for c in CHECKS}
    assert set(result["inventory"]) == {section.key for section in SECTIONS}
    used = [row for row in result["inventory"]["tools"] if row["state"] == "used"]
    assert [row["tool"] for row in used] == ["cmake", "ninja"]
    decided = {entry["subject"] for entry in result["plan"]}
    assert {"compiler", "cmake", "ninja", "compile jobs", "protobuf", "onnx"} <= decided
    assert any("runs this" in row["state"] for row in result["inventory"]["pythons"])


def shown(*arguments: str, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess:
    """What a person sees."""
    return subprocess.run(
        [sys.executable, "-m", "build_tools", "doctor", *arguments],
        cwd=ROOT,
        env={**clean_environment(), **(environ or {})},
        capture_output=True,
        check=False,
        timeout=120,
    )


def test_everything_for_a_person():
    said = shown("--offline")
    text = said.stdout.decode()
    assert said.returncode in (0, 1), said.stderr
    for words in ("Compilers", "Pythons", "Machine", "What nox -s build would use", "C++17"):
        assert words in text
    for check in CHECKS:
        assert check.identifier in text
    assert f"{len(CHECKS)} checks in" in text


@posix
class TestStrangeMachines:
    def test_nothing_is_installed(self, tmp_path):
        """No compiler, no tool, no home, no network."""
        environ = {"PATH": str(tmp_path / "nowhere"), "HOME": str(tmp_path / "no home")}
        code, result, _ = doctor("--offline", "--cache-dir", tmp_path, environ=environ)
        assert code == 1
        assert named(result, "compiler-missing")
        assert len(named(result, "sources-unreachable")) >= 4
        assert result["inventory"]["compilers"] == []

    def test_a_path_of_a_thousand_folders(self, tmp_path):
        folders = []
        for number in range(1000):
            folders.append(tmp_path / f"{number}")
            folders[-1].mkdir()
        path = ":".join([*map(str, folders), os.environ["PATH"]])
        _, result, _ = doctor("--offline", environ={"PATH": path})
        assert result["inventory"]["compilers"]
        assert result["seconds"] < 60

    def test_programs_that_hang_that_are_folders_and_that_talk_strangely(self, tmp_path):
        script(tmp_path / "cmake", "sleep 100")
        script(tmp_path / "ninja", r"printf '\377\376 1.2.3 \200\n'")
        script(tmp_path / "python3.9", r"printf '\377\n'")
        (tmp_path / "protoc").mkdir()
        (tmp_path / "make").symlink_to(tmp_path / "make")
        (tmp_path / "g++-99").symlink_to("/nowhere/g++")
        environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        code, result, errors = doctor("--offline", environ=environ)
        assert "Traceback" not in errors
        states = {row["path"]: row for row in result["inventory"]["tools"]}
        assert "still running" in states[f"{tmp_path}/cmake"]["state"]
        assert states[f"{tmp_path}/ninja"]["version"] == "1.2.3"
        assert code in (0, 1)

    def test_names_that_are_no_text_and_a_terminal_that_knows_only_ascii(self, tmp_path):
        folder = os.fsencode(tmp_path) + b"/\xff\xfe"
        os.mkdir(folder)  # noqa: PTH102 - a name that is no text
        path = Path(os.fsdecode(folder)) / "make"
        script(path, "echo 'GNU Make 4.3'")
        environ = {
            "PATH": f"{os.fsdecode(folder)}:{os.environ['PATH']}",
            "PYTHONIOENCODING": "ascii",
        }
        said = shown("--offline", environ=environ)
        assert said.returncode in (0, 1), said.stderr
        assert b"Traceback" not in said.stderr
        assert b"GNU" in said.stdout or b"4.3" in said.stdout

    def test_no_folder_for_temporary_files(self, tmp_path):
        """Probes need one: that they cannot be made is told, and ends nothing."""
        environ = {"TMPDIR": str(tmp_path / "nowhere"), "PATH": os.environ["PATH"]}
        _, result, errors = doctor("--offline", environ=environ)
        assert "Traceback" not in errors
        assert result["inventory"]["machine"]

    def test_setting_refused(self, tmp_path):
        """What ends every other verb with exit code 3 is a finding to the doctor."""
        code, result, _ = doctor("--offline", environ={"ONNXFORGE_JOBS": "many"})
        assert code == 1
        (finding,) = named(result, "setting-refused")
        assert "not a whole number" in finding["what"]
        other = shown("--offline", "--jobs", "many")
        assert other.returncode == 3

    def test_setting_refused_in_cmake_args_has_a_check_of_its_own(self):
        code, result, _ = doctor("--offline", environ={"CMAKE_ARGS": '-DX="a'})
        assert code == 1
        assert named(result, "setting-refused") == []
        assert "No closing quotation" in named(result, "cmake-arguments-mangled")[0]["what"]


def test_question_unanswered():
    def breaks(host, runner):
        raise OSError("vswhere is gone")

    host = make_host(environ=clean_environment())
    context = Context(host=host, runner=SystemRunner(host.environ), record=Record())
    settings = resolve(["--offline"], {}, {})
    facts = gather(settings, context, providers=Providers(windows=breaks))
    finding = only("question-unanswered", facts)
    assert finding.severity is WARNING
    assert "vswhere is gone" in finding.evidence
    assert facts.troubles == (Trouble(question="Windows", why="OSError: vswhere is gone"),)


def test_what_a_provider_knows_is_listed():
    studio = VisualStudio(
        name="Visual Studio 2022", version="17.14", path=Path("C:/VS"), toolsets=("14.44",)
    )
    facts = make_facts(windows=WindowsFacts(visual_studios=(studio,), sdks=("10.0.26100.0",)))
    (section,) = (section for section in SECTIONS if section.key == "sdks")
    assert [row[0] for row in section.rows(facts)] == ["Visual Studio 2022", "Windows SDK"]


class TestPlan:
    def choice(self, facts, subject: str):
        return next(entry for entry in plan(facts) if entry.subject == subject)

    @needs_compiler
    @needs_shell
    def test_a_named_protobuf_is_what_would_be_used(self, tmp_path):
        root = Toy(root=tmp_path).make()
        facts = make_facts("--protobuf-root", root, protobufs=(look(root),))
        chosen = self.choice(facts, "protobuf")
        assert f"{root}/lib/libprotobuf-lite.a" in chosen.choice
        assert self.choice(facts, "ONNX_USE_PROTOBUF_SHARED_LIBS").choice == "OFF"

    @needs_compiler
    @needs_shell
    def test_a_shared_one_of_the_machine_is_taken(self, tmp_path):
        root = Toy(root=tmp_path, static=False, shared=True).make()
        facts = make_facts("--protobuf", "shared", protobufs=(look(root),))
        assert str(root) in self.choice(facts, "protobuf").choice
        assert self.choice(facts, "ONNX_USE_PROTOBUF_SHARED_LIBS").choice == "ON"

    def test_upstream_takes_what_cmake_finds(self):
        found = protobuf("/usr")
        facts = upstream(make_facts(protobufs=(found,), cmake_finds=taking(found)))
        assert "/usr/lib/libprotobuf.a" in self.choice(facts, "protobuf's library").choice
        alone = upstream(make_facts("--onnx-version", "1.16.0"))
        assert "protobuf 22.3" in self.choice(alone, "protobuf").choice

    def test_without_a_compiler(self):
        facts = make_facts(toolchain=None)
        assert self.choice(facts, "compiler").choice == "nothing"


def test_the_report_shows_commands_as_they_are_typed(capsys):
    from rich.console import Console  # noqa: PLC0415

    facts = make_facts(host={"process_memory": 1000}, package_manager="apt")
    facts = replace(facts, toolchain=None)
    Console(width=100).print(report(facts, diagnose(CHECKS, facts)))
    shown = capsys.readouterr().out
    assert "ulimit -v unlimited" in shown
    assert "nox -s build will fail" in shown
    assert severities("not-enough-memory", facts) == [FATAL]
