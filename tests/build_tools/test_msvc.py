"""cl and clang-cl: described in any language, spoken to in their words, probed like the others."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from build_tools import probes
from build_tools.probes import Bench, CxxRuntime
from build_tools.process import SystemRunner
from build_tools.record import Record
from build_tools.toolchain import find_toolchain, memory
from build_tools.toolchain.choose import assess
from build_tools.toolchain.describe import describe
from build_tools.toolchain.dialect import GNU_DIALECT, MSVC_DIALECT, speaks_msvc
from build_tools.toolchain.model import Candidate, Compiler, Family, Rejected, Toolchain
from build_tools.toolchain.msvc import QUESTION, Banner, parse_answer, parse_banner, target_of
from build_tools.toolchain.probe import probe
from build_tools.toolchain.search import search
from tests.build_tools.recordings import environ, text, windows_host
from tests.build_tools.support import RecordedRunner, has, said, script
from tests.build_tools.test_toolchain import ALL

CL = Path("/vs/bin/HostX64/x64/cl.exe")
CANDIDATE = Candidate(cc=CL, cxx=CL, origin="PATH")
ANSWER = text("cl-preprocessed-x64-2019.txt")
CLANG_CL = ANSWER.replace('"__clang__" __clang__', '"__clang__" 1').replace(
    '"__clang_major__" __clang_major__', '"__clang_major__" 18'
)


def compiler(**changes) -> Compiler:
    facts = {
        "family": Family.MSVC,
        "version": "19.29.30154",
        "target": "x86_64-pc-windows-msvc",
        "cc": CL,
        "cxx": CL,
        "origin": "PATH",
    }
    return Compiler(**{**facts, **changes})


@pytest.mark.parametrize(
    ("recording", "banner"),
    [
        ("cl-banner-english.txt", Banner(version="19.29.30154", target="x64")),
        ("cl-banner-german.txt", Banner(version="19.41.34120", target="x86")),
    ],
)
def test_banners_are_read_by_their_numbers(recording, banner):
    assert parse_banner(text(recording)) == banner


def test_what_has_no_banner_has_none():
    assert parse_banner("cl.exe wurde nicht gefunden\nVersion 1.2 für x64\n") is None


class TestDescribe:
    def test_the_macros_tell_in_every_language(self):
        banner = text("cl-banner-german.txt")
        runner = RecordedRunner([(has("/EP"), said(ANSWER, stderr=banner))])
        described = describe(CANDIDATE, runner, {"LC_ALL": "de_DE"})
        assert described.family is Family.MSVC
        assert described.label == f"MSVC 19.29.30154 ({CL}, x86_64-pc-windows-msvc)"
        (call,) = runner.calls
        assert call.argv[1:] == ("/EP", "/TP", "macros.cc")
        assert call.env["VSLANG"] == "1033"

    @pytest.mark.parametrize(
        ("macro", "target"),
        [("_M_X64", "x86_64"), ("_M_IX86", "i686"), ("_M_ARM64", "aarch64")],
    )
    def test_the_target(self, macro, target):
        assert target_of({macro: "1"}) == f"{target}-pc-windows-msvc"

    def test_clang_cl_is_a_family_of_its_own(self):
        path = Path("/llvm/bin/clang-cl.exe")
        runner = RecordedRunner([(has("/EP"), said(CLANG_CL))])
        described = describe(replace(CANDIDATE, cc=path, cxx=path), runner, {})
        assert (described.family, described.version) == (Family.CLANG_CL, "18.0.0")

    def test_clang_with_gccs_words_stays_clang_even_when_it_compiles_for_msvc(self):
        macros = (
            "#define __clang__ 1\n#define __clang_major__ 18\n#define __clang_minor__ 1\n"
            "#define __clang_patchlevel__ 8\n#define _MSC_VER 1933\n"
        )
        runner = RecordedRunner(
            [
                (has("-dM"), said(macros)),
                (has("-dumpversion"), said("18.1.8\n")),
                (has("-dumpmachine"), said("x86_64-pc-windows-msvc\n")),
            ]
        )
        path = Path("/llvm/bin/clang++.exe")
        described = describe(replace(CANDIDATE, cc=path, cxx=path), runner, {})
        assert (described.family, described.version) == (Family.CLANG, "18.1.8")

    def test_a_cl_that_does_not_work_is_rejected_with_its_version_and_words(self):
        words = f"{text('cl-banner-german.txt')}fatal error C1034: stdio.h: Kein Includepfad\n"
        runner = RecordedRunner([(has("/EP"), said(returncode=2, stderr=words))])
        rejected = describe(CANDIDATE, runner, {})
        assert isinstance(rejected, Rejected)
        assert "version 19.41.34120 for x86" in str(rejected)
        assert "C1034" in str(rejected)

    def test_something_else_called_cl_is_rejected(self):
        """Other programs have that name, too: a Common Lisp, for one."""
        runner = RecordedRunner([(has("/EP"), said("* "))])
        assert "neither GCC, Clang nor MSVC" in str(describe(CANDIDATE, runner, {}))

    def test_a_cl_for_another_processor_is_not_taken(self, tmp_path):
        for_x86 = ANSWER.replace('"_M_X64" 100', '"_M_X64" _M_X64')
        for_x86 = for_x86.replace('"_M_IX86" _M_IX86', '"_M_IX86" 600')
        runner = RecordedRunner([(has("/EP"), said(for_x86))])
        (rejected,) = assess([CANDIDATE], windows_host(), runner, tmp_path)
        assert "compiles for i686-pc-windows-msvc, and Python is for x86_64" in str(rejected)


@pytest.mark.skipif(not shutil.which("clang"), reason="no clang, which is clang-cl by another name")
def test_a_real_clang_cl_answers_the_question(tmp_path):
    """On any system: with this name LLVM's driver speaks Microsoft's words."""
    driver = tmp_path / "clang-cl"
    driver.symlink_to(shutil.which("clang"))
    described = describe(Candidate(cc=driver, cxx=driver, origin="test"), SystemRunner(), {})
    assert described.family is Family.CLANG_CL
    assert described.target.endswith("-pc-windows-msvc")
    assert described.version.count(".") == 2


def test_the_question_names_every_macro_that_is_looked_at():
    assert parse_answer(QUESTION) == {}
    assert parse_answer(ANSWER) == {
        "_MSC_VER": "1929",
        "_MSC_FULL_VER": "192930154",
        "_M_X64": "100",
    }


class TestSearch:
    @pytest.fixture
    def bin_dir(self, tmp_path):
        for name in ("cl.exe", "clang-cl.exe", "gcc.exe", "g++.exe"):
            script(tmp_path / name, f": {name}")
        return tmp_path

    def found(self, bin_dir, asked=None, system="windows"):
        suffix = {"windows": ".exe", "linux": ""}[system]
        host = windows_host(system=system, exe_suffix=suffix, environ={"PATH": str(bin_dir)})
        return [candidate.cxx.name for candidate in search(host, asked, root=Path("/nowhere"))]

    def test_on_windows_its_own_compilers_come_first(self, bin_dir):
        assert self.found(bin_dir) == ["cl.exe", "clang-cl.exe", "g++.exe"]
        assert self.found(bin_dir, "msvc") == ["cl.exe"]

    def test_elsewhere_nobody_looks_for_them(self, bin_dir):
        for name in ("cl", "clang-cl", "g++", "gcc"):
            script(bin_dir / name, f": {name}")
        assert self.found(bin_dir, system="linux") == ["g++"]


class TestDialect:
    def test_a_program_in_cls_words(self):
        words = MSVC_DIALECT.program(
            "x.exe",
            ["a.cc"],
            MSVC_DIALECT.standard("c++17"),
            ["/LTCG"],
            {"CXXFLAGS": "/W3", "LDFLAGS": "/DEBUG"},
        )
        assert words == (
            *("/nologo", "/TP", "/W3", "/std:c++17", "/Zc:__cplusplus", "/EHsc", "/utf-8"),
            *("a.cc", "/Fe:x.exe", "/link", "/DEBUG", "/LTCG"),
        )
        assert "/link" not in MSVC_DIALECT.program("x.exe", ["a.cc"])

    def test_the_same_in_gccs(self):
        environ = {"CPPFLAGS": "-DA", "CXXFLAGS": "-O1", "LDFLAGS": "-s"}
        words = GNU_DIALECT.program("x", ["a.cc"], ["-std=c++17"], ["-ldl"], environ)
        assert words == ("-DA", "-O1", "-std=c++17", "a.cc", "-o", "x", "-s", "-ldl")

    def test_included_files_are_read_from_preprocessed_text(self):
        taken = "C:\\\\p q\\\\google\\\\protobuf\\\\port_def.inc"
        shown = f'#line 1 "front.cc"\n#line 1 "{taken}"\nint x;\n'
        name = "google/protobuf/port_def.inc"
        assert MSVC_DIALECT.included(shown, "", name) == r"C:\p q\google\protobuf\port_def.inc"
        by_clang_cl = f'# 1 "front.cc" 2\n# 1 "{taken}" 1\n'
        assert MSVC_DIALECT.included(by_clang_cl, "", name).endswith("port_def.inc")
        assert MSVC_DIALECT.included('#line 1 "front.cc"\n', "", name) == ""

    @pytest.mark.parametrize(
        ("name", "msvc"),
        [
            ("cl.exe", True),
            ("CL.EXE", True),
            ("clang-cl", True),
            ("clang++", False),
            ("g++", False),
        ],
    )
    def test_who_speaks_it(self, name, msvc):
        assert speaks_msvc(Path(name)) is msvc


class TestProbes:
    def runner(self, *before):
        return RecordedRunner(
            [
                *before,
                (lambda argv: argv[0].endswith("loader.exe"), said("hidden")),
                (
                    lambda argv: argv[0].endswith("cxx17.exe"),
                    said("ok Microsoft STL 142 (202008)"),
                ),
                (lambda argv: True, said("ok")),
            ]
        )

    def test_everything_is_asked_in_cls_words(self):
        runner = self.runner()
        found = probe(compiler(), runner, {})
        assert list(found.missing()) == []
        assert found.standard_library == "Microsoft STL 142 (202008)"
        assert found.lto.why == "two files linked with /GL /LTCG and ran"
        flags = {word for call in runner.calls for word in call.argv}
        assert not {"-std=c++17", "-fPIC", "-ldl", "-o"} & flags
        (dll,) = [call.argv for call in runner.calls if "/LD" in call.argv]
        assert "/Fe:shared.dll" in dll
        (loaded,) = [call.argv for call in runner.calls if call.argv[0].endswith("loader.exe")]
        assert loaded[1].endswith("shared.dll")

    def test_cxx20_is_asked_for_by_its_older_name_too(self):
        runner = self.runner((has("/std:c++20"), said(returncode=2, stderr="D9002")))
        assert probe(compiler(), runner, {}).cxx20.why.startswith(
            "a C++20 program compiled as c++l"
        )

    def test_there_is_no_library_apart_for_filesystem(self):
        runner = self.runner((has("filesystem.cc"), said(returncode=2, stdout="error LNK2019")))
        found = probe(compiler(), runner, {})
        assert (found.filesystem_library, found.filesystem_link.ok) == ("", False)
        assert sum("filesystem.cc" in call.argv for call in runner.calls) == 1

    def test_remembered_answers_are_those_of_one_environment(self, tmp_path):
        driver = script(tmp_path / "cl.exe", ":")
        chain = compiler(cc=driver, cxx=driver)
        one = memory.key_of(chain, environ("x64-native-2019"))
        assert one == memory.key_of(chain, environ("x64-native-2019"))
        assert one != memory.key_of(chain, environ("x64-native-2022"))
        assert one != memory.key_of(chain, {**environ("x64-native-2019"), "CL": "/Od"})


def test_a_toolchain_is_found_and_reported(tmp_path):
    """From a prompt's PATH to the choice, with the variables that cl reads as flags."""
    driver = script(tmp_path / "cl.exe", ":")
    variables = {"PATH": str(tmp_path), "CL": "/D_X=1", "CXXFLAGS": "/O1"}
    host = windows_host(environ=variables)
    runner = RecordedRunner([(has("/EP"), said(ANSWER)), *TestProbes().runner().answers])
    record = Record()
    # The made-up host is Windows; the folders of its PATH are those of the machine at hand.
    host = replace(host, environ={**variables, "PATH": str(driver.parent).replace(":", ";")})
    chain = find_toolchain(None, host, runner, record, tmp_path / "cache")
    assert chain.compiler.family is Family.MSVC
    assert dict(chain.flags) == {"CXXFLAGS": "/O1", "CL": "/D_X=1"}
    assert record.decisions[0].choice.startswith("MSVC 19.29.30154")


