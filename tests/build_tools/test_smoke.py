"""Trying a wheel: where, with what, and what a failure says."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from build_tools.context import Context
from build_tools.errors import SmokeError
from build_tools.process import SystemRunner
from build_tools.record import Record
from build_tools.smoke import PROGRAM, Smoke, make_environment, smoke
from tests.build_tools.support import RecordedRunner, has, make_host, said

SEEN = {
    "version": "0.1.0",
    "file": "/x",
    "numpy": "2.4.6",
    "python": "3.11.7",
    "made_model": {"shape": [2, 2]},
    "magika": {"recognised": {"python": 0.9995}, "session_ms": 20.0, "run_ms": 4.0},
}
RUN = (has("smoke_program.py"), said(f"a line before\n{json.dumps(SEEN)}\n"))
VENV = (has("venv"), said())
INSTALL = (has("pip", "install"), said())


def plan(tmp_path, **changes) -> Smoke:
    values = {
        "wheel": tmp_path / "toy-1.0-py3-none-any.whl",
        "model": tmp_path / "model",
        "wheels": tmp_path / "wheels",
        "offline": False,
        **changes,
    }
    return Smoke(**values)


def context(*answers, **environ) -> Context:
    host = make_host(environ={"PATH": "/bin", **environ})
    return Context(host=host, runner=RecordedRunner(answers), record=Record())


def test_it_runs_isolated_in_an_empty_folder_and_is_a_proof(tmp_path):
    here = context(VENV, INSTALL, RUN, PYTHONPATH="/tree", LD_LIBRARY_PATH="/lib")
    assert smoke(plan(tmp_path), here) == SEEN
    run = here.runner.calls[-1]
    assert run.argv[1:4] == ("-I", "-B", str(PROGRAM))
    model = tmp_path / "model"
    assert run.argv[4:] == (str(model / "model.onnx"), str(model / "config.min.json"))
    assert run.cwd.name == "empty folder"
    assert {"PYTHONPATH", "LD_LIBRARY_PATH"}.isdisjoint(run.env)
    (proof,) = here.record.proofs
    assert proof.ok
    assert "numpy 2.4.6" in proof.evidence


def test_dependencies_are_fetched_only_when_they_are_not_there(tmp_path):
    here = context(VENV, INSTALL, RUN)
    smoke(plan(tmp_path), here)
    assert not any("download" in call.argv for call in here.runner.calls)

    outcomes = iter([said(returncode=1), said()])
    install = (has("pip", "install"), lambda _command: next(outcomes))
    again = context(VENV, install, (has("download"), said()), RUN)
    smoke(plan(tmp_path), again)
    (download,) = [call for call in again.runner.calls if "download" in call.argv]
    assert "--no-index" not in download.argv


def test_offline_nothing_is_asked_of_the_index(tmp_path):
    here = context(
        VENV,
        (has("pip", "install"), said(returncode=1)),
        (has("download"), said(returncode=1, stderr="No matching distribution for numpy")),
    )
    with pytest.raises(SmokeError, match="cannot be had") as caught:
        smoke(plan(tmp_path, offline=True), here)
    assert "No matching distribution for numpy" in str(caught.value)
    (download,) = [call for call in here.runner.calls if "download" in call.argv]
    assert "--no-index" in download.argv


def test_a_model_that_fails_shows_its_traceback(tmp_path):
    failing = (has("smoke_program.py"), said(returncode=1, stderr="AssertionError: ini was html"))
    here = context(VENV, INSTALL, failing)
    with pytest.raises(SmokeError, match="does not run a real model") as caught:
        smoke(plan(tmp_path), here)
    assert "AssertionError: ini was html" in str(caught.value)
    assert here.record.proofs == []


def test_python_without_venv_is_told(tmp_path):
    here = context((has("venv"), said(returncode=1, stderr="No module named venv")))
    with pytest.raises(SmokeError, match="no virtual environment") as caught:
        smoke(plan(tmp_path), here)
    assert "install Python's venv module" in str(caught.value)


def test_libraries_that_are_not_in_the_wheel_are_lent(tmp_path):
    here = context(VENV, INSTALL, RUN)
    smoke(plan(tmp_path, library_dirs=(Path("/prefix/lib"),)), here)
    assert here.runner.calls[-1].env["LD_LIBRARY_PATH"] == "/prefix/lib"


def test_on_windows_python_is_told_where_they_are(tmp_path):
    """PATH would not help there: extensions are loaded without it."""
    here = context(VENV, INSTALL, RUN)
    there = replace(here, host=replace(here.host, system="windows"))
    smoke(plan(tmp_path, library_dirs=(Path("/prefix/bin"),)), there)
    run = here.runner.calls[-1]
    assert run.argv[-1] == str(Path("/prefix/bin"))
    assert run.env["PATH"] == "/bin"


def test_the_environment_is_really_fresh(tmp_path):
    """The interpreter that is made sees nothing of the one that makes it."""
    here = Context(host=make_host(), runner=SystemRunner(), record=Record())
    python = make_environment(tmp_path / "environment", here)
    probe = "import importlib.util as u, sys; print(u.find_spec('pytest'), sys.prefix)"
    found, prefix = here.runner.run([python, "-I", "-c", probe], cwd=tmp_path).stdout.split()
    assert found == "None"
    assert prefix != sys.prefix
