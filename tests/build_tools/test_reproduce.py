"""A wheel made again: its record becomes a command, and every difference gets its words."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from build_tools.__main__ import main
from build_tools.bill.attach import attach_bill
from build_tools.bill.model import Component, Making, Materials, Tool, Use
from build_tools.differences import explain
from build_tools.errors import ReproduceError
from build_tools.reproduce import (
    differences_here,
    environment_of,
    foreign_arguments,
    options_of,
    record_of,
)
from build_tools.reproduce_cli import copy_tree
from build_tools.wheel_file import WheelFile
from tests.build_tools.wheels import MODULE, altered, extension, needs_c_compiler, write_wheel

FOLDERS = {"<project>": Path("/new/tree"), "<build>": Path("/new/build")}
FACTS = {
    "kind": "onnxforge",
    "target": "native",
    "python": "3.11.7 cpython-311-x86_64-linux-gnu",
    "lock": "ab" * 32,
    "compiler": "gcc 12.2.0 x86_64-linux-gnu",
    "source date": "315532800",
    "compile flags": "-O3 -fPIC",
    "environment CXXFLAGS": "-O2 -I<build>/x",
    "setting protobuf": '"shared"',
    "setting lto": "true",
    "setting repair": "false",
    "setting cmake_args": '["-DA=<project>/a b", "-DB=1"]',
    "sources cpp": "cd" * 32,
}
NO_ARGUMENTS = {"environment CXXFLAGS": "", "setting cmake_args": "[]"}
MAKING = Making(tools=(Tool(name="GCC", version="12.2.0"),), facts=FACTS)


def component(name, version):
    return Component(
        name=name, version=version, license="MIT", text=b"MIT", use=Use.DATA, library="ef" * 32
    )


def made(tmp_path, **facts: str) -> Path:
    """A wheel with a record."""
    path = write_wheel(tmp_path, {"toy/__init__.py": b""}, bill=False)
    components = (component("protobuf", "3.21.12"), component("onnx", "1.23.2"))
    making = replace(MAKING, facts={**FACTS, **facts})
    attach_bill(path, Materials(license="MIT", components=components, making=making))
    return path


class TestRecord:
    def test_it_becomes_the_options_of_a_build(self, tmp_path):
        record = record_of(WheelFile.open(made(tmp_path)))
        assert options_of(record, FOLDERS) == [
            *("--compiler", "gcc"),
            *("--protobuf-version", "3.21.12"),
            *("--onnx-version", "1.23.2"),
            "--protobuf=shared",
            "--lto",
            "--no-repair",
            *("--cmake-arg=-DA=/new/tree/a b", "--cmake-arg=-DB=1"),
        ]
        assert environment_of(record, FOLDERS) == {
            "CXXFLAGS": "-O2 -I/new/build/x",
            "SOURCE_DATE_EPOCH": "315532800",
        }

    @pytest.mark.parametrize(
        ("python", "asked"),
        [
            ("3.12.1 cpython-312-x86_64-linux-gnu", "3.12.1"),
            ("3.13.0 cpython-313t-x86_64-linux-gnu", "3.13.0t"),
        ],
    )
    def test_upstreams_package_is_made_for_the_same_python(self, tmp_path, python, asked):
        record = record_of(WheelFile.open(made(tmp_path, kind="onnx", python=python)))
        options = options_of(record, FOLDERS)
        assert options[options.index("--python") + 1] == asked

    def test_a_strangers_record_sets_no_variables_and_settings_of_its_own(self, tmp_path):
        strange = {"environment LD_PRELOAD": "/tmp/x.so", "setting cmake": '"/tmp/x"'}
        record = record_of(WheelFile.open(made(tmp_path, **strange, **{"setting nonsense": "1"})))
        assert "LD_PRELOAD" not in environment_of(record, FOLDERS)
        assert not [word for word in options_of(record, FOLDERS) if "/tmp/x" in word]
        assert not [word for word in options_of(record, FOLDERS) if "nonsense" in word]

    def test_arguments_are_a_strangers_unless_the_user_has_the_same(self, tmp_path):
        record = record_of(WheelFile.open(made(tmp_path)))
        arguments = 'cmake_args: ["-DA=<project>/a b", "-DB=1"]'
        assert list(foreign_arguments(record, {})) == ["CXXFLAGS: -O2 -I<build>/x", arguments]
        own = {"CXXFLAGS": "-O2 -I<build>/x"}
        assert list(foreign_arguments(record, own)) == [arguments]
        plain = record_of(WheelFile.open(made(tmp_path, **NO_ARGUMENTS)))
        assert list(foreign_arguments(plain, {})) == []

    def test_a_setting_that_makes_no_sense(self, tmp_path):
        record = record_of(WheelFile.open(made(tmp_path, **{"setting lto": "{"})))
        with pytest.raises(ReproduceError, match="record of --lto makes no sense"):
            options_of(record, FOLDERS)

    def test_a_wheel_without_a_record(self, tmp_path):
        wheel = write_wheel(tmp_path, {"toy/__init__.py": b""})
        with pytest.raises(ReproduceError, match="does not say how it was made") as caught:
            record_of(WheelFile.open(wheel))
        assert "not said: compiler, kind, lock" in str(caught.value)

    def test_a_wheel_for_another_machine(self, tmp_path):
        with pytest.raises(ReproduceError, match="another machine, musllinux_1_2_x86_64"):
            record_of(WheelFile.open(made(tmp_path, target="musllinux_1_2_x86_64")))

    def test_what_is_not_the_same_here_is_said_with_both_sides(self, tmp_path):
        record = record_of(WheelFile.open(made(tmp_path)))
        assert list(differences_here(record, MAKING)) == []
        facts = {**FACTS, "lock": "00" * 32, "compiler": "gcc 13.1.0 x86_64-linux-gnu"}
        # Flags, settings and the date are set again; they cannot differ.
        facts |= {"environment CXXFLAGS": "", "setting lto": "", "source date": "1"}
        here = Making(tools=(Tool(name="GCC", version="13.1.0"),), facts=facts)
        assert list(differences_here(record, here)) == [
            f"lock: it was {'ab' * 32}, here it is {'00' * 32}",
            "compiler: it was gcc 12.2.0 x86_64-linux-gnu, here it is gcc 13.1.0 x86_64-linux-gnu",
            "GCC: it was 12.2.0, here it is 13.1.0",
        ]

    def test_the_tree_is_copied_without_what_was_made_in_it(self, tmp_path):
        copy_tree(Path(__file__).resolve().parents[2], tmp_path / "tree")
        names = {path.name for path in (tmp_path / "tree").iterdir()}
        assert {"CMakeLists.txt", "build_tools", "cpp", "third_party"} <= names
        assert not list((tmp_path / "tree").rglob("__pycache__"))


@pytest.fixture
def pair(tmp_path):
    """Two wheels of the same bytes, in two folders."""
    first = write_wheel(tmp_path, {"toy/__init__.py": b"x = 1\n", "toy/data.bin": bytes(100)})
    second = tmp_path / "other" / first.name
    second.parent.mkdir()
    shutil.copyfile(first, second)
    return first, second


class TestExplanation:
    def test_the_same_bytes_need_none(self, pair):
        assert explain(*pair) == []

    def test_a_line_of_a_text(self, pair):
        altered(pair[1], {"toy/__init__.py": b"x = 2\n"})
        assert explain(*pair) == ["toy/__init__.py: -x = 1", "toy/__init__.py: +x = 2"]

    def test_the_first_of_the_bytes_that_differ(self, pair):
        altered(pair[1], {"toy/data.bin": bytes(65) + b"\1\2" + bytes(33)})
        (line,) = explain(*pair)
        assert line.startswith("toy/data.bin: 2 bytes differ, from offset 0x41 on: '\\x00")

    def test_a_longer_member(self, pair):
        altered(pair[1], {"toy/data.bin": bytes(101)})
        (line,) = explain(*pair)
        assert line.startswith("toy/data.bin: 100 and 101 bytes, 0 bytes differ, from offset 0x64")

    def test_members_of_one_only(self, pair):
        altered(pair[1], {"toy/new.py": b""})
        assert explain(*pair) == ["toy/new.py: in the second only"]

    def test_a_value_of_the_bill(self, tmp_path):
        first, second = made(tmp_path), tmp_path / "other"
        second.mkdir()
        (line, record) = explain(first, made(second, compiler="gcc 13.1.0 x"))[-2:]
        assert "onnxforge.cdx.json" in line
        assert ".serialNumber: " in line
        assert record.endswith("RECORD: 1 rows, which follow from the members above")
        told = explain(first, second / first.name)
        assert any(
            "properties[onnxforge:compiler].value: gcc 12.2.0" in entry and "gcc 13.1.0" in entry
            for entry in told
        )

    @needs_c_compiler
    def test_the_section_of_a_library(self, tmp_path):
        wheels = []
        for name, text in (("a", "built at noon"), ("b", "built at nine")):
            folder = tmp_path / name
            folder.mkdir()
            module = extension(folder, also=f'SHOW const char *when(void) {{ return "{text}"; }}')
            wheels.append(write_wheel(folder, {MODULE: module}))
        told = [line for line in explain(*wheels) if line.startswith(MODULE)]
        (line,) = [line for line in told if "section .rodata" in line]
        assert "2 bytes differ, from offset 0xb on" in line or "differ, from offset" in line
        assert "noon" in line or "oon" in line

    def test_dates_and_rights(self, pair):
        first, second = pair
        with zipfile.ZipFile(first) as old, zipfile.ZipFile(second, "w") as new:
            for entry in old.infolist():
                content = old.read(entry)
                entry.date_time = (2001, 1, 1, 0, 0, 0)
                new.writestr(entry, content)
        (line,) = explain(*pair)
        assert re.match(r"toy/__init__\.py and 5 more: date: \d{4}-\S+ \S+, 2001-01-01", line)

    def test_another_packing_alone(self, pair):
        first, second = pair
        with zipfile.ZipFile(first) as old, zipfile.ZipFile(second, "w") as new:
            new.comment = b"packed by another program"
            for entry in old.infolist():
                new.writestr(entry, old.read(entry))
        (line,) = explain(*pair)
        assert line == "all members are the same; only the way they are packed differs"


class TestCommand:
    def test_the_same(self, pair, capsys):
        assert main(["reproduce", str(pair[0]), "--against", str(pair[1])]) == 0
        assert "identical, sha256 " in capsys.readouterr().out

    def test_a_tampered_wheel_is_explained(self, pair, capsys):
        altered(pair[1], {"toy/__init__.py": b"import os\n"})
        code = main(["reproduce", str(pair[0]), "--against", str(pair[1]), "--json"])
        said = capsys.readouterr()
        assert code == 63
        assert "toy/__init__.py: +import os" in json.loads(said.out)["error"]["looked"]
        assert "not the same bytes" in said.err
        assert "  - toy/__init__.py: +import os" in said.err

    def test_a_missing_file(self, tmp_path, capsys):
        assert main(["reproduce", str(tmp_path / "x.whl")]) == 2
        assert "no such file" in capsys.readouterr().err

    def test_a_file_that_is_no_wheel(self, pair, capsys):
        pair[1].write_bytes(b"not a wheel")
        assert main(["reproduce", str(pair[0]), "--against", str(pair[1])]) == 2
        assert "is not a wheel" in capsys.readouterr().err

    def test_what_is_not_the_same_is_said_before_anything_is_built(self, tmp_path, capsys):
        wheel = made(tmp_path, **NO_ARGUMENTS)
        options = ("--build-dir", str(tmp_path / "build"), "--out-dir", str(tmp_path / "dist"))
        assert main(["reproduce", str(wheel), *options]) == 63
        said = capsys.readouterr().err
        assert "cannot make the same wheel" in said
        assert f"lock: it was {'ab' * 32}, here it is " in said
        assert "--anyway" in said
        assert not (tmp_path / "dist").exists()

    def test_a_strangers_arguments_are_shown_and_not_followed(self, tmp_path, capsys):
        ran = tmp_path / "ran"
        strange = {"environment CXXFLAGS": f"-wrapper touch,{ran}", "setting cmake_args": "[]"}
        options = ("--build-dir", str(tmp_path / "build"), "--out-dir", str(tmp_path / "dist"))
        assert main(["reproduce", str(made(tmp_path, **strange)), *options]) == 63
        said = capsys.readouterr().err
        assert f"CXXFLAGS: -wrapper touch,{ran}" in said
        assert "--anyway" in said
        assert not ran.exists()
