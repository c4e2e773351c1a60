"""Prove what any wheel with an extension module exports, needs, promises and gives away.

The claims are those that every wheel built here must fulfil. Of wheels that others have built they
say how they differ; the exit code is that of a wheel that is not what it must be (61).
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from rich.console import Group
from rich.table import Table
from rich.text import Text

from build_tools.audit import Expectation, examine, links_protobuf
from build_tools.coexistence import (
    package_folders,
    prove_coexistence,
    residents_in,
    residents_of,
)
from build_tools.config import Linkage
from build_tools.console import show
from build_tools.errors import AuditError, UsageError
from build_tools.storage import write_text
from build_tools.target import target_of_tag
from build_tools.wheel_file import WheelFile

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from build_tools.audit import Audit
    from build_tools.context import Context
    from build_tools.record import Proof
    from build_tools.sources import Resolved


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument("wheels", nargs="+", type=Path, metavar="WHEEL", help="a wheel file")
    parser.add_argument(
        "--sarif", type=Path, metavar="FILE", help="also write what does not hold as SARIF 2.1.0"
    )

    parser.add_argument(
        "--environment",
        type=Path,
        metavar="PYTHON|DIR",
        help="also compare with every extension that is installed there: a Python, a virtual "
        "environment, or a folder of packages",
    )


def main(resolved: Resolved, args: argparse.Namespace, context: Context) -> int:
    """Run the verb."""
    found = [prove(path, context) for path in args.wheels]
    if args.environment:
        found = beside(found, args.environment, context)
    if args.sarif:
        write_text(args.sarif, json.dumps(sarif(found), indent=1) + "\n")
    if resolved.config.json:
        sys.stdout.write(json.dumps([as_dict(entry) for entry in found], indent=1) + "\n")
    else:
        show(side_by_side(found), sys.stdout)
    all_hold = all(proof.ok for entry in found for proof in entry.proofs)
    return 0 if all_hold else AuditError.exit_code


def prove(path: Path, context: Context) -> Audit:
    """Examine one wheel, expecting what its own name and content say it is."""
    if not path.is_file():
        raise UsageError(f"{path}: no such file", fix="name wheel files, e.g. dist/*.whl")
    return examine(path, expectation_of(path), context)


def beside(found: Sequence[Audit], environment: Path, context: Context) -> list[Audit]:
    """Add to each audit what the wheel has in common with an environment's extensions."""
    with context.record.step("extensions of the environment"):
        others, unread = residents_of(package_folders(environment, context))
    for name in unread:
        context.record.warn(f"{name} in {environment} cannot be read as a library")
    audits = []
    for entry in found:
        with tempfile.TemporaryDirectory() as scratch:
            own = residents_in(entry.wheel, Path(scratch))
        proofs = prove_coexistence(own, others, str(environment))
        audits.append(replace(entry, proofs=(*entry.proofs, *proofs)))
    return audits


def expectation_of(path: Path) -> Expectation:
    """Return what a wheel must be, going by its name and by what it links; raises UsageError."""
    try:
        *_, tags = parse_wheel_filename(path.name)
        platform = sorted(tag.platform for tag in tags)[-1]
        target = target_of_tag(platform)
    except (InvalidWheelFilename, ValueError) as error:
        raise UsageError(
            f"{path.name} is not a wheel for one system: {error}",
            fix="name a wheel that holds an extension module",
        ) from error
    wheel = WheelFile.open(path)
    modules = [binary for binary in wheel.binaries() if not binary.vendored]
    packages = {PurePosixPath(module.member).parts[0] for module in modules}
    shared = any(links_protobuf(module) for module in modules)
    return Expectation(
        package=min(packages, default=wheel.name.replace("-", "_")),
        protobuf=Linkage.SHARED if shared else Linkage.STATIC,
        repaired=not platform.startswith("linux_"),
        target=target,
        any_content=True,
    )


def as_dict(found: Audit) -> dict[str, Any]:
    """Return what was found out about a wheel as values that JSON can hold."""
    return {
        "wheel": found.wheel.path.name,
        "sha256": found.wheel.sha256,
        "proofs": [
            {"claim": proof.claim, "evidence": proof.evidence, "ok": proof.ok}
            for proof in found.proofs
        ],
        **found.as_dict(),
    }


def side_by_side(found: Sequence[Audit]) -> Group:
    """Return one table per wheel, and a line that counts the claims that hold."""
    parts: list[Table | Text] = []
    for entry in found:
        table = Table(title=entry.wheel.path.name, title_justify="left", box=None)
        for column in ("", "claim", "evidence"):
            table.add_column(column, overflow="fold")
        for proof in entry.proofs:
            mark = Text("✓", "green") if proof.ok else Text("✗", "red")
            table.add_row(mark, Text(proof.claim), Text(proof.evidence, "dim"))
        held = sum(proof.ok for proof in entry.proofs)
        parts += [table, Text(f"{held} of {len(entry.proofs)} claims hold\n")]
    return Group(*parts)


def sarif(found: Iterable[Audit]) -> dict[str, Any]:
    """Return every claim that does not hold as a SARIF 2.1.0 log."""
    audits = list(found)
    rules = {_rule(proof): proof.claim for entry in audits for proof in entry.proofs}
    results = [
        {
            "ruleId": _rule(proof),
            "level": "error",
            "message": {"text": f"not true that {proof.claim}: {proof.evidence}"},
            "locations": [
                {"physicalLocation": {"artifactLocation": {"uri": entry.wheel.path.name}}}
            ],
        }
        for entry in audits
        for proof in entry.proofs
        if not proof.ok
    ]
    driver = {
        "name": "onnxforge audit",
        "rules": [
            {"id": name, "shortDescription": {"text": claim}} for name, claim in rules.items()
        ],
    }
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results}],
    }


def _rule(proof: Proof) -> str:
    """Return a name for a claim that stays the same when the values in it change."""
    words = proof.claim.partition(":")[0].lower().replace("*", "").split()
    return "-".join("".join(c for c in word if c.isalnum() or c == "_") for word in words)
