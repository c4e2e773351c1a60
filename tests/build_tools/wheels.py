"""Makes small wheels with real extension modules in a fraction of a second."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import shutil
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

CC = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
needs_c_compiler = pytest.mark.skipif(CC is None, reason="no C compiler on PATH")
PROTECTED = ("-Wl,-z,relro", "-Wl,-z,now", "-Wl,-z,noexecstack") if sys.platform == "linux" else ()
TAG = "cp311-cp311-linux_x86_64"
MODULE = "toy/_core.cpython-311-x86_64-linux-gnu.so"


def shared_object(path: Path, source: str, *flags: str) -> bytes:
    """Compile C into a shared object and return its bytes."""
    code = path.with_suffix(".c")
    code.write_text(source, encoding="utf-8")
    command = [CC, "-shared", "-fPIC", "-fvisibility=hidden", "-o", path, code, *PROTECTED, *flags]
    subprocess.run(command, check=True, capture_output=True)
    return path.read_bytes()


def extension(tmp_path: Path, *, also: str = "", flags: tuple[str, ...] = ()) -> bytes:
    """An extension module that exports its entry point, and what ``also`` adds."""
    show = '__attribute__((visibility("default")))'
    source = f"{show} void *PyInit__core(void) {{ return 0; }}\n" + also.replace("SHOW", show)
    return shared_object(tmp_path / "module.so", source, *flags)


def write_wheel(
    folder: Path,
    files: dict[str, bytes],
    *,
    tag: str = TAG,
    name: str = "toy",
    version: str = "1.0",
    metadata_version: str = "",
    bill: bool = True,
) -> Path:
    """Write a wheel with true metadata and RECORD around ``files``; ``bill``: one of nothing."""
    info = f"{name}-{version}.dist-info"
    said = metadata_version or version
    members = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {said}\n".encode(),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n".encode(),
    }
    if bill:
        members[f"{info}/sboms/empty.cdx.json"] = (
            b'{"bomFormat": "CycloneDX", "specVersion": "1.6"}'
        )
    path = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
        archive.writestr(f"{info}/RECORD", record_of(members, f"{info}/RECORD"))
    return path


def record_of(members: dict[str, bytes], own: str) -> str:
    """Return a RECORD that is true of ``members``."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    for member, content in members.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        rows.writerow([member, f"sha256={digest}", len(content)])
    rows.writerow([own, "", ""])
    return text.getvalue()


def altered(wheel: Path, changes: dict[str, bytes]) -> Path:
    """Change or add members of a wheel behind the back of its RECORD."""
    with zipfile.ZipFile(wheel) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in {**members, **changes}.items():
            archive.writestr(name, content)
    return wheel
