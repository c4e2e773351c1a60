"""Run as the compiler, never imported: one call of a C or C++ driver, of ar or of ranlib, by zig.

Usage: python -I -S zig_driver.py FACTS TOOL ARGUMENT…  FACTS is the JSON file that ``zig.py`` has
written for one target; TOOL is cc, c++, ar or ranlib. A wrapper script of that name makes the call,
because CMake takes a compiler to be one file. Only the standard library is used.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

# With one of these nothing is linked.
_NO_LINK = frozenset({"-c", "-S", "-E", "-M", "-MM", "-fsyntax-only", "-dM", "--version"})
_QUESTIONS = ("-print-", "--print-", "-dump", "--help")


def main(arguments: list[str]) -> int:
    """Translate one call, run it, and finish what it has linked."""
    file = Path(arguments[0])
    facts = json.loads(file.read_text(encoding="utf-8"))
    facts["folder"] = str(file.parent)
    tool, rest = arguments[1], arguments[2:]
    os.environ["ZIG_GLOBAL_CACHE_DIR"] = os.environ["ZIG_LOCAL_CACHE_DIR"] = facts["cache"]
    if tool in {"ar", "ranlib"}:
        os.execv(facts["zig"], [facts["zig"], tool, *rest])
    if facts["system"] == "darwin" and is_link(rest) and makes_library(rest):
        return link_mach_o(rest, facts)
    command = [facts["zig"], tool, *translate(rest, facts)]
    rename = facts["renamed_libraries"]
    if not (rename and is_link(rest) and makes_library(rest)):
        os.execv(facts["zig"], command)
    status = subprocess.call(command)
    return status or rename_needed(output_of(rest), rename, facts["patchelf"])


def translate(arguments: list[str], facts: dict[str, Any]) -> list[str]:
    """Return zig's arguments for one call of a compiler driver.

    Zig builds its C++ runtime once for every combination of optimisation and stripping, which
    takes a minute: every link here asks for the same combination.
    """
    runtime = ["-O2", "-s"] if is_link(arguments) else []
    # ONNX writes <Windows.h>, and zig's header is <windows.h>: on Linux that makes a difference.
    headers = ["-isystem", f"{facts['folder']}/headers"] if facts["system"] == "windows" else []
    target = bare(facts["target"]) if is_question(arguments) else facts["target"]
    return ["-target", target, *facts["flags"], *headers, *runtime, *arguments]


def is_link(arguments: list[str]) -> bool:
    """Say whether a call ends in a program or a shared object."""
    # CMake finds out about a compiler by links with -v; by itself that is a question.
    if arguments in ([], ["-v"]) or is_question(arguments):
        return False
    return _NO_LINK.isdisjoint(arguments)


def is_question(arguments: list[str]) -> bool:
    """Say whether a call only asks the driver about itself."""
    return any(argument.startswith(_QUESTIONS) for argument in arguments)


def bare(target: str) -> str:
    """Return a target without the version of its system: Clang, where questions go, has none."""
    return re.sub(r"(?<=[a-z])\.[\d.]+$", "", target)


def makes_library(arguments: list[str]) -> bool:
    """Say whether a link ends in something to be loaded, and is all the call does."""
    sources = (".c", ".cc", ".cpp", ".cxx")
    loaded = {"-shared", "-bundle", "-dynamiclib"}.intersection(arguments)
    return bool(loaded) and not any(argument.endswith(sources) for argument in arguments)


def output_of(arguments: list[str]) -> str:
    """Return the file that a call writes."""
    places = [place for place, argument in enumerate(arguments) if argument == "-o"]
    return arguments[places[-1] + 1] if places else "a.out"


def link_mach_o(arguments: list[str], facts: dict[str, Any]) -> int:
    """Link for macOS with LLVM's linker: zig's own makes no bundles and exports everything."""
    arch = {"aarch64": "arm64"}.get(facts["machine"], facts["machine"])
    oldest = facts["oldest_system"]
    kind = "-bundle" if "-bundle" in arguments else "-dylib"
    command = [facts["lld"], "-arch", arch, "-platform_version", "macos", oldest, oldest]
    command += [kind, "-adhoc_codesign", "-x", *linker_words(arguments), *mach_o_runtime(facts)]
    return subprocess.call(command)


def linker_words(arguments: list[str]) -> list[str]:
    """Return what of a driver's arguments is for the linker, as the linker spells it."""
    words, rest = [], iter(arguments)
    for argument in rest:
        if argument.startswith("-Wl,"):
            words += argument.split(",")[1:]
        elif argument in {"-o", "-undefined", "-force_load", "-Xlinker", "-install_name"}:
            words += [*([argument] if argument != "-Xlinker" else []), next(rest)]
        elif argument.startswith(("-L", "-l")) or not argument.startswith("-"):
            words.append(argument)
    return words


def mach_o_runtime(facts: dict[str, Any]) -> list[str]:
    """Return zig's C++ runtime, made when it is not there yet, and libSystem's names."""
    folder = Path(facts["folder"])
    known = folder / "runtime.json"
    if not known.is_file():
        archives = ask_for_runtime(facts, folder)
        partial = folder / f"runtime.{os.getpid()}"
        partial.write_text(json.dumps([*archives, str(system_names(facts, folder))]), "utf-8")
        partial.replace(known)
    found: list[str] = json.loads(known.read_text(encoding="utf-8"))
    return found


def ask_for_runtime(facts: dict[str, Any], folder: Path) -> list[str]:
    """Link a program with zig and read in its command line which archives it takes."""
    source = folder / f"runtime.{os.getpid()}.cc"
    source.write_text("#include <string>\nint main() { throw std::string(); }\n", "utf-8")
    out = str(source.with_suffix(""))
    command = [facts["zig"], "c++", *translate([str(source), "-o", out], facts)]
    environ = {**os.environ, "ZIG_VERBOSE_LINK": "1"}
    said = subprocess.run(command, env=environ, stderr=subprocess.PIPE, text=True, check=False)
    source.unlink()
    Path(out).unlink(missing_ok=True)
    if said.returncode:
        sys.stderr.write(said.stderr)
        sys.exit(said.returncode)
    return list(dict.fromkeys(word for word in said.stderr.split() if word.endswith(".a")))


def system_names(facts: dict[str, Any], folder: Path) -> Path:
    """Copy zig's libSystem.tbd without the targets that LLVM's linker does not know."""
    original = Path(facts["zig"]).parent / "lib" / "libc" / "darwin" / "libSystem.tbd"
    text = re.sub(r",?\s*arm64e\.x1-\w+", "", original.read_text(encoding="utf-8"))
    copy = folder / f"libSystem.{os.getpid()}.tbd"
    copy.write_text(text, encoding="utf-8")
    return copy.replace(folder / "libSystem.tbd")


def rename_needed(binary: str, renamed: dict[str, str], patchelf: str) -> int:
    """Have a shared object need libraries by the names that the target's loader knows."""
    pairs = [word for pair in renamed.items() for word in ("--replace-needed", *pair)]
    return subprocess.call([patchelf, *pairs, binary])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
