"""What a candidate says it is: family and version by its predefined macros, target by its word."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from build_tools.toolchain.dialect import GNU_DIALECT, MSVC_DIALECT, speaks_msvc
from build_tools.toolchain.families import FAMILIES
from build_tools.toolchain.model import Compiler, Rejected
from build_tools.toolchain.msvc import QUESTION, parse_answer, parse_banner, target_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from build_tools.process import Runner
    from build_tools.toolchain.dialect import Dialect
    from build_tools.toolchain.model import Candidate

_TIMEOUT = 60.0
_LANGUAGE = {"LC_ALL": "C", "VSLANG": "1033"}


@dataclass(frozen=True, kw_only=True)
class _Answer:
    """What a driver said about itself."""

    dialect: Dialect
    macros: Mapping[str, str]
    target: str
    complaint: str = ""
    """Why it cannot be used; empty where nothing speaks against it."""


def describe(
    candidate: Candidate, runner: Runner, environ: Mapping[str, str]
) -> Compiler | Rejected:
    """Ask a candidate what it is; one that does not answer like a compiler is rejected."""
    ask = _ask_msvc if speaks_msvc(candidate.cxx) else _ask_gnu
    answer = ask(candidate, runner, in_english(environ))
    if answer.complaint:
        return _rejected(candidate, answer.complaint)
    recognised = (
        (traits, traits.recognise(answer.macros))
        for traits in FAMILIES
        if traits.dialect is answer.dialect
    )
    known = next(((traits, version) for traits, version in recognised if version), None)
    if known is None:
        return _rejected(candidate, "is neither GCC, Clang nor MSVC by its predefined macros")
    return Compiler(
        family=known[0].family,
        version=known[1],
        target=answer.target,
        cc=candidate.cc,
        cxx=candidate.cxx,
        origin=candidate.origin,
        cc_arguments=candidate.cc_arguments,
        cxx_arguments=candidate.cxx_arguments,
        launcher=candidate.launcher,
    )


def in_english(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment in which compilers speak English, where they have it."""
    return {**environ, **_LANGUAGE}


def first_words(text: str, limit: int = 300) -> str:
    """Return what a compiler complained about: its first error line, else its first line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower() or "undefined" in line.lower()]
    return (errors or lines or ["it said nothing"])[0][:limit]


def _ask_gnu(candidate: Candidate, runner: Runner, env: Mapping[str, str]) -> _Answer:
    command = (str(candidate.cxx), *candidate.cxx_arguments)
    # Standard input is empty, so this is the preprocessor's answer to an empty file.
    said = runner.run([*command, "-x", "c++", "-dM", "-E", "-"], env=env, timeout=_TIMEOUT)
    macros, complaint, target = _macros(said.stdout), "", ""
    if not said.ok:
        complaint = f"does not preprocess: {first_words(said.text)}"
    elif any(traits.recognise(macros) for traits in FAMILIES):
        c_said = runner.run([str(candidate.cc), *candidate.cc_arguments, "-dumpversion"], env=env)
        if not c_said.ok:
            complaint = f"its C driver does not work: {first_words(c_said.text)}"
        else:
            named = runner.run([*command, "-dumpmachine"], env=env, timeout=_TIMEOUT)
            target = named.stdout.strip() or "unknown"
    return _Answer(dialect=GNU_DIALECT, macros=macros, target=target, complaint=complaint)


def _ask_msvc(candidate: Candidate, runner: Runner, env: Mapping[str, str]) -> _Answer:
    """Ask cl and clang-cl, whose C driver is the C++ driver, by a file of macros."""
    with tempfile.TemporaryDirectory(prefix="onnxforge-probe-", ignore_cleanup_errors=True) as temp:
        (Path(temp) / "macros.cc").write_text(QUESTION, encoding="ascii")
        command = [str(candidate.cxx), *candidate.cxx_arguments, "/EP", "/TP", "macros.cc"]
        said = runner.run(command, cwd=Path(temp), env=env, timeout=_TIMEOUT)
    macros, complaint = parse_answer(said.stdout), ""
    if not said.ok:
        banner = parse_banner(said.text)
        who = f" (version {banner.version} for {banner.target})" if banner else ""
        complaint = f"does not preprocess{who}: {first_words(said.text)}"
    return _Answer(
        dialect=MSVC_DIALECT, macros=macros, target=target_of(macros), complaint=complaint
    )


def _macros(text: str) -> dict[str, str]:
    rows = (line.split(maxsplit=2) for line in text.splitlines())
    return {row[1]: (row[2] if len(row) > 2 else "") for row in rows if row[:1] == ["#define"]}


def _rejected(candidate: Candidate, why: str) -> Rejected:
    return Rejected(cxx=str(candidate.cxx), origin=candidate.origin, why=why)
