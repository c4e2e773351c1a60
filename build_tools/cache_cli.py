"""Look at the cache of sources and built libraries, check it, or make it smaller."""

from __future__ import annotations

import json
import re
import sys
import time
from typing import TYPE_CHECKING, Any

from build_tools.cache import Cache, Entry, Kind
from build_tools.durations import size
from build_tools.errors import CacheError, UsageError
from build_tools.pins import load_pins

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from build_tools.context import Context
    from build_tools.sources import Resolved

_UNITS = {"h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument(
        "action",
        choices=("list", "verify", "prune"),
        help="list: what is there. verify: read every byte, and take out what is damaged; the next "
        "build makes it again. prune: remove what was not used lately, and what a killed run left.",
    )
    parser.add_argument(
        "--older-than",
        metavar="TIME",
        default="30d",
        help="prune: not used for so long; a number and h, d or w (default: 30d)",
    )
    parser.add_argument("--all", action="store_true", help="prune: everything")
    parser.add_argument("--keep", action="store_true", help="verify: only say what is damaged")


def main(resolved: Resolved, args: argparse.Namespace, context: Context) -> int:
    """Run the verb; damage that verify has found is a CacheError, as JSON only its exit code."""
    cache = Cache.create(resolved.config, context)
    as_json = resolved.config.json
    if args.action == "list":
        _list(cache, as_json=as_json)
    elif args.action == "prune":
        _prune(cache, 0.0 if args.all else _seconds(args.older_than), as_json=as_json)
    else:
        return _verify(cache, remove=not args.keep, as_json=as_json)
    return 0


def _list(cache: Cache, *, as_json: bool) -> None:
    entries = cache.entries()
    if as_json:
        _write_json({"root": str(cache.root), "entries": [_as_dict(entry) for entry in entries]})
        return
    labels = _archive_labels()
    rows = [
        (entry.kind.value, _label(entry, labels), size(entry.size), _when(entry))
        for entry in entries
    ]
    total = size(sum(entry.size for entry in entries))
    _write([*_table(rows), f"{cache.root}: {len(entries)} entries, {total}"])


def _prune(cache: Cache, unused_for: float, *, as_json: bool) -> None:
    removed = cache.prune(unused_for=unused_for)
    if as_json:
        _write_json({"root": str(cache.root), "removed": [_as_dict(entry) for entry in removed]})
        return
    labels = _archive_labels()
    freed = size(sum(entry.size for entry in removed))
    rows = [(entry.kind.value, _label(entry, labels), size(entry.size)) for entry in removed]
    _write([*_table(rows), f"{cache.root}: {len(removed)} entries removed, {freed}"])


def _verify(cache: Cache, *, remove: bool, as_json: bool) -> int:
    verdicts = cache.verify(remove=remove)
    bad = [verdict for verdict in verdicts if verdict.problems]
    if as_json:
        rows = [
            {**_as_dict(v.entry), "problems": list(v.problems), "removed": v.removed}
            for v in verdicts
        ]
        _write_json({"root": str(cache.root), "entries": rows})
        return CacheError.exit_code if bad else 0
    if bad:
        first = "the damaged ones were removed: the next build makes them again"
        raise CacheError(
            f"{len(bad)} of {len(verdicts)} entries of the cache are damaged",
            looked=[f"{v.entry.path}: {', '.join(v.problems[:3])}" for v in bad],
            fix=first if remove else "run verify without --keep to remove them",
        )
    _write([f"{cache.root}: {len(verdicts)} entries, all sound"])
    return 0


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([hdw])", text)
    if not match:
        raise UsageError(f"--older-than {text}: not a time", fix="write 12h, 7d or 4w")
    return float(match[1]) * _UNITS[match[2]]


def _archive_labels() -> dict[str, str]:
    """Return what each pinned archive is, by its sha256."""
    return {
        place.sha256: f"{pin}: {place.filename}" for pin in load_pins().all for place in pin.places
    }


def _label(entry: Entry, labels: dict[str, str]) -> str:
    name = entry.name
    if entry.kind is Kind.ARCHIVE:
        name = labels.get(name.partition(".")[0], name)
    return name if entry.finished else f"{name} (unfinished)"


def _when(entry: Entry) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))


def _as_dict(entry: Entry) -> dict[str, Any]:
    return {
        "kind": entry.kind.value,
        "path": str(entry.path),
        "size": entry.size,
        "used": entry.used,
        "finished": entry.finished,
        "inputs": dict(entry.inputs),
    }


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _write(lines: Iterable[str]) -> None:
    sys.stdout.write("\n".join(lines) + "\n")


def _write_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=1) + "\n")
