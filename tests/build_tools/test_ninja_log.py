"""Reading what ninja ran, and when."""

from __future__ import annotations

import os

import pytest

from build_tools.ninja_log import Command, last_run, parse, read_lines

LINES = [
    "0\t1500\t170000\tCMakeFiles/a.dir/x.cc.o\tabc",
    "10\t500\t170000\tgen/one.h\tdef",
    "10\t500\t170000\tgen/two.h\tdef",
    "1500\t1600\t170000\tliba.a\t123",
]


def write_log(folder, lines, *, version="7"):
    text = "\n".join([f"# ninja log v{version}", *lines]) + "\n"
    (folder / ".ninja_log").write_text(text, encoding="utf-8")


def test_commands_come_in_order_and_two_outputs_of_one_command_are_one():
    assert parse(LINES) == (
        Command(start=0.0, seconds=1.5, outputs=("CMakeFiles/a.dir/x.cc.o",)),
        Command(start=0.01, seconds=0.49, outputs=("gen/one.h", "gen/two.h")),
        Command(start=1.5, seconds=0.1, outputs=("liba.a",)),
    )


@pytest.mark.parametrize("line", ["", "garbage", "1\t2\t3", "a\tb\tc\td\te", "1\t2\t3\tx.o\t"])
def test_damaged_lines_do_no_harm(line):
    assert len(parse([*LINES, line])) in {3, 4}


@pytest.mark.parametrize(
    ("output", "kind"),
    [
        ("CMakeFiles/a.dir/x.cc.o", "compile"),
        ("x.cc.obj", "compile"),
        ("liba.a", "archive"),
        ("_core.cpython-311-x86_64-linux-gnu.so", "link"),
        ("gen/onnx.pb.h", "generate"),
        ("build.ninja", "generate"),
    ],
)
def test_the_kind_of_work_is_told_from_the_output(output, kind):
    assert Command(start=0, seconds=0, outputs=(output,)).kind == kind


def test_only_what_is_new_counts_and_its_start_is_found(tmp_path):
    write_log(tmp_path, LINES[:1])
    before = read_lines(tmp_path)
    write_log(tmp_path, LINES)
    os.utime(tmp_path / ".ninja_log", (1000.0, 1000.0))
    run = last_run(tmp_path, before)
    assert run is not None
    assert run.started == pytest.approx(1000.0 - 1.6)
    assert [command.outputs[0] for command in run.commands] == ["gen/one.h", "liba.a"]


def test_nothing_new_is_no_run(tmp_path):
    write_log(tmp_path, LINES)
    assert last_run(tmp_path, read_lines(tmp_path)) is None
    assert last_run(tmp_path / "missing") is None


def test_an_unknown_version_is_not_guessed_at(tmp_path):
    write_log(tmp_path, LINES, version="99")
    assert read_lines(tmp_path) == ()
