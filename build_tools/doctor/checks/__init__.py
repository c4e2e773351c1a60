"""The one list of checks, in the order in which a build would meet what they look for."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from build_tools.doctor.checks import (
    cmake,
    examination,
    machine,
    macos,
    protobuf,
    python,
    result,
    sources,
    toolchain,
    windows,
)

if TYPE_CHECKING:
    from build_tools.doctor.model import Check

FAMILIES = {
    "Settings and questions": examination,
    "Compiler": toolchain,
    "CMake": cmake,
    "Python": python,
    "Sources": sources,
    "protobuf": protobuf,
    "Machine": machine,
    "Windows": windows,
    "macOS": macos,
    "The result": result,
}
"""The modules of checks by the heading under which they are described."""

CHECKS: tuple[Check, ...] = tuple(chain.from_iterable(one.CHECKS for one in FAMILIES.values()))
"""Every check."""
