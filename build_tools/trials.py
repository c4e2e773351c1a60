"""Wheels of other machines, tried on a Python of theirs that runs here.

Where there is no such Python, that is no failure: the wheel is labelled as not run, and why.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from build_tools.errors import SmokeError
from build_tools.labs import NoLabError, environment, find_lab

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from build_tools.labs import Lab, Stand
    from build_tools.matrix import Way
    from build_tools.recipe import Site
    from build_tools.target import Target

PROGRAM = Path(__file__).with_name("sample_program.py")
LEAST_CASES = 200
"""Fewer node cases than this prove nothing."""

_TIMEOUT = 1800.0
# The tags of wheels that a system takes, the newest last: pip is asked on another machine's behalf.
_GLIBC = ("manylinux2014", "manylinux_2_17", "manylinux_2_27", "manylinux_2_28")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What came of trying a wheel."""

    label: str
    """What it was run on; empty where it was not."""

    why_not: str = ""
    """Why it was not run."""

    seen: Mapping[str, Any] = field(default_factory=dict)
    """What the program has printed."""


def try_wheel(wheel: Path, python: str, way: Way, stand: Stand) -> Trial:
    """Run a wheel with the sample and the real models; raises SmokeError where it does not pass."""
    try:
        lab = find_lab(python, way, stand)
    except NoLabError as reason:
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
            env=environment(stand, lab.environ),
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


def _evidence(seen: Mapping[str, Any], lab: Lab) -> str:
    sample = seen["sample"]
    return (
        f"{lab.label}, numpy {seen['numpy']}: {sample['cases'] - 1} of the standard's cases and a "
        f"light model in {sample['seconds']} s, magika in {seen['magika']['run_ms']} ms a run; "
        f"instruction sets: {', '.join(seen['tiers'])}"
    )
