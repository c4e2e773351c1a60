"""Compilers that are missing, too old, or not fit for a release; abseil's many faces."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from build_tools.config import Linkage
from build_tools.doctor import machine
from build_tools.doctor.facts import WindowsFacts
from build_tools.errors import ToolchainError
from build_tools.probes import CxxRuntime, compiler_runtime
from build_tools.releases import KNOWN_BAD, RELEASES, known_bad, release_of
from build_tools.toolchain.model import Assessed, Family, Probe
from tests.build_tools.doctor.cases import (
    FATAL,
    NOTE,
    PROBES,
    WARNING,
    cmake,
    compile_cxx,
    doctor,
    findings,
    library,
    look,
    make_facts,
    named,
    only,
    outcome,
    posix,
    project,
    protobuf,
    real_tools,
    run,
    severities,
    taking,
    toolchain,
    upstream,
)
from tests.build_tools.support import script, write_tree
from tests.build_tools.toy_protobuf import GXX, Toy, build, make_bench, needs_compiler, needs_shell

if TYPE_CHECKING:
    from pathlib import Path


def test_compiler_missing():
    """CXX names a compiler that is not there: a build would end with exit code 10."""
    code, result, _ = doctor("--offline", environ={"CXX": "/nowhere/g++"})
    assert code == 1
    (finding,) = named(result, "compiler-missing")
    assert finding["severity"] == "fatal"
    assert "/nowhere/g++" in finding["what"]
    assert result["verdict"] == "will fail"
    assert any("correct CXX" in fix for fix in finding["fix"])
    failed = ToolchainError("no C++ compiler was found", looked=["PATH: none"])
    facts = make_facts(toolchain=None, no_toolchain=failed, package_manager="apk")
    assert only("compiler-missing", facts).fix == ("apk add g++",)
    assert len(only("compiler-missing", replace(facts, package_manager="")).fix) > 3


@posix
@needs_compiler
def test_compiler_too_old(tmp_path):
    """A compiler that knows no C++17 is passed over, and is told of."""
    old = script(
        tmp_path / "bin/g++",
        'case "$*" in *-std=c++17*|*-std=c++20*)\n'
        "  echo \"g++: error: unrecognized command line option '-std=c++17'\" >&2; exit 1;;\n"
        f'esac\nexec {GXX} "$@"',
    )
    script(tmp_path / "bin/gcc", "echo 4.8.5")
    code, result, _ = doctor(
        "--cache-dir", tmp_path / "cache", "--compiler", old, environ={"LC_ALL": "C"}
    )
    (finding,) = named(result, "compiler-too-old")
    assert "unrecognized command line option" in finding["evidence"]
    assert named(result, "compiler-missing")
    assert code == 1


class TestFilesystem:
    gcc8 = toolchain(version="8.3.0", filesystem_library="stdc++fs")

    def test_filesystem_library(self):
        """The probe's answer of GCC 8, as test_toolchain.py records it."""
        facts = make_facts("--onnx-version", "1.20.0", toolchain=self.gcc8)
        finding = only("filesystem-library", facts)
        assert finding.severity is FATAL
        setting = "--cmake-arg=-DCMAKE_CXX_STANDARD_LIBRARIES=-lstdc++fs"
        assert finding.fix[0] == f"nox -s build -- {setting}"
        told = make_facts("--onnx-version", "1.20.0", setting, toolchain=self.gcc8)
        assert findings("filesystem-library", told) == ()

    @needs_compiler
    def test_the_setting_that_is_named_puts_a_static_library_where_it_helps(self, tmp_path):
        """A library that LDFLAGS name comes before what needs it, and gives nothing."""
        (tmp_path / "fs.cc").write_text("int path_split() { return 0; }\n", encoding="utf-8")
        build("-c", str(tmp_path / "fs.cc"), "-o", str(tmp_path / "fs.o"))
        run("ar", "rcs", tmp_path / "libownfs.a", tmp_path / "fs.o")
        text = "int path_split();\nint main() { return path_split(); }\n"
        write_tree(tmp_path / "project", {"main.cc": text})
        lines = "cmake_minimum_required(VERSION 3.26)\nproject(x CXX)\nadd_executable(x main.cc)\n"
        source, flags = project(tmp_path / "project", lines), f"-L{tmp_path} -lownfs"
        for settings, environ, links in (
            ((), {"LDFLAGS": flags}, False),
            ((f"-DCMAKE_CXX_STANDARD_LIBRARIES={flags}",), {}, True),
        ):
            assert cmake(source, "--fresh", *settings, **environ).returncode == 0
            made = run(real_tools().cmake, "--build", source / "build")
            assert (made.returncode == 0) is links, made.stdout

    def test_some_releases_link_it_themselves(self):
        facts = make_facts("--onnx-version", "1.17.0", toolchain=self.gcc8)
        assert severities("filesystem-library", facts) == [WARNING]
        clang = toolchain(Family.CLANG, "8.0.0", filesystem_library="c++fs")
        assert severities("filesystem-library", replace(facts, toolchain=clang)) == [FATAL]

    def test_it_is_no_matter_to_old_releases_and_new_compilers(self):
        old = make_facts("--onnx-version", "1.15.0", toolchain=self.gcc8)
        assert findings("filesystem-library", old) == ()
        assert findings("filesystem-library", make_facts()) == ()


