"""The one list: every known way to fail has a check, and every check a test of its name."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from build_tools.advice import ADVICE
from build_tools.doctor.checks import CHECKS
from build_tools.doctor.model import Check, Severity, diagnose, fatal, warning
from build_tools.doctor.page import FIRST_LINE, failures_page
from tests.build_tools.doctor.cases import ROOT, make_facts, upstream

HERE = Path(__file__).parent

# The known ways in which builds of ONNX fail, in the order in which they were written down.
KNOWN = (
    "protobuf-not-pic",
    "protoc-mismatch",
    "two-protobufs",
    "protobuf-link-mode",
    "protobuf-missing",
    "protobuf-needs-newer-standard",
    "abseil-mismatch",
    "filesystem-library",
    "compiler-known-bad",
    "generator-platform",
    "msvc-runtime-mismatch",
    "debug-and-release-mixed",
    "cmake-arguments-mangled",
    "path-with-blanks",
    "path-too-long",
    "msvc-runtime-too-old",
    "shared-library-not-found",
    "source-tree-shadows",
    "exported-symbols-clash",
    "descriptor-registered-twice",
    "generated-code-too-new",
    "protobuf-pin-conflict",
    "no-wheel-for-this-python",
    "distutils-missing",
    "free-threaded-abi",
    "cmake-policy-removed",
    "cmake-is-a-script",
    "python-headers",
    "protoc-cannot-run",
    "submodules-missing",
    "sources-unreachable",
    "not-enough-memory",
    "proto-generated-twice",
    "musl",
    "processor",
    "macos-slices",
)


def test_every_known_failure_has_a_check():
    assert len(KNOWN) == len(set(KNOWN)) == 36
    assert set(KNOWN) <= {check.identifier for check in CHECKS}


def functions_of_tests() -> set[str]:
    """The name of every test in this folder."""
    return {
        node.name
        for path in HERE.glob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    }


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.identifier)
def test_every_check_has_a_test_of_its_name(check):
    wanted = f"test_{check.identifier.replace('-', '_')}"
    assert any(name.startswith(wanted) for name in functions_of_tests()), wanted


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.identifier)
def test_every_check_is_whole(check):
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", check.identifier), "greppable, and free of numbers"
    assert check.symptoms
    for text in (check.title, check.cause, check.look, check.cure, *check.symptoms):
        assert text
    assert check.title[-1] not in ".:"
    assert check.cause.endswith(".")


def test_identifiers_are_unique():
    names = [check.identifier for check in CHECKS]
    assert len(set(names)) == len(names)


def test_a_sound_machine_has_nothing_fatal():
    for facts in (make_facts(), upstream(make_facts())):
        diagnosis = diagnose(CHECKS, facts)
        assert not diagnosis.will_fail, diagnosis.findings
        assert {outcome.status for outcome in diagnosis.outcomes} <= {
            *("passed", "not applicable", "found"),
        }


def test_a_question_that_cannot_be_asked_says_why():
    diagnosis = diagnose(CHECKS, make_facts())
    reasons = [entry.not_applicable for entry in diagnosis.outcomes if entry.not_applicable]
    assert len(reasons) > 8
    assert all(len(reason) > 8 for reason in reasons)


def made(identifier: str, examine) -> Check:
    """A check for these tests."""
    return Check(
        identifier=identifier,
        title="t",
        symptoms=("s",),
        cause="c.",
        look="l",
        cure="c",
        examine=examine,
    )


def test_a_check_that_fails_ends_no_examination():
    def broken(facts):
        yield fatal("first", "e", "f")
        raise ZeroDivisionError("oops")

    (outcome,) = diagnose([made("broken", broken)], make_facts()).outcomes
    (finding,) = outcome.findings
    assert finding.severity is Severity.WARNING
    assert finding.evidence == "ZeroDivisionError: oops"


def test_what_only_hits_upstream_is_a_note_to_us():
    check = made("x", lambda facts: iter([fatal("w", "e", "f", spared="of course")]))
    assert not diagnose([check], make_facts()).will_fail
    judged = diagnose([check], upstream(make_facts()))
    assert judged.will_fail
    assert judged.findings[0].spared == ""


def test_the_worst_comes_first():
    def examine(facts):
        yield warning("w", "e")
        yield fatal("f", "e")

    found = diagnose([made("x", examine)], make_facts()).findings
    assert [finding.severity for finding in found] == [Severity.FATAL, Severity.WARNING]


class TestPage:
    def test_it_is_what_docs_has(self):
        page = ROOT / "docs" / "failures.md"
        assert page.read_text(encoding="utf-8") == failures_page(), "run: nox -s docs"

    def test_it_names_its_source_and_every_check(self):
        text = failures_page()
        assert text.startswith(f"{FIRST_LINE}\n")
        for check in CHECKS:
            assert f"\n### {check.identifier}\n" in text
            assert f"(#{check.identifier})" in text
            for symptom in check.symptoms:
                assert symptom in text


def test_every_advice_about_a_log_leads_to_a_check():
    names = {check.identifier for check in CHECKS}
    led = [advice for advice in ADVICE if advice.check]
    assert {advice.check for advice in led} <= names
    assert len(led) >= 9


@pytest.mark.parametrize(
    "advice", [advice for advice in ADVICE if advice.check], ids=lambda advice: advice.check
)
def test_a_symptom_of_that_check_is_what_the_advice_is_given_for(advice):
    (check,) = (check for check in CHECKS if check.identifier == advice.check)
    assert any(re.search(advice.pattern, symptom, re.I) for symptom in check.symptoms)
