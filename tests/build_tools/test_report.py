"""The report: what kind of run it was, what is printed, what is kept and read again."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest

from build_tools import report
from build_tools.console import show
from build_tools.ninja_log import Command, NinjaRun
from build_tools.record import Record
from build_tools.report import EVERYTHING, JSON_NAME, ONE_KERNEL, PAGE_NAME, classify
from tests.build_tools.reports import made_report

DOCUMENT = Path(__file__).parents[2] / "docs" / "build-report.md"


def record(*projects: str) -> Record:
    filled = Record()
    for project in projects:
        command = Command(start=0, seconds=1, outputs=("x.o",))
        filled.compiled(project, NinjaRun(started=0, commands=(command,)))
    return filled


@pytest.mark.parametrize(
    ("compiled", "changed", "goal"),
    [
        (("protobuf", "onnx", "onnxforge"), (), EVERYTHING),
        (("onnxforge",), ("cpp/kernels/simd/gemm.cc",), ONE_KERNEL),
        (("onnxforge",), ("cpp/kernels/simd/gemm.cc", "cpp/io/read.cc"), None),
        (("onnxforge",), ("cpp/io/read.cc",), None),
        (("onnxforge",), (), None),
        (("onnx", "onnxforge"), ("cpp/kernels/simd/gemm.cc",), None),
    ],
)
def test_a_run_is_held_to_the_goal_of_its_kind(compiled, changed, goal):
    assert classify(record(*compiled), changed) is goal


def printed(content) -> str:
    stream = io.StringIO()
    show(content, stream)
    return stream.getvalue()


def test_the_summary_says_what_was_decided_proved_and_how_long_it_took():
    text = printed(report.summary(made_report(), Path("dist")))
    assert "GCC <12>" in text
    assert "first [PATH]" in text
    assert "✓" in text
    assert "from the cache" in text
    assert "dist/onnxforge-0.1.0-cp311-cp311-manylinux_2_34_x86_64.whl (2.3 MB)" in text
    assert "3 min 20 s: everything, from an empty cache" in text
    assert "(goal on two processors: 6 min 00 s)" in text


def test_square_brackets_in_values_are_not_taken_for_markup():
    decision = {"subject": "x", "choice": "[red]y[/]", "reason": "[/]", "source": ""}
    assert "[red]y[/]" in printed(report.summary(made_report(decisions=[decision]), Path()))


def test_an_unchanged_wheel_is_said_to_be_verified():
    text = printed(report.unchanged_summary(made_report(), Path("dist"), 1.25))
    assert "nothing changed" in text
    assert "sha256 verified" in text
    assert "1.2 s: nothing changed (goal on two processors: 10 s)" in text


def test_it_is_written_and_read_again(tmp_path):
    report.write(made_report(), tmp_path)
    assert report.read(tmp_path) == made_report()
    assert sorted(path.name for path in tmp_path.iterdir()) == [PAGE_NAME, JSON_NAME]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": "onnxforge/build-report/0"}'])
def test_what_is_no_report_of_this_version_counts_as_none(tmp_path, text):
    assert report.read(tmp_path) is None
    (tmp_path / JSON_NAME).write_text(text, encoding="utf-8")
    assert report.read(tmp_path) is None


def test_every_field_is_documented_and_every_documented_field_exists():
    text = DOCUMENT.read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `([a-z0-9_.\[\]]+)` \|", text, re.M))
    assert documented == set(paths(made_report())) | {f"smoke.{name}" for name in SMOKE}
    assert json.dumps(report.SCHEMA) in text


SMOKE = ("version", "numpy", "python", "file", "made_model", "magika")
OPEN = {"inputs.files", "inputs.facts", "inputs.libraries", "toolchain.probes"}
OPEN |= {"config.values", "config.origins", "audit.symbol_versions"}


def paths(value, path=""):
    """The fields of a report: a.b for objects, a[].b for lists of objects; free keys end it."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        yield from paths(value[0], f"{path}[]")
    elif isinstance(value, dict) and path not in OPEN:
        for name, item in value.items():
            yield from paths(item, f"{path}.{name}" if path else name)
    elif path != "smoke":
        yield path
