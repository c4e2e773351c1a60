"""Upstream's own Python tests, from the source distribution, against the finished wheel."""

from __future__ import annotations

import shutil
import tempfile
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from build_tools.errors import SmokeError
from build_tools.upstream.environment import install, make_environment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from build_tools.context import Context
    from build_tools.host import PythonFacts
    from build_tools.upstream.make import Upstream

_PYTEST = "pytest==8.4.2"


@dataclass(frozen=True, kw_only=True)
class SuiteResult:
    """What upstream's tests came to."""

    passed: int
    """Tests that passed."""

    skipped: int
    """Tests that upstream itself skips here."""

    failed: tuple[str, ...]
    """The names of the others: failures and errors."""

    seconds: float
    """How long they took."""

    def as_dict(self) -> dict[str, object]:
        """Return it as values that JSON can hold."""
        return {
            "passed": self.passed,
            "skipped": self.skipped,
            "failed": list(self.failed),
            "seconds": round(self.seconds, 1),
        }


def run_suite(
    upstream: Upstream, wheel: Path, python: PythonFacts, log: Path, context: Context
) -> SuiteResult | None:
    """Run the release's tests in a fresh environment, from a folder that has only them.

    Returns None for a release whose source distribution carries no Python tests. A test that fails
    is a result, not an error; raises SmokeError where the tests cannot be run at all.
    """
    suite = upstream.release.suite
    if not suite.folder:
        return None
    with (
        tempfile.TemporaryDirectory(prefix="onnxforge suite ") as name,
        context.record.step(f"{wheel.name}: upstream's own tests") as step,
    ):
        step.write_log(log)
        room = Path(name)
        environment = make_environment(room / "environment", python, context)
        install(environment, (str(wheel), _PYTEST, *suite.requires), context)
        tests = room / "tests"
        shutil.copytree(upstream.source / suite.folder, tests)
        (room / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        report = room / "report.xml"
        said = context.runner.stream(
            _command(environment.python, tests, report, suite.ignored),
            log=log,
            on_line=lambda _line: None,
            cwd=room,
        )
        if not report.is_file():
            raise SmokeError(
                f"upstream's tests of onnx {upstream.version} cannot be run",
                looked=[f"the end of {log}:\n{said.text[-3000:]}"],
            )
        return read_report(report.read_text(encoding="utf-8"), said.seconds)


def _command(python: Path, tests: Path, report: Path, ignored: Sequence[str]) -> list[str | Path]:
    # A configuration of our own, empty: upstream's asks for plugins that say nothing of the wheel.
    # A file that cannot be imported fails, and the others run.
    options = ["-q", "--continue-on-collection-errors", "-p", "no:cacheprovider"]
    options += ["-c", str(tests.parent / "pytest.ini")]
    options += [f"--ignore={tests / name}" for name in ignored]
    return [python, "-B", "-m", "pytest", *options, f"--junitxml={report}", tests]


def read_report(text: str, seconds: float) -> SuiteResult:
    """Return what a report in JUnit's form says; a test that errs is one that failed."""
    cases = list(ET.fromstring(text).iter("testcase"))
    failed = [case for case in cases if {"failure", "error"} & {part.tag for part in case}]
    skipped = [case for case in cases if case.find("skipped") is not None]
    names = sorted(f"{case.get('classname')}::{case.get('name')}" for case in failed)
    return SuiteResult(
        passed=len(cases) - len(failed) - len(skipped),
        skipped=len(skipped),
        failed=tuple(names),
        seconds=seconds,
    )
