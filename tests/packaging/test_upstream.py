"""Upstream's own package, built for real: what the wheel is, and what is spared the second time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from build_tools.wheel_file import WheelFile
from tests.build_tools.site import clean_environment
from tests.packaging.test_end_to_end import cache_settings

pytestmark = [
    pytest.mark.build,
    pytest.mark.slow,
    pytest.mark.network,
    pytest.mark.skipif(sys.platform != "linux", reason="reads ELF files and manylinux tags"),
]

REPOSITORY = Path(__file__).resolve().parents[2]
# Old enough for a setup.py of its own and pybind11, new enough for every Python of today.
RELEASE = "1.17.0"
RANGE = ">=3.20.2"


def build(room, *options):
    """Run the verb as a person would and return its reports."""
    command = [sys.executable, "-m", "build_tools", "onnx", "--json", "--onnx-version", RELEASE]
    folders = ["--build-dir", str(room / "build"), "--out-dir", str(room / "dist")]
    run = subprocess.run(
        [*command, *folders, *options],
        cwd=REPOSITORY,
        env=clean_environment(**cache_settings()),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-6000:]
    return json.loads(run.stdout)


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    return tmp_path_factory.mktemp("upstream ü")


@pytest.fixture(scope="module")
def report(room):
    (report,) = build(room, "--protobuf-runtime", RANGE)
    return report


def test_the_wheel_is_upstreams_and_proved(room, report):
    wheel = WheelFile.open(room / "dist" / report["wheel"]["file"])
    assert (wheel.name, wheel.version) == ("onnx", RELEASE)
    assert all(tag.startswith("manylinux") for tag in wheel.platforms)
    (module,) = wheel.binaries()
    assert module.exported == ("PyInit_onnx_cpp2py_export",)
    assert not [name for name in module.dynamic.needed if "protobuf" in name]
    assert list(wheel.record_problems()) == []
    # What a package of upstream's must have beside the extension.
    expected = {"onnx/onnx_ml_pb2.py", "onnx/onnx-ml.proto", "onnx/py.typed", "onnx/checker.py"}
    assert expected <= wheel.members.keys()


def test_it_requires_the_range_and_was_tried_at_both_ends(room, report):
    wheel = WheelFile.open(room / "dist" / report["wheel"]["file"])
    assert f"protobuf{RANGE}" in wheel.metadata("METADATA")["Requires-Dist"]
    protobufs = [entry["protobuf"] for entry in report["tried"]]
    assert protobufs[0] == "3.20.2"
    assert int(protobufs[-1].partition(".")[0]) >= 6
    assert all("site-packages" in entry["file"] for entry in report["tried"])


def test_nothing_of_this_machine_is_in_the_extension(room, report, tmp_path):
    wheel = WheelFile.open(room / "dist" / report["wheel"]["file"])
    (module,) = wheel.binaries()
    content = wheel.read(module.member)
    assert str(room).encode() not in content
    assert str(Path.home()).encode() not in content


def test_a_second_run_finds_that_nothing_has_changed(room, report):
    (again,) = build(room, "--protobuf-runtime", RANGE)
    assert again["unchanged"] is True
    assert again["wheel"] == report["wheel"]
