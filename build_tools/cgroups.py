"""What the control groups of Linux leave this process of processors and memory.

Both layouts are read from the files below ``root``: version 2 (one tree) and version 1 (one tree
per controller). A limit binds a group and everything below it, so every ancestor is asked.
https://docs.kernel.org/admin-guide/cgroup-v2.html and …/cgroup-v1/index.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_V1_UNLIMITED = 1 << 60  # version 1 writes "no limit" as the largest page-aligned number


@dataclass(frozen=True, kw_only=True)
class CgroupLimits:
    """What is left for this process; None where nothing limits it."""

    cpus: float | None = None
    """Processors, as a share of time: 1.5 is one and a half."""

    memory: int | None = None
    """Bytes until the limit, counting the page cache as free because it gives way."""


@dataclass(frozen=True, kw_only=True)
class _Mount:
    point: Path
    top: PurePosixPath
    version: int
    controllers: frozenset[str]


def read_limits(root: Path = Path("/")) -> CgroupLimits:
    """Read the limits of this process's groups; ``root`` stands for the file system's root."""
    mounts = tuple(_mounts(root))
    membership = _membership(root)
    cpus = [share for group in _groups(mounts, membership, "cpu") for share in _cpu_share(*group)]
    memory = [
        left for group in _groups(mounts, membership, "memory") for left in _memory_left(*group)
    ]
    return CgroupLimits(cpus=min(cpus, default=None), memory=min(memory, default=None))


def _mounts(root: Path) -> Iterator[_Mount]:
    for line in _read(root / "proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        columns, filesystem = before.split(), after.split()
        if len(columns) < 5 or len(filesystem) < 3 or not filesystem[0].startswith("cgroup"):
            continue
        yield _Mount(
            point=root / _unescape(columns[4]).lstrip("/"),
            top=PurePosixPath(_unescape(columns[3])),
            version=2 if filesystem[0] == "cgroup2" else 1,
            controllers=frozenset(filesystem[2].split(",")),
        )


def _membership(root: Path) -> Mapping[str, PurePosixPath]:
    """Return the group of this process by controller; version 2 is the controller ""."""
    groups: dict[str, PurePosixPath] = {}
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path, *_ = (*line.split(":", 2), "", "")
        for name in controllers.split(","):
            groups[name] = PurePosixPath(path or "/")
    return groups


def _groups(
    mounts: tuple[_Mount, ...], membership: Mapping[str, PurePosixPath], controller: str
) -> Iterator[tuple[Path, int]]:
    """Yield the folder of this process's group and of each ancestor, with the cgroup version."""
    for mount in mounts:
        name = "" if mount.version == 2 else controller
        if name not in membership or (name and controller not in mount.controllers):
            continue
        below = _below(membership[name], mount.top)
        yield from ((mount.point / part, mount.version) for part in (below, *below.parents))


def _below(group: PurePosixPath, top: PurePosixPath) -> PurePosixPath:
    """Return where a group lies below a mount that shows the hierarchy from ``top`` down."""
    # In a container without a cgroup namespace the path is the host's and the mount shows a part.
    return group.relative_to(top) if group.is_relative_to(top) else PurePosixPath()


def _cpu_share(group: Path, version: int) -> Iterator[float]:
    if version == 2:
        quota, _, period = _read(group / "cpu.max").partition(" ")
    else:
        quota, period = _read(group / "cpu.cfs_quota_us"), _read(group / "cpu.cfs_period_us")
    if quota.strip().isdigit() and period.strip().isdigit() and int(period) > 0:
        yield int(quota) / int(period)


def _memory_left(group: Path, version: int) -> Iterator[int]:
    limits = ("memory.max", "memory.high") if version == 2 else ("memory.limit_in_bytes",)
    bounds = [bound for bound in (_number(group / name) for name in limits) if bound is not None]
    bounds = [bound for bound in bounds if bound < _V1_UNLIMITED]
    usage = _number(group / ("memory.current" if version == 2 else "memory.usage_in_bytes"))
    if bounds and usage is not None:
        yield max(0, min(bounds) - usage + _page_cache(group, version))


def _page_cache(group: Path, version: int) -> int:
    prefix = "" if version == 2 else "total_"
    wanted = {f"{prefix}inactive_file", f"{prefix}active_file"}
    rows = (line.split() for line in _read(group / "memory.stat").splitlines())
    return sum(int(row[1]) for row in rows if len(row) == 2 and row[0] in wanted)


def _number(path: Path) -> int | None:
    text = _read(path).strip()
    return int(text) if text.isdigit() else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def _unescape(text: str) -> str:
    """Undo mountinfo's octal escapes (a blank is written ``\\040``)."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), text)