class TestKnownBad:
    def test_compiler_known_bad(self, tmp_path):
        facts = make_facts("--onnx-version", "1.16.2", toolchain=toolchain(version="13.2.0"))
        finding = only("compiler-known-bad", upstream(facts))
        assert finding.severity is WARNING
        assert "onnx/onnx#6295" in finding.evidence
        assert "-include cstdint" in finding.fix[0]
        assert only("compiler-known-bad", facts).severity is NOTE

    @needs_compiler
    def test_the_flag_helps_a_source_that_lacks_the_header(self, tmp_path):
        text = "std::uint32_t number = 1;\n"
        assert compile_cxx(tmp_path, text, "-c").returncode != 0
        assert compile_cxx(tmp_path, text, "-c", "-include", "cstdint").returncode == 0

    @pytest.mark.parametrize(
        ("release", "family", "version", "hit"),
        [
            ("1.15.0", "gcc", "13.1.0", True),
            ("1.17.0", "gcc", "14.0.0", True),
            ("1.17.0", "gcc", "12.4.0", False),
            ("1.17.0", "clang", "18.0.0", False),
            ("1.18.0", "gcc", "13.1.0", False),
            ("1.14.0", "gcc", "14.1.0", True),
            ("1.13.1", "gcc", "14.1.0", False),
            ("1.18.0", "msvc", "14.44.35207", True),
            ("1.18.0", "msvc", "14.43.1", False),
            ("1.19.0", "msvc", "14.44.35207", False),
        ],
    )
    def test_the_table(self, release, family, version, hit):
        assert bool(known_bad(release, family, version)) is hit

    def test_an_installed_protobuf_spares_the_one_that_does_not_compile(self):
        found = protobuf("/usr")
        facts = make_facts(
            "--onnx-version",
            "1.16.0",
            toolchain=toolchain(version="13.2.0"),
            protobufs=(found,),
            cmake_finds=taking(found),
        )
        assert findings("compiler-known-bad", upstream(facts)) == ()

    def test_the_toolset_of_windows_counts(self):
        facts = make_facts(
            "--onnx-version",
            "1.18.0",
            host={"system": "windows"},
            windows=WindowsFacts(toolset="14.44.35207"),
        )
        assert "/Zc:lambda" in only("compiler-known-bad", upstream(facts)).fix[0]

    def test_every_entry_says_where_it_is_from(self):
        for entry in KNOWN_BAD:
            assert "#" in entry.reported
            assert entry.symptom
            assert release_of(entry.first)
        assert [release.since for release in RELEASES] == sorted(
            (release.since for release in RELEASES), key=lambda text: [*map(int, text.split("."))]
        )


