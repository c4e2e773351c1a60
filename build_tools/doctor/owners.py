"""Which package or environment a file belongs to: one call of the package manager for all files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from build_tools.host import Host
    from build_tools.process import Runner

_DPKG = re.compile(r"^([^\s:]+)(?::\w+)?(?:, \S+)*: (/.+)$", re.M)


def owners(paths: Iterable[Path], host: Host, runner: Runner) -> dict[Path, str]:
    """Return the owner of each file whose owner can be told."""
    asked = tuple(dict.fromkeys(paths))
    known = {path: owner for path in asked if (owner := by_place(path, host.environ))}
    rest = [path for path in asked if path not in known and path.is_absolute()]
    if rest and host.system == "linux":
        known.update(_by_package_manager(rest, host, runner))
    return known


def by_place(path: Path, environ: Mapping[str, str]) -> str:
    """Return the owner that a path itself tells: Homebrew, conda, a virtual environment."""
    real = path.resolve()
    parts = real.parts
    if "Cellar" in parts[:-2]:
        at = parts.index("Cellar")
        return f"Homebrew {parts[at + 1]}"
    for folder in real.parents:
        if (folder / "conda-meta").is_dir():
            return f"conda environment {folder}"
    lying = (path, real)
    if any("site-packages" in entry.parts or "dist-packages" in entry.parts for entry in lying):
        return "pip"
    for folder in path.parents:
        if (folder / "pyvenv.cfg").is_file():
            return f"virtual environment {folder}"
    home = environ.get("HOME", "")
    if home and home != "/" and real.is_relative_to(home):
        return f"the user ({home})"
    return ""


def _by_package_manager(paths: Sequence[Path], host: Host, runner: Runner) -> dict[Path, str]:
    """Ask dpkg, else rpm; neither owns what lies in /usr/local."""
    spellings = {name: path for path in paths for name in _spellings(path)}
    said = runner.run(["dpkg", "-S", *spellings], env={**host.environ, "LC_ALL": "C"})
    if said.returncode != 127:
        found = ((spellings.get(name), package) for package, name in _DPKG.findall(said.stdout))
        return {path: f"package {package}" for path, package in found if path is not None}
    answers: dict[Path, str] = {}
    query = ["rpm", "-qf", "--queryformat", "%{NAME}-%{VERSION}\n"]
    said = runner.run([*query, *(path.resolve() for path in paths)], env=host.environ)
    lines = said.stdout.splitlines()
    if len(lines) == len(paths):
        for path, line in zip(paths, lines, strict=True):
            if " " not in line.strip():
                answers[path] = f"package {line.strip()}"
    return answers


def _spellings(path: Path) -> tuple[str, ...]:
    """Return the names a package may know a file by: with /usr merged, /usr/lib is /lib."""
    names = dict.fromkeys([str(path), str(path.resolve())])
    return tuple(
        spelled
        for name in names
        for spelled in (name, name.removeprefix("/usr") if name.startswith("/usr/") else name)
    )
