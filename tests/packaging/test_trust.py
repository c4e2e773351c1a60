"""Whole builds: a wheel made again, one beside other packages, and wheels without any network."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from build_tools.wheel_file import WheelFile
from tests.build_tools.site import clean_environment
from tests.build_tools.test_bundle import cut_off, needs_namespaces
from tests.packaging.test_end_to_end import Clone, cache_settings

pytestmark = [
    pytest.mark.build,
    pytest.mark.slow,
    pytest.mark.network,
    pytest.mark.skipif(sys.platform != "linux", reason="reads ELF files and manylinux tags"),
]

PROGRAM = Path(__file__).with_name("together_program.py")


def run(clone: Clone, command, **environ) -> subprocess.CompletedProcess[str]:
    """Run a command in the clone's tree."""
    return subprocess.run(
        command,
        cwd=clone.tree,
        env=clean_environment(**{**cache_settings(), **environ}),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Clone:
    return Clone.make(tmp_path_factory.mktemp("trust"))


def test_a_wheel_is_made_again_in_a_folder_of_another_name(clone):
    report = clone.build("--compiler", "gcc")
    command = (sys.executable, "-m", "build_tools", "reproduce", "--json", clone.wheel(report))
    done = run(clone, command)
    assert done.returncode == 0, done.stderr[-8000:]
    found = json.loads(done.stdout)
    assert found["identical"] is True
    assert found["sha256"] == report["wheel"]["sha256"]


# One name is that of a package, the other that of its project.
NEIGHBOURS = {
    "onnx": "onnx",
    "onnxruntime": "onnxruntime",
    "sentencepiece": "sentencepiece",
    "grpc": "grpcio",
}


def test_it_works_beside_others_in_every_order(clone, tmp_path):
    report = clone.build("--compiler", "gcc")
    python = tmp_path / "environment/bin/python"
    subprocess.run([sys.executable, "-m", "venv", python.parents[1]], check=True)
    pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    done = run(clone, (*pip, clone.wheel(report), *NEIGHBOURS.values()))
    assert done.returncode == 0, done.stderr
    names = ["onnxforge", *NEIGHBOURS]
    turns = [names[at:] + names[:at] for at in range(len(names))]
    for order in [*turns, *(turn[::-1] for turn in turns)]:
        seen = run(clone, (python, "-I", PROGRAM, *order))
        assert seen.returncode == 0, f"{order}\n{seen.stdout}{seen.stderr}"
        assert list(json.loads(seen.stdout)) == order
    audit = (sys.executable, "-m", "build_tools", "audit", "--environment", python)
    found = run(clone, (*audit, clone.wheel(report)))
    assert found.returncode == 0, found.stdout


@needs_namespaces
@pytest.mark.parametrize("verb", ["build", "onnx"])
def test_everything_is_built_without_any_network(clone, tmp_path, verb):
    bundle = tmp_path / "b.tar"
    made = run(clone, (sys.executable, "-m", "build_tools", "bundle", bundle))
    assert made.returncode == 0, made.stderr[-8000:]
    folders = {name: str(tmp_path / name) for name in ("cache", "build", "dist")}
    environ = {
        "ONNXFORGE_CACHE_DIR": folders["cache"],
        "ONNXFORGE_BUILD_DIR": folders["build"],
        "ONNXFORGE_OUT_DIR": folders["dist"],
    }
    command = (sys.executable, "-m", "build_tools", verb, "--json", "--bundle", bundle)
    done = run(clone, cut_off(*command), **environ)
    assert done.returncode == 0, done.stderr[-8000:]
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    assert list(WheelFile.open(wheel).record_problems()) == []
