"""The record, shown to a person while it grows: progress on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

from build_tools.durations import duration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console as RichConsole
    from rich.console import RenderableType
    from rich.progress import Progress, TaskID

    from build_tools.record import Decision, Observer, Proof, Step

_LOG_WIDTH = 140
_PLAIN_INTERVAL = 10.0  # seconds between two progress lines of one step in a log


def make_console(stream: IO[str], environ: Mapping[str, str], *, verbose: bool) -> Observer:
    """Return what shows the record on ``stream``: live progress only where a person watches."""
    watched = stream.isatty() and not environ.get("CI") and environ.get("TERM") != "dumb"
    if not watched:
        return PlainConsole(stream=stream, verbose=verbose)
    try:
        return LiveConsole(stream, verbose=verbose)
    except ImportError:
        return PlainConsole(stream=stream, verbose=verbose)


def decision_text(decision: Decision, *, verbose: bool) -> str:
    """Return a decision in one line; with its reason and who made it when ``verbose``."""
    text = f"{decision.subject}: {decision.choice}"
    if not verbose:
        return text
    source = f" [{decision.source}]" if decision.source else ""
    return f"{text} - {decision.reason}{source}"


def step_text(step: Step) -> str:
    """Return a finished step in one line."""
    if step.cached:
        return f"{step.name}: from the cache"
    outcome = "failed after " if step.failed else ""
    return f"{step.name}: {outcome}{duration(step.seconds)}"


def proof_text(proof: Proof) -> str:
    """Return a proof in one line."""
    return f"{'proved' if proof.ok else 'NOT PROVED'}: {proof.claim} - {proof.evidence}"


@dataclass(kw_only=True)
class PlainConsole:
    """One line per event, for logs and for CI."""

    stream: IO[str]
    verbose: bool = False
    _said: dict[str, float] = field(default_factory=dict)
    _started: dict[str, float] = field(default_factory=dict)

    def on_decision(self, decision: Decision) -> None:
        """Write one decision."""
        self._write(f"  {decision_text(decision, verbose=self.verbose)}")

    def on_proof(self, proof: Proof) -> None:
        """Write one proof, when asked for everything or when it failed."""
        if self.verbose or not proof.ok:
            self._write(f"  {proof_text(proof)}")

    def on_warning(self, text: str) -> None:
        """Write one warning."""
        self._write(f"warning: {text}")

    def on_step_start(self, name: str, total: int | None, depth: int) -> None:
        """Write that a step started."""
        now = time.monotonic()
        self._started[name], self._said[name] = now, now
        size = f" ({total} units)" if total else ""
        self._write(f"{'  ' * depth}> {name}{size}")

    def on_progress(self, name: str, done: int, total: int | None, detail: str) -> None:
        """Write how far a step is, not more often than every 10 seconds."""
        now = time.monotonic()
        if now - self._said.get(name, 0.0) >= _PLAIN_INTERVAL:
            self._said[name] = now
            share = f"{done}/{total}" if total else f"{done}"
            elapsed = duration(now - self._started.get(name, now))
            self._write(f"    {name}: {share}, {elapsed} {detail}".rstrip())

    def on_step_end(self, step: Step) -> None:
        """Write how a step ended."""
        self._write(f"{'  ' * step.depth}< {step_text(step)}")

    def _write(self, line: str) -> None:
        self.stream.write(line + "\n")
        self.stream.flush()


class LiveConsole:
    """A bar per running step with done / total and the time, on a terminal."""

    def __init__(self, stream: IO[str], *, verbose: bool = False) -> None:
        # Imported here: inside pip's isolated build there is no terminal and no rich.
        from rich.console import Console  # noqa: PLC0415

        self._console: RichConsole = Console(file=stream, highlight=False, soft_wrap=True)
        self._progress = _make_progress(self._console)
        self._tasks: dict[str, TaskID] = {}
        self._verbose = verbose

    def on_decision(self, decision: Decision) -> None:
        """Print one decision."""
        self._print("[dim]·[/]", decision_text(decision, verbose=self._verbose))

    def on_proof(self, proof: Proof) -> None:
        """Print one proof, when asked for everything or when it failed."""
        if self._verbose or not proof.ok:
            self._print("[green]✓[/]" if proof.ok else "[red]✗[/]", proof_text(proof))

    def on_warning(self, text: str) -> None:
        """Print one warning."""
        self._print("[yellow]![/]", f"warning: {text}")

    def on_step_start(self, name: str, total: int | None, depth: int) -> None:
        """Add a bar."""
        if not self._tasks:
            self._progress.start()
        label = "  " * depth + name
        self._tasks[name] = self._progress.add_task(label, total=total, detail="", share="")

    def on_progress(self, name: str, done: int, total: int | None, detail: str) -> None:
        """Move a bar."""
        share = f"{done}/{total}" if total else ""
        task = self._tasks[name]
        self._progress.update(task, completed=done, total=total, detail=detail[-50:], share=share)

    def on_step_end(self, step: Step) -> None:
        """Take a bar away and print how the step ended."""
        self._progress.remove_task(self._tasks.pop(step.name))
        if not self._tasks:
            self._progress.stop()
        self._print("[red]✗[/]" if step.failed else "[green]✓[/]", step_text(step), step.depth)

    def _print(self, mark: str, text: str, depth: int = 0) -> None:
        from rich.markup import escape  # noqa: PLC0415 - see __init__

        self._console.print(f"{'  ' * depth}{mark} {escape(text)}")


def show(content: RenderableType, stream: IO[str]) -> None:
    """Print tables and text; where no person watches, as wide as a log is read."""
    from rich.console import Console  # noqa: PLC0415 - see LiveConsole.__init__

    width = None if stream.isatty() else _LOG_WIDTH
    Console(file=stream, highlight=False, width=width).print(content)


def _make_progress(console: RichConsole) -> Progress:
    from rich import progress  # noqa: PLC0415 - see LiveConsole.__init__

    return progress.Progress(
        progress.SpinnerColumn(),
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(bar_width=24),
        progress.TextColumn("{task.fields[share]}", markup=False),
        progress.TimeElapsedColumn(),
        progress.TextColumn("{task.fields[detail]}", style="dim", markup=False),
        console=console,
        transient=True,
    )
