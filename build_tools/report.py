"""The report of a build: ``build-report.json``, the page made from it, and the printed summary.

The JSON file is the one source: the page and the summary show what it says. Its fields are
described in docs/build-report.md.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from build_tools.durations import duration, size
from build_tools.record import to_json
from build_tools.report_page import render
from build_tools.storage import write_json, write_text
from build_tools.timeline import on_the_clock

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from rich.console import RenderableType

    from build_tools.audit import Audit
    from build_tools.config import BuildConfig
    from build_tools.inputs import Inputs
    from build_tools.prepare import Prepared
    from build_tools.protobuf.model import ProtobufInstall
    from build_tools.record import Record, Step
    from build_tools.sources import Resolved
    from build_tools.toolchain import Toolchain

SCHEMA = "onnxforge/build-report/1"
JSON_NAME = "build-report.json"
PAGE_NAME = "build-report.html"

Report = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Goal:
    """How long a kind of run may take, on two processors."""

    what: str
    """The kind of run, in words."""

    seconds: float
    """The most it may take."""


EVERYTHING = Goal(what="everything, from an empty cache", seconds=360)
NOTHING = Goal(what="nothing changed", seconds=10)
ONE_KERNEL = Goal(what="one kernel file changed", seconds=40)
_PARTLY = "what had changed"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a build came to, from which the report is made."""

    started: float
    """When it started, in seconds since the epoch."""

    seconds: float
    """How long it took."""

    prepared: Prepared
    """What the engine was compiled with."""

    inputs: Inputs
    """Everything that the wheel is made from."""

    changed: tuple[str, ...]
    """What differs from the inputs of the report before; empty where there was none."""

    audit: Audit
    """What was found out about the finished wheel."""

    smoke: Mapping[str, Any] | None
    """What the models gave; None where they were left out."""


def compose(outcome: Outcome, record: Record) -> Report:
    """Return the report of a build as values that JSON can hold."""
    prepared, wheel = outcome.prepared, outcome.audit.wheel
    goal = classify(record, outcome.changed)
    return {
        "schema": SCHEMA,
        "project": {"name": wheel.name, "version": wheel.version},
        "started": _utc(outcome.started),
        "seconds": round(outcome.seconds, 3),
        "speed": {
            "what": goal.what if goal else _PARTLY,
            "goal_seconds": goal.seconds if goal else None,
        },
        "wheel": _wheel(outcome.audit),
        "host": _host(prepared),
        "toolchain": _toolchain(prepared.site.toolchain),
        "protobuf": _protobuf(prepared.protobuf),
        "onnx": {"version": prepared.onnx.version, "prefix": str(prepared.onnx.prefix)},
        "config": _config(prepared.site.resolved),
        "inputs": {**outcome.inputs.as_dict(), "changed": list(outcome.changed)},
        **record.as_dict(),
        "steps": _steps(record, outcome.started),
        "commands": [
            command.as_dict() for command in on_the_clock(record.compiles, outcome.started)
        ],
        "audit": outcome.audit.as_dict(),
        "smoke": dict(outcome.smoke) if outcome.smoke else None,
    }


def classify(record: Record, changed: Collection[str]) -> Goal | None:
    """Tell which of the runs that have a goal this was; None for any other.

    The libraries are compiled from source when the cache was empty, and only then.
    """
    compiled = {project for project, _ in record.compiles}
    if len(compiled) > 2:
        return EVERYTHING
    is_kernel = [name.startswith("cpp/kernels/") for name in changed] == [True]
    return ONE_KERNEL if is_kernel and len(compiled) == 1 else None


def write(report: Report, folder: Path) -> None:
    """Write the JSON file and the page, each whole or not at all."""
    write_text(folder / PAGE_NAME, render(report))
    write_json(folder / JSON_NAME, report)


