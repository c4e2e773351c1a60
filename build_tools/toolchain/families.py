"""The one list of compiler families, in the order in which their names are looked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from build_tools.toolchain.clang import APPLE_CLANG, CLANG
from build_tools.toolchain.gnu import GNU

if TYPE_CHECKING:
    from build_tools.toolchain.model import Family, FamilyTraits

FAMILIES: tuple[FamilyTraits, ...] = (GNU, CLANG, APPLE_CLANG)


def traits_of(family: Family) -> FamilyTraits:
    """Return what is known of a family."""
    return next(traits for traits in FAMILIES if traits.family is family)
