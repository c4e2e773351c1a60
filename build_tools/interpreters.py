"""The CPythons of this machine: to take headers from, and to try wheels with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from build_tools.host import Host
    from build_tools.process import Runner

# Where pyenv and uv keep the interpreters that they install, below the user's home folder.
_KEPT = (".pyenv/versions/{}.*/bin/python{}", ".local/share/uv/python/cpython-{}.*/bin/python{}")
_QUESTION = """\
import json, platform, sys, sysconfig
print(json.dumps({
    "version": platform.python_version(),
    "implementation": sys.implementation.name,
    "include": sysconfig.get_path("include"),
    "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
}))
"""


@dataclass(frozen=True, kw_only=True)
class Interpreter:
    """One CPython that answered."""

    executable: Path
    """The program."""

    version: str
    """Its full version, e.g. "3.12.1"."""

    include_dir: Path
    """Where it keeps its headers, if they are installed."""


def find_interpreters(version: str, host: Host, runner: Runner) -> Iterator[Interpreter]:
    """Yield each CPython of a version, e.g. "3.12": the builder's, those on PATH, pyenv's, uv's."""
    seen: set[Path] = set()
    for path in _candidates(version, host):
        real = path.resolve()
        if real not in seen and path.is_file():
            seen.add(real)
            found = ask(path, runner, host)
            if found and found.version.startswith(f"{version}."):
                yield found


def ask(path: Path, runner: Runner, host: Host) -> Interpreter | None:
    """Return what an interpreter says it is; None for another Python, or one that does not run."""
    said = runner.run([path, "-I", "-c", _QUESTION], env=host.environ, timeout=60.0)
    try:
        facts = json.loads(said.stdout)
    except ValueError:
        return None
    if facts["implementation"] != "cpython" or facts["free_threaded"]:
        return None
    return Interpreter(
        executable=path, version=facts["version"], include_dir=Path(facts["include"])
    )


def _candidates(version: str, host: Host) -> Iterator[Path]:
    yield host.python.executable
    for folder in host.environ.get("PATH", "").split(host.path_separator):
        if folder:
            yield Path(folder) / f"python{version}"
    home = Path(host.environ.get("HOME", "/nonexistent"))
    for pattern in _KEPT:
        yield from sorted(home.glob(pattern.format(version, version)), reverse=True)
