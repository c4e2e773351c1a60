"""The one list of compiler families, in the order in which their names are looked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from build_tools.toolchain.clang import APPLE_CLANG, CLANG
from build_tools.toolchain.gnu import GNU
from build_tools.toolchain.msvc import CLANG_CL, MSVC

if TYPE_CHECKING:
    from build_tools.host import System
    from build_tools.toolchain.model import Family, FamilyTraits

FAMILIES: tuple[FamilyTraits, ...] = (MSVC, CLANG_CL, GNU, CLANG, APPLE_CLANG)
_WINDOWS_ONLY = (MSVC, CLANG_CL)


def families_of(system: System) -> tuple[FamilyTraits, ...]:
    """Return the families that are looked for on a system: on Windows its own compilers first.

    Git and Perl bring a g++ that is on many a PATH there, and that Python was not built with.
    """
    return tuple(it for it in FAMILIES if system == "windows" or it not in _WINDOWS_ONLY)


def traits_of(family: Family) -> FamilyTraits:
    """Return what is known of a family."""
    return next(traits for traits in FAMILIES if traits.family is family)
