"""Proofs about wheels for Windows and macOS: processors, system versions, and nothing left outside.

What auditwheel does for Linux. Every proof is read from the binaries themselves, so wheels of any
system can be proved on any other.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from build_tools.record import Proof
from build_tools.target import WINDOWS_MACHINES
from build_tools.toolchain.apple import dotted, parse_tag, platform_tag

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from build_tools.wheel_file import WheelBinary

_MACOS_PROCESSORS = {"arm64": "aarch64"}

# Of Windows itself, in every release that Python runs on; the C runtime is one of them.
_OF_WINDOWS = re.compile(
    r"(api-ms-win-|ext-ms-win-).*|(advapi32|bcrypt|comdlg32|crypt32|dbghelp|gdi32|kernel32|msvcrt"
    r"|ntdll|ole32|oleaut32|powrprof|psapi|rpcrt4|secur32|setupapi|shell32|shlwapi|ucrtbase|user32"
    r"|version|winmm|ws2_32)\.dll"
)
# Python brings the compiler's C runtime along, but not its C++ runtime.
_OF_PYTHON = re.compile(r"python3\d*t?\.dll|vcruntime140(_1)?\.dll")
_CXX_RUNTIME = re.compile(r"msvcp140.*\.dll")
_PLAIN_CXX_RUNTIME = re.compile(r"msvcp140(_\w+)?\.dll")
_OF_MACOS = ("/usr/lib/", "/System/Library/")

# From this release of the C++ tools on, a std::mutex made by the compiler crashes in an older
# msvcp140.dll, and the first one that is loaded into a process serves everybody who asks for it by
# that name.
_CONSTEXPR_MUTEX = (14, 40)


def prove_platform(
    tags: Sequence[str], binaries: Sequence[WheelBinary], *, repaired: bool
) -> Iterator[Proof]:
    """Yield what is to be proved of a wheel with these platform tags; nothing for Linux."""
    windows = [tag for tag in tags if tag in WINDOWS_MACHINES]
    macos = [tag for tag in tags if parse_tag(tag)]
    for tag in windows:
        yield prove_processors(tag, {WINDOWS_MACHINES[tag]}, binaries)
    if windows and repaired:
        yield prove_dlls(binaries)
        yield prove_cxx_runtime(binaries)
    for tag in macos:
        _, names = parse_tag(tag) or ((0, 0), ())
        yield prove_processors(tag, {_MACOS_PROCESSORS.get(it, it) for it in names}, binaries)
        yield prove_macos_version(tag, binaries)
    if macos and repaired:
        yield prove_dylibs(binaries)


def prove_processors(tag: str, promised: set[str], binaries: Iterable[WheelBinary]) -> Proof:
    """Every binary has code for every processor that the tag promises."""
    lacking = [
        f"{binary.member}: no {', '.join(sorted(missing))}"
        for binary in binaries
        if (missing := promised - {piece.machine for piece in binary.dynamic.slices})
    ]
    return Proof(
        claim=f"it has code for every processor of {tag}",
        evidence="; ".join(lacking) or f"every binary: {', '.join(sorted(promised))}",
        ok=not lacking,
    )


def prove_macos_version(tag: str, binaries: Iterable[WheelBinary]) -> Proof:
    """No binary needs a newer macOS than the tag promises; since macOS 11 a minor counts as one."""
    oldest = {
        (piece.oldest_macos, binary.member)
        for binary in binaries
        for piece in binary.dynamic.slices
        if piece.oldest_macos is not None
    }
    version, names = parse_tag(tag) or ((0, 0), frozenset())
    least, member = max(oldest, default=((0, 0), "no binary"))
    evidence = f"{member} needs macOS {dotted(least)}"
    if least > version:
        evidence += f": the tag must be {platform_tag(least, sorted(names))}, or that library older"
    return Proof(
        claim=f"{tag} promises no macOS that is too old for it",
        evidence=evidence,
        ok=least <= version,
    )


def prove_dlls(binaries: Sequence[WheelBinary]) -> Proof:
    """Every DLL that is needed is in the wheel, or comes with Windows or Python."""
    inside = {PurePosixPath(binary.member).name.lower() for binary in binaries}
    needed = {name.lower() for binary in binaries for name in binary.dynamic.needed}
    missing = sorted(
        name
        for name in needed - inside
        if not (_OF_WINDOWS.fullmatch(name) or _OF_PYTHON.fullmatch(name))
    )
    return Proof(
        claim="every DLL it needs is in it or part of Windows or Python",
        evidence=f"not found: {', '.join(missing)}" if missing else _brought(binaries),
        ok=not missing,
    )


def prove_cxx_runtime(binaries: Sequence[WheelBinary]) -> Proof:
    """An older msvcp140.dll that another package has loaded cannot get in the way."""
    users = [
        (binary, name)
        for binary in binaries
        for name in binary.dynamic.needed
        if _CXX_RUNTIME.fullmatch(name.lower())
    ]
    exposed = sorted(
        f"{binary.member} (linker {dotted(binary.dynamic.linker)}) needs {name}"
        for binary, name in users
        if _PLAIN_CXX_RUNTIME.fullmatch(name.lower())
        and binary.dynamic.linker is not None
        and binary.dynamic.linker >= _CONSTEXPR_MUTEX
    )
    used = ", ".join(sorted({name for _, name in users})) or "none is needed"
    return Proof(
        claim="its C++ runtime is its own, whatever other packages have loaded",
        evidence="; ".join(exposed) or f"C++ runtime: {used}",
        ok=not exposed,
    )


def prove_dylibs(binaries: Sequence[WheelBinary]) -> Proof:
    """Every library that is needed is in the wheel or part of macOS."""
    inside = {PurePosixPath(binary.member).name for binary in binaries}
    needed = {name for binary in binaries for name in binary.dynamic.needed}
    missing = sorted(name for name in needed if not _found_on_macos(name, inside))
    return Proof(
        claim="every library it needs is in it or part of macOS",
        evidence=f"not found: {', '.join(missing)}" if missing else _brought(binaries),
        ok=not missing,
    )


def _found_on_macos(name: str, inside: set[str]) -> bool:
    if name.startswith(_OF_MACOS):
        return True
    return name.startswith(("@loader_path/", "@rpath/")) and PurePosixPath(name).name in inside


def _brought(binaries: Iterable[WheelBinary]) -> str:
    vendored = sorted(binary.member for binary in binaries if binary.vendored)
    return f"brought along: {', '.join(vendored) or 'nothing'}"
