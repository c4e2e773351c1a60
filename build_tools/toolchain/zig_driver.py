"""Run as the compiler, never imported: one call of a C or C++ driver, of ar or of ranlib, by zig.

Usage: python -I -S zig_driver.py FACTS TOOL ARGUMENT…  FACTS is the JSON file that ``zig.py`` has
written for one target; TOOL is cc, c++, ar or ranlib. A wrapper script of that name makes the call,
because CMake takes a compiler to be one file. Only the standard library is used.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

# With one of these nothing is linked.
_NO_LINK = frozenset({"-c", "-S", "-E", "-M", "-MM", "-fsyntax-only", "-dM", "--version", "-v"})
_QUESTIONS = ("-print-", "--print-", "-dump", "--help")


def main(arguments: list[str]) -> int:
    """Translate one call, run it, and finish what it has linked."""
    facts = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    facts["headers"] = (
        str(Path(arguments[0]).with_name(facts["headers"])) if facts["headers"] else ""
    )
    tool, rest = arguments[1], arguments[2:]
    os.environ["ZIG_GLOBAL_CACHE_DIR"] = os.environ["ZIG_LOCAL_CACHE_DIR"] = facts["cache"]
    if tool in {"ar", "ranlib"}:
        os.execv(facts["zig"], [facts["zig"], tool, *rest])
    command = [facts["zig"], tool, *translate(rest, facts)]
    rename = facts["renamed_libraries"]
    if not (rename and is_link(rest) and "-shared" in rest):
        os.execv(facts["zig"], command)
    status = subprocess.call(command)
    return status or rename_needed(output_of(rest), rename, facts["patchelf"])


def translate(arguments: list[str], facts: dict[str, Any]) -> list[str]:
    """Return zig's arguments for one call of a compiler driver.

    Zig builds its C++ runtime once for every combination of optimisation and stripping, which
    takes a minute: every link here asks for the same combination.
    """
    runtime = ["-O2", "-s"] if is_link(arguments) else []
    headers = ["-isystem", facts["headers"]] if facts["headers"] else []
    return ["-target", facts["target"], *facts["flags"], *headers, *runtime, *arguments]


def is_link(arguments: list[str]) -> bool:
    """Say whether a call ends in a program or a shared object."""
    asks = any(argument.startswith(_QUESTIONS) for argument in arguments)
    return bool(arguments) and not asks and _NO_LINK.isdisjoint(arguments)


def output_of(arguments: list[str]) -> str:
    """Return the file that a call writes."""
    places = [place for place, argument in enumerate(arguments) if argument == "-o"]
    return arguments[places[-1] + 1] if places else "a.out"


def rename_needed(binary: str, renamed: dict[str, str], patchelf: str) -> int:
    """Have a shared object need libraries by the names that the target's loader knows."""
    pairs = [word for pair in renamed.items() for word in ("--replace-needed", *pair)]
    return subprocess.call([patchelf, *pairs, binary])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
