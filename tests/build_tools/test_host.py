"""Facts about the machine: real ones, and those of made-up ones."""

from __future__ import annotations

import os
import platform
import sys
import sysconfig
from pathlib import Path

import pytest

from build_tools.host import detect_host
from tests.build_tools.support import write_tree
from tests.build_tools.test_cgroups import V2_MOUNT

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads the /proc of Linux")


def test_this_machine():
    host = detect_host()
    assert host.cpus >= 1
    assert host.memory_available > 100_000_000
    assert host.python.version == platform.python_version()
    assert host.python.executable == Path(sys.executable)
    assert host.python.ext_suffix == sysconfig.get_config_var("EXT_SUFFIX")
    assert host.python.abi.startswith(f"cp3{sys.version_info.minor}")
    assert host.python.platform == sysconfig.get_platform()
    assert host.python.site_packages.is_relative_to(sys.base_exec_prefix)
    assert host.long_paths is (sys.platform != "win32") or host.system == "windows"
    assert host.python.include_dir == Path(sysconfig.get_path("include"))
    assert dict(host.environ) == dict(os.environ)


@linux_only
def test_linux_names_and_affinity():
    host = detect_host(environ={})
    assert (host.system, host.exe_suffix, host.shared_suffix) == ("linux", "", ".so")
    assert host.path_separator == ":"
    assert host.cpus <= len(os.sched_getaffinity(0))


def fake_root(tmp_path, limits):
    files = {
        "proc/meminfo": "MemTotal: 9000 kB\nMemFree: 1 kB\nMemAvailable:    4000000 kB\n",
        "proc/self/mountinfo": V2_MOUNT,
        "proc/self/cgroup": "0::/\n",
    }
    return write_tree(tmp_path, {**files, **limits})


@linux_only
def test_memory_is_what_linux_calls_available(tmp_path):
    assert detect_host(environ={}, root=fake_root(tmp_path, {})).memory_available == 4_096_000_000


@linux_only
def test_a_control_group_takes_its_share(tmp_path):
    limits = {
        "sys/fs/cgroup/memory.max": "2000000000\n",
        "sys/fs/cgroup/memory.current": "500000000\n",
        "sys/fs/cgroup/cpu.max": "50000 100000\n",
    }
    host = detect_host(environ={}, root=fake_root(tmp_path, limits))
    assert (host.memory_available, host.cpus) == (1_500_000_000, 1)


@linux_only
def test_a_roomy_control_group_does_not_invent_memory_or_processors(tmp_path):
    limits = {
        "sys/fs/cgroup/memory.max": "9000000000000\n",
        "sys/fs/cgroup/memory.current": "1\n",
        "sys/fs/cgroup/cpu.max": "99900000 100000\n",
    }
    host = detect_host(environ={}, root=fake_root(tmp_path, limits))
    assert host.memory_available == 4_096_000_000
    assert host.cpus == len(os.sched_getaffinity(0))


def test_quotation_marks_in_path_are_taken_out_and_told():
    host = detect_host(environ={"PATH": '"/opt/my tools/bin":/usr/bin', "X": '"kept"'})
    assert host.environ["PATH"] == "/opt/my tools/bin:/usr/bin"
    assert host.environ["X"] == '"kept"'
    assert len(host.repairs) == 1
    assert "PATH" in host.repairs[0]


def test_a_sound_path_is_not_touched():
    assert detect_host(environ={"PATH": "/a:/b"}).repairs == ()
