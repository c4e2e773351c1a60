"""What a wheel has in common with the extensions of an environment, and would clash over.

Two libraries in one process clash where both offer a name to the rest of it, where both bind a name
for the whole process (GNU_UNIQUE), or where both register the same file of messages with one shared
protobuf, which then aborts. None of these needs the other to be loaded to be seen.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from build_tools.binaries import FileKind, dynamic_facts, glance
from build_tools.errors import BuilderError, UsageError
from build_tools.hardening import read_hardening
from build_tools.record import Proof
from build_tools.storage import walk_files
from build_tools.symbols import exported_symbols
from build_tools.wheel_file import is_library

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from build_tools.context import Context
    from build_tools.wheel_file import WheelFile

_ENTRY_POINTS = ("PyInit_", "PyModExport_")
# A serialised FileDescriptorProto begins with its name: field 1, its length, a path.
_DESCRIPTOR = re.compile(rb"\x0a(?P<length>.)(?P<name>[\w./-]{3,120}?\.proto)", re.DOTALL)
_ASK = (
    "import sysconfig; print(sysconfig.get_path('purelib')); print(sysconfig.get_path('platlib'))"
)
_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Resident:
    """One shared object, as far as others can clash with it."""

    name: str
    """Where it lies, relative to the folder of packages or inside the wheel."""

    exported: frozenset[str]
    """The names it offers, its entry points left out."""

    unique: frozenset[str]
    """The names it binds for the whole process."""

    descriptors: frozenset[str]
    """The files of messages that it registers with protobuf's full runtime."""

    protobufs: frozenset[str]
    """The shared protobuf libraries that it needs."""

    @property
    def package(self) -> str:
        """The package or the folder of libraries that it belongs to."""
        return self.name.partition("/")[0].removesuffix(".libs")


def package_folders(environment: Path, context: Context) -> tuple[Path, ...]:
    """Return the folders of packages that an interpreter, an environment or a folder means."""
    if environment.is_dir():
        inside = [
            folder for folder in environment.glob("[Ll]ib/**/site-packages") if folder.is_dir()
        ]
        return tuple(inside) or (environment,)
    said = context.runner.run([environment, "-I", "-c", _ASK], env=context.host.environ)
    if not said.ok:
        raise UsageError(
            f"--environment {environment} is neither a folder nor a Python that runs",
            looked=[said.text],
            fix="name an interpreter, a virtual environment or a folder of packages",
        )
    return tuple(dict.fromkeys(Path(line) for line in said.stdout.splitlines()))


def residents_of(folders: Iterable[Path]) -> tuple[tuple[Resident, ...], tuple[str, ...]]:
    """Return every shared object below folders of packages, and what could not be read."""
    found: list[Resident] = []
    unread: list[str] = []
    for folder in folders:
        for path in walk_files(folder):
            if is_library(path.name) and not path.is_symlink():
                name = path.relative_to(folder).as_posix()
                resident = _read(path, name)
                if resident is None:
                    unread.append(name)
                else:
                    found.append(resident)
    return tuple(found), tuple(unread)


def residents_in(wheel: WheelFile, scratch: Path) -> tuple[Resident, ...]:
    """Return every shared object of a wheel; ``scratch`` is an empty folder to unpack it in."""
    found: list[Resident] = []
    for member in sorted(name for name in wheel.members if is_library(name)):
        path = scratch / f"{len(found)}-{Path(member).name}"
        path.write_bytes(wheel.read(member))
        resident = _read(path, member)
        if resident is not None:
            found.append(resident)
    return tuple(found)


def _read(path: Path, name: str) -> Resident | None:
    try:
        if glance(path)[0] is not FileKind.SHARED_LIBRARY:
            return None
        exported = exported_symbols(path)
        needed = dynamic_facts(path).needed
    except BuilderError:
        return None
    return Resident(
        name=name,
        exported=frozenset(entry for entry in exported if not entry.startswith(_ENTRY_POINTS)),
        unique=frozenset(read_hardening(path).unique),
        descriptors=frozenset(descriptors_in(path.read_bytes())),
        protobufs=frozenset(entry for entry in needed if "protobuf" in entry.lower()),
    )


def descriptors_in(content: bytes) -> Iterator[str]:
    """Yield the name of every serialised file of messages; the lite runtime carries none."""
    for found in _DESCRIPTOR.finditer(content):
        if found["length"][0] == len(found["name"]):
            yield found["name"].decode("ascii")


def prove_coexistence(
    own: tuple[Resident, ...], others: tuple[Resident, ...], where: str
) -> tuple[Proof, ...]:
    """Return the claims about what a wheel has in common with an environment's extensions."""
    packages = {resident.package for resident in own}
    foreign = [resident for resident in others if resident.package not in packages]
    counted = f"none in common with {len(foreign)} libraries of {where}"
    return (
        _proof(
            "no exported name is also that of another extension in the environment",
            _common(own, foreign, "exported"),
            counted,
        ),
        _proof(
            "no name is bound for the whole process by it and another extension",
            _common(own, foreign, "unique"),
            counted,
        ),
        _proof(
            "no file of messages is registered twice with one shared protobuf",
            _registered_twice(own, foreign),
            counted,
        ),
    )


def _common(own: Iterable[Resident], others: Iterable[Resident], what: str) -> Iterator[str]:
    mine: frozenset[str] = frozenset().union(*(getattr(resident, what) for resident in own))
    for other in others:
        shared = sorted(mine & getattr(other, what))
        if shared:
            yield f"{other.name}: {len(shared)} names, {', '.join(shared[:_SHOWN])}"


def _registered_twice(own: Iterable[Resident], others: list[Resident]) -> Iterator[str]:
    for resident in own:
        for other in others:
            library = sorted(resident.protobufs & other.protobufs)
            twice = sorted(resident.descriptors & other.descriptors)
            if library and twice:
                yield f"{other.name}: {', '.join(twice[:_SHOWN])} in {library[0]}"


def _proof(claim: str, problems: Iterable[str], evidence: str) -> Proof:
    found = list(problems)
    return Proof(claim=claim, evidence="; ".join(found) or evidence, ok=not found)
