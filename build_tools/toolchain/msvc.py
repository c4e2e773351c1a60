"""Microsoft's cl and LLVM's clang-cl: one dialect, one runtime library, one way to show a symbol.

They speak no ``-dM``: what they are is read from a preprocessed list of macros, which is the same
in every language; the banner, which is not, is only read for its numbers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from build_tools.toolchain.dialect import MSVC_DIALECT
from build_tools.toolchain.model import Family, FamilyTraits

if TYPE_CHECKING:
    from collections.abc import Mapping

_MACROS = (
    *("_MSC_VER", "_MSC_FULL_VER", "_M_X64", "_M_IX86", "_M_ARM64"),
    *("__clang__", "__clang_major__", "__clang_minor__", "__clang_patchlevel__"),
)
QUESTION = "".join(f'"{name}" {name}\n' for name in _MACROS)
"""A file that says, preprocessed, what each macro stands for; an undefined one stays itself."""

_ANSWER = re.compile(r'^"(\w+)" (.*?)\s*$', re.MULTILINE)
_BANNER = re.compile(r"\b(\d+\.\d+\.\d+(?:\.\d+)?)\b.*\b(x64|x86|80x86|ARM64|ARM)\b", re.I)
_PROCESSORS = (("_M_ARM64", "aarch64"), ("_M_X64", "x86_64"), ("_M_IX86", "i686"))


@dataclass(frozen=True, kw_only=True)
class Banner:
    """What cl says of itself before anything else."""

    version: str
    """E.g. "19.29.30154"."""

    target: str
    """The processor it compiles for, in its own word: x64, x86, ARM64."""


def parse_banner(text: str) -> Banner | None:
    """Read cl's banner in any language: the first line that has a version and a processor."""
    found = next((match for line in text.splitlines() if (match := _BANNER.search(line))), None)
    return None if found is None else Banner(version=found[1], target=found[2])


def parse_answer(text: str) -> dict[str, str]:
    """Return the macros that are defined, from the preprocessed ``QUESTION``."""
    return {name: value for name, value in _ANSWER.findall(text) if value != name}


def target_of(macros: Mapping[str, str]) -> str:
    """Return what a compiler with these macros compiles for, e.g. "x86_64-pc-windows-msvc"."""
    machine = next((name for macro, name in _PROCESSORS if macro in macros), "unknown")
    return f"{machine}-pc-windows-msvc"


def _recognise(macros: Mapping[str, str]) -> str | None:
    full = macros.get("_MSC_FULL_VER", "")
    if "__clang__" in macros or not re.fullmatch(r"\d{9}", full):
        return None
    return f"{full[:2]}.{full[2:4]}.{full[4:]}"


def _recognise_clang_cl(macros: Mapping[str, str]) -> str | None:
    if "__clang__" not in macros or "_MSC_VER" not in macros:
        return None
    names = ("__clang_major__", "__clang_minor__", "__clang_patchlevel__")
    return ".".join(macros.get(name, "0") for name in names)


MSVC = FamilyTraits(
    family=Family.MSVC,
    wanted_as=("msvc",),
    drivers=(("cl", "cl"),),
    recognise=_recognise,
    lto_flags=("/GL",),
    lto_link_flags=("/LTCG",),
    dialect=MSVC_DIALECT,
    # Visual Studio 2019 had C++20 as "latest" until 16.11.
    cxx20=("c++20", "c++latest"),
)

CLANG_CL = FamilyTraits(
    family=Family.CLANG_CL,
    wanted_as=("clang-cl",),
    drivers=(("clang-cl", "clang-cl"),),
    recognise=_recognise_clang_cl,
    # The linker of Visual Studio cannot read LLVM's bit code.
    lto_flags=("-flto=thin", "-fuse-ld=lld"),
    dialect=MSVC_DIALECT,
)
