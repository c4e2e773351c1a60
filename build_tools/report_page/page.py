"""The page as a whole: what it shows, in the order of a reader's questions.

How long did it take and what came out? Where did the time go? What was proved? What was decided,
and why? What went into it?
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from build_tools.durations import duration, size
from build_tools.report_page.chart import draw_chart, project_classes
from build_tools.timeline import TimedCommand, average_width, seconds_by_project, slowest

_HERE = Path(__file__).parent
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_SLOWEST = 15

Report = Mapping[str, Any]


def render(report: Report) -> str:
    """Return the page for one build report (the content of build-report.json)."""
    commands = tuple(TimedCommand.from_dict(entry) for entry in report["commands"])
    title = f"{report['project']['name']} {report['project']['version']}"
    sections = [
        _header(report, title),
        _tiles(report, commands),
        _warnings(report["warnings"]),
        _time(report, commands),
        _proofs(report["proofs"]),
        _decisions(report["decisions"]),
        _steps(report),
        _slowest_commands(commands),
        _binaries(report["audit"]["binaries"]),
        _inputs(report),
    ]
    body = "\n".join(section for section in sections if section)
    return _document(f"{title}: build report", body)


def _document(title: str, body: str) -> str:
    style = (_HERE / "style.css").read_text(encoding="utf-8")
    script = (_HERE / "script.js").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        f"{body}\n</main>\n<script>\n{script}</script>\n</body>\n</html>\n"
    )


def _header(report: Report, title: str) -> str:
    host, wheel = report["host"], report["wheel"]
    machine = f"{host['system']} {host['machine']}, Python {host['python']}"
    return (
        f"<header><h1>{escape(title)}</h1>"
        f'<p class="lead"><span class="mono">{escape(wheel["file"])}</span></p>'
        f'<p class="lead">built {escape(report["started"])} on {escape(machine)}, '
        f"{escape(report['toolchain']['name'])}, {host['jobs']} compile jobs</p></header>"
    )


def _tiles(report: Report, commands: Sequence[TimedCommand]) -> str:
    held = sum(1 for proof in report["proofs"] if proof["ok"])
    speed, wheel = report["speed"], report["wheel"]
    exported = sum(
        binary["exported"] for binary in report["audit"]["binaries"] if not binary["vendored"]
    )
    all_held = held == len(report["proofs"])
    tiles = [
        _tile(duration(report["seconds"]), "whole run", speed["what"]),
        _tile(
            f"{held} of {len(report['proofs'])}", "proofs hold", "", "good" if all_held else "bad"
        ),
        _tile(size(wheel["bytes"]), "wheel", f"{size(wheel['unpacked_bytes'])} installed"),
        _tile(str(exported), "exported names", "of all extension modules"),
    ]
    if commands:
        work = duration(sum(command.seconds for command in commands))
        tiles.append(
            _tile(f"{average_width(commands):.2f}", "commands at a time", f"{work} of work in all")
        )
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _tile(figure: str, what: str, more: str, kind: str = "") -> str:
    return (
        f'<div class="tile {kind}"><div class="figure">{escape(figure)}</div>'
        f'<div class="what">{escape(what)}</div><div class="more">{escape(more)}</div></div>'
    )


def _warnings(warnings: Iterable[str]) -> str:
    return "".join(f'<div class="warning">{escape(text)}</div>' for text in warnings)


def _time(report: Report, commands: Sequence[TimedCommand]) -> str:
    note = "Every step of the run, and below it every command that ninja ran, one lane per job."
    if not commands:
        note = "Every step of the run. Nothing had to be compiled."
    chart = draw_chart(report["steps"], commands, report["seconds"])
    return _card("Where the time went", note, chart)


def _proofs(proofs: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        [
            _badge("holds" if proof["ok"] else "broken", "good" if proof["ok"] else "bad"),
            escape(proof["claim"]),
            f'<span class="mono">{escape(proof["evidence"])}</span>',
        ]
        for proof in proofs
    ]
    return _card(
        "What was proved",
        "Each claim was checked on the files themselves.",
        _table(["", "claim", "evidence"], rows),
    )


def _decisions(decisions: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        [
            escape(entry["subject"]),
            f"<b>{escape(entry['choice'])}</b>",
            escape(entry["reason"]),
            escape(entry["source"]),
        ]
        for entry in decisions
    ]
    return _card(
        "What was decided, and why",
        "In the order in which it was decided.",
        _table(["subject", "choice", "reason", "said by"], rows),
    )


def _steps(report: Report) -> str:
    whole = report["seconds"] or 1.0
    rows = []
    for step in report["steps"]:
        state = _badge("from the cache", "plain") if step["cached"] else ""
        share = _share(step["seconds"] / whole, "step")
        indent = "&emsp;" * step["depth"]
        name = f"{indent}{escape(step['name'])}"
        rows.append([name, state, escape(duration(step["seconds"])), share])
    table = _table(["step", "", "time", "share of the run"], rows, numbers=(2,), share=3)
    return _card("Steps", "A step that is set in ran inside the one above it.", table)


def _slowest_commands(commands: Sequence[TimedCommand]) -> str:
    if not commands:
        return ""
    classes = project_classes(commands)
    longest = slowest(commands, _SLOWEST)
    rows = [
        [
            escape(command.project),
            f'<span class="mono">{escape(command.output)}</span>',
            escape(duration(command.seconds)),
            _share(command.seconds / longest[0].seconds, classes[command.project]),
        ]
        for command in longest
    ]
    sums = seconds_by_project(commands)
    parts = ", ".join(f"{name} {duration(seconds)}" for name, seconds in sums.items())
    table = _table(["project", "output", "time", ""], rows, numbers=(2,), share=3)
    note = f"The {len(longest)} longest of {len(commands)} commands. Work per project: {parts}."
    return _card("Slowest commands", note, table)


def _binaries(binaries: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        [
            f'<span class="mono">{escape(binary["member"])}</span>',
            size(binary["bytes"]),
            str(binary["exported"]),
            escape(", ".join(binary["needed"])),
        ]
        for binary in binaries
    ]
    table = _table(["file", "size", "exports", "needs"], rows, numbers=(1, 2))
    return _card("Binaries in the wheel", "", table)


def _inputs(report: Report) -> str:
    wheel, inputs = report["wheel"], report["inputs"]
    facts = {
        "wheel sha256": wheel["sha256"],
        "key of all inputs": inputs["key"],
        **{f"identity of {name}": key for name, key in inputs["libraries"].items()},
        "source files": f"{len(inputs['files'])} files",
        "changed since the report before": ", ".join(inputs["changed"]) or "no earlier report",
    }
    rows = [
        [escape(name), f'<span class="mono">{escape(value)}</span>']
        for name, value in facts.items()
    ]
    settings = [
        [
            escape(name),
            f'<span class="mono">{escape(str(value))}</span>',
            escape(report["config"]["origins"].get(name, "default")),
        ]
        for name, value in report["config"]["values"].items()
    ]
    every = _table(["setting", "value", "said by"], settings)
    return _card(
        "What went into it",
        "",
        _table(["", ""], rows) + f"<details><summary>all settings</summary>{every}</details>",
    )


def _card(title: str, note: str, content: str) -> str:
    said = f'<p class="note">{escape(note)}</p>' if note else ""
    return f'<section class="card"><h2>{escape(title)}</h2>{said}{content}</section>'


def _badge(text: str, kind: str) -> str:
    return f'<span class="badge {kind}">{escape(text)}</span>'


def _share(part: float, color: str) -> str:
    return f'<div><i class="{color}" style="width:{min(1.0, part):.2%}"></i></div>'


def _table(
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numbers: Sequence[int] = (),
    share: int | None = None,
) -> str:
    """Draw a table; the cells are HTML already and the first of a row names it."""
    classes = {0: "name", **dict.fromkeys(numbers, "number"), **({share: "share"} if share else {})}

    def cells(tag: str, texts: Sequence[str]) -> str:
        return "".join(
            f'<{tag} class="{classes.get(column, "")}">{text}</{tag}>'
            for column, text in enumerate(texts)
        )

    head = f"<thead><tr>{cells('th', heads)}</tr></thead>" if any(heads) else ""
    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f'<div class="wide"><table>{head}<tbody>{body}</tbody></table></div>'
