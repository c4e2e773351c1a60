"""The choice of a compiler: one pure function over what was found out, and the way there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from build_tools.errors import ToolchainError
from build_tools.toolchain import memory
from build_tools.toolchain.describe import describe
from build_tools.toolchain.families import traits_of
from build_tools.toolchain.model import (
    FLAG_VARIABLES,
    Assessed,
    Compiler,
    Rejected,
    Toolchain,
)
from build_tools.toolchain.probe import probe
from build_tools.toolchain.search import flags_of, search

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from build_tools.host import Host
    from build_tools.process import Runner
    from build_tools.record import Record
    from build_tools.toolchain.model import Candidate, Probes

_WINDOWS_TARGETS = {"x86_64": "x86_64", "i686": "x86", "aarch64": "arm64"}
_INSTALL = (
    "Windows: the workload 'Desktop development with C++' of Visual Studio 2019 or 2022",
    "Debian, Ubuntu: apt-get install g++",
    "Fedora, RHEL: dnf install gcc-c++",
    "Alpine: apk add g++",
    "macOS: xcode-select --install",
    "or name one: --compiler PATH, or CC and CXX in the environment",
)


def find_toolchain(
    asked: str | None,
    host: Host,
    runner: Runner,
    record: Record,
    cache_dir: Path,
    *,
    asked_by: str = "--compiler",
) -> Toolchain:
    """Find, describe, probe and choose the compiler, and record the choice.

    Raises ToolchainError naming every compiler that was looked at when none can be used.
    """
    with record.step("compiler: find and probe"):
        candidates = search(host, asked, asked_by)
        assessed = tuple(until_usable(assess(candidates, host, runner, cache_dir)))
        flags = flags_of(host.environ, (*FLAG_VARIABLES, *_variables(assessed)))
        toolchain = choose(assessed, flags=flags)
    _report(toolchain, record)
    return toolchain


def assess(
    candidates: Iterable[Candidate], host: Host, runner: Runner, cache_dir: Path
) -> Iterator[Assessed | Rejected]:
    """Describe and probe each candidate; remembered answers are taken from the cache."""
    for candidate in candidates:
        found = describe(candidate, runner, host.environ)
        if isinstance(found, Compiler):
            found = _for_another_processor(found, host) or found
        if isinstance(found, Rejected):
            yield found
        else:
            yield Assessed(compiler=found, probes=_probes(found, host, runner, cache_dir))


def _variables(assessed: Iterable[Assessed | Rejected]) -> Iterator[str]:
    """Yield the variables that the last compiler, the chosen one, reads as flags."""
    for item in tuple(assessed)[-1:]:
        if isinstance(item, Assessed):
            yield from traits_of(item.compiler.family).dialect.variables


def until_usable(assessed: Iterable[Assessed | Rejected]) -> Iterator[Assessed | Rejected]:
    """Yield up to and with the first compiler that can be used: probing the rest costs seconds."""
    for item in assessed:
        yield item
        if isinstance(item, Assessed) and _why_not(item) is None:
            return


def choose(
    assessed: Sequence[Assessed | Rejected], flags: tuple[tuple[str, str], ...] = ()
) -> Toolchain:
    """Take the first compiler that can do what this project needs; a pure function.

    Raises ToolchainError when there is none.
    """
    rejected: list[Rejected] = []
    for item in assessed:
        refusal = item if isinstance(item, Rejected) else _why_not(item)
        if refusal is None and isinstance(item, Assessed):
            return Toolchain(
                compiler=item.compiler,
                probes=item.probes,
                reasons=_reasons(item, rejected),
                rejected=tuple(rejected),
                flags=flags,
            )
        if refusal is not None:
            rejected.append(refusal)
    raise _none_usable(rejected, flags)


def _probes(compiler: Compiler, host: Host, runner: Runner, cache_dir: Path) -> Probes:
    key = memory.key_of(compiler, host.environ)
    known = memory.recall(cache_dir, key)
    if known is not None:
        return known
    probes = probe(compiler, runner, host.environ)
    if not any(probes.missing()):
        # A failure is asked again: it may come from something that was mended meanwhile.
        memory.remember(cache_dir, key, probes)
    return probes


def _for_another_processor(compiler: Compiler, host: Host) -> Rejected | None:
    """Refuse a cl whose programs would run here and whose libraries Python could not load."""
    machine = _WINDOWS_TARGETS.get(compiler.target.partition("-pc-windows-msvc")[0])
    if "windows-msvc" not in compiler.target or machine == host.machine:
        return None
    why = f"compiles for {compiler.target}, and Python is for {host.machine}"
    return Rejected(cxx=str(compiler.cxx), origin=compiler.origin, why=why)


def _why_not(item: Assessed) -> Rejected | None:
    missing = [f"{name}: {probe.why}" for name, probe in item.probes.missing()]
    if not missing:
        return None
    compiler = item.compiler
    why = f"{compiler.family} {compiler.version} fails the probes\n" + "\n".join(missing)
    return Rejected(cxx=str(compiler.cxx), origin=compiler.origin, why=why)


def _reasons(item: Assessed, rejected: Sequence[Rejected]) -> tuple[str, ...]:
    named = item.compiler.origin
    who = "the first on PATH that passes" if named == "PATH" else f"named by {named}; it passes"
    before = f" ({len(rejected)} before it failed)" if rejected else ""
    can = ", ".join(name for name, probe in item.probes.named() if probe.ok)
    cannot = [f"cannot {name}: {probe.why}" for name, probe in item.probes.named() if not probe.ok]
    return (f"{who}{before}", f"proved: {can}", *cannot)


def _none_usable(
    rejected: Sequence[Rejected], flags: tuple[tuple[str, str], ...]
) -> ToolchainError:
    set_flags = [f"{name}={value} (environment)" for name, value in flags]
    if not rejected:
        return ToolchainError(
            "no C++ compiler was found",
            looked=["PATH: neither cl, g++, clang++ nor c++, with or without a version"],
            fix=_INSTALL,
        )
    return ToolchainError(
        "no C++ compiler that was found can be used; C++17 with <filesystem> is needed",
        looked=[*map(str, rejected), *set_flags],
        fix=(
            "install a newer compiler: GCC 8, Clang 7, Xcode 11, Visual Studio 2019 or later",
            *_INSTALL,
        ),
    )


def _report(toolchain: Toolchain, record: Record) -> None:
    compiler = toolchain.compiler
    for passed_over in toolchain.rejected:
        record.decide("compiler not taken", passed_over.cxx, passed_over.why, passed_over.origin)
    record.decide("compiler", compiler.label, "; ".join(toolchain.reasons), compiler.origin)
    for name, probed in toolchain.probes.named():
        if probed.ok:
            record.prove(f"compiler: {name}", probed.why)
    for name, value in toolchain.flags:
        record.decide(name, value, "set in the environment; handed on", f"environment {name}")
