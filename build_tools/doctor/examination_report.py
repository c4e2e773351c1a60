"""The examination, for a person: verdict last, where the eye is when the text has run through."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from build_tools.doctor.inventory import SECTIONS
from build_tools.doctor.model import Severity
from build_tools.doctor.plan import plan

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from build_tools.doctor.facts import Facts
    from build_tools.doctor.model import Diagnosis, Finding

_STYLES = {Severity.FATAL: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}


def judged(facts: Facts) -> str:
    """Say which build is judged."""
    if facts.upstream:
        return f"upstream's build of onnx {facts.config.onnx_version}"
    return "nox -s build"


def report(facts: Facts, diagnosis: Diagnosis) -> RenderableType:
    """Return the tables, the questions, the findings and the verdict."""
    return Group(*_parts(facts, diagnosis))


def _parts(facts: Facts, diagnosis: Diagnosis) -> Iterator[RenderableType]:
    for section in SECTIONS:
        rows = list(section.rows(facts))
        if rows:
            yield _table(section.title, section.columns, rows)
    decisions = [(entry.subject, entry.choice, entry.reason, entry.source) for entry in plan(facts)]
    title = f"What {judged(facts)} would use"
    yield _table(title, ("what", "choice", "why", "by whom"), decisions)
    yield _table("Checks", ("outcome", "checks"), list(_outcomes(diagnosis)))
    yield from (_finding(finding) for finding in reversed(diagnosis.findings))
    yield _verdict(facts, diagnosis)


def _table(title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Table:
    table = Table(title=f"\n{title}", title_justify="left", title_style="bold", box=None)
    table.pad_edge = False
    # A column without a word in any row would only take room from the others.
    filled = [at for at in range(len(columns)) if any(row[at] for row in rows)]
    for at in filled:
        table.add_column(columns[at], header_style="dim", overflow="fold")
    for row in rows:
        table.add_row(*(escape(row[at]) for at in filled))
    return table


def _finding(finding: Finding) -> RenderableType:
    head = Text("\n")
    head.append(f"{finding.severity}: ", style=_STYLES[finding.severity])
    head.append(finding.what)
    head.append(f" [{finding.check}]", style="dim")
    details = Table.grid(padding=(0, 1))
    details.add_column(style="dim", justify="right", min_width=8)
    details.add_column(overflow="fold")
    details.add_row("seen:", Text(finding.evidence))
    if finding.spared:
        details.add_row("spared:", Text(f"nox -s build, because {finding.spared}"))
    for at, command in enumerate(finding.fix):
        details.add_row("" if at else "fix:", Text(command, style="bold"))
    return Group(head, details)


def _outcomes(diagnosis: Diagnosis) -> Iterator[tuple[str, ...]]:
    """Yield the checks by what came of them; those that were not asked, by the reason."""
    groups: dict[str, list[str]] = {"found": [], "passed": []}
    for outcome in diagnosis.outcomes:
        words = f"not applicable here: {outcome.not_applicable}"
        group = words if outcome.not_applicable else outcome.status
        groups.setdefault(group, []).append(outcome.check.identifier)
    yield from ((group, ", ".join(names)) for group, names in groups.items() if names)


def _verdict(facts: Facts, diagnosis: Diagnosis) -> Text:
    counts = Counter(outcome.status for outcome in diagnosis.outcomes)
    severities = Counter(finding.severity for finding in diagnosis.findings)
    found = ", ".join(f"{severities[kind]} {kind}" for kind in Severity if severities[kind])
    text = Text("\n")
    if diagnosis.will_fail:
        text.append(f"{judged(facts)} will fail", style="bold red")
    else:
        text.append(f"nothing speaks against {judged(facts)}", style="bold green")
    text.append(
        f": {len(diagnosis.outcomes)} checks in {facts.seconds:.1f} s, {counts['passed']} passed, "
        f"{counts['found']} found something ({found or 'nothing'}), {counts['not applicable']} are "
        "not applicable here; docs/failures.md describes them"
    )
    return text
