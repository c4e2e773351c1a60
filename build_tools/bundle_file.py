"""The bundle as a file: a plain tar whose first member is its manifest; written and opened.

It is opened before the builder's own packages are there, because they come from it; so this module
uses the standard library alone.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import sys
import sysconfig
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from build_tools.errors import ChecksumError, ConfigError, UnpackError

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA = "onnxforge/bundle/1"
MANIFEST = "bundle.json"
ARCHIVES, LOCKS, WHEELS = "archives", "locks", "wheels"
_ROOT = Path(__file__).resolve().parent.parent
LOCK, PACKAGES = _ROOT / "third_party" / "pins.cdx.json", _ROOT / "pyproject.toml"
_MEMBER = re.compile(rf"(?:{ARCHIVES}|{LOCKS}|{WHEELS})/[A-Za-z0-9][A-Za-z0-9._+!-]*")
_CHUNK = 1 << 20
_REMAKE = "make it again with nox -s bundle, on a machine that has the network"


@dataclass(frozen=True)
class Fit:
    """What a bundle is for, and what it must be the same for where it is used."""

    python: str
    """The Python its wheels are for: implementation and version, e.g. "cpython-311"."""

    platform: str
    """The platform, e.g. "linux-x86_64"."""

    lock: str
    """sha256 of the lock file: which sources."""

    packages: str
    """sha256 of pyproject.toml: which packages."""


def fit_of_this_machine() -> Fit:
    """Return what a bundle must be for to be used here."""
    return Fit(
        python=str(sys.implementation.cache_tag),
        platform=sysconfig.get_platform(),
        lock=_sha256(LOCK),
        packages=_sha256(PACKAGES),
    )


def write_bundle(target: Path, files: Mapping[str, Path], fit: Fit) -> None:
    """Write a bundle of ``files`` by member name; the same files give the same bytes."""
    manifest = {
        "schema": SCHEMA,
        "python": fit.python,
        "platform": fit.platform,
        "lock": fit.lock,
        "packages": fit.packages,
        "files": {
            name: {"sha256": _sha256(path), "size": path.stat().st_size}
            for name, path in sorted(files.items())
        },
    }
    text = (json.dumps(manifest, indent=1, sort_keys=True) + "\n").encode("ascii")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
    try:
        with tarfile.open(partial, "w", format=tarfile.USTAR_FORMAT) as archive:
            _add(archive, MANIFEST, io.BytesIO(text), len(text))
            for name, path in sorted(files.items()):
                with path.open("rb") as content:
                    _add(archive, name, content, path.stat().st_size)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def open_bundle(file: Path, folder: Path, fit: Fit, *, below: str = "") -> None:
    """Have the files of a bundle, or those below one of its folders, in ``folder``.

    What an earlier run has unpacked there is used again if it is still what the manifest says. A
    file is there only after every byte was compared. Raises ConfigError where the bundle is not for
    this machine or this lock file, ChecksumError or UnpackError where it is damaged or none at all.
    """
    if not file.is_file():
        raise ConfigError(
            f"--bundle {file}: no such file",
            looked=[str(file.absolute())],
            fix="name a file that nox -s bundle has written",
        )
    try:
        with tarfile.open(file, "r:") as archive:
            manifest = _read_manifest(archive, file)
            _require_fit(manifest, fit, file)
            wanted = {
                name: str(facts["sha256"])
                for name, facts in manifest["files"].items()
                if name.startswith(below)
            }
            if not _is_there(folder, wanted):
                _replace(archive, wanted, folder, file)
    except (tarfile.TarError, EOFError) as error:
        raise UnpackError(
            f"{file} cannot be read as a bundle", looked=[str(error)], fix=_REMAKE
        ) from error


def _is_there(folder: Path, wanted: Mapping[str, str]) -> bool:
    """Say whether a folder holds just these files."""
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return found == set(wanted) and all(
        _sha256(folder / name) == digest for name, digest in wanted.items()
    )


def _replace(archive: tarfile.TarFile, wanted: Mapping[str, str], folder: Path, file: Path) -> None:
    partial = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
    try:
        _unpack(archive, wanted, partial, file)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _add(archive: tarfile.TarFile, name: str, content: IO[bytes], size: int) -> None:
    member = tarfile.TarInfo(name)  # its date is 1970, its owner nobody in particular
    member.size, member.mode = size, 0o644
    archive.addfile(member, content)


def _read_manifest(archive: tarfile.TarFile, file: Path) -> dict[str, Any]:
    first = archive.next()
    content = archive.extractfile(first) if first and first.name == MANIFEST else None
    try:
        manifest = json.loads(content.read()) if content else {}
        files = dict(manifest["files"])
        known = manifest["schema"] == SCHEMA and all(
            _MEMBER.fullmatch(name) and str(facts["sha256"]) for name, facts in files.items()
        )
    except (ValueError, KeyError, TypeError):
        known = False
    if not known:
        raise UnpackError(
            f"{file} is not a bundle of this builder",
            looked=[f"its first member is not {MANIFEST} with the schema {SCHEMA}"],
            fix=_REMAKE,
        )
    return dict(manifest)


def _require_fit(manifest: Mapping[str, Any], fit: Fit, file: Path) -> None:
    names = ("python", "platform", "lock", "packages")
    wrong = [
        f"{name}: the bundle is for {manifest.get(name)}, here it is {getattr(fit, name)}"
        for name in names
        if manifest.get(name) != getattr(fit, name)
    ]
    if wrong:
        raise ConfigError(
            f"{file} is not for this machine, this Python and this tree's locks",
            looked=wrong,
            fix="make one with nox -s bundle from the same tree, on such a machine",
        )


def _unpack(archive: tarfile.TarFile, wanted: Mapping[str, str], folder: Path, file: Path) -> None:
    """Unpack what is wanted, and compare it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    found = set()
    for member in archive:
        content = archive.extractfile(member) if member.name in wanted else None
        if content is None:
            continue
        path = folder / member.name
        path.parent.mkdir(exist_ok=True)
        digest = _copy(content, path)
        if digest != wanted[member.name]:
            raise ChecksumError(
                f"{file} is damaged: {member.name} has sha256 {digest}",
                looked=[f"its manifest says {wanted[member.name]}"],
                fix=["copy it again", _REMAKE],
            )
        found.add(member.name)
    if missing := sorted(wanted.keys() - found):
        raise UnpackError(
            f"{file} is damaged: {missing[0]} is not in it",
            looked=[f"{len(missing)} of {len(wanted)} files are missing"],
            fix=["copy it again", _REMAKE],
        )


def _copy(content: IO[bytes], path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("wb") as sink:
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
            sink.write(chunk)
    return digest.hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as content:
        digest = hashlib.sha256()
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
