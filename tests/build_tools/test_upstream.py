"""Upstream's own package: the table of releases, what its build is told, what it requires."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from build_tools import onnx_cli
from build_tools.cmake import CMakeBuild
from build_tools.config import Linkage
from build_tools.context import Context
from build_tools.errors import ConfigError, PinError, SmokeError, WheelError
from build_tools.generator import Generator
from build_tools.pins import load_pins
from build_tools.process import SystemRunner
from build_tools.protobuf.model import ProtobufInstall
from build_tools.record import Record
from build_tools.upstream.environment import Environment, build_environment
from build_tools.upstream.make import Upstream, cache_entries, make_wheel
from build_tools.upstream.metadata import (
    at_least,
    generated_floor,
    protobuf_range,
    require_protobuf,
    required_protobuf,
)
from build_tools.upstream.releases import RELEASES, release_of
from build_tools.upstream.suite import read_report
from build_tools.upstream.trial import available_protobufs, extremes
from build_tools.wheel_file import WheelFile
from tests.build_tools.recordings import windows_host
from tests.build_tools.site import make_site
from tests.build_tools.support import RecordedRunner, has, make_host, said
from tests.build_tools.test_wheel import TOOLCHAIN, TOOLS


class TestReleases:
    def test_every_pinned_release_has_exactly_one_row(self):
        for version in load_pins().versions("onnx"):
            rows = [row for row in RELEASES if row.range.contains(Version(version))]
            assert len(rows) == 1, version
            assert release_of(version) is rows[0]

    def test_the_rows_follow_each_other_without_a_gap(self):
        steps = [f"1.{minor}.{patch}" for minor in range(13, 24) for patch in range(4)]
        known = [v for v in steps if any(row.range.contains(Version(v)) for row in RELEASES)]
        assert known == steps[steps.index("1.13.1") :]

    def test_requirements_are_exact(self):
        for row in RELEASES:
            assert all("==" in requirement for requirement in row.build_requires)

    def test_a_release_before_the_first_is_an_error_that_names_what_there_is(self):
        with pytest.raises(PinError) as caught:
            release_of("1.12.0")
        assert "1.13.1" in str(caught.value)


def protobuf_in(root, linkage=Linkage.STATIC):
    suffix = "so" if linkage is Linkage.SHARED else "a"
    return ProtobufInstall(
        root=root,
        version="3.21.12",
        protoc=root / "bin/protoc",
        protoc_version="3.21.12",
        include_dir=root / "include",
        header_version="3.21.12",
        lite_library=root / f"lib/libprotobuf-lite.{suffix}",
        library=root / f"lib/libprotobuf.{suffix}",
        linkage=linkage,
        origin="test",
    )


def upstream_in(folder, version="1.17.0", **changes):
    source = folder / "sources"
    source.mkdir(parents=True, exist_ok=True)
    (source / "setup.py").touch()
    facts = {
        "version": version,
        "release": release_of(version),
        "source": source,
        "protobuf": protobuf_in(folder / "pb"),
        "arguments": (),
        "folder": folder / "work",
        **changes,
    }
    (folder / "work").mkdir(exist_ok=True)
    return Upstream(**facts)


def environment_in(folder, *packages):
    environment = Environment(folder=folder, python=folder / "bin/python")
    for package in packages:
        (folder / "lib/python3.12/site-packages" / package).mkdir(parents=True)
    return environment


def cmake_with(runner):
    return CMakeBuild(
        tools=TOOLS, toolchain=TOOLCHAIN, runner=runner, record=Record(), host=make_host()
    )


class TestWhatTheBuildIsTold:
    def entries(self, tmp_path, version, *packages, **changes):
        upstream = upstream_in(tmp_path, version, **changes)
        environment = environment_in(tmp_path / "environment", *packages)
        return cache_entries(upstream, cmake_with(None), environment)

    def test_all_parts_of_protobuf_are_named_so_that_nothing_is_searched(self, tmp_path):
        entries = self.entries(tmp_path, "1.17.0", "pybind11/share/cmake/pybind11")
        names = ("PROTOC_EXECUTABLE", "INCLUDE_DIR", "LIBRARY", "LITE_LIBRARY")
        assert all(tmp_path / "pb" in entries[f"Protobuf_{name}"].parents for name in names)

    @pytest.mark.parametrize("linkage", list(Linkage))
    def test_the_link_mode_follows_from_the_protobuf(self, tmp_path, linkage):
        protobuf = protobuf_in(tmp_path / "pb", linkage)
        packages = ("pybind11/share/cmake/pybind11",)
        entries = self.entries(tmp_path, "1.17.0", *packages, protobuf=protobuf)
        assert entries["ONNX_USE_PROTOBUF_SHARED_LIBS"] is (linkage is Linkage.SHARED)
        assert entries["ONNX_USE_LITE_PROTO"] is True

    def test_a_release_gets_what_its_row_says(self, tmp_path):
        old = self.entries(tmp_path / "a", "1.13.1", "pybind11/share/cmake/pybind11")
        new = self.entries(tmp_path / "b", "1.23.2", "nanobind/cmake")
        assert old["CMAKE_POLICY_VERSION_MINIMUM"] == "3.5"
        assert old["pybind11_DIR"].name == "pybind11"
        assert "CMAKE_POLICY_VERSION_MINIMUM" not in new
        assert new["nanobind_DIR"].parts[-2:] == ("nanobind", "cmake")

    def test_a_missing_binding_library_is_an_error(self, tmp_path):
        with pytest.raises(WheelError, match="nanobind/cmake is not in the build environment"):
            self.entries(tmp_path, "1.23.2")


class TestOnWindows:
    """A setup.py that drives CMake names a platform there, which Ninja refuses."""

    @pytest.mark.parametrize(("version", "refused"), [("1.17.0", True), ("1.22.0", False)])
    def test_ninja_is_refused_where_setup_py_drives(self, tmp_path, version, refused):
        site = make_site(tmp_path, "--onnx-version", version)
        object.__setattr__(site, "context", replace(site.context, host=windows_host()))
        if not refused:
            onnx_cli._require_generator(site)
            return
        with pytest.raises(ConfigError, match="cannot be built with Ninja on Windows"):
            onnx_cli._require_generator(site)
        studio = Generator(name="Visual Studio 17 2022", platform="x64", major=17)
        object.__setattr__(site, "generator", studio)
        onnx_cli._require_generator(site)


class TestMakingTheWheel:
    @pytest.fixture
    def made(self, tmp_path):
        """Runs the backend of a made-up release twice, for two Pythons."""
        site = make_site(tmp_path)
        caches = []

        def backend(argv):
            tree = Path(argv[-1])
            build = tree / ".setuptools-cmake-build"
            kept = ("CMakeCache.txt", ".skbuild-info.json")
            caches.append(any((build / name).exists() for name in kept))
            build.mkdir(exist_ok=True)
            for name in kept:
                (build / name).touch()
            (build / "library.o").touch()
            out = Path(argv[argv.index("--outdir") + 1])
            out.mkdir(parents=True)
            (out / "onnx-1.17.0-cp312-cp312-linux_x86_64.whl").touch()
            return said("[1/1] done\n")

        runner = RecordedRunner([(has("build", "--wheel"), backend)])
        object.__setattr__(site.context, "runner", runner)
        upstream = upstream_in(tmp_path, arguments=("-DNAME=two words",))
        for abi in ("cp311", "cp312"):
            python = make_host().python
            object.__setattr__(python, "abi", abi)
            environment = environment_in(tmp_path / abi, "pybind11/share/cmake/pybind11")
            wheel = make_wheel(upstream, python, environment, site)
            assert wheel.name == "onnx-1.17.0-cp312-cp312-linux_x86_64.whl"
        return upstream, runner, caches

    def test_the_interpreter_has_one_path_for_every_python(self, made):
        upstream, runner, _ = made
        assert len({call.argv[0] for call in runner.calls}) == 1
        assert (upstream.folder / "environment").resolve().name == "cp312"

    def test_objects_stay_and_what_was_found_out_about_a_python_goes(self, made):
        upstream, _, caches = made
        assert caches == [False, False]
        assert (upstream.folder / "source/.setuptools-cmake-build/library.o").exists()

    def test_a_compiler_cache_leaves_the_paths_that_are_mapped(self, made):
        """Before: __FILE__ was "../onnx/…" with ccache and "source/onnx/…" without it."""
        _, runner, _ = made
        assert [call.env["CCACHE_BASEDIR"] for call in runner.calls] == ["", ""]

    def test_the_release_itself_is_not_written_to(self, made):
        upstream, _, _ = made
        assert sorted(path.name for path in upstream.source.iterdir()) == ["setup.py"]

    def test_the_users_arguments_come_after_ours_and_blanks_survive(self, made):
        _, runner, _ = made
        environ = runner.calls[-1].env
        assert environ["CMAKE_ARGS"].endswith("'-DNAME=two words'")
        assert environ["CMAKE_ARGS"].startswith("-C ")
        assert environ["CMAKE_GENERATOR"] == "Ninja"
        tools = environ["PATH"].split(os.pathsep)[:2]
        assert [
            name for name in ("cmake", "ninja") if not any(Path(t, name).exists() for t in tools)
        ] == []


def small_wheel(folder, *requires):
    """A wheel that requires something and holds one file."""
    info = "onnx-1.17.0.dist-info"
    lines = ["Metadata-Version: 2.1", "Name: onnx", "Version: 1.17.0"]
    metadata = "\n".join([*lines, *(f"Requires-Dist: {r}" for r in requires), "", "text\n"])
    tag = "Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: cp312-cp312-linux_x86_64\n"
    files = {"onnx/__init__.py": "", f"{info}/METADATA": metadata, f"{info}/WHEEL": tag}
    rows = [f"{name},sha256={_digest(text)},{len(text.encode())}" for name, text in files.items()]
    path = folder / "onnx-1.17.0-cp312-cp312-linux_x86_64.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        archive.writestr(f"{info}/RECORD", "\n".join([*rows, f"{info}/RECORD,,", ""]))
    return path


def _digest(text):
    raw = hashlib.sha256(text.encode()).digest()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class TestWhatTheWheelRequires:
    @pytest.fixture
    def context(self):
        return Context(host=make_host(), runner=SystemRunner(), record=Record())

    def test_the_range_is_written_and_nothing_else_changes(self, tmp_path, context):
        wheel = small_wheel(tmp_path, "numpy", "protobuf>=4.25.1", "typing_extensions")
        require_protobuf(wheel, SpecifierSet("<8,>=3.20.2"), context)
        assert [path.name for path in tmp_path.iterdir()] == [wheel.name]
        opened = WheelFile.open(wheel)
        required = opened.metadata("METADATA")["Requires-Dist"]
        assert required == ["numpy", "protobuf<8,>=3.20.2", "typing_extensions"]
        assert list(opened.record_problems()) == []
        assert opened.read("onnx-1.17.0.dist-info/METADATA").endswith(b"\n\ntext\n")

    def test_the_same_wheel_comes_out_twice(self, tmp_path, context):
        contents = []
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            wheel = small_wheel(tmp_path / name, "protobuf>=4.25.1")
            require_protobuf(wheel, SpecifierSet(">=3.20.2"), context)
            contents.append(wheel.read_bytes())
        assert contents[0] == contents[1]

    def test_an_equal_range_leaves_the_file_alone(self, tmp_path, context):
        wheel = small_wheel(tmp_path, "protobuf >= 3.20.2")
        before = wheel.read_bytes()
        require_protobuf(wheel, SpecifierSet(">=3.20.2"), context)
        assert wheel.read_bytes() == before

    def test_a_wheel_that_requires_none_is_an_error(self, tmp_path):
        with pytest.raises(WheelError, match="does not require protobuf"):
            required_protobuf(small_wheel(tmp_path, "numpy"))

    def test_a_range_that_is_none_is_an_error_with_an_example(self):
        with pytest.raises(ConfigError) as caught:
            protobuf_range("3.20 or so")
        assert ">=3.20.2" in str(caught.value)

    def test_code_of_newer_releases_names_the_lowest_runtime_that_loads_it(self, tmp_path):
        header = tmp_path / "google/protobuf/runtime_version.h"
        header.parent.mkdir(parents=True)
        assert generated_floor(tmp_path) is None
        header.write_text(
            "#define PROTOBUF_MAJOR_VERSION 6\n#define PROTOBUF_OSS_VERSION 6031001\n"
        )
        assert generated_floor(tmp_path) == Version("6.31.1")

    @pytest.mark.parametrize(
        ("asked", "becomes"),
        [
            ("", ">=6.31.1"),
            (">=3.20.2", ">=6.31.1"),
            (">=4.25.1,<8", "<8,>=6.31.1"),
            (">=6.32", ">=6.32"),
        ],
    )
    def test_a_range_loses_what_lies_below_the_floor(self, asked, becomes):
        assert at_least(SpecifierSet(asked), Version("6.31.1")) == SpecifierSet(becomes)


class TestTheProtobufsItIsTriedWith:
    VERSIONS = tuple(map(Version, ("3.19.6", "3.20.2", "4.25.1", "7.36.2")))

    def test_the_lowest_and_the_highest_inside_the_range(self):
        assert extremes(self.VERSIONS, SpecifierSet(">=3.20.2")) == self.VERSIONS[1::2]

    def test_one_that_is_both_is_tried_once(self):
        assert extremes(self.VERSIONS, SpecifierSet("<4,>=3.20.2")) == (Version("3.20.2"),)

    def test_an_empty_range_is_an_error(self):
        with pytest.raises(SmokeError, match="no release of the Python protobuf"):
            extremes(self.VERSIONS, SpecifierSet(">99"))

    def test_an_index_that_does_not_answer_is_an_error(self):
        answer = said(returncode=1, stderr="ERROR: no matching distribution")
        runner = RecordedRunner([(has("index", "versions"), answer)])
        context = Context(host=make_host(), runner=runner, record=Record())
        with pytest.raises(SmokeError, match="cannot be found out"):
            available_protobufs(context)

    def test_the_answer_is_sorted_by_version(self):
        answer = said(json.dumps({"versions": ["4.25.1", "3.20.10", "3.20.2"]}))
        runner = RecordedRunner([(has("index", "versions"), answer)])
        context = Context(host=make_host(), runner=runner, record=Record())
        expected = tuple(map(Version, ("3.20.2", "3.20.10", "4.25.1")))
        assert available_protobufs(context) == expected


class TestUpstreamsTests:
    def test_a_report_is_counted_and_failures_are_named(self):
        report = """<testsuites><testsuite>
          <testcase classname="tests.a" name="good"/>
          <testcase classname="tests.a" name="bad"><failure message="x"/></testcase>
          <testcase classname="tests.b" name="broken"><error message="y"/></testcase>
          <testcase classname="tests.b" name="left"><skipped message="z"/></testcase>
        </testsuite></testsuites>"""
        result = read_report(report, 2.5)
        assert (result.passed, result.skipped) == (1, 1)
        assert result.failed == ("tests.a::bad", "tests.b::broken")


@pytest.mark.network
def test_a_build_environment_is_made_once_and_again_when_its_requirements_change(tmp_path):
    context = Context(
        host=make_host(environ=dict(os.environ)), runner=SystemRunner(), record=Record()
    )
    python = context.host.python

    def steps():
        return len(context.record.steps)

    folder = tmp_path / "with a blank"
    build_environment(folder, python, ("iniconfig==2.0.0",), context)
    assert steps() == 1
    build_environment(folder, python, ("iniconfig==2.0.0",), context)
    assert steps() == 1
    environment = build_environment(folder, python, ("iniconfig==2.1.0",), context)
    assert steps() == 2
    found = context.runner.run([environment.python, "-m", "pip", "--version"])
    assert not found.ok, "the environment is the backend's alone"
    with pytest.raises(WheelError, match="no-such-thing-at-all==1"):
        build_environment(folder, python, ("no-such-thing-at-all==1",), context)
