"""What CMake takes a library file for, on Windows too, where both kinds end in .lib."""

from __future__ import annotations

import pytest

from tests.build_tools import mingw
from tests.build_tools.mingw import needs_mingw
from tests.packaging.cmake_project import MODULES, program, succeed

SCRIPT = """
include("{modules}/LibraryFile.cmake")
set(WIN32 TRUE)
set(CMAKE_BUILD_TYPE {build_type})
onnxforge_find_library_files("{prefix}" protobuf-lite static shared)
file(WRITE "{prefix}/found.txt" "${{static}}|${{shared}}")
"""


def found(prefix, build_type="Release"):
    """The names of the static and the shared library that CMake finds."""
    script = prefix / "find.cmake"
    text = SCRIPT.format(
        modules=MODULES.as_posix(), prefix=prefix.as_posix(), build_type=build_type
    )
    script.write_text(text, encoding="utf-8")
    succeed(program("cmake"), "-P", str(script))
    paths = (prefix / "found.txt").read_text(encoding="utf-8").split("|")
    return tuple(path.rpartition("/")[2] for path in paths)


@pytest.fixture
def prefix(tmp_path):
    (tmp_path / "lib").mkdir()
    return tmp_path


def static(prefix, name):
    mingw.archive(prefix, "one", "int one(void) { return 1; }").rename(prefix / "lib" / name)


def imports(prefix, name):
    mingw.dll(prefix, "two", f"{mingw.SHOWN} int two(void) {{ return 2; }}")
    (prefix / "libtwo.dll.a").rename(prefix / "lib" / name)


@needs_mingw
class TestWindows:
    def test_the_content_decides_what_a_lib_is(self, prefix):
        static(prefix, "libprotobuf-lite.lib")
        assert found(prefix) == ("libprotobuf-lite.lib", "")
        (prefix / "lib" / "libprotobuf-lite.lib").unlink()
        imports(prefix, "libprotobuf-lite.lib")
        assert found(prefix) == ("", "libprotobuf-lite.lib")

    def test_both_side_by_side(self, prefix):
        static(prefix, "libprotobuf-lite.lib")
        imports(prefix, "protobuf-lite.lib")
        assert found(prefix) == ("libprotobuf-lite.lib", "protobuf-lite.lib")

    def test_a_debug_build_takes_debug_libraries_and_no_other_build_does(self, prefix):
        static(prefix, "libprotobuf-lited.lib")
        assert found(prefix) == ("", "")
        static(prefix, "libprotobuf-lite.lib")
        assert found(prefix) == ("libprotobuf-lite.lib", "")
        assert found(prefix, "Debug") == ("libprotobuf-lited.lib", "")

    def test_mingw_s_own_names(self, prefix):
        static(prefix, "libprotobuf-lite.a")
        imports(prefix, "libprotobuf-lite.dll.a")
        assert found(prefix) == ("libprotobuf-lite.a", "libprotobuf-lite.dll.a")


def test_nothing_there(prefix):
    assert found(prefix) == ("", "")
