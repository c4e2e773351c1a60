"""Pythons of other machines that run here, to try wheels on: each way to one returns a ``Lab``."""

from __future__ import annotations

import re
import shlex
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.version import Version

from build_tools.debian import Debian, NoDebianError
from build_tools.errors import BuilderError
from build_tools.interpreters import find_interpreters
from build_tools.matrix import Way
from build_tools.musl import MuslPlan, provide_musl_python
from build_tools.python_headers import windows_python
from build_tools.storage import guarded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from build_tools.host import Host
    from build_tools.recipe import Site
    from build_tools.target import Target

_DEBIAN_MACHINES = {"aarch64": "arm64", "x86_64": "amd64"}
_GLIBC_LOADERS = {"aarch64": "ld-linux-aarch64.so.1", "x86_64": "ld-linux-x86-64.so.2"}
_WINE_PROGRAMS = ("wine64", "wine", "/usr/lib/wine/wine64")
_START = 300.0

_Words = tuple["str | Path", ...]


@dataclass(frozen=True, kw_only=True)
class Lab:
    """A Python of the target that can be run here."""

    label: str
    """What it is, e.g. "CPython 3.13.5 of Debian trixie arm64, under qemu-aarch64"."""

    command: _Words
    """How it is started."""

    environ: Mapping[str, str] = field(default_factory=dict)
    """Variables that it is started with, beside the environment."""


@dataclass(frozen=True, kw_only=True)
class Stand:
    """What the wheels of one target are tried with."""

    site: Site
    """The building machine, and the target."""

    releases: Mapping[str, str]
    """Debian's release by the CPython it has."""

    sample: Path
    """The folder with the sample."""

    model: Path
    """The folder with the real model and the names of its classes."""

    @property
    def target(self) -> Target:
        """The target."""
        return self.site.target

    @property
    def host(self) -> Host:
        """The building machine."""
        return self.site.context.host


class NoLabError(Exception):
    """Why nothing here runs a target's wheels, in words for a report."""


def find_lab(python: str, way: Way, stand: Stand) -> Lab:
    """Return a Python to try wheels on; raises NoLabError where there is none."""
    try:
        return _LABS[way](python, stand)
    except NoDebianError as reason:
        raise NoLabError(str(reason)) from reason


def environment(stand: Stand, extra: Mapping[str, str]) -> dict[str, str]:
    """Return what a lab's Python is started with: nothing that concerns another Python."""
    foreign = ("PYTHON", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "CONDA_PREFIX")
    environ = stand.host.environ
    kept = {name: text for name, text in environ.items() if not name.startswith(foreign)}
    return {**kept, **extra}


# The ways


def _native(python: str, stand: Stand) -> Lab:
    if not _is_this_machine(stand):
        raise NoLabError(f"this machine is {stand.host.system} {stand.host.machine}")
    found = next(find_interpreters(python, stand.host, stand.site.context.runner), None)
    if found:
        return Lab(label=f"CPython {found.version}", command=(found.executable,))
    command = _debian_command(python, stand.target.machine, stand)
    return Lab(label=_label(command, _debian_name(python, stand), stand, {}), command=command)


def _qemu(python: str, stand: Stand) -> Lab:
    emulator = _emulator(stand)
    root = _debian_python(python, stand.target.machine, stand)
    command = (emulator, "-L", root, root / "usr" / "bin" / f"python{python}")
    label = _label(command, _debian_name(python, stand), stand, {})
    return Lab(label=f"{label}, under {_plain_name(emulator)}", command=command)


def _wine(python: str, stand: Stand) -> Lab:
    wine = _program(_WINE_PROGRAMS, stand)
    environ = {
        "WINEPREFIX": str(stand.site.config.cache_dir.absolute() / "wine"),
        "WINEDEBUG": "-all",
        # No window is opened, and neither Mono nor Gecko is offered for installation.
        "WINEDLLOVERRIDES": "winemenubuilder.exe,mscoree,mshtml=",
        "DISPLAY": "",
    }
    said = stand.site.context.runner.run([wine, "--version"], env=environment(stand, environ))
    command = (wine, windows_python(stand.site, python) / "python.exe")
    label = _label(command, "python.org", stand, environ)
    version = said.stdout.split()[0]
    return Lab(label=f"{label}, under {version}", command=command, environ=environ)


def _musl(python: str, stand: Stand) -> Lab:
    """Start a CPython on musl by Debian's musl, which is its loader, too."""
    machine = stand.target.machine
    emulator = None if _is_this_machine(stand) else _emulator(stand)
    release = _release(python, stand)
    plan = MuslPlan(python=python, release=release, builder=_builder(python, stand))
    program = provide_musl_python(plan, stand.site)
    # NumPy's libraries are relocated by DT_RELR, which musl knows since 1.2.4; bookworm's is 1.2.3.
    newest = stand.releases[max(stand.releases, key=Version)]
    root = _unpacked(("musl",), machine, newest, stand, alone=True)
    loader = root / "lib" / f"ld-musl-{machine}.so.1"
    command: _Words = (loader, program)
    maker = f"Debian {release}'s sources, on the musl of {newest}"
    if emulator is None:
        return Lab(label=_label(command, maker, stand, {}), command=command)
    command = (emulator, *command)
    label = _label(command, maker, stand, {})
    return Lab(label=f"{label}, under {_plain_name(emulator)}", command=command)


