"""What differs between two wheels that ought to be the same, member by member, in words.

Every kind of member has its own way of being compared; what none knows is compared as bytes.
"""

from __future__ import annotations

import difflib
import json
import zipfile
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from build_tools.wheel_file import is_library

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import lief

_SHOWN = 12
_TEXTS = (".py", ".pyi", ".txt", ".md", ".toml", ".proto", ".h")
_METADATA = ("METADATA", "WHEEL", "LICENSE", "NOTICE", "entry_points.txt", "top_level.txt")


def explain(first: Path, second: Path) -> list[str]:
    """Return what differs between two wheels; empty where they are the same bytes."""
    if first.read_bytes() == second.read_bytes():
        return []
    lines = [] if first.name == second.name else [f"their names: {first.name}, {second.name}"]
    with zipfile.ZipFile(first) as one, zipfile.ZipFile(second) as other:
        lines += _members(one, other)
    return lines or ["all members are the same; only the way they are packed differs"]


def _members(one: zipfile.ZipFile, other: zipfile.ZipFile) -> Iterator[str]:
    names, others = one.namelist(), other.namelist()
    yield from (f"{name}: in the first only" for name in names if name not in set(others))
    yield from (f"{name}: in the second only" for name in others if name not in set(names))
    common = [name for name in names if name in set(others)]
    if common != [name for name in others if name in set(names)]:
        yield "the members stand in another order"
    # RECORD repeats every other difference: it is told last, as what it is.
    for name in sorted(common, key=lambda name: name.endswith(".dist-info/RECORD")):
        yield from _contents(name, one.read(name), other.read(name))
    yield from _attributes([(one.getinfo(name), other.getinfo(name)) for name in common])


def _attributes(pairs: list[tuple[zipfile.ZipInfo, zipfile.ZipInfo]]) -> Iterator[str]:
    """Yield how members are packed otherwise; what many have in common is told once."""
    members: dict[tuple[str, str, str], list[str]] = {}
    for pair in pairs:
        for what, (here, there) in _packing(*pair).items():
            if here != there:
                members.setdefault((what, here, there), []).append(pair[0].filename)
    for (what, here, there), names in members.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        yield f"{names[0]}{more}: {what}: {here}, {there}"


def _packing(one: zipfile.ZipInfo, other: zipfile.ZipInfo) -> dict[str, tuple[str, str]]:
    return {
        "date": (_date(one), _date(other)),
        "rights": (oct(one.external_attr >> 16), oct(other.external_attr >> 16)),
        "compression": (str(one.compress_type), str(other.compress_type)),
    }


def _date(entry: zipfile.ZipInfo) -> str:
    return "{}-{:02}-{:02} {:02}:{:02}:{:02}".format(*entry.date_time)


def _contents(name: str, one: bytes, other: bytes) -> Iterator[str]:
    if one == other:
        return
    path = PurePosixPath(name)
    if path.name == "RECORD":
        yield f"{name}: {_changed_rows(one, other)} rows, which follow from the members above"
    elif path.suffix == ".json":
        yield from _prefixed(name, _json(one, other))
    elif path.suffix in _TEXTS or path.name in _METADATA:
        yield from _prefixed(name, _lines(one, other))
    elif is_library(name):
        yield from _prefixed(name, _library(one, other))
    else:
        yield f"{name}: {_bytes(one, other)}"


def _prefixed(name: str, found: Iterator[str]) -> Iterator[str]:
    lines = list(found)
    yield from (f"{name}: {line}" for line in lines[:_SHOWN])
    if len(lines) > _SHOWN:
        yield f"{name}: and {len(lines) - _SHOWN} more"


def _changed_rows(one: bytes, other: bytes) -> int:
    rows = set(one.splitlines()) ^ set(other.splitlines())
    return len({row.partition(b",")[0] for row in rows})


def _lines(one: bytes, other: bytes) -> Iterator[str]:
    here, there = (content.decode("utf-8", "replace").splitlines() for content in (one, other))
    changes = difflib.unified_diff(here, there, lineterm="", n=0)
    yield from (line for line in changes if not line.startswith(("---", "+++", "@@")))


def _json(one: bytes, other: bytes) -> Iterator[str]:
    try:
        yield from _values("", json.loads(one), json.loads(other))
    except ValueError:
        yield from _lines(one, other)


def _values(place: str, one: Any, other: Any) -> Iterator[str]:
    """Yield every value that differs, by its place: .formulation[0].properties[3].value."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in dict.fromkeys([*one, *other]):
            yield from _values(f"{place}.{name}", one.get(name), other.get(name))
    elif isinstance(one, list) and isinstance(other, list):
        here, there = _by_name(one), _by_name(other)
        for name in dict.fromkeys([*here, *there]):
            yield from _values(f"{place}[{name}]", here.get(name), there.get(name))
    elif one != other:
        yield f"{place}: {one}, {other}"


def _by_name(entries: list[Any]) -> dict[str, Any]:
    """Return the entries of a list by name where each has one of its own, else by place."""
    names = [entry.get("name") if isinstance(entry, dict) else None for entry in entries]
    if None in names or len(set(names)) != len(names):
        names = [str(at) for at in range(len(entries))]
    return dict(zip(map(str, names), entries, strict=True))


def _library(one: bytes, other: bytes) -> Iterator[str]:
    import lief  # noqa: PLC0415 - 0.2 s to import; only needed where a binary is read

    parsed = [lief.parse(list(content)) for content in (one, other)]
    sides = [_sections(binary) for binary in parsed]
    names = list(dict.fromkeys([*sides[0], *sides[1]]))
    lines = [
        line for name in names if (line := _section(name, sides[0].get(name), sides[1].get(name)))
    ]
    if len(one) != len(other):
        yield f"{len(one)} bytes, {len(other)} bytes"
    yield from lines
    if not lines:
        yield _bytes(one, other)


def _sections(binary: Any) -> dict[str, bytes]:
    sections: Sequence[lief.Section] = binary.sections if binary is not None else ()
    return {str(section.name): bytes(section.content) for section in sections if section.name}


def _section(name: str, one: bytes | None, other: bytes | None) -> str:
    if one == other:
        return ""
    if one is None or other is None:
        return f"section {name} in the {'second' if one is None else 'first'} only"
    return f"section {name}: {_bytes(one, other)}"


def _bytes(one: bytes, other: bytes) -> str:
    """Say how much of two contents differs, and where it begins."""
    first = next(
        (at for at, (here, there) in enumerate(zip(one, other, strict=False)) if here != there),
        min(len(one), len(other)),
    )
    amount = sum(here != there for here, there in zip(one, other, strict=False))
    sizes = "" if len(one) == len(other) else f"{len(one)} and {len(other)} bytes, "
    return (
        f"{sizes}{amount} bytes differ, from offset {first:#x} on: "
        f"{_around(one, first)}, {_around(other, first)}"
    )


def _around(content: bytes, at: int) -> str:
    return repr(content[at : at + 16])[1:]
