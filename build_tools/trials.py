"""Wheels of other machines, tried: each way of running one is a function that returns a ``Lab``.

A lab that cannot be had is no failure: the wheel is then labelled as not run, with the reason.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from build_tools.debian import Debian, NoDebianError
from build_tools.errors import BuilderError, SmokeError
from build_tools.interpreters import find_interpreters
from build_tools.matrix import Way
from build_tools.musl import provide_musl_python
from build_tools.python_headers import windows_python

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from build_tools.host import Host
    from build_tools.recipe import Site
    from build_tools.target import Target

PROGRAM = Path(__file__).with_name("sample_program.py")
LEAST_CASES = 200
"""Fewer node cases than this prove nothing."""

_DEBIAN_MACHINES = {"aarch64": "arm64", "x86_64": "amd64"}
_TIMEOUT = 1800.0
# The tags of wheels that a system takes, the newest last: pip is asked on another machine's behalf.
_GLIBC = ("manylinux2014", "manylinux_2_17", "manylinux_2_27", "manylinux_2_28")
_WINE_PROGRAMS = ("wine64", "wine", "/usr/lib/wine/wine64")


@dataclass(frozen=True, kw_only=True)
class Lab:
    """A Python of the target that can be run here."""

    label: str
    """What it is, e.g. "CPython 3.13.5 of Debian trixie arm64, under qemu-user"."""

    command: tuple[str | Path, ...]
    """How it is started."""

    environ: Mapping[str, str] = field(default_factory=dict)
    """Variables that it is started with, beside the environment."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What came of trying a wheel."""

    label: str
    """What it was run on; empty where it was not."""

    why_not: str = ""
    """Why it was not run."""

    seen: Mapping[str, Any] = field(default_factory=dict)
    """What the program has printed."""


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


def try_wheel(wheel: Path, python: str, way: Way, stand: Stand) -> Trial:
    """Run a wheel with the sample and the real models; raises SmokeError where it does not pass."""
    try:
        lab = _LABS[way](python, stand)
    except (NoLabError, NoDebianError) as reason:
        return Trial(label="", why_not=str(reason))
    with stand.site.context.record.step(f"{stand.target} {python}: run on {lab.label}"):
        seen = _run(wheel, python, lab, stand)
    failed, cases = seen["sample"]["failed"], seen["sample"]["cases"]
    if failed or cases < LEAST_CASES:
        raise SmokeError(
            f"{wheel.name} gives other results than the standard's",
            looked=[f"{cases} cases were run", *(f"{name}: {why}" for name, why in failed.items())],
            fix="run the same case natively: tests/conformance",
        )
    stand.site.context.record.prove(f"{wheel.name} runs", _evidence(seen, lab))
    return Trial(label=lab.label, seen=seen)


def _run(wheel: Path, python: str, lab: Lab, stand: Stand) -> dict[str, Any]:
    """Unpack the wheel and NumPy into a folder of their own and run the program there."""
    numpy = _numpy(python, stand.target, stand.site)
    with tempfile.TemporaryDirectory(prefix="onnxforge trial ") as scratch:
        room = Path(scratch)
        _furnish(room, (wheel, numpy), stand)
        # Relative names mean the same to every system.
        words = ("packages", "sample", "model/model.onnx", "model/config.min.json")
        said = stand.site.context.runner.run(
            [*lab.command, "-I", "-B", PROGRAM.name, *words],
            cwd=room,
            env=_environment(stand.site, lab.environ),
            timeout=_TIMEOUT,
        )
    lines = [line for line in said.stdout.splitlines() if line.startswith("{")]
    if not said.ok or not lines:
        raise SmokeError(
            f"{wheel.name} does not run on {lab.label}",
            looked=[f"{said.command}\n{said.text[-4000:]}"],
            fix="the traceback above names the step",
        )
    seen: dict[str, Any] = json.loads(lines[-1])
    return seen


def _furnish(room: Path, wheels: Sequence[Path], stand: Stand) -> None:
    """Put the unpacked wheels, the programs and what they read into an empty folder."""
    for file in wheels:
        with zipfile.ZipFile(file) as archive:
            archive.extractall(room / "packages")
    for program in (PROGRAM, PROGRAM.with_name("smoke_program.py")):
        shutil.copyfile(program, room / program.name)
    shutil.copytree(stand.sample, room / "sample")
    shutil.copytree(stand.model, room / "model")


def _environment(site: Site, extra: Mapping[str, str]) -> dict[str, str]:
    foreign = ("PYTHON", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "CONDA_PREFIX")
    environ = site.context.host.environ
    kept = {name: text for name, text in environ.items() if not name.startswith(foreign)}
    return {**kept, **extra}


def _numpy(python: str, target: Target, site: Site) -> Path:
    """Return the wheel of NumPy for a target, fetched once."""
    folder = site.config.cache_dir.absolute() / "wheels" / f"{target.name}-{python}"
    known = sorted(folder.glob("numpy-*.whl"))
    if known:
        return known[-1]
    command: list[str | Path] = [site.context.host.python.executable, "-m", "pip", "--quiet"]
    command += ["--disable-pip-version-check", "download", "--no-deps", "--dest", folder]
    command += ["--only-binary", ":all:", "--python-version", python, "--implementation", "cp"]
    command += [
        "--abi",
        f"cp{python.replace('.', '')}",
        *(["--no-index"] if site.config.offline else []),
    ]
    for platform in _platforms(target):
        command += ["--platform", platform]
    wanted = f"numpy=={target.numpy}" if target.numpy else "numpy"
    said = site.context.runner.run([*command, wanted], env=site.context.host.environ)
    found = sorted(folder.glob("numpy-*.whl"))
    if not said.ok or not found:
        raise SmokeError(
            f"there is no {wanted} for {target}, Python {python}",
            looked=[f"{said.command}\n{said.text}"],
            fix="see that pip can reach its index, or set PIP_FIND_LINKS",
        )
    return found[-1]