def _none(_python: str, stand: Stand) -> Lab:
    raise NoLabError(f"nothing on this machine runs programs for {stand.target}")


_LABS: dict[Way, Callable[[str, Stand], Lab]] = {
    Way.NATIVE: _native,
    Way.QEMU: _qemu,
    Way.WINE: _wine,
    Way.MUSL: _musl,
    Way.NONE: _none,
}


def _is_this_machine(stand: Stand) -> bool:
    host, target = stand.host, stand.target
    return (host.system, host.machine) == (target.system, target.machine)


def _emulator(stand: Stand) -> Path:
    machine = stand.target.machine
    return _program((f"qemu-{machine}-static", f"qemu-{machine}"), stand)


def _plain_name(emulator: Path) -> str:
    return emulator.name.removesuffix("-static")


def _program(names: Sequence[str], stand: Stand) -> Path:
    """Return the first of some programs that PATH has; raises NoLabError for none."""
    path = stand.host.environ.get("PATH", "")
    found = next(filter(None, (shutil.which(name, path=path) for name in names)), None)
    if found is None:
        raise NoLabError(f"{names[0]} is not installed")
    return Path(found)


# Debian's packages


def _release(python: str, stand: Stand) -> str:
    if python not in stand.releases:
        raise NoLabError(f"no release of Debian has CPython {python}")
    return stand.releases[python]


def _debian_name(python: str, stand: Stand) -> str:
    return f"Debian {stand.releases[python]} {_DEBIAN_MACHINES[stand.target.machine]}"


def _debian_python(python: str, machine: str, stand: Stand) -> Path:
    """Return a folder with a CPython and all it needs."""
    packages = (f"python{python}-minimal", f"libpython{python}-stdlib", "libstdc++6")
    return _unpacked(packages, machine, _release(python, stand), stand)


def _debian_command(python: str, machine: str, stand: Stand) -> _Words:
    """Return how a CPython for this machine is started with its own C library."""
    root = _debian_python(python, machine, stand)
    # Up to bookworm some packages have /lib; later ones have /usr/lib only, and a link.
    places = [root / top / f"{machine}-linux-gnu" for top in ("usr/lib", "lib")]
    name = _GLIBC_LOADERS[machine]
    loader = next((place / name for place in places if (place / name).exists()), places[0] / name)
    libraries = ":".join(map(str, places))
    return (loader, "--library-path", libraries, root / "usr" / "bin" / f"python{python}")


def _unpacked(
    packages: Sequence[str], machine: str, release: str, stand: Stand, *, alone: bool = False
) -> Path:
    """Return a folder with packages of Debian, and unless ``alone`` all that they need."""
    site, architecture = stand.site, _DEBIAN_MACHINES[machine]

    def fill(root: Path) -> None:
        folder = site.cache.root / "debian" / f"{release}-{architecture}"
        debian = Debian(
            release=release, architecture=architecture, folder=folder, context=site.context
        )
        with site.context.record.step(f"{packages[0]} of Debian {release} {architecture}"):
            debian.unpack(packages, root, alone=alone)

    inputs = {"release": release, "architecture": architecture}
    name = packages[0].removesuffix("-minimal")
    try:
        return site.cache.prefix(f"debian-{name}", release, inputs, fill).path
    except BuilderError as error:
        raise NoLabError(f"{name} of Debian {release}: {error.what}") from error


def _builder(python: str, stand: Stand) -> Path:
    """Return a program that is Debian's CPython for this machine, to build another's with.

    It runs the library that it builds, and so must be of the very same version.
    """
    site, host = stand.site, stand.host
    words = map(str, _debian_command(python, host.machine, stand))
    script = site.config.build_dir.absolute() / f"python{python}"
    with guarded(script, "write the script that starts a Python"):
        script.parent.mkdir(parents=True, exist_ok=True)
        script.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n', encoding="utf-8")
        script.chmod(0o755)
    return script


def _label(
    command: Sequence[str | Path], maker: str, stand: Stand, environ: Mapping[str, str]
) -> str:
    """Return what an interpreter says it is; raises NoLabError where it does not start."""
    question = "import sys; print(sys.version.split()[0])"
    said = stand.site.context.runner.run(
        [*command, "-I", "-c", question], env=environment(stand, environ), timeout=_START
    )
    version = re.search(r"^3\.\d+\.\d+\S*", said.stdout, re.M)
    if not version:
        raise NoLabError(f"{command[0]} does not start a Python: {said.text[-300:]}")
    return f"CPython {version[0]} of {maker}"
