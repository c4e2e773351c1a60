"""The wheel matrix of ``ci/matrix.toml``: which targets and Pythons, and how each is tried."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from build_tools.config import Linkage
from build_tools.errors import ConfigError
from build_tools.sources import load_pyproject, nearest
from build_tools.target import Target

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MATRIX_FILE = Path(__file__).resolve().parent.parent / "ci" / "matrix.toml"

_TARGET_KEYS = frozenset({"name", "zig", "run", "runner", "numpy", "pythons", "protobuf"})
_ROOT_KEYS = frozenset({"pythons", "protobuf", "target", "debian"})
_MACHINES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}
_PYTHON = re.compile(r"3\.\d+")
_FAMILIES = (
    (re.compile(r"manylinux(?:2014|_2_\d+)_(\w+)"), "linux", "glibc"),
    (re.compile(r"musllinux_1_\d+_(\w+)"), "linux", "musl"),
    (re.compile(r"win_(amd64|arm64)"), "windows", ""),
    (re.compile(r"macosx_\d+_\d+_(\w+)"), "darwin", ""),
)


class Way(str, Enum):
    """How a wheel is tried on the building machine."""

    NATIVE = "native"
    QEMU = "qemu"
    WINE = "wine"
    MUSL = "musl"
    NONE = "none"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One target of the matrix."""

    target: Target
    """What its wheels are for."""

    pythons: tuple[str, ...]
    """The CPythons it is built for."""

    way: Way
    """How its wheels are tried."""

    linkages: tuple[Linkage, ...]
    """How protobuf is linked where the continuous integration builds natively; crossed: static."""

    runner: str
    """The machine of the continuous integration that builds it natively; may be empty."""


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """All of it."""

    path: Path
    """The file."""

    rows: tuple[Row, ...]
    """The targets, in the order of the file."""

    debian: Mapping[str, str]
    """Debian's release that carries a CPython, by its version."""

    @property
    def pythons(self) -> tuple[str, ...]:
        """Every CPython of the matrix, oldest first."""
        found = {python for row in self.rows for python in row.pythons}
        return tuple(sorted(found, key=_python_key))

    def select(self, targets: Sequence[str], pythons: Sequence[str]) -> tuple[Row, ...]:
        """Return the rows that were asked for; nothing asked for is everything.

        Raises ConfigError for a target or a Python that the matrix does not have.
        """
        names = [row.target.name for row in self.rows]
        for wanted in targets:
            if wanted not in names:
                raise self._unknown("target", wanted, names)
        for wanted in pythons:
            if wanted not in self.pythons:
                raise self._unknown("Python", wanted, self.pythons)
        chosen = (row for row in self.rows if not targets or row.target.name in targets)
        rows = tuple(row for row in (_narrowed(row, pythons) for row in chosen) if row.pythons)
        if not rows:
            raise ConfigError(
                f"none of {', '.join(targets)} is built for Python {', '.join(pythons)}",
                looked=[
                    f"{self.path}: {row.target} has {', '.join(row.pythons)}" for row in self.rows
                ],
                fix="ask for another Python, or add it to the target's pythons",
            )
        return rows

    def _unknown(self, what: str, wanted: str, known: Sequence[str]) -> ConfigError:
        return ConfigError(
            f"the matrix has no {what} {wanted!r}",
            looked=[f"{self.path}: it has {', '.join(known)}"],
            fix=[*nearest(wanted, list(known)), "or add it to the matrix"],
        )


def load_matrix(path: Path = MATRIX_FILE) -> Matrix:
    """Read and check the matrix; raises ConfigError where it says something that cannot be."""
    try:
        document = load_pyproject(path)
        _require_known(document, _ROOT_KEYS, "the matrix")
        rows = tuple(_row(entry, document) for entry in document["target"])
        names = [row.target.name for row in rows]
        if len(set(names)) != len(names):
            raise ValueError("one target is there twice")
    except (OSError, KeyError, TypeError, ValueError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise ConfigError(
            f"the wheel matrix is wrong: {reason}", looked=[str(path)], fix="correct that line"
        ) from error
    return Matrix(path=path, rows=rows, debian=dict(document.get("debian", {})))


def github(matrix: Matrix) -> dict[str, list[dict[str, str]]]:
    """Return what a workflow's ``strategy.matrix`` takes: natively built wheels, one job each."""
    jobs = [
        {"target": row.target.name, "python": python, "protobuf": str(linkage), "os": row.runner}
        for row in matrix.rows
        if row.runner
        for python in row.pythons
        for linkage in row.linkages
    ]
    return {"include": jobs}


def as_table(matrix: Matrix) -> str:
    """Return the matrix as lines for a person."""
    width = max(len(row.target.name) for row in matrix.rows)
    lines = [
        f"{row.target.name:<{width}}  {' '.join(row.pythons)}  tried: {row.way.value}, "
        f"native runner: {row.runner or 'none'}"
        for row in matrix.rows
    ]
    return "\n".join(lines) + "\n"


def _row(entry: Mapping[str, Any], document: Mapping[str, Any]) -> Row:
    name = str(entry["name"])
    _require_known(entry, _TARGET_KEYS, name)
    pythons = tuple(entry.get("pythons", document["pythons"]))
    for python in pythons:
        if not (isinstance(python, str) and _PYTHON.fullmatch(python)):
            raise ValueError(f"{name}: {python!r} is not a CPython like '3.13'")
    return Row(
        target=_target(name, str(entry["zig"]), str(entry.get("numpy", ""))),
        pythons=pythons,
        way=Way(entry["run"]),
        linkages=tuple(Linkage(word) for word in entry.get("protobuf", document["protobuf"])),
        runner=str(entry.get("runner", "")),
    )


def _target(name: str, zig: str, numpy: str) -> Target:
    """Return the target of a platform tag; its zig name must say the same."""
    for pattern, system, libc in _FAMILIES:
        match = pattern.fullmatch(name)
        if match and match[1] in _MACHINES:
            machine = _MACHINES[match[1]]
            _require_agreement(name, zig, machine, libc)
            oldest = ".".join(name.split("_")[1:3]) if system == "darwin" else ""
            return Target(
                name=name,
                system=system,  # type: ignore[arg-type]  # one of the three above
                machine=machine,
                libc=libc,  # type: ignore[arg-type]
                zig=zig,
                oldest_system=oldest,
                numpy=numpy,
            )
    raise ValueError(f"{name!r} is not a platform tag that can be built for")


def _require_agreement(name: str, zig: str, machine: str, libc: str) -> None:
    words = {"glibc": "linux-gnu.", "musl": "linux-musl"}
    system = words.get(libc) or ("windows" if name.startswith("win") else "macos.")
    if not (zig.startswith(f"{machine}-") and system in zig):
        raise ValueError(f"{name}: zig's target {zig!r} is another machine")


def _narrowed(row: Row, pythons: Sequence[str]) -> Row:
    kept = tuple(python for python in row.pythons if not pythons or python in pythons)
    return replace(row, pythons=kept)


def _require_known(entry: Mapping[str, Any], known: frozenset[str], where: str) -> None:
    unknown = sorted(entry.keys() - known)
    if unknown:
        raise ValueError(f"{where}: unknown key {', '.join(unknown)}")


def _python_key(python: str) -> tuple[int, ...]:
    return tuple(int(part) for part in python.split("."))
