"""Proving any wheel: what is expected of it by its name, and how the answer is given."""

from __future__ import annotations

import json

import pytest

from build_tools import __main__ as entry
from build_tools.audit_cli import expectation_of, prove, sarif, side_by_side
from build_tools.config import Linkage
from build_tools.console import show
from build_tools.context import Context
from build_tools.errors import AuditError, UsageError
from build_tools.hardening import Hardening, read_hardening
from build_tools.process import SystemRunner
from build_tools.record import Record
from build_tools.target import target_of_tag
from tests.build_tools import mingw
from tests.build_tools.mingw import needs_mingw
from tests.build_tools.support import make_host
from tests.build_tools.wheels import MODULE, extension, needs_c_compiler, write_wheel


@pytest.fixture
def context():
    return Context(host=make_host(), runner=SystemRunner(), record=Record())


@pytest.mark.parametrize(
    ("tag", "system", "machine", "libc"),
    [
        ("linux_x86_64", "linux", "x86_64", "glibc"),
        ("manylinux2014_aarch64", "linux", "aarch64", "glibc"),
        ("manylinux_2_28_x86_64", "linux", "x86_64", "glibc"),
        ("musllinux_1_2_aarch64", "linux", "aarch64", "musl"),
        ("macosx_11_0_arm64", "darwin", "aarch64", ""),
        ("win_amd64", "windows", "x86_64", ""),
    ],
)
def test_a_platform_tag_says_what_a_wheel_is_for(tag, system, machine, libc):
    target = target_of_tag(tag)
    assert (target.system, target.machine, target.libc) == (system, machine, libc)


def test_a_tag_of_no_system_is_refused():
    with pytest.raises(ValueError, match="any names no system"):
        target_of_tag("any")


@needs_c_compiler
class TestHardening:
    def module(self, tmp_path, *flags, also=""):
        path = tmp_path / "module.so"
        path.write_bytes(extension(tmp_path, also=also, flags=flags))
        return read_hardening(path)

    def test_all_protections(self, tmp_path):
        assert self.module(tmp_path) == Hardening()

    @pytest.mark.parametrize(
        ("flag", "missing"),
        [
            ("-Wl,-z,norelro", "RELRO"),
            ("-Wl,-z,lazy", "BIND_NOW"),
            ("-Wl,-z,execstack", "a stack that is not executable"),
        ],
    )
    def test_a_missing_protection_is_named(self, tmp_path, flag, missing):
        assert missing in self.module(tmp_path, flag).lacks

    def test_the_path_of_a_source_file_is_found_and_a_relative_one_is_none(self, tmp_path):
        texts = '"/home/me/my project/src/main.cc:12"', '"source/src/other.cc"', '"https://x/y.h"'
        kept = [f"SHOW const char t{i}[] = {text};" for i, text in enumerate(texts)]
        found = self.module(tmp_path, also="\n".join(kept))
        assert found.source_paths == ("/home/me/my project/src/main.cc",)


@needs_mingw
def test_windows_protections(tmp_path):
    (tmp_path / "a.pyd").write_bytes(mingw.extension(tmp_path))
    (tmp_path / "b.pyd").write_bytes(mingw.extension(tmp_path, "-Wl,--disable-nxcompat"))
    assert read_hardening(tmp_path / "a.pyd").lacks == ()
    assert "NX_COMPAT" in read_hardening(tmp_path / "b.pyd").lacks[0]


@needs_c_compiler
class TestWheels:
    @pytest.fixture
    def good(self, tmp_path):
        folder = tmp_path / "good"
        folder.mkdir()
        members = {MODULE: extension(folder), "toy/__init__.py": b"", "toy/a.h": b""}
        return write_wheel(folder, members)

    @pytest.fixture
    def bad(self, tmp_path):
        folder = tmp_path / "bad"
        folder.mkdir()
        also = 'SHOW const char* leak(void) { return "/work/of/mine/leak.c"; }'
        module = extension(folder, also=also, flags=("-Wl,-z,norelro", "-Wl,-z,lazy"))
        return write_wheel(folder, {MODULE: module, "toy/__init__.py": b""})

    def test_what_it_must_be_follows_from_its_name_and_content(self, good):
        expected = expectation_of(good)
        assert (expected.package, expected.protobuf) == ("toy", Linkage.STATIC)
        assert expected.target.system == "linux"
        assert not expected.repaired

    def test_a_good_wheel_has_no_result_and_a_bad_one_has_its_reasons(self, good, bad, context):
        log = sarif([prove(good, context), prove(bad, context)])
        (run,) = log["runs"]
        rules = {result["ruleId"] for result in run["results"]}
        assert {"only-pyinit_-is-exported", "no-absolute-path-of-a-source-file-is-in-it"} <= rules
        assert rules <= {rule["id"] for rule in run["tool"]["driver"]["rules"]}
        assert all("norelro" not in result["message"]["text"] for result in run["results"])

    def test_wheels_stand_side_by_side(self, good, bad, context, capsys):
        show(side_by_side([prove(good, context), prove(bad, context)]), __import__("sys").stdout)
        text = capsys.readouterr().out
        assert text.count("claims hold") == 2
        assert "✗" in text

    def test_the_exit_code_says_whether_all_hold(self, good, bad, tmp_path, capsys):
        assert entry.main(["audit", str(good), "--json"]) == 0
        report = json.loads(capsys.readouterr().out)
        assert all(proof["ok"] for proof in report[0]["proofs"])
        log = tmp_path / "log.sarif"
        assert entry.main(["audit", str(bad), "--sarif", str(log)]) == AuditError.exit_code
        assert json.loads(log.read_text(encoding="utf-8"))["version"] == "2.1.0"


def test_what_is_no_wheel_or_not_there_is_a_usage_error(tmp_path, context):
    with pytest.raises(UsageError, match="no such file"):
        prove(tmp_path / "toy-1.0-cp311-cp311-win_amd64.whl", context)
    pure = write_wheel(tmp_path, {"toy/__init__.py": b""}, tag="py3-none-any")
    with pytest.raises(UsageError, match="not a wheel for one system"):
        prove(pure, context)
