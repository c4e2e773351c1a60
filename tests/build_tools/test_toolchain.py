"""Compilers described, probed and chosen: from recorded answers, and by real compilers."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from build_tools.errors import ToolchainError
from build_tools.process import SystemRunner
from build_tools.record import Record
from build_tools.toolchain import find_toolchain, memory
from build_tools.toolchain.choose import choose
from build_tools.toolchain.describe import describe
from build_tools.toolchain.model import (
    Assessed,
    Candidate,
    Compiler,
    Family,
    Probe,
    Probes,
    Rejected,
    Toolchain,
)
from build_tools.toolchain.probe import probe
from tests.build_tools.support import RecordedRunner, has, make_host, said, script

GCC_MACROS = "#define __GNUC__ 12\n#define __GNUC_MINOR__ 2\n#define __GNUC_PATCHLEVEL__ 0\n"
CLANG_MACROS = (
    "#define __GNUC__ 4\n#define __GNUC_MINOR__ 2\n#define __clang__ 1\n"
    "#define __clang_major__ 14\n#define __clang_minor__ 0\n#define __clang_patchlevel__ 6\n"
)
APPLE_MACROS = CLANG_MACROS + "#define __apple_build_version__ 15000309\n"
CANDIDATE = Candidate(cc=Path("/x/gcc"), cxx=Path("/x/g++"), origin="PATH")
YES, NO = Probe(ok=True, why="it ran"), Probe(ok=False, why="it did not")
ALL = Probes(
    runs=YES,
    cxx17=YES,
    cxx20=YES,
    filesystem_link=YES,
    shared_objects=YES,
    visibility=YES,
    lto=YES,
    standard_library="libstdc++ 12 (20220819)",
)


def compiler(**changes):
    facts = {
        "family": Family.GCC,
        "version": "12.2.0",
        "target": "x86_64-linux-gnu",
        "cc": Path("/x/gcc"),
        "cxx": Path("/x/g++"),
        "origin": "PATH",
    }
    return Compiler(**{**facts, **changes})


def answering(macros):
    return RecordedRunner(
        [
            (has("-dM"), said(macros)),
            (has("-dumpversion"), said("12\n")),
            (has("-dumpmachine"), said("x86_64-linux-gnu\n")),
        ]
    )


class TestDescribe:
    @pytest.mark.parametrize(
        ("macros", "family", "version"),
        [
            (GCC_MACROS, Family.GCC, "12.2.0"),
            (CLANG_MACROS, Family.CLANG, "14.0.6"),
            (APPLE_MACROS, Family.APPLE_CLANG, "14.0.6"),
        ],
    )
    def test_the_macros_tell_whatever_the_name_says(self, macros, family, version):
        described = describe(CANDIDATE, answering(macros), {})
        assert (described.family, described.version) == (family, version)
        assert described.target == "x86_64-linux-gnu"

    def test_arguments_belong_to_every_question_and_messages_are_english(self):
        runner = answering(GCC_MACROS)
        candidate = replace(CANDIDATE, cxx_arguments=("-m32",), cc_arguments=("-m32",))
        describe(candidate, runner, {"LC_ALL": "de_DE.UTF-8"})
        assert all(call.argv[1] == "-m32" for call in runner.calls)
        assert {call.env["LC_ALL"] for call in runner.calls} == {"C"}

    def test_a_compiler_of_another_family_is_rejected(self):
        rejected = describe(CANDIDATE, answering("#define __PGI 1\n"), {})
        assert isinstance(rejected, Rejected)
        assert "neither GCC, Clang nor MSVC" in str(rejected)

    def test_a_program_that_is_no_compiler_is_rejected_with_its_words(self):
        runner = RecordedRunner([(has("-dM"), said("", returncode=1, stderr="error: no input"))])
        assert "error: no input" in str(describe(CANDIDATE, runner, {}))

    def test_a_missing_c_driver_is_found_out_before_cmake_does(self):
        runner = RecordedRunner(
            [
                (has("-dM"), said(GCC_MACROS)),
                (has("-dumpversion"), said(returncode=127, stderr="/x/gcc: No such file")),
            ]
        )
        assert "its C driver does not work: /x/gcc" in str(describe(CANDIDATE, runner, {}))


class TestChoose:
    def test_the_first_that_can_do_what_is_needed(self):
        old = Assessed(compiler=compiler(version="4.8.5"), probes=replace(ALL, cxx17=NO))
        new = Assessed(compiler=compiler(version="12.2.0"), probes=ALL)
        chosen = choose([Rejected(cxx="/y/g++", origin="PATH", why="dead"), old, new])
        assert chosen.compiler.version == "12.2.0"
        assert len(chosen.rejected) == 2
        assert "2 before it failed" in chosen.reasons[0]
        assert "cxx17: it did not" in str(chosen.rejected[1])

    @pytest.mark.parametrize("optional", ["cxx20", "lto"])
    def test_what_is_not_needed_is_only_told(self, optional):
        item = Assessed(compiler=compiler(), probes=replace(ALL, **{optional: NO}))
        assert f"cannot {optional}: it did not" in choose([item]).reasons

    @pytest.mark.parametrize(
        "needed", ["runs", "cxx17", "filesystem_link", "shared_objects", "visibility"]
    )
    def test_what_is_needed_is_needed(self, needed):
        item = Assessed(compiler=compiler(), probes=replace(ALL, **{needed: NO}))
        with pytest.raises(ToolchainError) as caught:
            choose([item], flags=(("CXXFLAGS", "-O9"),))
        assert f"{needed}: it did not" in str(caught.value)
        assert "CXXFLAGS=-O9" in str(caught.value)

    def test_nothing_at_all(self):
        with pytest.raises(ToolchainError, match="no C\\+\\+ compiler was found") as caught:
            choose([])
        assert "apt-get install g++" in str(caught.value)
        assert caught.value.exit_code == 10


class TestToolchain:
    def make(self, flags=(), probes=ALL, **changes):
        return Toolchain(compiler=compiler(**changes), probes=probes, reasons=(), flags=flags)

    def test_environment_and_cmake_carry_arguments_and_launcher(self):
        chain = self.make(
            cxx=Path("/my dir/g++"), cxx_arguments=("-m64",), launcher=Path("/x/ccache")
        )
        assert chain.environment() == {"CC": "/x/gcc", "CXX": "'/my dir/g++' -m64"}
        assert chain.cmake_cache() == {
            "CMAKE_C_COMPILER": "/x/gcc",
            "CMAKE_CXX_COMPILER": "/my dir/g++;-m64",
            "CMAKE_C_COMPILER_LAUNCHER": "/x/ccache",
            "CMAKE_CXX_COMPILER_LAUNCHER": "/x/ccache",
        }

    def test_the_identity_changes_with_whatever_changes_the_products(self):
        identities = {
            self.make().identity(),
            self.make(version="13.1.0").identity(),
            self.make(family=Family.CLANG).identity(),
            self.make(target="aarch64-linux-gnu").identity(),
            self.make(cxx=Path("/y/g++")).identity(),
            self.make(cxx_arguments=("-m32",)).identity(),
            self.make(flags=(("CXXFLAGS", "-O1"),)).identity(),
            self.make(probes=replace(ALL, standard_library="libstdc++ 13")).identity(),
        }
        assert len(identities) == 8
        assert self.make().identity() == self.make(origin="environment CXX").identity()
        assert self.make().identity().startswith("gcc-12.2.0-x86_64-linux-gnu-")


class TestRecordedProbes:
    """Compilers that are not here, by what they would answer."""

    def test_filesystem_in_a_library_of_its_own(self):
        """GCC 8: the functions are in libstdc++fs.a."""
        undefined = "/tmp/x.o: undefined reference to `std::filesystem::__cxx11::path'"
        runner = RecordedRunner(
            [
                (has("filesystem.cc", "-lstdc++fs"), said()),
                (has("filesystem.cc"), said(returncode=1, stderr=undefined)),
                (has("loader.cc"), said()),
                (lambda argv: argv[0].endswith("/loader"), said("hidden")),
                (has("cxx20.cc"), said(returncode=1, stderr="error: no such -std")),
                (lambda argv: argv[0].endswith("/cxx17"), said("ok libstdc++ 8 (20210514)")),
                (lambda argv: True, said("ok")),
            ]
        )
        probes = probe(compiler(), runner, {})
        assert probes.filesystem_link.ok
        assert probes.filesystem_library == "stdc++fs"
        assert probes.standard_library == "libstdc++ 8 (20210514)"
        assert not probes.cxx20.ok
        assert not list(probes.missing())

    def test_no_filesystem_at_all_gives_the_linkers_words(self):
        undefined = "collect2: note\nx.o: undefined reference to `std::filesystem::path'"
        runner = RecordedRunner(
            [
                (has("filesystem.cc"), said(returncode=1, stderr=undefined)),
                (lambda argv: argv[0].endswith("/loader"), said("hidden")),
                (lambda argv: True, said("ok")),
            ]
        )
        ((name, failed),) = probe(compiler(), runner, {}).missing()
        assert name == "filesystem_link"
        assert failed.why.startswith("x.o: undefined reference")

    def test_a_compiler_whose_products_do_not_run_here(self):
        runner = RecordedRunner(
            [
                (
                    lambda argv: "onnxforge-probe" in argv[0],
                    said(returncode=126, stderr="Exec format error"),
                ),
                (lambda argv: True, said()),
            ]
        )
        missing = dict(probe(compiler(), runner, {}).missing())
        assert missing["runs"].why == "Exec format error"
        assert set(missing) == {"runs", "cxx17", "filesystem_link", "shared_objects", "visibility"}

    def test_flags_of_the_environment_are_probed_with(self):
        runner = RecordedRunner([(lambda argv: True, said("ok"))])
        probe(compiler(), runner, {"CXXFLAGS": "-O1 '-DX=a b'", "LDFLAGS": "-Wl,-z,now"})
        first = runner.calls[0].argv
        assert {"-O1", "-DX=a b", "-Wl,-z,now"} <= set(first)


REAL = [name for name in ("g++", "clang++") if shutil.which(name)]
real = pytest.mark.parametrize("name", REAL)


@pytest.fixture
def find(tmp_path):
    """Finds a toolchain for real, with a given environment."""

    def run(asked=None, **environ):
        environ = {"PATH": os.environ["PATH"], **environ}
        host = make_host(environ=environ)
        record = Record()
        chain = find_toolchain(asked, host, SystemRunner(environ), record, tmp_path / "cache")
        return chain, record

    return run


class TestRealCompilers:
    @real
    def test_everything_is_proved_by_compiling_linking_and_running(self, find, name):
        chain, record = find(name)
        expected = {"g++": Family.GCC, "clang++": Family.CLANG}[name]
        assert chain.compiler.family in {expected, Family.APPLE_CLANG}
        assert {probe.ok for _, probe in chain.probes.named() if _ != "lto"} == {True}
        assert chain.probes.standard_library.startswith(("libstdc++ ", "libc++ "))
        assert chain.compiler.target.count("-") >= 2
        assert [decision.subject for decision in record.decisions] == ["compiler"]
        assert len(record.proofs) >= 6

    @real
    def test_arguments_and_blanks_in_the_path(self, find, name, tmp_path):
        folder = tmp_path / "werkzeug ö"
        for driver in (name, {"g++": "gcc", "clang++": "clang"}[name]):
            script(folder / driver, f'exec {driver} "$@"')
        chain, _ = find(CXX=f'"{folder / name}" -DARGUMENT=1')
        assert chain.compiler.cxx == folder / name
        assert chain.compiler.cxx_arguments == ("-DARGUMENT=1",)
        assert chain.probes.cxx17.ok

    @real
    def test_cc_set_and_cxx_unset(self, find, name):
        chain, record = find(CC={"g++": "gcc", "clang++": "clang"}[name])
        assert chain.compiler.cxx.name == name
        assert record.decisions[0].source == "environment CC"

    @real
    def test_the_answers_are_remembered_until_the_compiler_changes(self, find, name, tmp_path):
        tool = script(tmp_path / name, f'exec {shutil.which(name)} "$@"')
        c_name = {"g++": "gcc", "clang++": "clang"}[name]
        script(tmp_path / c_name, f'exec {shutil.which(c_name)} "$@"')
        first, _ = find(str(tool))
        count = tmp_path / "count"
        script(tool, f'echo x >> "{count}"; exec {shutil.which(name)} "$@"')
        second, _ = find(str(tool))
        asked = len(count.read_text().splitlines())
        third, _ = find(str(tool))
        assert second.probes == third.probes == first.probes
        # Only what describes it was asked again: macros and target.
        assert len(count.read_text().splitlines()) - asked == 2 < asked

    def test_a_compiler_without_cxx17_is_refused_with_its_words(self, find, tmp_path):
        """Such a compiler is played by one that is kept at C++14."""
        kept = 'for a; do shift; case "$a" in -std=*) a=-std=c++14;; esac; set -- "$@" "$a"; done'
        script(tmp_path / "g++", f'{kept}\nexec {shutil.which(REAL[0])} "$@"')
        script(tmp_path / "gcc", f'exec {shutil.which("cc")} "$@"')
        with pytest.raises(ToolchainError) as caught:
            find(str(tmp_path / "g++"))
        text = str(caught.value)
        assert "C++17 with <filesystem> is needed" in text
        assert "C++17 was asked for, and __cplusplus says something older" in text
        assert "install a newer compiler: GCC 8" in text

    def test_an_old_compiler_first_on_path_is_passed_over(self, find, tmp_path):
        script(tmp_path / "g++", "echo 'error: unrecognized option' >&2; exit 1")
        chain, record = find(PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        assert chain.rejected[0].cxx == str(tmp_path / "g++")
        told = [(decision.subject, decision.choice) for decision in record.decisions]
        assert told[0] == ("compiler not taken", str(tmp_path / "g++"))
        assert chain.probes.cxx17.ok

    def test_no_compiler_at_all(self, find, tmp_path):
        with pytest.raises(ToolchainError) as caught:
            find(PATH=str(tmp_path))
        assert "no C++ compiler was found" in str(caught.value)
        assert "apt-get install g++" in str(caught.value)

    @real
    def test_flags_that_break_it_are_named(self, find, name):
        with pytest.raises(ToolchainError) as caught:
            find(name, CXXFLAGS="-fno-such-flag-anywhere")
        assert "CXXFLAGS=-fno-such-flag-anywhere (environment)" in str(caught.value)
        assert "no-such-flag" in str(caught.value).partition("what to do")[0]


class TestMemory:
    def test_there_and_back(self, tmp_path):
        memory.remember(tmp_path, "k" * 64, ALL)
        assert memory.recall(tmp_path, "k" * 64) == ALL

    @pytest.mark.parametrize(
        "text", ["", "{", "[]", '{"runs": 1}', '{"unknown": "x"}', "all words instead of answers"]
    )
    def test_a_damaged_file_is_as_good_as_none(self, tmp_path, text):
        memory.remember(tmp_path, "k" * 64, ALL)
        (file,) = (tmp_path / "probes").iterdir()
        if text.startswith("all"):
            text = json.dumps(dict.fromkeys(json.loads(file.read_text()), "yes"))
        file.write_text(text, encoding="utf-8")
        assert memory.recall(tmp_path, "k" * 64) is None

    def test_a_cache_that_cannot_be_written_only_costs_time(self, tmp_path):
        (tmp_path / "file").write_text("")
        memory.remember(tmp_path / "file", "k" * 64, ALL)
        assert memory.recall(tmp_path / "file", "k" * 64) is None