def test_cc_and_cxx_are_quoted_as_windows_does():
    spaced = Path("C:/Program Files/VS/cl.exe")
    chain = Toolchain(compiler=compiler(cc=spaced, cxx=spaced), probes=ALL, reasons=())
    assert chain.environment()["CXX"] == '"C:/Program Files/VS/cl.exe"'


class TestRuntimeOfLibraries:
    @pytest.mark.parametrize(
        ("directive", "flag", "same"),
        [
            ("MD_DynamicRelease", "/MD", True),
            ("MDd_DynamicDebug", "/MDd", True),
            ("MT_StaticRelease", "/MT", True),
            ("MTd_StaticDebug", "/MTd", True),
            ("MT_StaticRelease", "/MD", False),
            ("MDd_DynamicDebug", "/MD", False),
            ("MD_DynamicRelease", "/MDd", False),
        ],
    )
    def test_what_would_not_link_is_known_before(self, tmp_path, directive, flag, same):
        """LNK2038 after the long compile: mismatch detected for 'RuntimeLibrary'."""
        library = tmp_path / "libprotobuf-lite.lib"
        text = f'/FAILIFMISMATCH:"_MSC_VER=1900" /FAILIFMISMATCH:"RuntimeLibrary={directive}"'
        library.write_bytes(b"!<arch>\n" + text.encode())
        bench = Bench(
            cxx=CL,
            runner=RecordedRunner([]),
            system="windows",
            environment={},
            dialect=MSVC_DIALECT,
            runtime=probes.msvc_runtime(flag),
        )
        finding = probes.same_runtime(library, bench)
        assert finding.ok is same
        assert flag in finding.evidence

    def test_an_import_library_says_nothing_and_is_no_objection(self, tmp_path):
        library = tmp_path / "protobuf.lib"
        library.write_bytes(b"!<arch>\n")
        assert probes.library_runtime(library) is CxxRuntime.UNKNOWN


def test_dlls_are_found_by_path_when_a_probe_is_run(tmp_path):
    runner = RecordedRunner([(lambda argv: True, said("ok"))])
    bench = Bench(cxx=CL, runner=runner, system="windows", environment={"PATH": "C:\\Windows"})
    library = tmp_path / "lib" / "protobuf-lite.lib"
    bench.execute("x.exe", folder=tmp_path, libraries=[library])
    folders = runner.calls[0].env["PATH"].split(";")
    assert folders == [str(tmp_path / "lib"), str(tmp_path / "bin"), "C:\\Windows"]
