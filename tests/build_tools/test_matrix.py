"""The wheel matrix: what the project's own file says, and what a wrong one is told."""

from __future__ import annotations

import json

import pytest

from build_tools.__main__ import main
from build_tools.config import Linkage
from build_tools.errors import ConfigError
from build_tools.matrix import Way, as_table, github, load_matrix

RIGHT = """\
pythons = ["3.10", "3.13"]
protobuf = ["static"]
[debian]
"3.13" = "trixie"
[[target]]
name = "manylinux2014_aarch64"
zig = "aarch64-linux-gnu.2.17"
run = "qemu"
runner = "ubuntu-24.04-arm"
protobuf = ["static", "shared"]
[[target]]
name = "win_amd64"
zig = "x86_64-windows-gnu"
run = "wine"
pythons = ["3.13"]
"""


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "matrix.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_the_projects_matrix_has_the_targets_that_are_promised():
    matrix = load_matrix()
    assert [row.target.name for row in matrix.rows] == [
        "manylinux2014_x86_64",
        "manylinux2014_aarch64",
        "musllinux_1_2_x86_64",
        "musllinux_1_2_aarch64",
        "win_amd64",
        "macosx_11_0_arm64",
        "macosx_11_0_x86_64",
    ]
    assert {"3.10", "3.11", "3.12", "3.13"} <= set(matrix.pythons)
    assert set(matrix.debian) <= set(matrix.pythons)


def test_a_row_says_all_that_is_known_of_its_target(written):
    arm, windows = load_matrix(written(RIGHT)).rows
    assert (arm.target.system, arm.target.machine, arm.target.libc) == ("linux", "aarch64", "glibc")
    assert (arm.way, arm.linkages) == (Way.QEMU, (Linkage.STATIC, Linkage.SHARED))
    assert arm.pythons == ("3.10", "3.13")
    assert (windows.target.system, windows.pythons) == ("windows", ("3.13",))


def test_the_pythons_are_ordered_as_numbers(written):
    text = RIGHT.replace('["3.10", "3.13"]', '["3.13", "3.9", "3.10"]')
    assert load_matrix(written(text)).pythons == ("3.9", "3.10", "3.13")


def test_what_is_asked_for_is_selected(written):
    matrix = load_matrix(written(RIGHT))
    (row,) = matrix.select(["manylinux2014_aarch64"], ["3.13"])
    assert (row.target.name, row.pythons) == ("manylinux2014_aarch64", ("3.13",))
    assert [row.pythons for row in matrix.select([], ["3.10"])] == [("3.10",)]
    with pytest.raises(ConfigError, match=r"none of win_amd64 is built for Python 3\.10"):
        matrix.select(["win_amd64"], ["3.10"])


@pytest.mark.parametrize(
    ("targets", "pythons", "complaint"),
    [(["manylinux2014_arch64"], [], "no target"), ([], ["3.14"], "no Python '3.14'")],
)
def test_what_the_matrix_does_not_have_is_named(written, targets, pythons, complaint):
    with pytest.raises(ConfigError, match=complaint) as caught:
        load_matrix(written(RIGHT)).select(targets, pythons)
    assert "it has" in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('name = "win_amd64"', 'name = "win64"', "not a platform tag"),
        ('"x86_64-windows-gnu"', '"aarch64-windows-gnu"', "another machine"),
        ('"aarch64-linux-gnu.2.17"', '"aarch64-linux-musl"', "another machine"),
        ('run = "wine"', 'run = "magic"', "magic"),
        ('run = "wine"\n', "", "no 'run'"),
        ('["3.13"]', '["3"]', "not a CPython"),
        ('["static", "shared"]', '["sometimes"]', "sometimes"),
        ('runner = "', 'runs-on = "', "unknown key runs-on"),
        ('name = "win_amd64"', 'name = "manylinux2014_aarch64"', "another machine"),
        ("[[target]]", "[[targets]]", "unknown key targets"),
        ("[debian]", "[debian", "not valid TOML"),
    ],
)
def test_a_wrong_matrix_is_refused(written, old, new, complaint):
    with pytest.raises(ConfigError, match=complaint):
        load_matrix(written(RIGHT.replace(old, new)))


def test_a_target_that_is_there_twice_is_refused(written):
    again = RIGHT[RIGHT.index("[[target]]") : RIGHT.rindex("[[target]]")]
    with pytest.raises(ConfigError, match="twice"):
        load_matrix(written(RIGHT + again))


def test_the_jobs_of_a_workflow_are_what_is_built_natively(written):
    jobs = github(load_matrix(written(RIGHT)))["include"]
    assert len(jobs) == 4
    assert jobs[0] == {
        "target": "manylinux2014_aarch64",
        "python": "3.10",
        "protobuf": "static",
        "os": "ubuntu-24.04-arm",
    }


def test_a_person_sees_every_target(written):
    assert len(as_table(load_matrix(written(RIGHT))).splitlines()) == 2


def test_the_verb_prints_jobs_that_json_reads(capsys):
    assert main(["matrix", "--github"]) == 0
    jobs = json.loads(capsys.readouterr().out)
    assert {job["os"] for job in jobs["include"]} >= {"ubuntu-24.04", "windows-2022", "macos-14"}
