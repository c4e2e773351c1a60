"""Archives for the tests: ordinary ones, and ones that mean harm."""

from __future__ import annotations

import gzip
import hashlib
import io
import stat
import tarfile
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

KINDS = {
    "file": tarfile.REGTYPE,
    "folder": tarfile.DIRTYPE,
    "symlink": tarfile.SYMTYPE,
    "hardlink": tarfile.LNKTYPE,
    "device": tarfile.CHRTYPE,
    "fifo": tarfile.FIFOTYPE,
}


@dataclass(frozen=True)
class Member:
    name: str
    data: bytes = b""
    kind: str = "file"
    target: str = ""
    mode: int = 0o644


def tar_gz(*members: Member) -> bytes:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member in members:
            info = tarfile.TarInfo(member.name)
            info.type, info.linkname, info.mode = KINDS[member.kind], member.target, member.mode
            info.size = len(member.data) if member.kind == "file" else 0
            info.mtime = 4_000_000_000  # in the year 2096
            tar.addfile(info, io.BytesIO(member.data))
    return gzip.compress(plain.getvalue(), mtime=0)


def zipped(*members: Member) -> bytes:
    plain = io.BytesIO()
    types = {"symlink": stat.S_IFLNK, "device": stat.S_IFCHR, "file": stat.S_IFREG}
    with zipfile.ZipFile(plain, "w", zipfile.ZIP_DEFLATED) as packed:
        for member in members:
            info = zipfile.ZipInfo(member.name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (types.get(member.kind, 0) | member.mode) << 16
            packed.writestr(info, member.target.encode() or member.data)
    return plain.getvalue()


def source_archive(root: str = "lib-1.0", size: int = 40_000, big: int = 0) -> bytes:
    """A small source tree with one file that does not compress, so that transfers take bytes.

    ``big``: it also has a file of that size, which packs well.
    """
    noise = b"".join(hashlib.sha256(n.to_bytes(4, "little")).digest() for n in range(size // 32))
    return tar_gz(
        Member(f"{root}/", kind="folder"),
        Member(f"{root}/src/lib.cc", b"int f() { return 1; }\n"),
        Member(f"{root}/configure", b"#!/bin/sh\n", mode=0o755),
        Member(f"{root}/data.bin", noise),
        *([Member(f"{root}/big.bin", noise[:1000] * (big // 1000))] if big else []),
    )


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
