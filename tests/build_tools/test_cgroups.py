"""Control-group limits, read from made-up file systems in both layouts."""

from __future__ import annotations

import pytest

from build_tools.cgroups import CgroupLimits, read_limits
from tests.build_tools.support import write_tree

V2_MOUNT = "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
V1_MOUNTS = (
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
)
UNLIMITED_V1 = "9223372036854771712\n"
MIB = 1 << 20


def test_no_control_groups_limit_nothing(tmp_path):
    assert read_limits(tmp_path) == CgroupLimits(cpus=None, memory=None)


def v2(tmp_path, files, group="/a/b", mount=V2_MOUNT):
    base = {"proc/self/mountinfo": mount, "proc/self/cgroup": f"0::{group}\n"}
    return write_tree(tmp_path, {**base, **files})


def test_version_2_own_group(tmp_path):
    root = v2(
        tmp_path,
        {
            "sys/fs/cgroup/a/b/cpu.max": "150000 100000\n",
            "sys/fs/cgroup/a/b/memory.max": f"{1000 * MIB}\n",
            "sys/fs/cgroup/a/b/memory.current": f"{700 * MIB}\n",
            "sys/fs/cgroup/a/b/memory.stat": (
                f"anon {100 * MIB}\ninactive_file {150 * MIB}\nactive_file {50 * MIB}\n"
            ),
        },
    )
    assert read_limits(root) == CgroupLimits(cpus=1.5, memory=500 * MIB)


def test_version_2_the_tightest_ancestor_counts(tmp_path):
    root = v2(
        tmp_path,
        {
            "sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
            "sys/fs/cgroup/a/cpu.max": "200000 100000\n",
            "sys/fs/cgroup/a/b/memory.max": "max\n",
            "sys/fs/cgroup/a/b/memory.current": "10\n",
            "sys/fs/cgroup/a/memory.max": "max\n",
            "sys/fs/cgroup/a/memory.high": f"{300 * MIB}\n",
            "sys/fs/cgroup/a/memory.current": f"{100 * MIB}\n",
        },
    )
    assert read_limits(root) == CgroupLimits(cpus=2.0, memory=200 * MIB)


def test_version_2_over_the_limit_leaves_nothing_not_less(tmp_path):
    files = {
        "sys/fs/cgroup/a/b/memory.max": "100\n",
        "sys/fs/cgroup/a/b/memory.current": "200\n",
    }
    assert read_limits(v2(tmp_path, files)).memory == 0


def test_in_a_container_the_mount_shows_only_a_part_of_the_tree(tmp_path):
    files = {
        "sys/fs/cgroup/memory.max": f"{MIB}\n",
        "sys/fs/cgroup/memory.current": "0\n",
    }
    mount = "31 23 0:28 /docker/abc /sys/fs/cgroup rw shared:4 - cgroup2 cgroup rw\n"
    root = v2(tmp_path, files, group="/docker/abc", mount=mount)
    assert read_limits(root).memory == MIB


def test_a_group_outside_the_mount_falls_back_to_what_the_mount_shows(tmp_path):
    files = {"sys/fs/cgroup/cpu.max": "50000 100000\n"}
    mount = "31 23 0:28 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup rw\n"
    assert read_limits(v2(tmp_path, files, group="/", mount=mount)).cpus == 0.5


def v1(tmp_path, files):
    base = {
        "proc/self/mountinfo": V1_MOUNTS,
        "proc/self/cgroup": "4:memory:/job\n2:cpu,cpuacct:/job\n1:name=systemd:/\n",
    }
    return write_tree(tmp_path, {**base, **files})


def test_version_1(tmp_path):
    root = v1(
        tmp_path,
        {
            "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": "300000\n",
            "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/memory/job/memory.limit_in_bytes": f"{800 * MIB}\n",
            "sys/fs/cgroup/memory/job/memory.usage_in_bytes": f"{500 * MIB}\n",
            "sys/fs/cgroup/memory/job/memory.stat": (
                f"inactive_file 1\ntotal_inactive_file {100 * MIB}\ntotal_active_file 0\n"
            ),
            "sys/fs/cgroup/memory/memory.limit_in_bytes": UNLIMITED_V1,
            "sys/fs/cgroup/memory/memory.usage_in_bytes": "5\n",
        },
    )
    assert read_limits(root) == CgroupLimits(cpus=3.0, memory=400 * MIB)


@pytest.mark.parametrize("quota", ["-1", "garbage", ""])
def test_version_1_without_a_quota(tmp_path, quota):
    root = v1(
        tmp_path,
        {
            "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": f"{quota}\n",
            "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/memory/job/memory.limit_in_bytes": UNLIMITED_V1,
            "sys/fs/cgroup/memory/job/memory.usage_in_bytes": "5\n",
        },
    )
    assert read_limits(root) == CgroupLimits(cpus=None, memory=None)


def test_a_mount_point_with_a_blank_is_unescaped(tmp_path):
    mount = V2_MOUNT.replace("/sys/fs/cgroup", "/sys/my\\040groups")
    root = v2(tmp_path, {"sys/my groups/a/cpu.max": "100000 100000\n"}, mount=mount)
    assert read_limits(root).cpus == 1.0
