"""The command that installs something here: which package manager there is, and its names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from build_tools.host import Host

_COMMANDS = {
    "apt": "apt-get install",
    "dnf": "dnf install",
    "apk": "apk add",
    "pacman": "pacman -S",
    "zypper": "zypper install",
    "brew": "brew install",
    "winget": "winget install",
}
_MANAGERS = {
    "debian": "apt",
    "ubuntu": "apt",
    "fedora": "dnf",
    "rhel": "dnf",
    "centos": "dnf",
    "alpine": "apk",
    "arch": "pacman",
    "suse": "zypper",
    "opensuse": "zypper",
}
_SYSTEMS = {"darwin": "brew", "windows": "winget"}

COMPILER = {
    "apt": "g++",
    "dnf": "gcc-c++",
    "apk": "g++",
    "pacman": "gcc",
    "zypper": "gcc-c++",
    "brew": "gcc",
    "winget": "Microsoft.VisualStudio.2022.BuildTools",
}
"""A C++ compiler."""

NEWER_COMPILER = {**COMPILER, "dnf": "gcc-toolset-13-gcc-c++"}
"""A compiler that is not the system's old one, where there is such a thing."""

PYTHON_HEADERS = {
    "apt": "python{version}-dev",
    "dnf": "python{version}-devel",
    "apk": "python3-dev",
    "pacman": "python",
    "zypper": "python3-devel",
    "brew": "python@{version}",
    "winget": "Python.Python.{version}",
}
"""The headers of a Python, of which ``{version}`` is major and minor number."""

PROTOBUF = {
    "apt": "protobuf-compiler libprotobuf-dev",
    "dnf": "protobuf-compiler protobuf-devel",
    "apk": "protoc protobuf-dev",
    "pacman": "protobuf",
    "zypper": "protobuf-devel",
    "brew": "protobuf",
}
"""A protobuf with protoc, headers and library."""

ABSEIL = {
    "apt": "libabsl-dev",
    "dnf": "abseil-cpp-devel",
    "apk": "abseil-cpp-dev",
    "pacman": "abseil-cpp",
    "zypper": "abseil-cpp-devel",
    "brew": "abseil",
}
"""abseil's headers and libraries."""


def manager(host: Host, root: Path = Path("/")) -> str:
    """Return which package manager this system has; empty where that is not known."""
    if host.system in _SYSTEMS:
        return _SYSTEMS[host.system]
    try:
        text = (root / "etc/os-release").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    names = re.findall(r"^ID(?:_LIKE)?=\"?([^\"\n]*)", text, re.M)
    words = [word.partition("-")[0] for line in names for word in line.split()]
    return next((_MANAGERS[word] for word in words if word in _MANAGERS), "")


def install(packages: dict[str, str], having: str, version: str = "") -> tuple[str, ...]:
    """Return the command of the manager that is there; where that is not known, all of them."""
    known = [having] if having in packages else list(packages)
    return tuple(f"{_COMMANDS[one]} {packages[one].format(version=version)}" for one in known)
