"""Clang as LLVM releases it, and Apple's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from build_tools.toolchain.model import Family, FamilyTraits

if TYPE_CHECKING:
    from collections.abc import Mapping

_VERSION = ("__clang_major__", "__clang_minor__", "__clang_patchlevel__")


def _version(macros: Mapping[str, str]) -> str:
    return ".".join(macros.get(name, "0") for name in _VERSION)


def _recognise(macros: Mapping[str, str]) -> str | None:
    if "__clang__" not in macros or "__apple_build_version__" in macros:
        return None
    return _version(macros)


def _recognise_apple(macros: Mapping[str, str]) -> str | None:
    return _version(macros) if "__apple_build_version__" in macros else None


CLANG = FamilyTraits(
    family=Family.CLANG,
    wanted_as=("clang", "llvm"),
    drivers=(("clang", "clang++"),),
    recognise=_recognise,
    lto_flags=("-flto=thin",),
)

APPLE_CLANG = FamilyTraits(
    family=Family.APPLE_CLANG,
    wanted_as=("apple-clang",),
    drivers=(("clang", "clang++"),),
    recognise=_recognise_apple,
    lto_flags=("-flto=thin",),
)
