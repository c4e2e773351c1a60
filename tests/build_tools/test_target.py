"""What a target's files are called."""

from __future__ import annotations

import pytest

from build_tools.matrix import load_matrix
from build_tools.target import native_target
from tests.build_tools.support import make_host


def target(name):
    (row,) = load_matrix().select([name], [])
    return row.target


@pytest.mark.parametrize(
    ("name", "raw", "suffix"),
    [
        ("manylinux2014_x86_64", "linux_x86_64", ".cpython-313-x86_64-linux-gnu.so"),
        ("manylinux2014_aarch64", "linux_aarch64", ".cpython-313-aarch64-linux-gnu.so"),
        ("musllinux_1_2_x86_64", "linux_x86_64", ".cpython-313-x86_64-linux-musl.so"),
        ("win_amd64", "win_amd64", ".cp313-win_amd64.pyd"),
        ("macosx_11_0_arm64", "macosx_11_0_arm64", ".cpython-313-darwin.so"),
    ],
)
def test_tag_and_suffix_are_those_of_the_system(name, raw, suffix):
    assert target(name).raw_tag == raw
    assert target(name).extension_suffix("3.13") == suffix


@pytest.mark.parametrize(
    ("name", "system", "processor"),
    [
        ("manylinux2014_aarch64", "Linux", "aarch64"),
        ("win_amd64", "Windows", "AMD64"),
        ("macosx_11_0_arm64", "Darwin", "arm64"),
        ("macosx_11_0_x86_64", "Darwin", "x86_64"),
    ],
)
def test_cmake_has_its_own_words(name, system, processor):
    assert (target(name).cmake_system, target(name).cmake_processor) == (system, processor)


def test_the_oldest_macos_stands_in_the_tag():
    assert target("macosx_11_0_arm64").oldest_system == "11.0"
    assert target("win_amd64").oldest_system == ""


def test_a_native_target_is_the_builders_machine():
    native = native_target(make_host(system="darwin", machine="arm64"))
    assert (native.is_native, native.system, native.machine) == (True, "darwin", "aarch64")
    assert not target("win_amd64").is_native
