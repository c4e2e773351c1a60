"""Memory, room, folders, blanks, C libraries and processors."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from build_tools.doctor import machine
from build_tools.doctor.basics import Basics, Folder, basics, describe_folder
from build_tools.doctor.packages import COMPILER, PYTHON_HEADERS, install, manager
from build_tools.host import detect_host
from build_tools.jobs import plan_jobs
from build_tools.sources import resolve
from tests.build_tools.doctor.cases import (
    FATAL,
    NOTE,
    PYTHON,
    ROOT,
    WARNING,
    findings,
    make_facts,
    only,
    outcome,
    posix,
    run,
    severities,
    upstream,
)
from tests.build_tools.support import make_host, script, write_tree
from tests.build_tools.toy_protobuf import GXX, needs_compiler

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc and /sys")

BIG_SOURCE = """\
#include <map>
#include <regex>
#include <string>
#include <vector>
std::map<std::string, std::vector<std::regex>> all;
int main() { return all["x"].size() && std::regex_match("a", std::regex("a+")); }
"""


class TestMemory:
    @linux
    def test_not_enough_memory_in_a_control_group(self, tmp_path):
        root = write_tree(
            tmp_path,
            {
                "proc/meminfo": "MemTotal: 8000000 kB\nMemAvailable: 7000000 kB\nSwapFree: 9 kB\n",
                "proc/self/mountinfo": "30 20 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
                "proc/self/cgroup": "0::/job\n",
                "sys/fs/cgroup/job/memory.max": "400000000\n",
                "sys/fs/cgroup/job/memory.current": "50000000\n",
                "sys/fs/cgroup/job/memory.stat": "inactive_file 0\nactive_file 0\n",
            },
        )
        host = detect_host({"PATH": ""}, root)
        assert (host.memory_available, host.swap_available) == (350_000_000, 0)
        facts = replace(make_facts(), host=host, jobs=plan_jobs(host, None))
        finding = only("not-enough-memory", facts)
        assert finding.severity is FATAL
        assert "350.0 MB" in finding.what

    @linux
    @needs_compiler
    def test_not_enough_memory_by_the_limit_of_the_shell(self, tmp_path):
        (tmp_path / "big.cc").write_text(BIG_SOURCE, encoding="utf-8")
        limit = "ulimit -v 65536"
        ask = "from build_tools.host import detect_host as d; print(d().process_memory)"
        python = shlex.quote(sys.executable)
        shell = f"{limit}; exec env OPENBLAS_NUM_THREADS=1 {python} -S -c '{ask}'"
        asked = run("sh", "-c", shell, PYTHONPATH=str(ROOT))
        assert asked.stdout.strip() == str(65536 * 1024), asked.stderr
        facts = make_facts(host={"process_memory": 65536 * 1024})
        finding = only("not-enough-memory", facts)
        assert finding.severity is FATAL
        assert finding.fix == ("ulimit -v unlimited",)
        said = run("sh", "-c", f"{limit}; {GXX} -std=c++17 -O2 -c big.cc", cwd=tmp_path)
        assert said.returncode != 0
        words = ("virtual memory exhausted", "out of memory", "annot allocate", "bad_alloc")
        assert any(word in said.stderr for word in words), said.stderr

    def test_more_jobs_than_fit(self):
        facts = make_facts(host={"memory_available": 2_000_000_000})
        host = replace(facts.host, cpus=16)
        many = replace(facts, host=host, jobs=plan_jobs(host, 16, "--jobs"))
        assert severities("not-enough-memory", many) == [WARNING, NOTE]
        assert severities("not-enough-memory", upstream(many)) == [WARNING, WARNING]
        assert only("not-enough-memory", replace(many, jobs=plan_jobs(host, None))).spared

    def test_swap_helps(self):
        poor = {"memory_available": 300_000_000, "swap_available": 2_000_000_000, "cpus": 1}
        assert findings("not-enough-memory", make_facts(host=poor)) == ()


def make_basics(*arguments: str | Path) -> Basics:
    """What a build with these settings knows."""
    settings = resolve([*map(str, arguments)], {}, {})
    host = make_host()
    return basics(settings, host, None, None, plan_jobs(host, None))


class TestFolders:
    def test_disk_full(self, tmp_path):
        """A real device of a megabyte, where one can be mounted; recorded numbers elsewhere."""
        folder = describe_folder("build", tmp_path / "not" / "there" / "yet")
        assert folder.problem == ""
        assert folder.free > 0
        full = replace(folder, free=20_000_000)
        finding = only("disk-full", make_facts(folders=(full,)))
        assert finding.severity is FATAL
        assert "20.0 MB are free" in finding.what
        assert "--build-dir" in finding.fix[0]
        assert findings("disk-full", make_facts(folders=(replace(full, free=-1),))) == ()

    def test_what_is_built_already_is_not_stopped(self, tmp_path):
        """Where the long compile is done, there may be nothing left to do."""
        folder = Folder(role="cache", path=tmp_path, free=1000, problem="it is read-only")
        poor = {"memory_available": 100_000_000, "process_memory": 1000}
        first = make_facts(folders=(folder,), host=poor)
        later = replace(first, has_built=True)
        for check in ("disk-full", "folder-not-writable"):
            assert severities(check, first) == [FATAL]
            assert severities(check, later) == [WARNING]
        assert severities("not-enough-memory", first) == [FATAL, FATAL]
        assert severities("not-enough-memory", later) == [WARNING, WARNING]
        (tmp_path / "prefixes/onnx-1.23.2-abc").mkdir(parents=True)
        assert make_basics("--cache-dir", tmp_path).has_built
        assert not make_basics("--cache-dir", tmp_path, "--onnx-version", "1.22.0").has_built

    def test_folder_not_writable(self, tmp_path):
        (tmp_path / "file").write_text("")
        folder = describe_folder("cache", tmp_path / "file" / "cache")
        finding = only("folder-not-writable", make_facts(folders=(folder,)))
        assert finding.severity is FATAL
        assert "is a file" in finding.evidence
        assert "--cache-dir DIR" in finding.fix[0]
        with pytest.raises(NotADirectoryError):
            (tmp_path / "file" / "cache").mkdir()

    @posix
    @pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="root may write anywhere")
    def test_folder_not_writable_by_this_user(self, tmp_path):
        tmp_path.chmod(0o500)
        assert "cannot be written to" in describe_folder("cache", tmp_path / "x").problem

    def test_a_read_only_home(self):
        folder = Folder(role="temporary files", path=Path("/tmp"), free=1, problem="read-only")
        assert "TMPDIR" in only("folder-not-writable", make_facts(folders=(folder,))).fix[0]


class TestBlanks:
    @posix
    def test_path_with_blanks(self, tmp_path):
        tool = script(tmp_path / "my tools/protoc", "echo found")
        blank = replace(PYTHON, path=tmp_path / "my tools/python3")
        facts = make_facts(target=blank)
        of_python = [
            [
                found
                for found in findings("path-with-blanks", asked)
                if "of the Python" in found.what
            ]
            for asked in (upstream(facts), facts)
        ]
        assert [[found.severity for found in one] for one in of_python] == [[WARNING], [NOTE]]
        unquoted = run("sh", "-c", f"{tool}")
        assert "not found" in unquoted.stderr

    @posix
    def test_path_with_blanks_and_quotation_marks_in_path(self, tmp_path):
        script(tmp_path / "a-protoc", "echo found")
        quoted = f'"{tmp_path}":/usr/bin:/bin'
        said = subprocess.run(
            ["/bin/sh", "-c", "a-protoc"], env={"PATH": quoted}, capture_output=True, check=False
        )
        assert said.returncode == 127
        host = detect_host({"PATH": quoted})
        facts = replace(make_facts(), host=host)
        assert "quotation marks" in findings("path-with-blanks", upstream(facts))[0].what


def test_musl():
    """Recorded: what Alpine's Python says of itself."""
    target = replace(PYTHON, soabi="cpython-312-x86_64-linux-musl", abi="cp312")
    facts = make_facts("--onnx-version", "1.14.1", target=target)
    assert severities("musl", facts) == [FATAL, NOTE]
    assert "-Dstat64=stat" in findings("musl", facts)[0].fix[0]
    assert severities("musl", make_facts("--onnx-version", "1.14.0", target=target)) == [NOTE]
    assert outcome("musl", make_facts()).not_applicable


