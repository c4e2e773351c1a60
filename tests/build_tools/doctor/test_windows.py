"""What only Windows has, with recorded facts and with libraries made byte by byte."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path, PureWindowsPath

import pytest

from build_tools.config import Linkage
from build_tools.doctor import protobufs
from build_tools.doctor.facts import SourceTree, WindowsFacts
from tests.build_tools.doctor.cases import (
    FATAL,
    NOTE,
    PYTHON,
    WARNING,
    findings,
    library,
    make_facts,
    only,
    outcome,
    protobuf,
    severities,
    taking,
    upstream,
)

STORE = (
    r"C:\Users\somebody\AppData\Local\Packages\PythonSoftwareFoundation.Python.3.11_qbz5n2kfra8p0"
    r"\LocalCache\local-packages\Python311\site-packages"
)


def windows(*arguments: str, **changes: object):
    """A Windows machine."""
    return make_facts(*arguments, host={"system": "windows"}, **changes)


def lib(folder: Path, name: str, directives: bytes) -> Path:
    """A static library of one object with linker directives, as cl.exe and lib.exe write them."""
    coff = struct.pack("<H", 0x8664) + bytes(62) + directives
    header = b"x.obj/".ljust(16) + b"0".ljust(12) + b"0".ljust(6) * 2 + b"644".ljust(8)
    path = folder / name
    path.write_bytes(
        b"!<arch>\n"
        + header
        + str(len(coff)).encode().ljust(10)
        + b"`\n"
        + coff
        + b"\n" * (len(coff) % 2)
    )
    return path


@pytest.fixture
def studio_library(tmp_path):
    def make(directives: bytes, name: str = "libprotobuf.lib"):
        path = lib(tmp_path, name, directives)
        found = protobufs.library(path, None, ask_version=False)
        assert (found.linkage, found.machine) == (Linkage.STATIC, "x86_64")
        return protobuf(tmp_path, libraries=(found,))

    return make


class TestPaths:
    def test_path_too_long(self):
        """The Python of the Microsoft Store, whose folder alone has 139 characters."""
        site = PureWindowsPath(STORE)
        assert len(str(site)) + 1 + 122 > 259
        target = replace(PYTHON, site_packages=site)
        facts = windows("--onnx-version", "1.13.1", target=target)
        finding = only("path-too-long", upstream(facts))
        assert finding.severity is FATAL
        assert "LongPathsEnabled" in finding.evidence
        assert only("path-too-long", facts).severity is NOTE

    def test_long_paths_are_allowed_or_the_paths_are_short(self):
        target = replace(PYTHON, site_packages=PureWindowsPath(STORE))
        allowed = windows(target=target, windows=WindowsFacts(long_paths=True))
        assert findings("path-too-long", upstream(allowed)) == ()
        short = replace(PYTHON, site_packages=PureWindowsPath(r"C:\v\Lib\site-packages"))
        assert findings("path-too-long", upstream(windows(target=short))) == ()
        assert outcome("path-too-long", make_facts()).not_applicable == "only Windows has this"


class TestRunTimes:
    static = b'/FAILIFMISMATCH:"RuntimeLibrary=MT_StaticRelease" /DEFAULTLIB:"LIBCMT"'
    shared = b'/FAILIFMISMATCH:"RuntimeLibrary=MD_DynamicRelease" /DEFAULTLIB:"MSVCRT"'

    def test_msvc_runtime_mismatch(self, studio_library):
        found = studio_library(self.static)
        facts = windows(protobufs=(found,), cmake_finds=taking(found))
        finding = only("msvc-runtime-mismatch", upstream(facts))
        assert finding.severity is FATAL
        assert "MT_StaticRelease" in finding.what
        assert only("msvc-runtime-mismatch", facts).severity is NOTE

    def test_what_belongs_together(self, studio_library):
        found = studio_library(self.shared)
        facts = windows(protobufs=(found,), cmake_finds=taking(found))
        assert findings("msvc-runtime-mismatch", upstream(facts)) == ()
        wanted = "--cmake-arg=-DCMAKE_MSVC_RUNTIME_LIBRARY=MultiThreaded"
        static = windows(wanted, protobufs=(found,), cmake_finds=taking(found))
        assert severities("msvc-runtime-mismatch", upstream(static)) == [FATAL]

    def test_debug_and_release_mixed(self, studio_library):
        found = studio_library(b'/FAILIFMISMATCH:"RuntimeLibrary=MDd_DynamicDebug"')
        facts = windows(protobufs=(found,), cmake_finds=taking(found))
        assert only("debug-and-release-mixed", upstream(facts)).severity is FATAL
        debug = windows("--build-type", "Debug", protobufs=(found,), cmake_finds=taking(found))
        assert findings("debug-and-release-mixed", upstream(debug)) == ()

    def test_a_name_that_ends_in_d(self, studio_library):
        found = studio_library(b"", "libprotobufd.lib")
        facts = windows(protobufs=(found,), cmake_finds=taking(found))
        assert "Debug" in only("debug-and-release-mixed", upstream(facts)).what

    def test_a_stale_debug_folder(self):
        stale = SourceTree(
            path=Path("C:/onnx"), origin="the current folder", stale_debug=Path("C:/onnx/b/Debug")
        )
        facts = windows(source_trees=(stale,))
        assert severities("debug-and-release-mixed", upstream(facts)) == [WARNING]


class TestOldRunTime:
    def test_msvc_runtime_too_old(self):
        known = WindowsFacts(toolset="14.44.35207", runtime="14.29.30153")
        assert only("msvc-runtime-too-old", windows(windows=known)).severity is FATAL
        newer = WindowsFacts(toolset="14.44.35207", runtime="14.44.35211")
        assert severities("msvc-runtime-too-old", windows(windows=newer)) == [WARNING]
        older = WindowsFacts(toolset="14.29.30133", runtime="14.29.30153")
        assert findings("msvc-runtime-too-old", windows(windows=older)) == ()

    def test_it_cannot_be_asked_without_both(self):
        assert "neither" in outcome("msvc-runtime-too-old", windows()).not_applicable
        assert outcome("msvc-runtime-too-old", make_facts()).not_applicable


def test_a_static_library_is_known_among_import_libraries():
    found = library("C:/p/libprotobuf.lib")
    facts = windows(protobufs=(protobuf("C:/p", libraries=(found,)),))
    assert outcome("msvc-runtime-mismatch", facts).not_applicable
