"""The GNU compilers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from build_tools.toolchain.model import Family, FamilyTraits

if TYPE_CHECKING:
    from collections.abc import Mapping


def _recognise(macros: Mapping[str, str]) -> str | None:
    # Clang and others say __GNUC__ as well, for the sake of old headers.
    if "__GNUC__" not in macros or "__clang__" in macros or "__INTEL_COMPILER" in macros:
        return None
    parts = (
        macros.get(name, "0") for name in ("__GNUC__", "__GNUC_MINOR__", "__GNUC_PATCHLEVEL__")
    )
    return ".".join(parts)


GNU = FamilyTraits(
    family=Family.GCC,
    wanted_as=("gcc", "gnu"),
    drivers=(("gcc", "g++"),),
    recognise=_recognise,
    lto_flags=("-flto",),
)
