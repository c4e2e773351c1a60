"""The probes answer rightly, and in the linker's own words."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from build_tools import probes
from build_tools.probes import CxxRuntime
from build_tools.process import SystemRunner
from tests.build_tools.support import script
from tests.build_tools.toy_protobuf import (
    Toy,
    build,
    make_bench,
    needs_compiler,
    needs_shell,
)

pytestmark = [needs_compiler, needs_shell]

DEBIAN = next(iter(Path("/usr/lib").glob("*-linux-gnu*/libprotobuf-lite.a")), Path("/none")).parent
needs_debian = pytest.mark.skipif(
    not (DEBIAN / "libprotobuf.a").is_file(), reason="no libprotobuf-dev of Debian or Ubuntu here"
)
COMPILERS = [path for name in ("g++", "clang++") if (path := shutil.which(name))]


@needs_debian
@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("name", ["libprotobuf.a", "libprotobuf-lite.a"])
def test_the_distribution_archive_is_rejected_in_the_linkers_words(
    name: str, compiler: str
) -> None:
    finding = probes.position_independent(DEBIAN / name, make_bench(compiler))
    assert not finding.ok
    assert "relocation R_" in finding.evidence
    assert "recompile with -fPIC" in finding.evidence


@needs_debian
@pytest.mark.parametrize("name", ["libprotobuf.so", "libprotobuf-lite.so", "libprotobuf.a"])
def test_the_distribution_library_says_its_own_version(name: str) -> None:
    headers = probes.headers_version(Path("/usr/include"))
    finding = probes.library_version(DEBIAN / name, make_bench())
    assert finding.ok
    assert finding.value == headers.value != ""


@needs_debian
@pytest.mark.skipif(not Path("/usr/bin/protoc").is_file(), reason="no protobuf-compiler here")
@pytest.mark.parametrize("name", ["libprotobuf-lite.so", "libprotobuf-lite.a"])
def test_trial_with_the_distributions_protobuf(name: str) -> None:
    protoc, include = Path("/usr/bin/protoc"), Path("/usr/include")
    assert probes.trial(protoc, include, DEBIAN / name, make_bench()).ok


@pytest.mark.parametrize("compiler", COMPILERS)
def test_position_independence_of_our_own_archives(tmp_path: Path, compiler: str) -> None:
    good = Toy(root=tmp_path / "good").make() / "lib/libprotobuf.a"
    bad = Toy(root=tmp_path / "bad", pic=False).make() / "lib/libprotobuf.a"
    assert probes.position_independent(good, make_bench(compiler)).ok
    finding = probes.position_independent(bad, make_bench(compiler))
    assert not finding.ok
    assert "libprotobuf.a(protobuf.o): relocation" in finding.evidence


def test_windows_code_is_never_asked() -> None:
    bench = replace(make_bench(), system="windows")
    assert probes.position_independent(Path("nothing.lib"), bench).ok


def test_messages_are_english_whatever_the_language(tmp_path: Path) -> None:
    bench = make_bench()
    bench = replace(bench, environment={**bench.environment, "LANG": "de_DE.UTF-8"})
    assert "No such file" in probes.position_independent(tmp_path / "no.a", bench).evidence


class TestProtoc:
    def test_version(self, tmp_path: Path) -> None:
        root = Toy(root=tmp_path, version="3.20.2").make()
        finding = probes.protoc_version(root / "bin/protoc", make_bench())
        assert (finding.ok, finding.value) == (True, "3.20.2")

    def test_missing(self, tmp_path: Path) -> None:
        finding = probes.protoc_version(tmp_path / "protoc", make_bench())
        assert not finding.ok
        assert "does not exist" in finding.evidence

    def test_of_another_machine(self, tmp_path: Path) -> None:
        shutil.copy(os.path.realpath("/bin/sh"), tmp_path / "protoc")
        with (tmp_path / "protoc").open("r+b") as program:
            program.seek(18)
            program.write((22).to_bytes(2, "little"))  # s390x
        finding = probes.protoc_version(tmp_path / "protoc", make_bench())
        assert not finding.ok
        assert finding.evidence.endswith("for s390x")

    def test_that_fails_is_quoted(self, tmp_path: Path) -> None:
        broken = "echo 'libprotoc.so.23: cannot open shared object file' >&2; exit 127\n"
        protoc = script(tmp_path / "protoc", broken)
        assert (
            "libprotoc.so.23: cannot open" in probes.protoc_version(protoc, make_bench()).evidence
        )

    def test_that_says_nothing(self, tmp_path: Path) -> None:
        protoc = script(tmp_path / "protoc", "exit 0\n")
        assert "no version" in probes.protoc_version(protoc, make_bench()).evidence


class TestHeaders:
    @pytest.mark.parametrize(
        ("name", "text", "version"),
        [
            ("port_def.inc", "#define PROTOBUF_VERSION 3020002\n", "3.20.2"),
            ("stubs/common.h", "#define GOOGLE_PROTOBUF_VERSION 3006001\n", "3.6.1"),
            ("stubs/common.h", "#define GOOGLE_PROTOBUF_VERSION 4025001\n", "25.1"),
            ("runtime_version.h", "#define PROTOBUF_CPP_VERSION 6031001\n", "31.1"),
        ],
    )
    def test_every_spelling(self, tmp_path: Path, name: str, text: str, version: str) -> None:
        header = tmp_path / "google/protobuf" / name
        header.parent.mkdir(parents=True)
        header.write_text(text, encoding="utf-8")
        assert probes.headers_version(tmp_path).value == version

    def test_none(self, tmp_path: Path) -> None:
        assert not probes.headers_version(tmp_path).ok


@pytest.mark.parametrize(
    ("said", "release"),
    [
        ("3.20.2", "3.20.2"),
        ("25.1", "25.1"),
        ("4.25.1", "25.1"),
        ("3.21.12", "3.21.12"),
        ("22.0", "22.0"),
    ],
)
def test_one_spelling_for_a_release(said: str, release: str) -> None:
    assert probes.release_of(said) == release


class TestLibrary:
    @pytest.mark.parametrize("name", ["libprotobuf-lite.a", "libprotobuf-lite.so"])
    def test_version(self, tmp_path: Path, name: str) -> None:
        root = Toy(root=tmp_path, library="3.20.3", shared=True).make()
        finding = probes.library_version(root / "lib" / name, make_bench())
        assert (finding.ok, finding.value) == (True, "3.20.3")

    def test_version_of_one_that_is_asked_in_the_newer_way(self, tmp_path: Path) -> None:
        root = Toy(root=tmp_path, library="6.31.1").make()
        finding = probes.library_version(root / "lib/libprotobuf-lite.a", make_bench())
        assert (finding.ok, finding.value) == (True, "31.1")

    def test_that_is_not_protobuf(self, tmp_path: Path) -> None:
        (tmp_path / "x.cc").write_text("int x;", encoding="utf-8")
        build("-shared", "-fPIC", f"{tmp_path}/x.cc", "-o", f"{tmp_path}/libprotobuf-lite.so")
        finding = probes.library_version(tmp_path / "libprotobuf-lite.so", make_bench())
        assert not finding.ok
        assert "undefined reference" in finding.evidence or "VerifyVersion" in finding.evidence

    def test_runtime_of_the_compilers_own_product(self, tmp_path: Path) -> None:
        library = Toy(root=tmp_path).make() / "lib/libprotobuf.a"
        bench = make_bench()
        assert probes.library_runtime(library) is probes.compiler_runtime(bench)
        finding = probes.same_runtime(library, bench)
        assert finding.ok

    def test_names_of_libcxx_are_known(self, tmp_path: Path) -> None:
        library = Toy(root=tmp_path, libcxx=True).make() / "lib/libprotobuf.a"
        assert probes.library_runtime(library) is CxxRuntime.LIBCXX

    @pytest.mark.skipif(shutil.which("g++") is None, reason="only g++ has the two ABIs")
    def test_old_abi_is_told_from_the_new(self, tmp_path: Path) -> None:
        source = tmp_path / "x.cc"
        source.write_text("#include <string>\nint f(const std::string& s) { return s.size(); }\n")
        build(
            "-shared", "-fPIC", "-D_GLIBCXX_USE_CXX11_ABI=0", str(source), "-o", f"{tmp_path}/x.so"
        )
        assert probes.library_runtime(tmp_path / "x.so") is CxxRuntime.LIBSTDCXX_OLD
        bench = make_bench("g++")
        assert not probes.same_runtime(tmp_path / "x.so", bench).ok
        old = replace(bench, flags=("-D_GLIBCXX_USE_CXX11_ABI=0",))
        assert probes.same_runtime(tmp_path / "x.so", old).ok

    def test_library_without_a_trace_of_cxx_is_no_objection(self, tmp_path: Path) -> None:
        (tmp_path / "x.cc").write_text('extern "C" int x() { return 1; }', encoding="utf-8")
        build("-shared", "-fPIC", f"{tmp_path}/x.cc", "-o", f"{tmp_path}/x.so")
        assert probes.same_runtime(tmp_path / "x.so", make_bench()).ok


class TestHeadersInFront:
    def test_good(self, tmp_path: Path) -> None:
        include = Toy(root=tmp_path / "pb with blanks").make() / "include"
        finding = probes.headers_in_front(include, make_bench())
        assert finding.ok

    @needs_debian
    def test_of_the_system(self) -> None:
        assert probes.headers_in_front(Path("/usr/include"), make_bench()).ok

    @pytest.mark.parametrize("variable", ["CPATH", "flags"])
    def test_of_another_come_first(self, tmp_path: Path, variable: str) -> None:
        include = Toy(root=tmp_path / "ours").make() / "include"
        conda = Toy(root=tmp_path / "conda").make() / "include"
        bench = make_bench()
        if variable == "flags":
            bench = replace(bench, flags=("-isystem", str(conda)))
        else:
            bench = replace(bench, environment={**bench.environment, variable: str(conda)})
        finding = probes.headers_in_front(include, bench)
        assert not finding.ok
        assert str(conda) in finding.evidence

    def test_none(self, tmp_path: Path) -> None:
        finding = probes.headers_in_front(tmp_path, replace(make_bench(), flags=("-nostdinc",)))
        assert not finding.ok
        assert "port_def.inc" in finding.evidence


class TestTrial:
    def ask(self, root: Path, bench: probes.Bench | None = None) -> probes.Finding:
        library = root / "lib/libprotobuf-lite.a"
        return probes.trial(root / "bin/protoc", root / "include", library, bench or make_bench())

    def test_good(self, tmp_path: Path) -> None:
        assert self.ask(Toy(root=tmp_path).make()).ok

    def test_in_a_folder_with_blanks_and_foreign_letters(self, tmp_path: Path) -> None:
        assert self.ask(Toy(root=tmp_path / "Bücher und Maße").make()).ok

    def test_headers_of_another_version(self, tmp_path: Path) -> None:
        finding = self.ask(Toy(root=tmp_path, headers="3.19.0").make())
        assert not finding.ok
        assert "generated by an older version of protoc" in finding.evidence

    def test_second_protobuf_hidden_in_cpath_is_found_out(self, tmp_path: Path) -> None:
        """CPATH comes before the folders of imported libraries: BUILD with conda's headers."""
        root = Toy(root=tmp_path / "ours").make()
        conda = Toy(root=tmp_path / "conda", version="3.15.8").make()
        bench = make_bench()
        bench = replace(bench, environment={**bench.environment, "CPATH": str(conda / "include")})
        finding = self.ask(root, bench)
        assert not finding.ok
        assert "generated by an older version of protoc" in finding.evidence


def test_a_probe_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = Toy(root=tmp_path / "pb").make() / "lib/libprotobuf.a"
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    bench = replace(make_bench(), runner=SystemRunner())
    assert probes.library_version(library, bench).ok
    assert probes.position_independent(library, bench).ok
    assert list(scratch.iterdir()) == []
