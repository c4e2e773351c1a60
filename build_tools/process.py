"""Running other programs: the only importer of ``subprocess``.

Everything that needs another program's answer takes a ``Runner``, so that tests hand over
recorded answers.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import time
from collections import deque
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

RC_NOT_FOUND = 127
RC_NOT_EXECUTABLE = 126
RC_TIMEOUT = 124
_GRACE_SECONDS = 5.0
_KEPT_LINES = 200


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a program did."""

    argv: tuple[str, ...]
    """The command, program first."""

    returncode: int
    """Its exit status; 127: no such program, 126: cannot be executed, 124: ran past its time."""

    stdout: str
    """What it wrote to standard output; of a streamed program the last 200 lines of both."""

    stderr: str
    """What it wrote to standard error; empty for a streamed program."""

    seconds: float
    """How long it ran."""

    @property
    def ok(self) -> bool:
        """Whether it exited with 0."""
        return self.returncode == 0

    @property
    def command(self) -> str:
        """The command as one would type it into a shell."""
        return shlex.join(self.argv)

    @property
    def text(self) -> str:
        """Both outputs, standard error last, without surrounding blank lines."""
        return "\n".join(part.strip("\n") for part in (self.stdout, self.stderr) if part.strip())


class Runner(Protocol):
    """Whoever runs other programs; ``env`` is the whole environment, None the runner's own."""

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Result:
        """Run a program to its end and return what it said; never raises for a failing program."""

    def stream(
        self,
        argv: Sequence[str | Path],
        *,
        log: Path,
        on_line: Callable[[str], None],
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Result:
        """Run a program with both outputs going to ``log`` and, line by line, to ``on_line``."""


class SystemRunner:
    """Runs real programs, each in a process group of its own that is ended with it."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = environ

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Result:
        """Run a program to its end and return what it said; never raises for a failing program."""
        command, clock = _as_argv(argv), time.perf_counter()
        try:
            child = self._start(command, cwd, env, merge=False)
        except OSError as error:
            return _not_started(command, error, clock)
        try:
            stdout, stderr = child.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            _end_group(child)
            stdout, stderr = child.communicate()
            note = f"ended after {timeout:g} s".encode()
            return _result(command, RC_TIMEOUT, stdout, stderr + note, clock)
        except BaseException:
            _end_group(child)
            raise
        return _result(command, child.returncode, stdout, stderr, clock)

    def stream(
        self,
        argv: Sequence[str | Path],
        *,
        log: Path,
        on_line: Callable[[str], None],
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Result:
        """Run a program with both outputs going to ``log`` and, line by line, to ``on_line``."""
        command, clock = _as_argv(argv), time.perf_counter()
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as sink:
            sink.write(f"$ {shlex.join(command)}\n".encode())
            try:
                child = self._start(command, cwd, env, merge=True)
            except OSError as error:
                failed = _not_started(command, error, clock)
                sink.write(failed.stderr.encode())
                return failed
            try:
                kept = _pump(child, sink, on_line)
                child.wait()
            except BaseException:
                _end_group(child)
                raise
        return _result(command, child.returncode, b"".join(kept), b"", clock)

    def _start(
        self,
        command: tuple[str, ...],
        cwd: Path | None,
        env: Mapping[str, str] | None,
        *,
        merge: bool,
    ) -> subprocess.Popen[bytes]:
        chosen = self._environ if env is None else env
        return subprocess.Popen(
            command,
            cwd=cwd,
            env=None if chosen is None else dict(chosen),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merge else subprocess.PIPE,
            start_new_session=hasattr(os, "killpg"),
        )


def tail(log: Path, n: int = 40) -> str:
    """Return the last ``n`` lines of a log file; empty when there is none."""
    try:
        with log.open("rb") as source:
            lines = deque(source, maxlen=n)
    except FileNotFoundError:
        return ""
    return _decode(b"".join(lines)).rstrip("\n")


def _as_argv(argv: Sequence[str | Path]) -> tuple[str, ...]:
    return tuple(os.fspath(part) for part in argv)


def _decode(raw: bytes) -> str:
    return raw.decode("utf-8", errors="replace").replace("\r\n", "\n")


def _result(
    command: tuple[str, ...], returncode: int, stdout: bytes, stderr: bytes, clock: float
) -> Result:
    return Result(
        argv=command,
        returncode=returncode,
        stdout=_decode(stdout),
        stderr=_decode(stderr),
        seconds=time.perf_counter() - clock,
    )


def _not_started(command: tuple[str, ...], error: OSError, clock: float) -> Result:
    missing = isinstance(error, (FileNotFoundError, NotADirectoryError))
    code = RC_NOT_FOUND if missing else RC_NOT_EXECUTABLE
    return _result(command, code, b"", f"{command[0]}: {error}".encode(), clock)


def _pump(
    child: subprocess.Popen[bytes], sink: IO[bytes], on_line: Callable[[str], None]
) -> Iterable[bytes]:
    kept: deque[bytes] = deque(maxlen=_KEPT_LINES)
    assert child.stdout is not None
    with child.stdout:
        for raw in child.stdout:
            sink.write(raw)
            kept.append(raw)
            on_line(_decode(raw).rstrip("\n"))
    return kept


def _end_group(child: subprocess.Popen[bytes]) -> None:
    """End a program and everything it started: asked first, then killed."""
    _signal_group(child, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(timeout=_GRACE_SECONDS)
    # Even a child that went politely may have left grandchildren in its group.
    _signal_group(child, getattr(signal, "SIGKILL", signal.SIGTERM))
    child.wait()


def _signal_group(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    try:
        if hasattr(os, "killpg"):
            os.killpg(child.pid, number)
        else:
            child.send_signal(number)
    except (ProcessLookupError, PermissionError):
        return
