"""Run ONNX's whole backend test-suite, print the results and write docs/conformance.md."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import onnxforge

from .page import Results, by_category, failures, page
from .suite import CATEGORIES, RANDOM, Configuration, names_of, operators, run

PAGE = Path(__file__).resolve().parents[2] / "docs" / "conformance.md"


def configurations(category: str) -> list[Configuration]:
    """Return the configurations that a category is run in: node tests in all there are."""
    tiers = [tier for tier in onnxforge.build_info().tiers if tier != "auto"]
    if category != "node":
        tiers = ["auto"]
    return [Configuration(tier=tier, optimize=on) for tier in tiers for on in (True, False)]


def run_all() -> Results:
    """Run every category in its configurations, reporting each."""
    wrong: dict[str, str] = {}
    tests = {category: names_of(category) for category in CATEGORIES}
    for category in CATEGORIES:
        for configuration in configurations(category):
            began = time.monotonic()
            names = [name for name in tests[category] if name not in RANDOM]
            outcome = run(category, configuration, names)
            seconds = time.monotonic() - began
            sys.stdout.write(
                f"{category}, {configuration}: {len(outcome.passed)} passed, "
                f"{len(outcome.wrong)} failed ({seconds:.0f} s)\n"
            )
            sys.stdout.flush()
            for name, said in outcome.wrong.items():
                wrong.setdefault(name, f"{said} ({configuration})")
    return Results(
        tests=tests,
        wrong=wrong,
        apart=RANDOM,
        operators=operators(),
        onnx_version=onnxforge.build_info().onnx,
    )


def main() -> int:
    """Run, print and write; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare the page, and write nothing")
    check = parser.parse_args().check
    results = run_all()
    sys.stdout.write("\n".join(["", *by_category(results), "", *failures(results)]) + "\n")
    text = page(results)
    if not check:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        sys.stderr.write(f"not up to date: {PAGE}; run: nox -s conformance\n")
        return 1
    return 1 if results.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