def read(folder: Path) -> Report | None:
    """Return the report of the last build into ``folder``; None where there is none to go by."""
    try:
        report = json.loads((folder / JSON_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    is_ours = isinstance(report, dict) and report.get("schema") == SCHEMA
    return report if is_ours else None


def summary(report: Report, folder: Path) -> RenderableType:
    """Return what is printed at the end of a build."""
    wheel = report["wheel"]
    return Group(
        Text(""),
        _decision_table(report),
        Text(""),
        _proof_table(report),
        Text(""),
        _time_table(report),
        Text(""),
        _line("wheel", f"{folder / wheel['file']} ({size(wheel['bytes'])})"),
        _line("report", f"{folder / PAGE_NAME}, {JSON_NAME}"),
        _line("time", time_text(report["seconds"], report["speed"])),
    )


def unchanged_summary(report: Report, folder: Path, seconds: float) -> RenderableType:
    """Return what is printed when there was nothing to do."""
    wheel, held = report["wheel"], sum(1 for proof in report["proofs"] if proof["ok"])
    speed = {"what": NOTHING.what, "goal_seconds": NOTHING.seconds}
    return Group(
        Text(""),
        _line(
            "nothing changed",
            f"sources, settings, compiler and libraries are those of {report['started']}",
        ),
        _line("wheel", f"{folder / wheel['file']} ({size(wheel['bytes'])}), sha256 verified"),
        _line("proved then", f"{held} of {len(report['proofs'])} claims hold: see {PAGE_NAME}"),
        _line("time", time_text(seconds, speed)),
    )


def time_text(seconds: float, speed: Mapping[str, Any]) -> str:
    """Say how long a run took, what kind of run it was, and what its goal is."""
    goal = speed["goal_seconds"]
    said = f"{duration(seconds)}: {speed['what']}"
    return f"{said} (goal on two processors: {duration(goal)})" if goal else said


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def _wheel(audit: Audit) -> dict[str, Any]:
    wheel = audit.wheel
    return {
        "file": wheel.path.name,
        "sha256": wheel.sha256,
        "bytes": wheel.path.stat().st_size,
        "unpacked_bytes": sum(wheel.members.values()),
        "files": len(wheel.members),
        "tags": sorted(str(tag) for tag in wheel.tags),
    }


def _host(prepared: Prepared) -> dict[str, Any]:
    host = prepared.context.host
    return {
        "system": host.system,
        "machine": host.machine,
        "cpus": host.cpus,
        "memory_available": host.memory_available,
        "jobs": prepared.site.jobs,
        "python": host.python.version,
    }


def _toolchain(toolchain: Toolchain) -> dict[str, Any]:
    return {
        "name": toolchain.compiler.label,
        "identity": toolchain.identity(),
        "probes": {name: asdict(probe) for name, probe in toolchain.probes.named()},
    }


def _protobuf(install: ProtobufInstall) -> dict[str, Any]:
    return {
        "version": install.version,
        "linkage": str(install.linkage),
        "library": str(install.lite_library),
        "origin": install.origin,
        "onnx_use_protobuf_shared_libs": install.use_shared_libs,
    }


def _config(resolved: Resolved) -> dict[str, Any]:
    return {"values": config_values(resolved.config), "origins": dict(resolved.origins)}


def config_values(config: BuildConfig) -> dict[str, Any]:
    """Return the settings as values that JSON can hold."""
    return {name: _plain(value) for name, value in asdict(config).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    is_simple = value is None or isinstance(value, (bool, int, float))
    return value if is_simple else str(value)


def _steps(record: Record, zero: float) -> list[dict[str, Any]]:
    """Return the steps in order of starting, each before what ran inside it."""

    def entry(step: Step) -> dict[str, Any]:
        start = round(step.started - zero, 3)
        return {**to_json(step), "start": start, "seconds": round(step.seconds, 3)}

    ordered = sorted(record.steps, key=lambda step: (step.started, step.depth))
    return [entry(step) for step in ordered]


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold", style="" if column else "bold")
    return table


def _decision_table(report: Report) -> Table:
    table = _table("What was decided", "subject", "choice", "why")
    for entry in report["decisions"]:
        said = f" [{entry['source']}]" if entry["source"] else ""
        table.add_row(entry["subject"], Text(entry["choice"]), Text(f"{entry['reason']}{said}"))
    return table


def _proof_table(report: Report) -> Table:
    table = _table("What was proved", "", "claim", "evidence")
    for proof in report["proofs"]:
        mark = Text("✓", "green") if proof["ok"] else Text("✗", "red")
        table.add_row(mark, Text(proof["claim"]), Text(proof["evidence"], "dim"))
    return table


def _time_table(report: Report) -> Table:
    table = _table("Where the time went", "step", "time", "")
    for step in report["steps"]:
        if step["depth"] == 0:
            state = "from the cache" if step["cached"] else ""
            table.add_row(step["name"], duration(step["seconds"]), Text(state, "dim"))
    return table


def _line(name: str, text: str) -> Text:
    return Text.assemble((f"{name}: ", "bold"), text)
