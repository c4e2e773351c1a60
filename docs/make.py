"""Remake the generated pages of docs/, or, with --check, fail where one is not up to date."""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

import onnxforge
from onnxforge import OperatorInfo, Support

HERE = Path(__file__).parent


def operators_page() -> str:
    """Return the table of operator versions: kernel, function body or missing."""
    rows = [row for row in onnxforge.operators() if not row.deprecated]
    newest = {(row.domain, row.op_type): row for row in rows}
    return "\n".join(
        (
            "<!-- Generated from the ONNX schema registry and the kernel table by `nox -s docs`. -->",
            "",
            "# Operators",
            "",
            f"Every operator version of ONNX {onnxforge.build_info().onnx}, and how the engine runs it: by a",
            "kernel of its own, as the function body that the standard gives, or not at all. A model that holds",
            "an operator which is missing is refused when a session is made, with its name, version and node.",
            "",
            *summary_table({"newest versions": newest.values(), "all versions": rows}),
            "",
            *(line for domain in sorted({row.domain for row in rows}) for line in section(domain, rows)),
        )
    )


def summary_table(kinds: dict[str, Iterable[OperatorInfo]]) -> Iterable[str]:
    """Yield how many there are of each kind of support."""
    yield "| | " + " | ".join(support.value for support in Support) + " |"
    yield "| --- |" + " --- |" * len(Support)
    for title, rows in kinds.items():
        counts = Counter(row.support for row in rows)
        yield f"| {title} | " + " | ".join(str(counts[support]) for support in Support) + " |"


def section(domain: str, rows: list[OperatorInfo]) -> Iterable[str]:
    """Yield one domain's table: a line per operator, its versions by kind of support."""
    versions: dict[str, dict[Support, list[int]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row.domain == domain:
            versions[row.op_type][row.support].append(row.since_version)
    yield f"## {domain or 'ai.onnx'}"
    yield ""
    yield "| operator | " + " | ".join(support.value for support in Support) + " |"
    yield "| --- |" + " --- |" * len(Support)
    for op_type, by_support in sorted(versions.items()):
        cells = (", ".join(map(str, sorted(by_support[support]))) for support in Support)
        yield f"| {op_type} | " + " | ".join(cells) + " |"
    yield ""


PAGES: dict[str, Callable[[], str]] = {"operators.md": operators_page}


def main() -> int:
    """Write or check every page; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    stale = [
        name
        for name, page in PAGES.items()
        if not (HERE / name).exists() or (HERE / name).read_text(encoding="utf-8") != page()
    ]
    if check and stale:
        sys.stderr.write(f"not up to date: {', '.join(stale)}; run: nox -s docs\n")
        return 1
    for name in stale:
        (HERE / name).write_text(PAGES[name](), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
