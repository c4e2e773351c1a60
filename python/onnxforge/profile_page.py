"""A profile as one page of HTML that needs nothing else: what took the time, and when."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from .profile import milliseconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .profile import NodeTiming, Profile

WIDTH = 1200
_ROW = 22
_NODES = 100
_COLORS = (
    *("#c2410c", "#0369a1", "#15803d", "#7e22ce", "#b45309", "#0f766e", "#be123c", "#4338ca"),
)
_OTHER = "#94a3b8"
_STYLE = """\
:root { color-scheme: light dark; }
body { font: 14px/1.5 system-ui, sans-serif; max-width: 1200px; margin: 2rem auto; }
h1 { font-size: 1.3rem; } h2 { font-size: 1.05rem; margin-top: 2rem; }
svg { width: 100%; height: auto; display: block; border-radius: 4px; }
svg rect:hover { opacity: .7; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: right; padding: .15rem .6rem; border-bottom: 1px solid #8884; }
th:nth-child(-n+2), td:nth-child(-n+2) { text-align: left; }
td { font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
i { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin-right: .5em; }"""


def profile_page(profile: Profile) -> str:
    """Return the page; every node is a bar that shows its figures under the pointer."""
    costs = profile.by_operator()
    colors = {cost.op_type: color for cost, color in zip(costs, _COLORS, strict=False)}
    summary = (
        f"{len(profile.nodes)} nodes, an arena of {profile.arena_bytes:,} bytes, "
        f"{profile.unplanned_allocations} unplanned allocations"
    )
    lines = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8"><title>onnxforge profile</title>',
        f"<style>\n{_STYLE}\n</style></head><body>",
        f"<h1>{milliseconds(profile.total_ns)} ms</h1><p>{summary}</p>",
        "<h2>One run, node after node</h2>",
        *_timeline(profile, colors),
        "<h2>By operator</h2>",
        "<table><tr><th>operator</th><th></th><th>nodes</th><th>ms</th><th>%</th></tr>",
    ]
    for cost in costs:
        color = colors.get(cost.op_type, _OTHER)
        share = profile.share(cost.duration_ns)
        lines.append(
            f'<tr><td><i style="background:{color}"></i>{escape(cost.op_type)}</td>'
            f'<td style="width:40%"><i style="background:{color};width:{share}%"></i></td>'
            f"<td>{cost.count}</td><td>{milliseconds(cost.duration_ns)}</td><td>{share}</td></tr>"
        )
    lines += ["</table>", f"<h2>The {_NODES} dearest nodes</h2>", *_node_table(profile)]
    return "\n".join([*lines, "</body></html>", ""])


def _timeline(profile: Profile, colors: dict[str, str]) -> Iterator[str]:
    rows = 1 + max((node.depth for node in profile.nodes), default=0)
    scale = WIDTH / max(profile.total_ns, 1)
    yield f'<svg viewBox="0 0 {WIDTH} {rows * _ROW}" role="img" aria-label="time line">'
    yield f'<rect width="{WIDTH}" height="{rows * _ROW}" fill="#8882"/>'
    for node in profile.nodes:
        place = f'x="{node.start_ns * scale:.3f}" y="{node.depth * _ROW + 1}"'
        size = f'width="{max(node.duration_ns * scale, 0.2):.3f}" height="{_ROW - 2}"'
        color = colors.get(node.op_type, _OTHER)
        title = escape(f"{node.op_type} {node.node}: {_cost(profile, node)}")
        yield f'<rect {place} {size} fill="{color}"><title>{title}</title></rect>'
    yield "</svg>"


def _cost(profile: Profile, node: NodeTiming) -> str:
    return f"{milliseconds(node.duration_ns)} ms, {profile.share(node.duration_ns)} %"


def _node_table(profile: Profile) -> Iterator[str]:
    yield "<table><tr><th>node</th><th>operator</th><th>ms</th><th>%</th><th>output bytes</th>"
    yield "<th>planned</th></tr>"
    for node in sorted(profile.nodes, key=lambda node: -node.duration_ns)[:_NODES]:
        cells = (
            *(escape(node.node), escape(node.op_type), milliseconds(node.duration_ns)),
            *(profile.share(node.duration_ns), f"{node.output_bytes:,}"),
            "yes" if node.in_arena else "no",
        )
        yield f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
    yield "</table>"
