"""Holding a wheel's bill of materials against its binaries, and its licences against both.

A bill that leaves something out, names something that is not there, or gives another version or
digest than the bytes do is a lie, and the claim fails with the words of both sides.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from build_tools.bill.marks import KNOWN, Trace, traces_in
from build_tools.bill.read import read_bills
from build_tools.record import Proof
from build_tools.wheel_file import is_library

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from build_tools.bill.read import Stated, Statement
    from build_tools.wheel_file import WheelBinary, WheelFile

# One sentence that the text of each licence has and no other licence's has.
_SENTENCES = {
    "Apache-2.0": "apache license",
    "BSD-3-Clause": "redistribution and use in source and binary forms",
    "MIT": "permission is hereby granted, free of charge",
    "Unicode-3.0": "unicode license v3",
    "Zlib": "this software is provided 'as-is'",
}
_LICENSE_NAMES = re.compile(r"(?i)(^|/)(licen[cs]e|notice|copying)[^/]*$")


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """A wheel read once for all claims about its materials."""

    stated: Statement
    """What its bills state."""

    traces: Mapping[str, tuple[Trace, ...]]
    """What each binary gives away, by member; a C++ library that it merely needs left out."""

    digests: Mapping[str, str]
    """sha256 of each binary, by member."""

    licenses: Mapping[str, str]
    """The text of each licence and notice, in small letters, by member."""


def gather(wheel: WheelFile, binaries: tuple[WheelBinary, ...]) -> Evidence:
    """Read everything about a wheel's materials."""
    contents = {name: wheel.read(name) for name in wheel.members if is_library(name)}
    needed = {binary.member: binary.dynamic.needed for binary in binaries}
    return Evidence(
        stated=read_bills(wheel),
        traces={
            name: tuple(_own(traces_in(content), needed.get(name, ())))
            for name, content in sorted(contents.items())
        },
        digests={name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
        licenses={
            name: wheel.read(name).decode("utf-8", "replace").lower()
            for name in wheel.members
            if name.startswith(f"{wheel.dist_info}/") and _LICENSE_NAMES.search(name)
        },
    )


def _own(traces: tuple[Trace, ...], needed: tuple[str, ...]) -> Iterator[Trace]:
    shared_libcxx = any("libc++" in name for name in needed)
    yield from (trace for trace in traces if not (trace.name == "libc++" and shared_libcxx))


def prove_bill(evidence: Evidence) -> tuple[Proof, ...]:
    """Return the claims about what a wheel says it is made of."""
    return (prove_complete(evidence), prove_true(evidence), prove_licenses(evidence))


def prove_complete(evidence: Evidence) -> Proof:
    """Everything that the binaries hold is named."""
    stated = evidence.stated
    named = {component.name for component in _all(stated)}
    found = {trace.name for traces in evidence.traces.values() for trace in traces}
    missing = [
        f"{member} holds {trace.name} ({trace.evidence})"
        for member, traces in evidence.traces.items()
        for trace in traces
        if trace.name not in named
    ]
    if not stated.files:
        missing.insert(0, "there is none")
    return Proof(
        claim="its bill of materials names all that its binaries hold",
        evidence="; ".join(missing)
        or f"found in the binaries: {', '.join(sorted(found)) or 'none'}",
        ok=not missing,
    )


def prove_true(evidence: Evidence) -> Proof:
    """Versions, digests and presence are as the binaries have them."""
    lies = [
        *evidence.stated.problems,
        *_wrong_versions(evidence),
        *_wrong_digests(evidence),
        *_absent(evidence),
    ]
    traces = [trace for traces in evidence.traces.values() for trace in traces]
    checked = sorted({f"{trace.name} {trace.version}" for trace in traces if trace.version})
    files = f"{len(evidence.stated.digests)} of {len(evidence.digests)} binaries by sha256"
    return Proof(
        claim="its bill of materials says nothing that its binaries contradict",
        evidence="; ".join(lies) or f"{', '.join(checked) or 'no version is told'}; {files}",
        ok=not lies,
    )


def _wrong_versions(evidence: Evidence) -> Iterator[str]:
    """Yield what is told otherwise by a binary, and what is told of no binary."""
    held = {name: {trace.version for trace in traces} for name, traces in _told(evidence).items()}
    for component in _all(evidence.stated):
        versions = sorted(held.get(component.name, ()))
        said = component.version
        if said and versions and not any(_same_version(said, found) for found in versions):
            (member, *_) = _members_with(evidence, component.name)
            holds = f"{component.name} {' and '.join(versions)}"
            yield f"it says {component.name} {said}, {member} holds {holds}"
    for name, traces in _told(evidence).items():
        said_of_it = [entry.version for entry in _all(evidence.stated) if entry.name == name]
        for trace in traces if any(said_of_it) else ():
            matches = [said for said in said_of_it if _same_version(said, trace.version)]
            if not matches and len({trace.version for trace in traces}) > 1:
                yield f"it does not say {name} {trace.version}, which is in it, too"


def _told(evidence: Evidence) -> dict[str, list[Trace]]:
    """Return the traces that tell a version, by component."""
    told: dict[str, list[Trace]] = {}
    for traces in evidence.traces.values():
        for trace in traces:
            if trace.version:
                told.setdefault(trace.name, []).append(trace)
    return told


def _members_with(evidence: Evidence, name: str) -> list[str]:
    return [
        member
        for member, traces in evidence.traces.items()
        if any(trace.name == name and trace.version for trace in traces)
    ]


def _same_version(said: str, found: str) -> bool:
    """Say whether a version is the one found; abseil tells its release without the patch."""
    return said == found or said.startswith(f"{found}.")


def _wrong_digests(evidence: Evidence) -> Iterator[str]:
    said = evidence.stated.digests
    for member, digest in sorted(said.items()):
        found = evidence.digests.get(member)
        if found is None:
            yield f"it names {member}, which is not there"
        elif found != digest:
            yield f"it says {member} has sha256 {digest}, it has {found}"
    if said:
        unnamed = sorted(evidence.digests.keys() - said.keys())
        yield from (f"it does not name the file {member}" for member in unnamed)


def _absent(evidence: Evidence) -> Iterator[str]:
    """Yield what is named and leaves no trace, though it always does."""
    found = {trace.name for traces in evidence.traces.values() for trace in traces}
    named = dict.fromkeys(component.name for component in evidence.stated.components)
    for name in named:
        if name in KNOWN and name not in found:
            yield f"it names {name}, no binary shows a trace of it"


def prove_licenses(evidence: Evidence) -> Proof:
    """The licence of everything that is stated or found comes along as text."""
    # auditwheel names the distribution's packages that it copied from, and no licence of theirs.
    stated = {entry.name: entry for entry in evidence.stated.components if entry.licenses}
    found = {trace.name for traces in evidence.traces.values() for trace in traces}
    itself = evidence.stated.package.name if evidence.stated.package else ""
    names = sorted({*stated, *found} - {itself})
    missing = [name for name in names if not _is_covered(name, stated.get(name), evidence.licenses)]
    return Proof(
        claim="the licences of all that is compiled in are in it",
        evidence=f"no text for {', '.join(missing)}"
        if missing
        else ", ".join(names) or "nothing is",
        ok=not missing,
    )


def _is_covered(name: str, component: Stated | None, licenses: Mapping[str, str]) -> bool:
    """Say whether a licence file that names the component has the text of its licence."""
    word = re.compile(rf"(?<![\w-]){re.escape(name)}(?![\w-])")
    about = [text for file, text in licenses.items() if word.search(f"{file.lower()} {text}")]
    expressions = component.licenses if component else ()
    return bool(about) and all(_has_text(expression, about) for expression in expressions)


def _has_text(expression: str, texts: list[str]) -> bool:
    """Say whether the texts cover an SPDX expression: one licence of each choice is enough."""
    for part in re.split(r" AND ", expression):
        choices = [choice.strip("() ").partition(" WITH ")[0] for choice in part.split(" OR ")]
        sentences = [_SENTENCES[choice] for choice in choices if choice in _SENTENCES]
        if sentences and not any(s in " ".join(t.split()) for s in sentences for t in texts):
            return False
    return True


def _all(stated: Statement) -> tuple[Stated, ...]:
    return (*stated.components, *([stated.package] if stated.package else []))
