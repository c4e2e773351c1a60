"""What a run cost, node by node."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._core import ProfileDict


@dataclass(frozen=True, kw_only=True)
class NodeTiming:
    """One node in one run."""

    node: str
    """Its name, or its first output's where it has none."""
    op_type: str
    depth: int
    """0 in the model's own graph, 1 in the body of one of its nodes, and so on."""
    start_ns: int
    """Nanoseconds since the run began."""
    duration_ns: int
    """Nanoseconds, the bodies it ran included."""
    output_bytes: int
    in_arena: bool
    """All outputs lie in planned memory, so that the node allocated nothing for them."""


@dataclass(frozen=True, kw_only=True)
class OperatorCost:
    """All nodes of one operator in one run."""

    op_type: str
    count: int
    duration_ns: int
    """Nanoseconds in the nodes themselves, without the bodies they ran."""


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One run, node by node. Made by `Session.profile`."""

    total_ns: int
    """Nanoseconds from the first check of the inputs to the last output."""
    arena_bytes: int
    """Size of the arena that the model's own values share."""
    unplanned_allocations: int
    """Pieces of memory that no plan had foreseen: 0 in a steady run."""
    nodes: tuple[NodeTiming, ...]
    """In the order in which they started."""

    @classmethod
    def from_engine(cls, raw: ProfileDict) -> Profile:
        """Take over what the engine wrote down."""
        return cls(
            total_ns=raw["total_ns"],
            arena_bytes=raw["arena_bytes"],
            unplanned_allocations=raw["unplanned_allocations"],
            nodes=tuple(NodeTiming(**node) for node in raw["nodes"]),
        )

    def by_operator(self) -> list[OperatorCost]:
        """Add up the nodes of each operator, dearest first."""
        costs: dict[str, list[int]] = {}
        for node, own in zip(self.nodes, self._own_times(), strict=True):
            count_and_time = costs.setdefault(node.op_type, [0, 0])
            count_and_time[0] += 1
            count_and_time[1] += own
        rows = [
            OperatorCost(op_type=op, count=count, duration_ns=time)
            for op, (count, time) in costs.items()
        ]
        return sorted(rows, key=lambda row: -row.duration_ns)

    def table(self, limit: int = 20) -> str:
        """Lay out the `limit` dearest operators and nodes as text."""
        operators = [
            (
                row.op_type,
                str(row.count),
                milliseconds(row.duration_ns),
                self.share(row.duration_ns),
            )
            for row in self.by_operator()[:limit]
        ]
        dearest = sorted(self.nodes, key=lambda node: -node.duration_ns)[:limit]
        nodes = [
            (
                node.node,
                node.op_type,
                milliseconds(node.duration_ns),
                self.share(node.duration_ns),
                f"{node.output_bytes:,}",
                "yes" if node.in_arena else "no",
            )
            for node in dearest
        ]
        head = (
            f"total {milliseconds(self.total_ns)} ms, {len(self.nodes)} nodes, "
            f"arena {self.arena_bytes:,} bytes, "
            f"{self.unplanned_allocations} unplanned allocations"
        )
        return "\n\n".join(
            [
                head,
                _table(("operator", "count", "ms", "%"), operators, left=1),
                _table(("node", "operator", "ms", "%", "output bytes", "planned"), nodes, left=2),
            ]
        )

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain data; times in nanoseconds."""
        return {**asdict(self), "operators": [asdict(cost) for cost in self.by_operator()]}

    def to_json(self) -> str:
        """Return everything as JSON; times in nanoseconds."""
        return json.dumps(self.as_dict())

    def chrome_trace(self) -> str:
        """Return the run in the Trace Event Format, for chrome://tracing or Perfetto."""
        events: list[dict[str, Any]] = [
            {
                "name": node.node,
                "cat": node.op_type,
                "ph": "X",
                "ts": node.start_ns / 1000,
                "dur": node.duration_ns / 1000,
                "pid": 0,
                "tid": 0,
                "args": {"operator": node.op_type, "output_bytes": node.output_bytes},
            }
            for node in self.nodes
        ]
        return json.dumps({"traceEvents": events, "displayTimeUnit": "ns"})

    def to_html(self) -> str:
        """Return a page that needs nothing else: a time line, the operators, the dearest nodes."""
        from .profile_page import profile_page  # noqa: PLC0415 - it imports this module

        return profile_page(self)

    def _own_times(self) -> list[int]:
        """Each node's time without that of the nodes it ran: those that follow it, one deeper."""
        own = [node.duration_ns for node in self.nodes]
        parents: list[int] = []  # by depth, the node that runs now
        for i, node in enumerate(self.nodes):
            del parents[node.depth :]
            if parents:
                own[parents[-1]] -= node.duration_ns
            parents.append(i)
        return own

    def share(self, ns: int) -> str:
        """Write nanoseconds as a percentage of the run."""
        return f"{100 * ns / max(self.total_ns, 1):.1f}"


def milliseconds(ns: int) -> str:
    """Write nanoseconds as milliseconds."""
    return f"{ns / 1e6:.3f}"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]], *, left: int) -> str:
    """Columns as wide as their widest entry, the first `left` of them flush left."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [head, *rows]
    ]
    return "\n".join(lines)
