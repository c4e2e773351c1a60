"""Writing bill, NOTICE and licences into a finished wheel.

PEP 770 has a place for bills, ``dist-info/sboms``; PEP 639 one for licences,
``dist-info/licenses``.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import zipfile
from typing import TYPE_CHECKING

from build_tools.bill.compose import FILE_NAME, NOTICE, bill_of, license_member, notice_of, text_of
from build_tools.storage import PARTIAL, guarded, rename
from build_tools.wheel_file import WheelFile, is_library

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from build_tools.bill.model import Materials

_REPAIR_TOOLS = ("auditwheel.", "delvewheel.", "delocate.", "repairwheel.")
_LICENSE_FILES = (2, 4)
"""The version of METADATA that names the files of dist-info/licenses."""


def attach_bill(path: Path, materials: Materials) -> None:
    """Write everything that says what a wheel is made of into it; RECORD stays true."""
    wheel = WheelFile.open(path)
    binaries = {
        member: hashlib.sha256(wheel.read(member)).hexdigest()
        for member in wheel.members
        if is_library(member)
    }
    components = materials.components
    bill = bill_of(wheel.name, wheel.version, materials, binaries)
    texts = {
        NOTICE: notice_of(wheel.name, wheel.version, components),
        **{license_member(component): component.text for component in components},
    }
    metadata = f"{wheel.dist_info}/METADATA"
    changes = {
        metadata: with_license_files(wheel.read(metadata), texts),
        f"{wheel.dist_info}/sboms/{FILE_NAME}": text_of(bill),
        **{f"{wheel.dist_info}/licenses/{name}": text for name, text in texts.items()},
    }
    rewrite(wheel, changes, dropped=templates_in(wheel))


def templates_in(wheel: WheelFile) -> set[str]:
    """Return the bills that came with the package's sources: they know nothing of this build.

    Upstream's names the protobuf and the abseil of upstream's own wheels. What a repair tool says
    of the libraries that it has copied in is true, and stays.
    """
    folder = f"{wheel.dist_info}/sboms/"
    bills = {name for name in wheel.members if name.startswith(folder)}
    return {name for name in bills if not name.removeprefix(folder).startswith(_REPAIR_TOOLS)}


def with_license_files(metadata: bytes, files: Iterable[str]) -> bytes:
    """Return METADATA with a License-File for each file, where its version knows the field."""
    text = metadata.decode("utf-8")
    end = "\r\n" if "\r\n" in text else "\n"
    head, gap, body = text.partition(end + end)
    lines = head.split(end)
    version = next(line for line in lines if line.startswith("Metadata-Version:"))
    if tuple(int(part) for part in version.partition(":")[2].split(".")) < _LICENSE_FILES:
        return metadata
    known = set(lines)
    added = [line for line in (f"License-File: {name}" for name in files) if line not in known]
    return (end.join([*lines, *added]) + gap + body).encode("utf-8")


def rewrite(wheel: WheelFile, changes: Mapping[str, bytes], dropped: Collection[str] = ()) -> None:
    """Change, add and drop members of a wheel, and rows of its RECORD; it is whole or as it was.

    What is dropped and also among the changes is written anew.
    """
    left_out = {f"{wheel.dist_info}/RECORD", *dropped}
    record = f"{wheel.dist_info}/RECORD"
    partial = wheel.path.with_name(wheel.path.name + PARTIAL)
    with guarded(wheel.path, "write into the wheel"):
        try:
            with zipfile.ZipFile(wheel.path) as old, zipfile.ZipFile(partial, "w") as new:
                entries = [entry for entry in old.infolist() if entry.filename not in left_out]
                for entry in entries:
                    content = changes.get(entry.filename, old.read(entry))
                    new.writestr(entry, content, entry.compress_type)
                pattern = old.getinfo(record)
                for name in sorted(changes.keys() - {entry.filename for entry in entries}):
                    new.writestr(_like(pattern, name), changes[name], zipfile.ZIP_DEFLATED)
                rows = _rows(old.read(record).decode("utf-8"), left_out)
                listed = _record_of({**rows, **_new_rows(changes)}, record)
                new.writestr(pattern, listed, pattern.compress_type)
            rename(partial, wheel.path)
        finally:
            partial.unlink(missing_ok=True)


def _like(pattern: zipfile.ZipInfo, name: str) -> zipfile.ZipInfo:
    """Return an entry with the date and the rights of another one."""
    entry = zipfile.ZipInfo(name, pattern.date_time)
    entry.create_system = pattern.create_system
    entry.external_attr = pattern.external_attr
    return entry


def _rows(text: str, left_out: Collection[str]) -> dict[str, list[str]]:
    rows = (row for row in csv.reader(io.StringIO(text)) if row)
    return {row[0]: row for row in rows if row[0] not in left_out}


def _new_rows(changes: Mapping[str, bytes]) -> dict[str, list[str]]:
    return {name: _row(name, changes[name]) for name in sorted(changes)}


def _record_of(rows: Mapping[str, list[str]], own: str) -> str:
    sink = io.StringIO()
    csv.writer(sink, lineterminator="\n").writerows([*rows.values(), [own, "", ""]])
    return sink.getvalue()


def _row(name: str, content: bytes) -> list[str]:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return [name, f"sha256={digest}", str(len(content))]
