"""Other Pythons of this machine: found by version or path, described by their own answers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from build_tools.errors import ConfigError
from build_tools.host import PythonFacts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from build_tools.host import Host
    from build_tools.process import Runner

_TIMEOUT = 30.0
_VERSION = re.compile(r"3\.\d+(\.\d+)?t?")
# Where the usual installers put Pythons that are not on PATH, below the home folder.
_KEPT = (
    ".pyenv/versions/*",
    ".local/share/uv/python/cpython-*",
    ".local/share/mise/installs/python/*",
)
_QUESTION = """\
import json, platform, sys, sysconfig
v = lambda name: str(sysconfig.get_config_var(name) or "")
t = "t" if v("Py_GIL_DISABLED") == "1" else ""
print(json.dumps({
    "version": platform.python_version(), "executable": sys.executable,
    "abi": f"cp{sys.version_info[0]}{sys.version_info[1]}{t}", "soabi": v("SOABI"),
    "ext_suffix": v("EXT_SUFFIX"), "include_dir": sysconfig.get_path("include"),
    "free_threaded": bool(t), "implementation": platform.python_implementation(),
    "platform": sysconfig.get_platform(),
    "site_packages": sysconfig.get_path(
        "platlib", vars={"base": sys.base_prefix, "platbase": sys.base_exec_prefix}),
}))
"""


def find_interpreter(asked: str, host: Host, runner: Runner) -> PythonFacts:
    """Return the Python that ``asked`` names: a version (3.12, 3.12.1, 3.13t) or a path.

    Raises ConfigError naming every place that was looked at.
    """
    looked: list[str] = []
    for path in _candidates(asked, host):
        found = _describe(path, host, runner)
        if isinstance(found, str):
            looked.append(f"{path}: {found}")
        elif _VERSION.fullmatch(asked) and not _is_version(found, asked):
            looked.append(f"{path}: it is Python {found.version}")
        elif not has_headers(found):
            looked.append(f"{path}: its headers are not installed in {found.include_dir}")
        else:
            return found
    raise ConfigError(
        f"there is no Python {asked} that can be used",
        looked=looked or [f"PATH and {', '.join('~/' + pattern for pattern in _KEPT)}: none there"],
        fix=["install it, or give --python the path of its executable"],
    )


def find_interpreters(version: str, host: Host, runner: Runner) -> Iterator[PythonFacts]:
    """Yield each Python of a version ("3.12", "3.13t"), with headers or without; ours first."""
    for path in _candidates(version, host):
        found = _describe(path, host, runner)
        if isinstance(found, PythonFacts) and _is_version(found, version):
            yield found


def has_headers(python: PythonFacts) -> bool:
    """Say whether an extension can be compiled for a Python."""
    return (python.include_dir / "Python.h").is_file()


def _candidates(asked: str, host: Host) -> Iterator[Path]:
    """Yield each executable that may be meant, once."""
    if not _VERSION.fullmatch(asked):
        yield Path(asked).expanduser().absolute()
        return
    seen: set[Path] = set()
    for path in (host.python.executable, *_on_path(asked, host), *_kept(host)):
        real = path.resolve()
        if path.is_file() and real not in seen:
            seen.add(real)
            yield path


def _on_path(asked: str, host: Host) -> Iterator[Path]:
    names = [f"python{asked}", f"python{'.'.join(asked.rstrip('t').split('.')[:2])}", "python3"]
    for folder in host.environ.get("PATH", "").split(host.path_separator):
        for name in (*names, "python"):
            if folder:
                yield Path(folder) / f"{name}{host.exe_suffix}"


def _kept(host: Host) -> Iterator[Path]:
    below = "python.exe" if host.system == "windows" else "bin/python3"
    home = Path(host.environ.get("USERPROFILE" if host.system == "windows" else "HOME", "~"))
    for pattern in _KEPT:
        found = sorted(home.expanduser().glob(pattern), reverse=True)
        yield from (folder / below for folder in found)


def _describe(path: Path, host: Host, runner: Runner) -> PythonFacts | str:
    """Ask a Python what it is; return the reason where it cannot be used."""
    if not path.is_file():
        return "no such file"
    said = runner.run([path, "-I", "-c", _QUESTION], env=host.environ, timeout=_TIMEOUT)
    try:
        facts = json.loads(said.stdout)
    except ValueError:
        return (said.text.splitlines() or ["it says nothing"])[-1]
    if facts.pop("implementation") != "CPython":
        return "it is not CPython"
    for name in ("executable", "include_dir", "site_packages"):
        facts[name] = Path(facts[name])
    return PythonFacts(**facts)


def _is_version(found: PythonFacts, asked: str) -> bool:
    wanted: Sequence[str] = asked.rstrip("t").split(".")
    is_same = found.version.split(".")[: len(wanted)] == list(wanted)
    return is_same and found.free_threaded is asked.endswith("t")
