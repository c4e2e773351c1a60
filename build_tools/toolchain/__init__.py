"""Finding the compiler: candidates, described and probed, and one pure choice.

A further family is one new module with its ``FamilyTraits`` and one line in ``families.FAMILIES``.
"""

from build_tools.toolchain.choose import choose, find_toolchain
from build_tools.toolchain.model import Candidate, Compiler, Family, Probe, Probes, Toolchain

__all__ = [
    "Candidate",
    "Compiler",
    "Family",
    "Probe",
    "Probes",
    "Toolchain",
    "choose",
    "find_toolchain",
]
