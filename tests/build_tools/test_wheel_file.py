"""Reading a wheel: what it says, and whether that is true."""

from __future__ import annotations

import zipfile

import pytest

from build_tools.errors import WheelError
from build_tools.wheel_file import WheelFile, is_library
from tests.build_tools.wheels import MODULE, altered, extension, needs_c_compiler, write_wheel


def test_name_version_tags_and_members_are_read(tmp_path):
    wheel = WheelFile.open(write_wheel(tmp_path, {"toy/__init__.py": b"x = 1\n"}))
    assert (wheel.name, wheel.version) == ("toy", "1.0")
    assert wheel.platforms == ("linux_x86_64",)
    assert wheel.members["toy/__init__.py"] == 6
    assert wheel.dist_info == "toy-1.0.dist-info"
    assert list(wheel.record_problems()) == []
    assert list(wheel.name_problems()) == []


def test_changed_missing_and_extra_members_are_told_apart(tmp_path):
    path = write_wheel(tmp_path, {"toy/a.py": b"a", "toy/b.py": b"b"})
    wheel = WheelFile.open(altered(path, {"toy/a.py": b"changed", "toy/c.py": b"new"}))
    problems = list(wheel.record_problems())
    assert "toy/a.py has another sha256 than RECORD says" in problems
    assert "toy/a.py is 7 bytes long, RECORD says 1" in problems
    assert "toy/c.py is not in RECORD" in problems
    assert len(problems) == 3


def test_a_member_that_only_record_knows_is_a_problem(tmp_path):
    path = write_wheel(tmp_path, {"toy/a.py": b"a"})
    with zipfile.ZipFile(path) as archive:
        kept = {name: archive.read(name) for name in archive.namelist() if name != "toy/a.py"}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in kept.items():
            archive.writestr(name, content)
    assert list(WheelFile.open(path).record_problems()) == ["toy/a.py is in RECORD only"]


def test_metadata_that_contradicts_the_name_is_a_problem(tmp_path):
    path = write_wheel(tmp_path, {}, metadata_version="2.0")
    path = path.rename(path.with_name("toy-1.0-cp311-cp311-manylinux_2_28_x86_64.whl"))
    problems = list(WheelFile.open(path).name_problems())
    assert "METADATA says version 2.0" in problems
    assert "WHEEL lists cp311-cp311-linux_x86_64, the name does not" in problems
    assert "the name claims cp311-cp311-manylinux_2_28_x86_64, WHEEL does not" in problems


def test_one_name_twice_is_refused(tmp_path):
    path = write_wheel(tmp_path, {"toy/a.py": b"a"})
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("toy/a.py", b"b")
    with pytest.raises(WheelError, match="holds one name twice"):
        WheelFile.open(path)


@pytest.mark.parametrize("content", [b"", b"no zip at all", b"PK\x03\x04" + b"\0" * 40])
def test_what_is_no_archive_is_refused(tmp_path, content):
    path = tmp_path / "toy-1.0-py3-none-any.whl"
    path.write_bytes(content)
    with pytest.raises(WheelError, match="is not a wheel"):
        WheelFile.open(path)


def test_a_name_that_is_no_wheel_name_is_refused(tmp_path):
    path = tmp_path / "toy.whl"
    path.write_bytes(b"")
    with pytest.raises(WheelError, match="is not a wheel"):
        WheelFile.open(path)


@needs_c_compiler
def test_binaries_are_read_with_exports_and_needs(tmp_path):
    module = extension(tmp_path, flags=("-Wl,--no-as-needed", "-lm"))
    path = write_wheel(tmp_path, {MODULE: module, "toy/x.py": b""})
    (binary,) = WheelFile.open(path).binaries()
    assert binary.member == MODULE
    assert binary.exported == ("PyInit__core",)
    assert "libm.so.6" in binary.dynamic.needed
    assert not binary.vendored


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a/_core.cpython-311-x86_64-linux-gnu.so", True),
        ("a.libs/libprotobuf-3f2a.so.32.0.12", True),
        ("a/_core.cp311-win_amd64.pyd", True),
        ("a/.dylibs/libx.dylib", True),
        ("a/so.py", False),
        ("a/notes.sound", False),
    ],
)
def test_shared_objects_are_known_by_name(name, expected):
    assert is_library(name) is expected
