"""Running programs that may hang: nobody waits for a doctor longer than a few seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from build_tools.process import Result, Runner

QUESTION_SECONDS = 8.0
"""What a program may take to say its version; a busy machine takes seconds for what takes none."""

COMPILE_SECONDS = 60.0
"""What a compiler may take for one probe; under emulation it takes ten times as long."""


@dataclass(frozen=True)
class Hurried:
    """A runner that ends every program after a time, whatever its caller would allow."""

    runner: Runner
    """Runs the programs."""

    seconds: float = QUESTION_SECONDS
    """The longest that one may take."""

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Result:
        """Run a program to its end, or to the end of its time."""
        allowed = self.seconds if timeout is None else min(timeout, self.seconds)
        return self.runner.run(argv, cwd=cwd, env=env, timeout=allowed)

    def stream(
        self,
        argv: Sequence[str | Path],
        *,
        log: Path,
        on_line: Callable[[str], None],
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Result:
        """Run a program whose output goes to a log; these take as long as they take."""
        return self.runner.stream(argv, log=log, on_line=on_line, cwd=cwd, env=env)
