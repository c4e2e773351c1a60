"""What a build would use and why, without building: the same choices from the same facts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from build_tools.config import Linkage
from build_tools.errors import PinError
from build_tools.protobuf.choose import choose
from build_tools.protobuf.provide import what_is_wanted
from build_tools.record import Decision

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from build_tools.doctor.basics import Source
    from build_tools.doctor.facts import Facts
    from build_tools.protobuf.model import Choice, Description

_NOBODY = "nothing"


def plan(facts: Facts) -> tuple[Decision, ...]:
    """Return the decisions of ``nox -s build``, or those of upstream's own build."""
    return tuple(_upstream(facts) if facts.upstream else _ours(facts))


def _ours(facts: Facts) -> Iterator[Decision]:
    origins, python = facts.resolved.origins, facts.host.python
    yield _compiler(facts)
    if facts.tools is not None:
        for name, reason in zip(("cmake", "ninja"), facts.tools.reasons, strict=True):
            choice, _, why = reason.partition(": ")
            yield Decision(subject=name, choice=choice, reason=why, source=origins[name])
    jobs = facts.jobs
    yield Decision(
        subject="compile jobs", choice=str(jobs.jobs), reason=jobs.reason, source=jobs.source
    )
    yield Decision(
        subject="Python",
        choice=f"{python.version} ({python.abi}, {python.executable})",
        reason="it runs the build; the wheel is for its like",
        source="the builder's environment",
    )
    found = chosen_protobuf(facts)
    chosen = found.chosen if found else None
    yield _installed(found, chosen) if found and chosen else _protobuf(facts)
    linkage = chosen.linkage if chosen else facts.config.protobuf
    yield Decision(
        subject="ONNX_USE_PROTOBUF_SHARED_LIBS",
        choice="ON" if linkage is Linkage.SHARED else "OFF",
        reason="it follows from the library",
        source="probe",
    )
    if not isinstance(facts.sources, PinError):
        for source in facts.sources[1:]:
            asked_by = origins["onnx_version"] if source.pin.name == "onnx" else ""
            yield _source(facts, source, asked_by)


def _compiler(facts: Facts) -> Decision:
    toolchain = facts.toolchain
    if toolchain is None:
        why = facts.no_toolchain.what if facts.no_toolchain else "there is none"
        return Decision(subject="compiler", choice=_NOBODY, reason=why, source="probe")
    return Decision(
        subject="compiler",
        choice=toolchain.compiler.label,
        reason=toolchain.reasons[0],
        source=toolchain.compiler.origin,
    )


def _installed(choice: Choice, chosen: Description) -> Decision:
    return Decision(
        subject="protobuf",
        choice=str(chosen.install),
        reason=choice.contradicts or choice.reason,
        source=chosen.candidate.origin,
    )


def _protobuf(facts: Facts) -> Decision:
    """Return the decision for a protobuf of our own."""
    if facts.config.protobuf_root is not None or isinstance(facts.sources, PinError):
        reason = "the one that was asked for cannot be used"
        return Decision(subject="protobuf", choice=_NOBODY, reason=reason, source="probe")
    made = _source(facts, facts.sources[0], facts.resolved.origins["protobuf_version"])
    return replace(made, choice=f"{made.choice}, {facts.config.protobuf}, built from source")


def chosen_protobuf(facts: Facts) -> Choice | None:
    """Return the choice among what is installed; None where our own is built anyway."""
    wanted, root = what_is_wanted(facts.resolved), facts.config.protobuf_root
    described = [entry for found in facts.protobufs for entry in found.descriptions]
    if root is not None:
        named = [entry for entry in described if entry.candidate.root == root.absolute()]
        return choose(named, wanted)
    if wanted.linkage is Linkage.STATIC:
        return None
    shared = [entry for entry in described if entry.linkage is Linkage.SHARED]
    return choose(shared, replace(wanted, explicit=True))


def _source(facts: Facts, source: Source, asked_by: str) -> Decision:
    """Say which release would be taken, and from where."""
    for entry in (source, *source.substitutes):
        where = entry.at_hand or _reachable(facts, entry)
        if where:
            stands_in = "" if entry is source else f"no place that can be asked has {source.pin}; "
            return Decision(
                subject=source.pin.name,
                choice=str(entry.pin),
                reason=f"{stands_in}{where}",
                source=asked_by,
            )
    return Decision(
        subject=source.pin.name,
        choice=str(source.pin),
        reason="it cannot be had from anywhere",
        source=asked_by,
    )


def _reachable(facts: Facts, source: Source) -> str:
    name = str(source.pin)
    hosts = [reach for reach in facts.reaches if not reach.problem and name in reach.needed_for]
    return f"to be fetched from {hosts[0].name}" if hosts else ""


def _upstream(facts: Facts) -> Iterator[Decision]:
    release, finds, environ = facts.release, facts.cmake_finds, facts.host.environ
    version = facts.config.onnx_version
    driver = release.driver if release else "what its pyproject.toml says"
    yield Decision(
        subject="ONNX",
        choice=version,
        reason=f"pip install --no-binary onnx onnx=={version}, driven by {driver}",
        source=facts.resolved.origins["onnx_version"],
    )
    yield _compiler(facts)
    generator = environ.get("CMAKE_GENERATOR", "")
    yield Decision(
        subject="generator",
        choice=generator or "CMake's default, or Ninja where it is installed",
        reason="environment CMAKE_GENERATOR" if generator else "nobody says",
    )
    if facts.builds_own_protobuf or finds is None or facts.taken_library is None:
        own = release.own_protobuf if release else ""
        choice = f"protobuf {own}, fetched and built" if own else _NOBODY
        yield Decision(subject="protobuf", choice=choice, reason="CMake finds no library")
    else:
        for part, path in _parts(facts):
            found = facts.protobuf_with(path)
            which = f" (protobuf {found.version}{_owner(found.owner)})" if found else ""
            reason = "the first that CMake finds"
            yield Decision(subject=part, choice=f"{path or _NOBODY}{which}", reason=reason)


def _parts(facts: Facts) -> Iterator[tuple[str, Path | None]]:
    assert facts.cmake_finds is not None
    yield "protoc", facts.cmake_finds.protoc
    yield "protobuf's headers", facts.cmake_finds.include_dir
    yield "protobuf's library", facts.taken_library


def _owner(owner: str) -> str:
    return f", {owner}" if owner else ""
