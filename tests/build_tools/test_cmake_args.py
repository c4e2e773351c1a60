"""CMAKE_ARGS in every form in which people write it (BUILD_FAILURES: options silently lost)."""

from __future__ import annotations

import pytest

from build_tools.cmake_args import cmake_definitions, split_cmake_args
from build_tools.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("", ()),
        ("  -DA=1   -DB=two ", ("-DA=1", "-DB=two")),
        ('-DA="one two" -DB=3', ("-DA=one two", "-DB=3")),
        ("'-DA=one two'", ("-DA=one two",)),
        ('"-DA=1 -DB=2"', ("-DA=1", "-DB=2")),  # docker env files keep the quotation marks
        ("'-DA=1'", ("-DA=1",)),
        ("-D A=1 -U B*", ("-DA=1", "-UB*")),
        ("-G Ninja -Wno-dev --log-level=DEBUG", ("-GNinja", "-Wno-dev", "--log-level=DEBUG")),
        ("-DA:PATH=/usr/a\\ b", ("-DA:PATH=/usr/a b",)),
        ("-DFLAGS=-O2#x", ("-DFLAGS=-O2#x",)),
        ("-DLIST=a;b;c", ("-DLIST=a;b;c",)),
        ("-DEMPTY=", ("-DEMPTY=",)),
    ],
)
def test_posix(text, arguments):
    assert split_cmake_args(text, backslash_is_literal=False) == arguments


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        (r"-DP=C:\tools\protoc.exe", (r"-DP=C:\tools\protoc.exe",)),
        (
            r'-DP="C:\Program Files\p\bin\protoc.exe" -DQ=ON',
            (r"-DP=C:\Program Files\p\bin\protoc.exe", "-DQ=ON"),
        ),
        (r'"-DP=C:\new\table"', (r"-DP=C:\new\table",)),  # set CMAKE_ARGS="-D…"
        (r'"-DA=ON -DP=C:\x"', ("-DA=ON", r"-DP=C:\x")),
        (r'"-DP=C:\Program Files\x"', (r"-DP=C:\Program Files\x",)),
        ("-DNAME=it's", ("-DNAME=it's",)),
        (r"-DEND=C:\dir\ -DB=1", ("-DEND=C:\\dir\\", "-DB=1")),
    ],
)
def test_windows(text, arguments):
    assert split_cmake_args(text, backslash_is_literal=True) == arguments


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('-DA="open', "No closing quotation"),
        ("-DA=one two", "'two', which is no argument"),
        ("ON", "'ON', which is no argument"),
        ("-DA", "'-DA', which sets nothing"),
        ("-DB=1 -D", "'-D', which is no argument"),
        ("-A x64", "'-Ax64', but everything is built with Ninja"),
        ("-T host=x64", "built with Ninja"),
        ('-G "Visual Studio 17 2022"', "built with Ninja"),
    ],
)
def test_what_cannot_be_followed_is_an_error_that_names_it(text, complaint):
    with pytest.raises(ConfigError) as caught:
        split_cmake_args(text, backslash_is_literal=False)
    assert complaint in str(caught.value)
    assert caught.value.fix


def test_definitions_by_name_the_last_one_wins():
    arguments = ("-DA:BOOL=ON", "-Wno-dev", "-DB=x=y", "-DA=OFF")
    assert cmake_definitions(arguments) == {"A": "OFF", "B": "x=y"}
