"""What the builder's tests share: recorded programs, a made-up host, a recording observer."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from build_tools.host import Host, detect_host
from build_tools.process import Result

if TYPE_CHECKING:
    from pathlib import Path

    from build_tools.record import Decision, Proof, Step

Predicate = Callable[[tuple[str, ...]], bool]


def said(
    stdout: str = "", *, returncode: int = 0, stderr: str = "", argv: Sequence[str] = ()
) -> Result:
    """A recorded answer of a program."""
    return Result(
        argv=tuple(argv), returncode=returncode, stdout=stdout, stderr=stderr, seconds=0.0
    )


def has(*words: str) -> Predicate:
    """Matches commands that contain all these words, each as a whole argument or as its end."""

    def matches(argv: tuple[str, ...]) -> bool:
        return all(any(part == word or part.endswith(word) for part in argv) for word in words)

    return matches


@dataclass
class Call:
    """One command that was run."""

    argv: tuple[str, ...]
    cwd: Path | None
    env: Mapping[str, str] | None


@dataclass
class RecordedRunner:
    """Replays recorded answers: the first entry whose predicate holds; an unknown command fails.

    An answer may be a function of the command, for programs that must also leave files behind.
    """

    answers: Sequence[tuple[Predicate, Result | Callable[[tuple[str, ...]], Result]]]
    calls: list[Call] = field(default_factory=list)

    def run(self, argv, *, cwd=None, env=None, timeout=None) -> Result:
        return self._answer(argv, cwd, env)

    def stream(self, argv, *, log, on_line, cwd=None, env=None) -> Result:
        result = self._answer(argv, cwd, env)
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(f"$ {' '.join(map(str, argv))}\n{result.stdout}", encoding="utf-8")
        for line in result.stdout.splitlines():
            on_line(line)
        return result

    def _answer(self, argv, cwd, env) -> Result:
        command = tuple(os.fspath(part) for part in argv)
        self.calls.append(Call(argv=command, cwd=cwd, env=env))
        for matches, answer in self.answers:
            if matches(command):
                result = answer(command) if callable(answer) else answer
                return replace(result, argv=command)
        raise AssertionError(f"no answer was recorded for {command}")


@dataclass
class Watcher:
    """An observer that keeps what it saw, as (event, value) pairs."""

    seen: list[tuple[str, object]] = field(default_factory=list)

    def on_decision(self, decision: Decision) -> None:
        self.seen.append(("decision", decision))

    def on_proof(self, proof: Proof) -> None:
        self.seen.append(("proof", proof))

    def on_warning(self, text: str) -> None:
        self.seen.append(("warning", text))

    def on_step_start(self, name: str, total: int | None, depth: int) -> None:
        self.seen.append(("start", (name, total, depth)))

    def on_progress(self, name: str, done: int, total: int | None, detail: str) -> None:
        self.seen.append(("progress", (name, done, total, detail)))

    def on_step_end(self, step: Step) -> None:
        self.seen.append(("end", step))

    def of(self, event: str) -> list[object]:
        """The values of one kind of event, in order."""
        return [value for kind, value in self.seen if kind == event]


def make_host(**changes: object) -> Host:
    """This machine with some facts changed; its environment is only a PATH unless given."""
    real = detect_host(environ={"PATH": os.environ["PATH"]})
    return replace(real, **changes)


def script(path: Path, body: str) -> Path:
    """Write an executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def write_tree(root: Path, files: Mapping[str, str]) -> Path:
    """Write files (text by relative path) below ``root``."""
    for name, text in files.items():
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    return root
