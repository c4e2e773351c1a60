"""What a check is, what it finds, and what all findings together come to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from build_tools.doctor.basics import Basics
    from build_tools.doctor.facts import Facts


class Severity(str, Enum):
    """How much a finding matters to the build that is judged."""

    FATAL = "fatal"
    WARNING = "warning"
    NOTE = "note"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was found, with its evidence and the way out."""

    severity: Severity
    """How much it matters to a build that it hits."""

    what: str
    """What is wrong, with the value, in one sentence."""

    evidence: str
    """What was looked at and what it said."""

    fix: tuple[str, ...]
    """What to do: commands to type, each in a line of its own; the first is the one to try."""

    spared: str = ""
    """Why it does not hit ``nox -s build``, only upstream's own way to build; empty: it does."""

    check: str = ""
    """The identifier of the check that found it."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One way in which a build goes wrong, and the question that tells beforehand."""

    identifier: str
    """Its name, for people and for grep; also its place in docs/failures.md."""

    title: str
    """What goes wrong, in one line."""

    symptoms: tuple[str, ...]
    """What the tools say when it has gone wrong, word for word."""

    cause: str
    """Why it goes wrong."""

    look: str
    """How it is seen before anything is compiled."""

    cure: str
    """What ``nox -s build`` does about it by itself, and what there is to do otherwise."""

    examine: Callable[[Facts], Iterator[Finding]]
    """The question: a pure function."""

    applies: Callable[[Facts], str] = lambda _facts: ""
    """Returns why the question cannot be asked here; empty where it can."""

    preflight: Callable[[Basics], Iterator[Finding]] | None = None
    """The part of the question that ``nox -s build`` asks before anything long; None: no part."""

    of_engine: bool = False
    """Whether the preflight is about compiling the engine, and nothing to upstream's package."""

    @property
    def anchor(self) -> str:
        """Where it is described."""
        return f"docs/failures.md#{self.identifier}"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one check."""

    check: Check
    """The check."""

    findings: tuple[Finding, ...] = ()
    """What it found."""

    not_applicable: str = ""
    """Why its question could not be asked here; empty where it was."""

    @property
    def status(self) -> str:
        """One word for it."""
        if self.not_applicable:
            return "not applicable"
        return "found" if self.findings else "passed"


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """Everything that the checks came to."""

    outcomes: tuple[Outcome, ...]
    """One per check, in the order of the list."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Every finding, the worst first."""
        order = list(Severity)
        found = [finding for outcome in self.outcomes for finding in outcome.findings]
        return tuple(sorted(found, key=lambda finding: order.index(finding.severity)))

    @property
    def will_fail(self) -> bool:
        """Whether something fatal was found."""
        return any(finding.severity is Severity.FATAL for finding in self.findings)


def fatal(what: str, evidence: str, *fix: str, spared: str = "") -> Finding:
    """Return a finding that ends the build that it hits."""
    return Finding(severity=Severity.FATAL, what=what, evidence=evidence, fix=fix, spared=spared)


def warning(what: str, evidence: str, *fix: str, spared: str = "") -> Finding:
    """Return a finding that may end the build that it hits, or spoil its result."""
    return Finding(severity=Severity.WARNING, what=what, evidence=evidence, fix=fix, spared=spared)


def note(what: str, evidence: str, *fix: str) -> Finding:
    """Return a finding that is good to know."""
    return Finding(severity=Severity.NOTE, what=what, evidence=evidence, fix=fix)


def diagnose(checks: Iterable[Check], facts: Facts) -> Diagnosis:
    """Ask every check its question; one that fails over strange facts is a finding, not an end."""
    return Diagnosis(outcomes=tuple(_outcome(check, facts) for check in checks))


def preflight_findings(checks: Iterable[Check], basics: Basics) -> tuple[Finding, ...]:
    """Return what the quick questions find, with no word on what hits only others."""
    return tuple(
        finding
        for check in checks
        if check.preflight is not None
        for finding in _stamped(check, check.preflight(basics), upstream=False)
        if not finding.spared
    )


def _outcome(check: Check, facts: Facts) -> Outcome:
    try:
        if why := check.applies(facts):
            return Outcome(check=check, not_applicable=why)
        found = tuple(_stamped(check, check.examine(facts), upstream=facts.upstream))
    except Exception as error:  # noqa: BLE001 - a strange machine must not end the examination
        why = f"{type(error).__name__}: {error}"
        failed = warning("this question could not be answered here", why)
        found = tuple(_stamped(check, iter([failed]), upstream=facts.upstream))
    return Outcome(check=check, findings=found)


def _stamped(check: Check, found: Iterator[Finding], *, upstream: bool) -> Iterator[Finding]:
    """Yield findings with their check's name, as severe as they are to the build that is judged."""
    for finding in found:
        hits = upstream or not finding.spared
        yield Finding(
            check=check.identifier,
            severity=finding.severity if hits else Severity.NOTE,
            what=finding.what,
            evidence=finding.evidence,
            # Commands against what will not happen would only be in the way.
            fix=finding.fix if hits else (),
            spared="" if upstream else finding.spared,
        )
