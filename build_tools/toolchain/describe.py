"""What a candidate says it is: family and version by its predefined macros, target by its word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from build_tools.toolchain.families import FAMILIES
from build_tools.toolchain.model import Compiler, Rejected

if TYPE_CHECKING:
    from collections.abc import Mapping

    from build_tools.process import Runner
    from build_tools.toolchain.model import Candidate

_TIMEOUT = 60.0


def describe(
    candidate: Candidate, runner: Runner, environ: Mapping[str, str]
) -> Compiler | Rejected:
    """Ask a candidate what it is; one that does not answer like a compiler is rejected."""
    env = {**environ, "LC_ALL": "C"}
    command = (str(candidate.cxx), *candidate.cxx_arguments)
    # Standard input is empty, so this is the preprocessor's answer to an empty file.
    said = runner.run([*command, "-x", "c++", "-dM", "-E", "-"], env=env, timeout=_TIMEOUT)
    if not said.ok:
        return _rejected(candidate, f"does not preprocess: {first_words(said.text)}")
    macros = _macros(said.stdout)
    recognised = ((traits, traits.recognise(macros)) for traits in FAMILIES)
    known = next(((traits, version) for traits, version in recognised if version), None)
    if known is None:
        return _rejected(candidate, "is neither GCC nor Clang by its predefined macros")
    c_said = runner.run([str(candidate.cc), *candidate.cc_arguments, "-dumpversion"], env=env)
    if not c_said.ok:
        return _rejected(candidate, f"its C driver does not work: {first_words(c_said.text)}")
    target = runner.run([*command, "-dumpmachine"], env=env, timeout=_TIMEOUT)
    return Compiler(
        family=known[0].family,
        version=known[1],
        target=target.stdout.strip() or "unknown",
        cc=candidate.cc,
        cxx=candidate.cxx,
        origin=candidate.origin,
        cc_arguments=candidate.cc_arguments,
        cxx_arguments=candidate.cxx_arguments,
        launcher=candidate.launcher,
    )


def first_words(text: str, limit: int = 300) -> str:
    """Return what a compiler complained about: its first error line, else its first line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower() or "undefined" in line.lower()]
    return (errors or lines or ["it said nothing"])[0][:limit]


def _macros(text: str) -> dict[str, str]:
    rows = (line.split(maxsplit=2) for line in text.splitlines())
    return {row[1]: (row[2] if len(row) > 2 else "") for row in rows if row[:1] == ["#define"]}


def _rejected(candidate: Candidate, why: str) -> Rejected:
    return Rejected(cxx=str(candidate.cxx), origin=candidate.origin, why=why)