@needs_compiler
@needs_shell
def test_other_cxx_runtime(tmp_path):
    """A protobuf that was compiled with libc++ cannot be linked with what libstdc++ compiles."""
    found = look(Toy(root=tmp_path, libcxx=True).make())
    ours = compiler_runtime(make_bench())
    if ours is CxxRuntime.LIBCXX:
        pytest.skip("this compiler is of the same kind as the toy")
    finds = taking(found)
    facts = make_facts(protobufs=(found,), cmake_finds=finds, runtime=ours)
    assert FATAL in severities("other-cxx-runtime", upstream(facts))
    assert set(severities("other-cxx-runtime", facts)) == {NOTE}
    said = compile_cxx(
        tmp_path,
        "#include <string>\nnamespace google { namespace protobuf {\n"
        "int TakesString(const std::string&); } }\n"
        'int main() { return google::protobuf::TakesString(""); }\n',
        finds.static_library,
    )
    assert "undefined reference to `google::protobuf::TakesString" in said.stderr


@needs_compiler
class TestAbseil:
    user = """\
namespace absl { inline namespace lts_20240722 {
struct string_view { const char* text; long size; };
void Use(string_view);
} }
namespace google { namespace protobuf { void Parse(const char* text) {
  absl::Use(absl::string_view{text, 1});
} } }
"""

    def archive(self, folder: Path) -> Path:
        (folder / "lib").mkdir()
        (folder / "use.cc").write_text(self.user, encoding="utf-8")
        build("-c", "-fPIC", str(folder / "use.cc"), "-o", str(folder / "use.o"))
        path = folder / "lib/libprotobuf.a"
        assert run("ar", "rcs", path, folder / "use.o").returncode == 0
        return path

    def abseil(self, root: Path, release: str, string_view: int) -> Path:
        write_tree(
            root / "include/absl/base",
            {
                "config.h": f"#define ABSL_LTS_RELEASE_VERSION {release}\n",
                "options.h": f"#define ABSL_OPTION_USE_STD_STRING_VIEW {string_view}\n",
            },
        )
        return root

    def facts(self, folder: Path, release: str, string_view: int = 2):
        self.archive(folder)
        found = look(folder)
        assert found.libraries[0].abseil == "20240722"
        assert found.libraries[0].string_view == "absl"
        abseils = tuple(machine.abseils([self.abseil(folder, release, string_view)]))
        return make_facts(protobufs=(found,), cmake_finds=taking(found), abseils=abseils)

    def test_abseil_mismatch(self, tmp_path):
        facts = self.facts(tmp_path, "20230125")
        finding = only("abseil-mismatch", upstream(facts))
        assert finding.severity is FATAL
        assert "refers to abseil 20240722" in finding.what
        assert "20230125" in finding.evidence
        assert only("abseil-mismatch", facts).severity is NOTE
        archive = facts.taken_library
        options = ("-shared", "-Wl,--no-undefined", "-Wl,--whole-archive", archive)
        said = compile_cxx(tmp_path, "", *options, "-Wl,--no-whole-archive", "-o", "x.so")
        assert "undefined reference to `absl::lts_20240722::" in said.stderr

    def test_one_release_with_another_string_view(self, tmp_path):
        finding = only("abseil-mismatch", upstream(self.facts(tmp_path, "20240722", 1)))
        assert "std::string_view" in finding.what
        assert finding.severity is FATAL

    def test_what_belongs_together(self, tmp_path):
        facts = self.facts(tmp_path, "20240722")
        assert findings("abseil-mismatch", upstream(facts)) == ()

    def test_a_protobuf_without_abseil_is_no_matter(self):
        found = protobuf("/usr", libraries=(library("/usr/lib/x.so", Linkage.SHARED),))
        assert outcome("abseil-mismatch", make_facts(protobufs=(found,))).not_applicable


def test_a_compiler_that_is_passed_over_does_not_end_a_build():
    too_old = replace(PROBES, cxx17=Probe(ok=False, why="error: unrecognized '-std=c++17'"))
    item = Assessed(compiler=toolchain(version="4.8.5").compiler, probes=too_old)
    finding = only("compiler-too-old", make_facts(compilers=(item,)))
    assert finding.severity is NOTE
    assert "another one is used" in finding.what
