"""The results of a run of the matrix: what is kept, and how a wheel's line reads."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest

from build_tools import labs, trials, wheels
from build_tools.errors import SmokeError, ToolchainError, UsageError
from build_tools.labs import Lab, Stand
from build_tools.matrix import Way, load_matrix
from build_tools.python_headers import TargetPython
from build_tools.trials import try_wheel
from tests.build_tools.site import make_site
from tests.build_tools.support import RecordedRunner, said
from tests.build_tools.wheels import write_wheel


def entry(file, folder, content=b"a wheel", **changes):
    (folder / file).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    facts = {"target": "win_amd64", "file": file, "sha256": digest, "proofs": 12, "run": None}
    return {**facts, **changes}


class TestResults:
    def test_what_is_still_there_is_kept_beside_the_new(self, tmp_path):
        wheels._keep(entry("b.whl", tmp_path), tmp_path)
        wheels._keep(entry("a.whl", tmp_path), tmp_path)
        wheels._keep(entry("gone.whl", tmp_path), tmp_path)
        (tmp_path / "gone.whl").unlink()
        wheels._keep(entry("c.whl", tmp_path), tmp_path)
        assert [kept["file"] for kept in results(tmp_path)] == ["a.whl", "b.whl", "c.whl"]

    def test_another_file_of_the_same_name_is_not_what_was_tested(self, tmp_path):
        wheels._keep(entry("a.whl", tmp_path), tmp_path)
        (tmp_path / "a.whl").write_bytes(b"changed")
        wheels._keep(entry("b.whl", tmp_path), tmp_path)
        assert [kept["file"] for kept in results(tmp_path)] == ["b.whl"]

    def test_a_wheel_that_is_made_again_replaces_its_line(self, tmp_path):
        wheels._keep(entry("a.whl", tmp_path), tmp_path)
        wheels._keep(entry("a.whl", tmp_path, b"newer", proofs=13), tmp_path)
        assert [kept["proofs"] for kept in results(tmp_path)] == [13]

    @pytest.mark.parametrize(
        ("run", "words"),
        [
            (None, "not tried"),
            ({"on": "", "why_not": "wine64 is not installed"}, "not run: wine64 is not installed"),
            ({"on": "CPython 3.13.2", "cases": 301}, "run on CPython 3.13.2: 301 cases"),
        ],
    )
    def test_nothing_is_claimed_that_was_not_done(self, tmp_path, run, words):
        line = wheels.line(entry("a.whl", tmp_path, run=run))
        assert line.startswith("a.whl: built · checked (12 claims) · ")
        assert words in line


def results(folder):
    return json.loads((folder / "wheels.json").read_text(encoding="utf-8"))["wheels"]


@pytest.mark.parametrize("text", ["3.12", "3.12=", "=", ""])
def test_a_folder_of_headers_is_named_with_its_python(text):
    with pytest.raises(UsageError, match=r"X\.Y=DIR"):
        wheels._named_headers(text)


class TestPlan:
    @pytest.fixture
    def planned(self, tmp_path, monkeypatch):
        """A machine that has the headers of one Python."""

        def provide(site, version, _headers, _releases):
            if version != "3.13":
                raise ToolchainError(f"no headers of {version}", fix=("get them", "or leave it"))
            return TargetPython(
                version=version, include_dir=tmp_path, library=None, origin=str(site.target)
            )

        monkeypatch.setattr(wheels, "provide_python", provide)
        site, matrix = make_site(tmp_path), load_matrix()

        def plan(pythons, *, asked):
            rows = matrix.select(["win_amd64", "manylinux2014_aarch64"], pythons)
            return wheels.plan(site, matrix, rows, {}, asked=asked), site.context.record.warnings

        return plan

    def test_what_nobody_asked_for_is_left_out_aloud(self, planned):
        jobs, warnings = planned([], asked=False)
        assert [[python.version for python in job.pythons] for job in jobs] == [["3.13"], ["3.13"]]
        assert [job.pythons[0].origin for job in jobs] == [job.row.target.name for job in jobs]
        assert any("3.10 is left out: no headers of 3.10; get them" in text for text in warnings)

    def test_what_was_asked_for_is_an_error(self, planned):
        with pytest.raises(ToolchainError, match=r"3\.12"):
            planned(["3.12", "3.13"], asked=True)

    def test_nothing_at_all_is_an_error_too(self, planned):
        with pytest.raises(ToolchainError, match=r"3\.12"):
            planned(["3.12"], asked=False)


class TestTrials:
    @pytest.fixture
    def stand(self, tmp_path, monkeypatch):
        """A stand whose Python is a recorded answer, and whose NumPy is an empty wheel."""
        (row,) = load_matrix().select(["manylinux2014_x86_64"], ["3.13"])
        for name in ("sample", "model"):
            (tmp_path / name).mkdir()
        numpy = write_wheel(tmp_path, {"numpy/__init__.py": b""}, name="numpy")
        monkeypatch.setattr(trials, "_numpy", lambda *_: numpy)
        monkeypatch.setitem(
            labs._LABS, Way.NATIVE, lambda *_: Lab(label="a lab", command=("python",))
        )

        def make(answer):
            site = replace(make_site(tmp_path), target=row.target)
            context = replace(site.context, runner=RecordedRunner([(lambda _: True, answer)]))
            return Stand(
                site=replace(site, context=context),
                releases={},
                sample=tmp_path / "sample",
                model=tmp_path / "model",
            )

        return make

    def seen(self, failed, cases=301):
        sample = {"cases": cases, "failed": failed, "seconds": 1.0}
        facts = {"sample": sample, "numpy": "2", "tiers": ["AVX2"], "magika": {"run_ms": 1}}
        return said(f"a warning of wine\n{json.dumps(facts)}\n")

    def test_what_was_seen_is_handed_on(self, stand, tmp_path):
        wheel = write_wheel(tmp_path, {"toy/__init__.py": b""})
        trial = try_wheel(wheel, "3.13", Way.NATIVE, stand(self.seen({})))
        assert (trial.label, trial.seen["sample"]["cases"]) == ("a lab", 301)

    @pytest.mark.parametrize(
        ("failed", "cases"), [({"test_add": "output 0 has other values"}, 301), ({}, 12)]
    )
    def test_a_wrong_result_or_too_few_is_a_failure(self, stand, tmp_path, failed, cases):
        wheel = write_wheel(tmp_path, {"toy/__init__.py": b""})
        with pytest.raises(SmokeError, match="other results") as caught:
            try_wheel(wheel, "3.13", Way.NATIVE, stand(self.seen(failed, cases)))
        assert all(name in str(caught.value) for name in failed)

    def test_a_crash_shows_what_was_said(self, stand, tmp_path):
        wheel = write_wheel(tmp_path, {"toy/__init__.py": b""})
        crash = said(returncode=139, stderr="qemu: uncaught target signal 11")
        with pytest.raises(SmokeError, match="does not run on a lab") as caught:
            try_wheel(wheel, "3.13", Way.NATIVE, stand(crash))
        assert "signal 11" in str(caught.value)

    def test_a_machine_that_cannot_run_it_says_why(self, stand, tmp_path):
        wheel = write_wheel(tmp_path, {"toy/__init__.py": b""})
        trial = try_wheel(wheel, "3.13", Way.NONE, stand(said()))
        assert trial.label == ""
        assert "manylinux2014_x86_64" in trial.why_not
