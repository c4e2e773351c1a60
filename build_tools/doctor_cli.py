"""Examine this machine: what is there, what a build would use and why, and what will fail.

Nothing is built, fetched or changed. The exit code is 1 where something fatal was found, else 0.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from build_tools.console import show
from build_tools.doctor import examination_report as text
from build_tools.doctor.checks import CHECKS
from build_tools.doctor.gather import gather
from build_tools.doctor.inventory import SECTIONS
from build_tools.doctor.model import diagnose
from build_tools.doctor.plan import plan
from build_tools.record import to_json

if TYPE_CHECKING:
    import argparse

    from build_tools.context import Context
    from build_tools.doctor.facts import Facts
    from build_tools.doctor.model import Diagnosis
    from build_tools.sources import Resolved

EXIT_WILL_FAIL = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument(
        "--upstream",
        action="store_true",
        help="judge upstream's own way to build --onnx-version (pip install --no-binary onnx) "
        "instead of nox -s build; any release from 1.13 on",
    )
    parser.add_argument(
        "--python",
        type=Path,
        metavar="PATH",
        help="the Python of the environment that the wheel is for [default: the first on PATH "
        "that is not the builder's own]",
    )
    parser.epilog = "Every check is described in docs/failures.md. Exit code 1: something fatal."


def main(resolved: Resolved, args: argparse.Namespace, context: Context) -> int:
    """Run the verb."""
    facts = gather(resolved, context, python=args.python, upstream=args.upstream)
    diagnosis = diagnose(CHECKS, facts)
    if resolved.config.json:
        sys.stdout.write(json.dumps(as_dict(facts, diagnosis), indent=1) + "\n")
    else:
        show(text.report(facts, diagnosis), sys.stdout)
    return EXIT_WILL_FAIL if diagnosis.will_fail else 0


def as_dict(facts: Facts, diagnosis: Diagnosis) -> dict[str, Any]:
    """Return everything for a program."""
    return {
        "verdict": "will fail" if diagnosis.will_fail else "ready",
        "judged": text.judged(facts),
        "seconds": round(facts.seconds, 2),
        "plan": [to_json(decision) for decision in plan(facts)],
        "findings": [
            {
                "check": finding.check,
                "severity": str(finding.severity),
                "what": finding.what,
                "evidence": finding.evidence,
                "fix": list(finding.fix),
                "spared": finding.spared,
            }
            for finding in diagnosis.findings
        ],
        "checks": [
            {
                "check": outcome.check.identifier,
                "title": outcome.check.title,
                "status": outcome.status,
                "why": outcome.not_applicable,
            }
            for outcome in diagnosis.outcomes
        ],
        "inventory": {section.key: section.as_dicts(facts) for section in SECTIONS},
    }
