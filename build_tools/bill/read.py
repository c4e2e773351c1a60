"""Reading the bills of materials of any wheel: ours, another's, auditwheel's of what it copied."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from build_tools.bill.compose import PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from build_tools.wheel_file import WheelFile


@dataclass(frozen=True, kw_only=True)
class Stated:
    """One component as a bill states it."""

    name: str
    """Its name, in small letters."""

    version: str
    """Its version; empty where none is stated."""

    licenses: tuple[str, ...] = ()
    """Its licences: SPDX identifiers or expressions, or names."""

    properties: Mapping[str, str] = field(default_factory=dict)
    """Our own properties, without their prefix."""


@dataclass(frozen=True, kw_only=True)
class Statement:
    """All that the bills of one wheel state."""

    files: tuple[str, ...] = ()
    """The members that hold them."""

    components: tuple[Stated, ...] = ()
    """The third-party code."""

    package: Stated | None = None
    """The package itself, as the first bill that names it does."""

    digests: Mapping[str, str] = field(default_factory=dict)
    """sha256 of each binary that is stated, by member."""

    making: Mapping[str, str] = field(default_factory=dict)
    """How it was made; empty where another than this builder has made it."""

    tools: Mapping[str, str] = field(default_factory=dict)
    """The programs that took part, by name, with their versions."""

    problems: tuple[str, ...] = ()
    """What cannot be read."""


def read_bills(wheel: WheelFile) -> Statement:
    """Return what a wheel's bills of materials state, all of them together."""
    folder = f"{wheel.dist_info}/sboms/"
    files = tuple(sorted(name for name in wheel.members if name.startswith(folder)))
    parsed = [_parse(wheel.read(name)) for name in files]
    bills = [bill for bill in parsed if not isinstance(bill, str)]
    entries = [entry for bill in bills for entry in _entries(bill)]
    packages = [bill["metadata"]["component"] for bill in bills if "component" in _head(bill)]
    formulas = [formula for bill in bills for formula in bill.get("formulation", ())]
    return Statement(
        files=files,
        components=tuple(_stated(entry) for entry in entries if entry.get("type") != "file"),
        package=_stated(packages[0]) if packages else None,
        digests=dict(_digests(entries)),
        making={
            name: value for formula in formulas for name, value in own_properties(formula).items()
        },
        tools={
            tool["name"]: tool.get("version", "")
            for formula in formulas
            for tool in formula.get("components", ())
        },
        problems=tuple(
            f"{name} is no CycloneDX bill: {bill}"
            for name, bill in zip(files, parsed, strict=True)
            if isinstance(bill, str)
        ),
    )


def own_properties(entry: Mapping[str, Any]) -> dict[str, str]:
    """Return the properties of an entry that are ours, without their prefix."""
    pairs = ((item["name"], item["value"]) for item in entry.get("properties", ()))
    return {name[len(PREFIX) :]: value for name, value in pairs if name.startswith(PREFIX)}


def _parse(content: bytes) -> dict[str, Any] | str:
    """Return a bill, or why it is none."""
    try:
        bill = json.loads(content)
        if not isinstance(bill, dict) or bill.get("bomFormat") != "CycloneDX":
            return "it does not say that it is one"
        for entry in _entries(bill):
            _stated(entry)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        return f"{type(error).__name__}: {error}"
    return bill


def _head(bill: Mapping[str, Any]) -> Mapping[str, Any]:
    head: Mapping[str, Any] = bill.get("metadata", {})
    return head


def _entries(bill: Mapping[str, Any]) -> list[dict[str, Any]]:
    return list(bill.get("components", ()))


def _stated(entry: Mapping[str, Any]) -> Stated:
    return Stated(
        name=str(entry["name"]).lower(),
        version=str(entry.get("version", "")),
        licenses=tuple(_license(item) for item in entry.get("licenses", ())),
        properties=own_properties(entry),
    )


def _license(item: Mapping[str, Any]) -> str:
    if "expression" in item:
        return str(item["expression"])
    known = item["license"]
    return str(known.get("id") or known["name"])


def _digests(entries: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    for entry in entries:
        if entry.get("type") == "file":
            for item in entry.get("hashes", ()):
                if item["alg"] == "SHA-256":
                    yield str(entry["name"]), str(item["content"])
