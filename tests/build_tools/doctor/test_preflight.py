"""What every build asks before it begins, and how it ends where the answer is bad."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import fields, replace
from typing import TYPE_CHECKING

import pytest

from build_tools.config import default_cache_dir
from build_tools.doctor.basics import Basics, basics
from build_tools.doctor.checks import CHECKS
from build_tools.doctor.facts import Facts
from build_tools.doctor.model import preflight_findings
from build_tools.doctor.preflight import preflight
from build_tools.errors import PreflightError
from build_tools.jobs import plan_jobs
from tests.build_tools.doctor.cases import ROOT, empty_cache, make_facts
from tests.build_tools.site import clean_environment, make_site

if TYPE_CHECKING:
    from pathlib import Path


KNOWN = default_cache_dir()
"""Where what is known of this machine's compilers is kept."""


def build(*arguments: str | Path, **environ: str) -> subprocess.CompletedProcess:
    """Really start a build."""
    command = [sys.executable, "-m", "build_tools", "build", "--json", *map(str, arguments)]
    return subprocess.run(
        command,
        cwd=ROOT,
        env=clean_environment(**environ),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


class TestStop:
    def test_a_build_that_will_fail_is_not_begun(self, tmp_path):
        cache = empty_cache(tmp_path)
        said = build("--offline", "--cache-dir", cache, "--build-dir", tmp_path / "b")
        assert said.returncode == PreflightError.exit_code == 4
        error = json.loads(said.stdout)["error"]
        assert error["kind"] == "PreflightError"
        assert any(line.startswith("sources-unreachable: ") for line in error["looked"])
        assert "--no-preflight goes on all the same" in error["fix"]
        assert not list((tmp_path / "b").glob("third_party/*"))

    def test_with_no_preflight_it_goes_on_and_warns(self, tmp_path):
        said = build(
            *("--no-preflight", "--offline", "--cache-dir", empty_cache(tmp_path)),
            *("--build-dir", tmp_path / "b"),
        )
        assert said.returncode == 23, said.stderr
        assert "[sources-unreachable]" in said.stderr

    def test_a_release_that_is_not_pinned(self, tmp_path):
        said = build("--onnx-version", "1.99.0", "--build-dir", tmp_path)
        assert said.returncode == 4
        assert "onnx 1.99.0 is not pinned" in said.stderr

    def test_every_fatal_finding_is_named(self, tmp_path):
        site = make_site(tmp_path, "--offline", "--onnx-version", "1.13.1", probed=KNOWN)
        with pytest.raises(PreflightError) as refused:
            preflight(site)
        text = str(refused.value)
        assert "cmake-policy-removed" in text
        assert "sources-unreachable" in text
        assert "release-too-old" in text
        assert "and 5 more" in text


def test_upstreams_own_package_may_be_older_than_the_engine_can_use(tmp_path):
    site = make_site(tmp_path, "--onnx-version", "1.13.1", probed=KNOWN)
    with pytest.raises(PreflightError, match=r"1\.13\.1"):
        preflight(site)
    preflight(site, engine=False)


def test_a_warning_is_given_once(tmp_path):
    site = make_site(tmp_path, "--jobs", "4096", "--no-preflight", "--offline", probed=KNOWN)
    preflight(site)
    warnings = site.context.record.warnings
    assert all("[" in warning for warning in warnings)
    assert not any("4096 jobs were asked for" in warning for warning in warnings)


def test_nothing_is_said_of_what_hits_only_others():
    facts = make_facts("--onnx-version", "1.23.2")
    assert preflight_findings(CHECKS, facts) == ()


def test_it_needs_no_more_than_a_build_knows_anyway():
    """The quick questions get Basics and not Facts; a question that wants more would fail here."""
    facts = make_facts()
    known = {entry.name: getattr(facts, entry.name) for entry in fields(Basics)}
    assert {entry.name for entry in fields(Basics)} < {entry.name for entry in fields(Facts)}
    bare = Basics(**known)
    poor = replace(bare, python_headers=None, foreign_headers=("CPATH: /x",))
    found = {finding.check for finding in preflight_findings(CHECKS, poor)}
    assert found == {"python-headers", "two-protobufs"}


def test_it_takes_no_time(tmp_path):
    site = make_site(tmp_path, probed=KNOWN)
    clock = time.perf_counter()
    host, config = site.context.host, site.config
    known = basics(site.resolved, host, site.toolchain, site.tools, plan_jobs(host, config.jobs))
    preflight_findings(CHECKS, known)
    assert time.perf_counter() - clock < 0.5
