"""What every verb is handed beside its settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from build_tools.host import Host
    from build_tools.process import Runner
    from build_tools.record import Record


@dataclass(frozen=True, kw_only=True)
class Context:
    """The machine, the way to run programs on it, and the record of this run."""

    host: Host
    """The machine."""

    runner: Runner
    """Runs other programs."""

    record: Record
    """Takes every decision, proof, warning and step."""
