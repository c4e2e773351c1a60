"""CMake, Ninja, Make and protoc: every one on PATH, asked for its version."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from build_tools.binaries import FileKind, glance
from build_tools.doctor.facts import Program
from build_tools.errors import LinkageError
from build_tools.process import RC_NOT_EXECUTABLE, RC_NOT_FOUND, RC_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from build_tools.host import Host
    from build_tools.process import Result, Runner

NAMES: dict[str, tuple[str, ...]] = {
    "cmake": ("cmake", "cmake3"),
    "ninja": ("ninja", "ninja-build"),
    "make": ("make", "gmake", "mingw32-make", "nmake"),
}
"""What each program is called, by what it is."""

_MOST = 8  # of one kind: a person reads no more, and a PATH may have a thousand folders


def outside(host: Host) -> Host:
    """Return the host as its user sees it: without the builder's own environment on PATH.

    nox puts that first; nothing that a user builds without nox finds anything there.
    """
    own = host.python.executable.parent
    if not (own.parent / "pyvenv.cfg").is_file():
        return host
    separator = host.path_separator
    parts = host.environ.get("PATH", "").split(separator)
    kept = separator.join(part for part in parts if Path(part) != own)
    return replace(host, environ={**host.environ, "PATH": kept})


def path_folders(host: Host) -> tuple[Path, ...]:
    """Return the folders of PATH, each once."""
    parts = host.environ.get("PATH", "").split(host.path_separator)
    return tuple(dict.fromkeys(Path(part) for part in parts if part))


def on_path(kind: str, host: Host) -> Iterator[Path]:
    """Yield every program of a kind on PATH, each file once, in the shell's order."""
    seen: set[Path] = set()
    for folder in path_folders(host):
        for name in NAMES[kind]:
            path = folder / f"{name}{host.exe_suffix}"
            real = _real_file(path)
            if real is not None and real not in seen and len(seen) < _MOST:
                seen.add(real)
                yield path


def _real_file(path: Path) -> Path | None:
    try:
        return path.resolve() if path.is_file() else None
    except (OSError, RuntimeError):
        return None


def ask(name: str, path: Path, origin: str, host: Host, runner: Runner) -> Program:
    """Ask a program for its version and its file for what it is."""
    is_script, machine = _file_facts(path)
    option = "/?" if path.stem.lower() == "nmake" else "--version"
    said = runner.run([path, option], env={**host.environ, "LC_ALL": "C"})
    match = re.search(r"\d+(?:\.\d+)+", said.text)
    answered = match is not None and (said.ok or option == "/?")
    return Program(
        name=name,
        path=path,
        version=match.group(0) if answered and match else "",
        origin=origin,
        problem="" if answered else why_silent(said, machine, host),
        is_script=is_script,
        machine=machine,
    )


def why_silent(said: Result, machine: str, host: Host) -> str:
    """Say why a program did not answer."""
    if said.returncode == RC_TIMEOUT:
        return f"it was still running after {said.seconds:.0f} s"
    foreign = machine and host.machine not in machine.split("+")
    if foreign and said.returncode in (RC_NOT_FOUND, RC_NOT_EXECUTABLE):
        return f"it is for {machine}, and this machine is {host.machine}"
    lines = [line.strip() for line in said.text.splitlines() if line.strip()]
    words = lines[-1][:200] if lines else "it says nothing"
    return f"{words} (exit status {said.returncode})"


def _file_facts(path: Path) -> tuple[bool, str]:
    """Return whether a file is a Python script, and the processor it is for."""
    try:
        kind, machine = glance(path)
        with path.open("rb") as source:
            first = source.readline(200)
    except (LinkageError, OSError):
        return False, ""
    return kind is FileKind.SCRIPT and b"python" in first, machine
