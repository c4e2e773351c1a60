"""What is built beside what is installed: names, messages, generated code, requirements."""

from __future__ import annotations

import ctypes
import itertools
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from build_tools.config import Linkage
from build_tools.doctor.checks.result import why_refused
from build_tools.doctor.extensions import extensions
from build_tools.doctor.facts import Distribution, Extension
from build_tools.releases import python_protobuf_of
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
    posix,
    protobuf,
    run,
    severities,
    taking,
    upstream,
)
from tests.build_tools.toy_protobuf import GXX, build, needs_compiler


def with_packages(*installed: Distribution):
    """The usual Python with some packages."""
    return replace(PYTHON, distributions=installed)


@needs_compiler
@posix
class TestClash:
    source = """\
namespace google { namespace protobuf { int Marker() { return %d; } } }
namespace onnx { int Version() { return google::protobuf::Marker(); } }
extern "C" int version() { return onnx::Version(); }
"""

    def extension(self, site: Path, package: str, number: int) -> Path:
        folder = site / package
        folder.mkdir(parents=True)
        (folder / "x.cc").write_text(self.source % number, encoding="utf-8")
        path = folder / f"{package}_cpp.so"
        build("-shared", "-fPIC", str(folder / "x.cc"), "-o", str(path))
        return path

    @pytest.mark.skipif(sys.platform != "linux", reason="names are bound so only on Linux")
    def test_exported_symbols_clash(self, tmp_path):
        first = self.extension(tmp_path, "onnx", 1)
        second = self.extension(tmp_path, "torch", 2)
        found = tuple(extensions(tmp_path))
        assert [entry.package for entry in found] == ["onnx", "torch"]
        target = replace(PYTHON, extensions=found)
        facts = make_facts(target=target)
        clash, hidden = findings("exported-symbols-clash", upstream(facts))
        assert "onnx and torch export 2 names in common" in clash.what
        assert hidden.severity is WARNING
        assert severities("exported-symbols-clash", facts) == [NOTE, NOTE]
        # Bound process-wide, the second library answers with the first one's voice.
        one = ctypes.CDLL(str(first), mode=ctypes.RTLD_GLOBAL)
        other = ctypes.CDLL(str(second), mode=ctypes.RTLD_GLOBAL)
        assert (one.version(), other.version()) == (1, 1)

    def test_hidden_names_clash_with_nobody(self, tmp_path):
        self.extension(tmp_path, "torch", 1)
        folder = tmp_path / "onnx"
        folder.mkdir()
        (folder / "x.cc").write_text(self.source % 2, encoding="utf-8")
        flags = ("-shared", "-fPIC", "-fvisibility=hidden")
        build(*flags, str(folder / "x.cc"), "-o", str(folder / "onnx_cpp.so"))
        target = replace(PYTHON, extensions=tuple(extensions(tmp_path)))
        facts = upstream(make_facts("--onnx-version", "1.13.1", target=target))
        assert findings("exported-symbols-clash", facts) == ()

    def test_the_real_onnx_of_the_tests(self):
        """ONNX's wheels export thousands of names since 1.19, but are lite: no descriptions."""
        import onnx  # noqa: PLC0415

        site = Path(onnx.__file__).parents[1]
        found = [entry for entry in extensions(site) if entry.package == "onnx"]
        assert len(found) == 1
        assert len(found[0].shared_names) > 1000
        assert not found[0].holds_onnx_proto


PROTOC = shutil.which("protoc")
SHARED = next(iter(Path("/usr/lib").glob("*/libprotobuf.so")), None)


class TestDescriptors:
    shared = protobuf(
        "/usr", libraries=(library("/usr/lib/libprotobuf.so", Linkage.SHARED, version="3.21.12"),)
    )
    other = Extension(
        package="torch",
        path=Path("/site/torch/x.so"),
        shared_names=frozenset(),
        needs_protobuf="libprotobuf.so.32",
        holds_onnx_proto=True,
    )

    def facts(self, *arguments: str, **changes: object):
        finds = taking(self.shared, shared=True)
        return make_facts(
            "--protobuf",
            "shared",
            *arguments,
            protobufs=(self.shared,),
            cmake_finds=finds,
            **changes,
        )

    def test_it_depends_on_who_else_is_there(self):
        facts = self.facts()
        assert severities("descriptor-registered-twice", upstream(facts)) == [WARNING]
        crowded = self.facts(target=replace(PYTHON, extensions=(self.other,)))
        finding = only("descriptor-registered-twice", upstream(crowded))
        assert finding.severity is FATAL
        assert "torch" in finding.evidence
        assert only("descriptor-registered-twice", crowded).severity is NOTE

    def test_the_lite_run_time_and_archives_have_no_registry(self):
        lite = self.facts("--cmake-arg=-DONNX_USE_LITE_PROTO=ON")
        assert findings("descriptor-registered-twice", upstream(lite)) == ()
        static = protobuf("/usr")
        facts = make_facts(protobufs=(static,), cmake_finds=taking(static))
        assert findings("descriptor-registered-twice", upstream(facts)) == ()

    @pytest.mark.skipif(
        PROTOC is None or SHARED is None, reason="no protobuf of the system (.ci/run installs it)"
    )
    def test_descriptor_registered_twice(self, tmp_path):
        """Two libraries with the same messages on one shared full protobuf: the process ends."""
        assert PROTOC is not None
        message = 'syntax = "proto3"; package onnx; message Model { string name = 1; }\n'
        for name in ("one", "two"):
            folder = tmp_path / name / "onnx"
            folder.mkdir(parents=True)
            (folder / "onnx-ml.proto").write_text(message, encoding="utf-8")
            made = run(PROTOC, "--cpp_out=.", "onnx/onnx-ml.proto", cwd=folder.parent)
            assert made.returncode == 0, made.stderr
            linked = run(
                *(GXX, "-std=c++17", "-shared", "-fPIC", "-I.", "-Wl,-Bsymbolic"),
                *("-fvisibility=hidden", "onnx/onnx-ml.pb.cc", "-lprotobuf", "-o", "lib.so"),
                cwd=folder.parent,
            )
            assert linked.returncode == 0, linked.stderr
        load = "import ctypes; [ctypes.CDLL(f'./{name}/lib.so') for name in ('one', 'two')]"
        said = run(sys.executable, "-c", load, cwd=tmp_path)
        assert said.returncode != 0
        assert "File already exists in database: onnx/onnx-ml.proto" in said.stderr