def _platforms(target: Target) -> list[str]:
    if target.libc == "glibc":
        return [f"{tag}_{target.machine}" for tag in _GLIBC]
    return [target.name]


# The labs


def _native(python: str, stand: Stand) -> Lab:
    _require_this_machine(stand)
    found = next(find_interpreters(python, stand.host, stand.site.context.runner), None)
    if found is None:
        raise NoLabError(f"there is no CPython {python} on this machine")
    return Lab(label=f"CPython {found.version}", command=(found.executable,))


def _qemu(python: str, stand: Stand) -> Lab:
    machine = stand.target.machine
    emulator = _program((f"qemu-{machine}-static", f"qemu-{machine}"), stand)
    root = _debian_python(python, stand)
    command = (emulator, "-L", root, root / "usr" / "bin" / f"python{python}")
    maker = f"Debian {stand.releases[python]} {_DEBIAN_MACHINES[machine]}"
    label = _label(command, maker, stand, {})
    return Lab(label=f"{label}, under {emulator.name.removesuffix('-static')}", command=command)


def _wine(python: str, stand: Stand) -> Lab:
    wine = _program(_WINE_PROGRAMS, stand)
    environ = {
        "WINEPREFIX": str(stand.site.config.cache_dir.absolute() / "wine"),
        "WINEDEBUG": "-all",
        # No window is opened, and neither Mono nor Gecko is offered for installation.
        "WINEDLLOVERRIDES": "winemenubuilder.exe,mscoree,mshtml=",
        "DISPLAY": "",
    }
    environment = _environment(stand.site, environ)
    said = stand.site.context.runner.run([wine, "--version"], env=environment).stdout.split()
    command = (wine, windows_python(stand.site, python) / "python.exe")
    label = _label(command, "python.org", stand, environ)
    return Lab(label=f"{label}, under {said[0]}", command=command, environ=environ)


def _musl(python: str, stand: Stand) -> Lab:
    _require_this_machine(stand)
    compiler = _program(("musl-gcc",), stand)
    release = _release(python, stand)
    program = provide_musl_python(python, release, compiler, stand.site)
    maker = f"Debian {release}'s sources, compiled with musl-gcc"
    return Lab(label=_label((program,), maker, stand, {}), command=(program,))


def _none(_python: str, stand: Stand) -> Lab:
    raise NoLabError(f"nothing on this machine runs programs for {stand.target}")


_LABS: dict[Way, Callable[[str, Stand], Lab]] = {
    Way.NATIVE: _native,
    Way.QEMU: _qemu,
    Way.WINE: _wine,
    Way.MUSL: _musl,
    Way.NONE: _none,
}


def _require_this_machine(stand: Stand) -> None:
    host, target = stand.host, stand.target
    if (host.system, host.machine) != (target.system, target.machine):
        raise NoLabError(f"this machine is {host.system} {host.machine}")


def _program(names: Sequence[str], stand: Stand) -> Path:
    """Return the first of some programs that PATH has; raises NoLabError for none."""
    path = stand.host.environ.get("PATH", "")
    found = next(filter(None, (shutil.which(name, path=path) for name in names)), None)
    if found is None:
        raise NoLabError(f"{names[0]} is not installed")
    return Path(found)


def _release(python: str, stand: Stand) -> str:
    if python not in stand.releases:
        raise NoLabError(f"no release of Debian has CPython {python}")
    return stand.releases[python]


def _debian_python(python: str, stand: Stand) -> Path:
    """Return a folder with a foreign CPython and all it needs, from Debian's packages."""
    site, release = stand.site, _release(python, stand)
    architecture = _DEBIAN_MACHINES[stand.target.machine]

    def fill(root: Path) -> None:
        folder = site.cache.root / "debian" / f"{release}-{architecture}"
        debian = Debian(
            release=release, architecture=architecture, folder=folder, context=site.context
        )
        needed = (f"python{python}-minimal", f"libpython{python}-stdlib", "libstdc++6")
        with site.context.record.step(f"CPython {python} of Debian {release} {architecture}"):
            debian.unpack(needed, root)

    inputs = {"release": release, "architecture": architecture}
    try:
        return site.cache.prefix("debian-python", python, inputs, fill).path
    except BuilderError as error:
        raise NoLabError(f"CPython {python} of Debian {release}: {error.what}") from error


def _label(
    command: Sequence[str | Path], maker: str, stand: Stand, environ: Mapping[str, str]
) -> str:
    """Return what an interpreter says it is; raises NoLabError where it does not start."""
    question = "import sys; print(sys.version.split()[0])"
    said = stand.site.context.runner.run(
        [*command, "-I", "-c", question],
        env=_environment(stand.site, environ),
        timeout=300.0,
    )
    version = re.search(r"^3\.\d+\.\d+\S*", said.stdout, re.M)
    if not version:
        raise NoLabError(f"{command[0]} does not start a Python: {said.text[-300:]}")
    return f"CPython {version[0]} of {maker}"


def _evidence(seen: Mapping[str, Any], lab: Lab) -> str:
    sample = seen["sample"]
    return (
        f"{lab.label}, numpy {seen['numpy']}: {sample['cases'] - 1} of the standard's cases and a "
        f"light model in {sample['seconds']} s, magika in {seen['magika']['run_ms']} ms a run; "
        f"instruction sets: {', '.join(seen['tiers'])}"
    )