@linux
def test_processor(tmp_path):
    big = make_facts(host={"machine": "s390x"})
    assert severities("processor", big) == [WARNING]
    assert severities("processor", make_facts(host={"machine": "vax"})) == [NOTE]
    assert findings("processor", make_facts(host={"machine": "aarch64"})) == ()
    write_tree(tmp_path, {"proc/cpuinfo": "vendor_id : GenuineIntel\n"})
    guest = make_host(machine="aarch64")
    assert machine.emulated(guest, tmp_path) == "x86_64"
    assert machine.emulated(make_host(machine="x86_64"), tmp_path) == ""
    slow = make_facts(host={"machine": "aarch64"}, emulated=machine.emulated(guest, tmp_path))
    assert "emulated" in only("processor", slow).what


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        ("ID=debian\n", "apt"),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\n', "dnf"),
        ("ID=alpine\n", "apk"),
        ('ID="opensuse-leap"\nID_LIKE="suse opensuse"\n', "zypper"),
        ("ID=nixos\n", ""),
    ],
)
def test_the_package_manager_of_a_system(tmp_path, release, expected):
    write_tree(tmp_path, {"etc/os-release": release})
    assert manager(make_host(system="linux"), tmp_path) == expected
    assert manager(make_host(system="darwin"), tmp_path) == "brew"


def test_commands_that_install():
    assert install(COMPILER, "apt") == ("apt-get install g++",)
    assert install(PYTHON_HEADERS, "dnf", "3.12") == ("dnf install python3.12-devel",)
    assert len(install(COMPILER, "")) == len(COMPILER)