class TestGenerated:
    def facts(self, protoc: str, runtime: str):
        found = protobuf("/usr", protoc)
        target = with_packages(Distribution(name="protobuf", version=runtime))
        return make_facts(protobufs=(found,), cmake_finds=taking(found), target=target)

    def test_generated_code_too_new(self):
        finding = only("generated-code-too-new", upstream(self.facts("31.1", "5.29.5")))
        assert finding.severity is FATAL
        assert "VersionError" in finding.what
        assert "'protobuf>=6.31.1'" in finding.fix[0]
        assert only("generated-code-too-new", self.facts("31.1", "5.29.5")).severity is NOTE
        assert findings("generated-code-too-new", upstream(self.facts("3.21.12", "6.31.1"))) == ()
        assert outcome("generated-code-too-new", make_facts()).not_applicable

    @pytest.mark.parametrize(
        ("protoc", "python"),
        [
            ("3.20.2", "3.20.2"),
            ("3.21.12", "4.21.12"),
            ("21.12", "4.21.12"),
            ("22.3", "4.22.3"),
            ("25.1", "4.25.1"),
            ("26.0", "5.26.0"),
            ("29.2", "5.29.2"),
            ("31.1", "6.31.1"),
            ("33.6", "6.33.6"),
            ("34.0", "7.34.0"),
        ],
    )
    def test_the_python_of_a_protoc(self, protoc, python):
        assert python_protobuf_of(protoc) == python

    @pytest.mark.parametrize(
        ("generated", "runtime", "words"),
        [
            ("6.31.1", "5.29.5", "VersionError"),
            ("5.29.2", "5.29.2", ""),
            ("5.29.2", "6.31.1", ""),
            ("5.29.2", "4.25.8", "runtime_version"),
            ("4.25.1", "6.31.1", ""),
            ("3.20.2", "3.20.3", ""),
            ("3.18.0", "4.25.8", "Descriptors cannot be created directly"),
            ("3.18.0", "3.20.3", ""),
        ],
    )
    def test_what_a_run_time_refuses(self, generated, runtime, words):
        why = why_refused(generated, runtime)
        assert (words in why) if words else why == ""

    @pytest.mark.network
    def test_generated_code_too_new_for_real_run_times(self, tmp_path):
        """What generated code does first, under several real releases of protobuf."""
        runtimes, made = ("4.25.8", "5.29.5", "6.31.1"), ("5.29.5", "6.31.1", "6.32.0")
        for runtime in runtimes:
            pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target")
            got = run(*pip, tmp_path / runtime, f"protobuf=={runtime}")
            assert got.returncode == 0, got.stderr
        for generated, runtime in itertools.product(made, runtimes):
            numbers = ", ".join(generated.split("."))
            program = (
                "from google.protobuf import runtime_version as r\n"
                f"r.ValidateProtobufRuntimeVersion(r.Domain.PUBLIC, {numbers}, '', 'x.proto')\n"
            )
            said = run(sys.executable, "-c", program, PYTHONPATH=str(tmp_path / runtime))
            why = why_refused(generated, runtime)
            assert bool(why) is (said.returncode != 0), (generated, runtime, why, said.stderr)
            if why:
                assert why.split()[0].rstrip(":") in said.stderr or "runtime_version" in said.stderr


class TestPins:
    def test_protobuf_pin_conflict(self):
        old = Distribution(name="tf2onnx", version="1.16.1", protobuf="~=3.20")
        fine = Distribution(name="other", version="1.0", protobuf=">=4.21,<7")
        facts = make_facts(target=with_packages(old, fine))
        finding = only("protobuf-pin-conflict", upstream(facts))
        assert finding.severity is WARNING
        assert "tf2onnx 1.16.1 wants protobuf~=3.20" in finding.what
        assert only("protobuf-pin-conflict", facts).severity is NOTE

    @pytest.mark.parametrize(
        ("release", "wants", "conflict"),
        [
            ("1.23.2", "<6", True),
            ("1.23.2", ">=3.20", False),
            ("1.23.2", "<7,>=5", False),
            ("1.13.1", ">=4", True),
            ("1.13.1", "==3.20.2", False),
            ("1.18.0", "!=4.25.1,<5", False),
            ("1.23.2", "==6.31.*", False),
        ],
    )
    def test_ranges(self, release, wants, conflict):
        target = with_packages(Distribution(name="x", version="1", protobuf=wants))
        facts = make_facts("--onnx-version", release, target=target)
        assert bool(findings("protobuf-pin-conflict", facts)) is conflict
