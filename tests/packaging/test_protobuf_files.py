"""The lists in third_party/protobuf/files.cmake are complete, and right for each release."""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

import pytest

from build_tools.errors import NetworkError, OfflineError
from tests.packaging.cmake_project import REPOSITORY, cmake_lists, run

RECIPE = REPOSITORY / "third_party" / "protobuf"
VERSIONS = ["3.20.2", "3.20.3", "3.21.12"]
_UNREACHABLE = {NetworkError.exit_code, OfflineError.exit_code}
_AUTOMAKE = {
    "PROTOBUF_LITE": "libprotobuf_lite_la_SOURCES",
    "PROTOBUF_FULL": "libprotobuf_la_SOURCES",
    "PROTOBUF_PROTOC": "libprotoc_la_SOURCES",
}


def source_lists(folder: Path, version: str) -> dict[str, list[str]]:
    lists = cmake_lists(RECIPE / "files.cmake", folder, PROTOBUF_VERSION=version)
    return {
        name: files for name, files in lists.items() if re.match(r"PROTOBUF_[A-Z]+(_|S$)", name)
    }


def sources_of(lists: dict[str, list[str]], library: str) -> set[str]:
    named = [files for name, files in lists.items() if name.startswith(f"{library}_")]
    return {file for files in named for file in files if file.endswith(".cc")}


@pytest.mark.parametrize("version", VERSIONS)
def test_no_file_is_listed_twice(tmp_path, version):
    counts = Counter(file for files in source_lists(tmp_path, version).values() for file in files)
    assert len(counts) > 150
    assert [file for file, times in counts.items() if times > 1] == []


def test_releases_differ_by_the_names_of_generators_and_by_two_headers(tmp_path):
    old, new = (set().union(*source_lists(tmp_path, v).values()) for v in ("3.20.2", "3.21.12"))
    assert new - old - {"endian.h", "reflection_internal.h"} == {
        re.sub(r"/(cpp|python)/(cpp|python)_", r"/\1/", file) for file in old - new
    }
    assert len(old - new) == 18


@pytest.fixture(scope="module", params=VERSIONS)
def release(request, tmp_path_factory):
    """A release's own tree, from the lock file's places."""
    command = [sys.executable, "-m", "build_tools", "fetch", f"protobuf=={request.param}"]
    result = run(*command, "--print-cmake", cwd=REPOSITORY)
    if result.returncode in _UNREACHABLE:
        pytest.skip(f"protobuf {request.param} cannot be had here")
    assert result.ok, result.stderr
    tree = re.search(r'SOURCE "(.*)"', result.stdout)
    assert tree, result.stdout
    lists = source_lists(tmp_path_factory.mktemp("lists"), request.param)
    return Path(tree[1]) / "src", lists


def automake_list(src: Path, variable: str) -> set[str]:
    text = (src / "Makefile.am").read_text(encoding="utf-8").replace("\\\n", " ")
    found = re.search(rf"^{variable} *=(.*)$", text, re.MULTILINE)
    assert found, variable
    return {word.removeprefix("google/protobuf/") for word in found[1].split() if "/" in word}


@pytest.mark.network
def test_every_listed_file_is_in_the_release(release):
    src, lists = release
    files = [src / "google" / "protobuf" / file for files in lists.values() for file in files]
    assert [file for file in files if not file.is_file()] == []


@pytest.mark.network
@pytest.mark.parametrize("library", ["PROTOBUF_LITE", "PROTOBUF_FULL"])
def test_the_libraries_are_complete(release, library):
    src, lists = release
    upstream = {f for f in automake_list(src, _AUTOMAKE[library]) if f.endswith(".cc")}
    assert sources_of(lists, library) == upstream


@pytest.mark.network
def test_protoc_is_upstreams_without_the_other_languages(release):
    src, lists = release
    upstream = {f for f in automake_list(src, _AUTOMAKE["PROTOBUF_PROTOC"]) if f.endswith(".cc")}
    other = re.compile(r"compiler/(csharp|java|js|objectivec|php|ruby)/")
    assert sources_of(lists, "PROTOBUF_PROTOC") == {f for f in upstream if not other.match(f)}


@pytest.mark.network
def test_the_librarys_headers_are_all_installed(release):
    src, lists = release
    compilers = re.compile(r"compiler/(?!importer\.h|parser\.h)")
    upstream = automake_list(src, "nobase_include_HEADERS") | {"io/gzip_stream.h"}
    assert set(lists["PROTOBUF_HEADERS"]) == {f for f in upstream if not compilers.match(f)}
    assert set(lists["PROTOBUF_PROTOS"]) == automake_list(src, "nobase_dist_proto_DATA")
