"""A wheel of the matrix, made with zig from nothing but the sources, and run on this machine."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from build_tools.matrix import load_matrix
from build_tools.wheel_file import WheelFile
from tests.build_tools.site import clean_environment

pytestmark = [
    pytest.mark.build,
    pytest.mark.network,
    pytest.mark.skipif(
        (sys.platform, platform.machine()) != ("linux", "x86_64"),
        reason="runs the wheel for x86-64 Linux",
    ),
]

REPOSITORY = Path(__file__).resolve().parents[2]
TARGET = "manylinux2014_x86_64"
PYTHON = f"3.{sys.version_info.minor}"


def wheels(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the verb with folders of its own; the cache is the usual one."""
    folders = ("--build-dir", str(folder / "büild"), "--out-dir", str(folder / "öut"))
    return subprocess.run(
        [sys.executable, "-m", "build_tools", "wheels", "--json", *folders, *options],
        cwd=REPOSITORY,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.skipif(PYTHON not in load_matrix().pythons, reason="a Python outside the matrix")
def test_a_crossed_wheel_is_what_its_tag_says_and_runs(tmp_path):
    done = wheels(tmp_path, "--target", TARGET, "--python", PYTHON, "--test")
    assert done.returncode == 0, done.stderr[-8000:]
    (entry,) = json.loads(done.stdout)
    wheel = WheelFile.open(tmp_path / "öut" / entry["file"])
    assert TARGET in wheel.platforms
    assert wheel.sha256 == entry["sha256"]
    (module,) = wheel.binaries()
    assert module.exported == ("PyInit__core",)
    assert not [name for name in module.dynamic.needed if "c++" in name]
    assert entry["run"]["on"].startswith(f"CPython {PYTHON}.")
    assert entry["run"]["cases"] > 200
    # Highway still chooses among instruction sets when it runs.
    assert len(entry["run"]["tiers"]) > 2
    kept = json.loads((tmp_path / "öut" / "wheels.json").read_text(encoding="utf-8"))
    assert [wheel["file"] for wheel in kept["wheels"]] == [entry["file"]]


def test_what_the_matrix_does_not_have_is_told_at_once(tmp_path):
    done = wheels(tmp_path, "--target", "manylinux2014_x86")
    assert done.returncode == 3
    assert "did you mean manylinux2014_x86_64?" in done.stderr


def test_headers_that_are_not_there_are_told(tmp_path):
    done = wheels(tmp_path, "--headers", "3.12")
    assert done.returncode == 2
    assert "X.Y=DIR" in done.stderr
