"""A protobuf on Windows: .lib files told apart, Debug names, the DLL that a wheel must carry."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from build_tools.config import Linkage
from build_tools.probes import Bench, for_processors, links_into_extension, msvc_runtime
from build_tools.protobuf.describe import describe, find_files
from build_tools.protobuf.model import Candidate
from build_tools.toolchain.dialect import MSVC_DIALECT
from tests.build_tools import mingw
from tests.build_tools.mingw import needs_mingw
from tests.build_tools.recordings import windows_host
from tests.build_tools.support import RecordedRunner, has, said, write_tree

HEADER = "include/google/protobuf/port_def.inc"


def static_lib(path: Path, runtime: str = "MD_DynamicRelease", machine: int = 0x8664) -> Path:
    """A static library as cl and lib write it: one object with what the linker has to compare."""
    directive = f'/FAILIFMISMATCH:"RuntimeLibrary={runtime}"'.encode()
    content = struct.pack("<H", machine) + bytes(62) + directive
    header = b"%-16s%-12s%-6s%-6s%-8s%-10d`\n" % (b"a.obj/", b"0", b"", b"", b"0", len(content))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"!<arch>\n" + header + content + b"\n" * (len(content) % 2))
    return path


@pytest.fixture
def root(tmp_path):
    files = {"bin/protoc.exe": "", HEADER: "#define PROTOBUF_VERSION 3021012\n"}
    return write_tree(tmp_path / "a prefix", files)


def bench(root: Path, flag: str = "/MD") -> Bench:
    """cl, whose every answer is the right one for the protobuf in ``root``."""
    taken = str(root / HEADER).replace("\\", "\\\\")
    runner = RecordedRunner(
        [
            (has("protoc.exe", "--version"), said("libprotoc 3.21.12\r\n")),
            (has("/E", "front.cc"), said(f'#line 1 "front.cc"\n#line 1 "{taken}"\n')),
            (
                lambda argv: argv[0].endswith("version.exe"),
                said(stderr="installed version is 3.21.12.", returncode=3),
            ),
            (lambda _argv: True, said()),
        ]
    )
    return Bench(
        cxx=Path("cl.exe"),
        runner=runner,
        system="windows",
        environment={"PATH": "C:\\Windows"},
        flags=(flag,),
        dialect=MSVC_DIALECT,
        runtime=msvc_runtime(flag),
        processors=("x86_64",),
    )


def described(root: Path, cl: Bench, linkage: Linkage = Linkage.STATIC, *, debug: bool = False):
    candidate = Candidate(root=root, origin="the test")
    return describe(candidate, linkage, windows_host(), cl, debug=debug)


def test_a_static_one(root):
    library = static_lib(root / "lib/libprotobuf-lite.lib")
    cl = bench(root)
    found = described(root, cl)
    assert found.problems == ()
    assert found.install.lite_library == library
    assert found.install.runtime_libraries == ()
    compiled = [call.argv for call in cl.runner.calls if call.argv[0] == "cl.exe"]
    assert all(argv[1] == "/MD" for argv in compiled)
    (trial,) = [argv for argv in compiled if "trial.cc" in argv]
    assert trial[-2:] == ("/link", str(library))
    assert "-DPROTOBUF_USE_DLLS" not in trial


@pytest.mark.parametrize(
    ("directive", "flag", "words"),
    [
        ("MT_StaticRelease", "/MD", "linked in (/MT)"),
        ("MDd_DynamicDebug", "/MD", "for debugging, in a DLL (/MDd)"),
        ("MD_DynamicRelease", "/MDd", "in a DLL (/MD)"),
    ],
)
def test_one_for_another_runtime_library(root, directive, flag, words):
    static_lib(root / "lib/libprotobuf-lite.lib", directive)
    (problem,) = described(root, bench(root, flag)).problems
    assert "one C++ runtime" in problem
    assert words in problem


def test_one_for_another_processor(root):
    static_lib(root / "lib/libprotobuf-lite.lib", machine=0x014C)
    (problem,) = described(root, bench(root)).problems
    assert problem.endswith("is for i386, not for x86_64")


def test_debug_libraries_are_for_debug_builds(root):
    debug = static_lib(root / "lib/libprotobuf-lited.lib", "MDd_DynamicDebug")
    full = static_lib(root / "lib/libprotobufd.lib", "MDd_DynamicDebug")
    host = windows_host()
    assert find_files(root, Linkage.STATIC, host).lite_library is None
    found = described(root, bench(root, "/MDd"), debug=True)
    assert found.problems == ()
    assert (found.install.lite_library, found.install.library) == (debug, full)
    plain = static_lib(root / "lib/libprotobuf-lite.lib")
    assert find_files(root, Linkage.STATIC, host).lite_library == plain
    assert find_files(root, Linkage.STATIC, host, debug=True).lite_library == debug


@needs_mingw
class TestShared:
    @pytest.fixture
    def library(self, root):
        (root / "lib").mkdir()
        made = mingw.dll(
            root / "bin", "protobuf-lite", f"{mingw.SHOWN} int x(void) {{ return 1; }}"
        )
        (root / "bin/libprotobuf-lite.dll.a").rename(root / "lib/protobuf-lite.lib")
        assert made.is_file()
        return root / "lib/protobuf-lite.lib"

    def test_the_dll_is_what_a_wheel_must_carry(self, root, library):
        cl = bench(root)
        found = described(root, cl, Linkage.SHARED)
        assert found.problems == ()
        assert found.install.use_shared_libs
        (needed,) = found.install.runtime_libraries
        assert (needed.name, needed.path) == ("protobuf-lite.dll", root / "bin/protobuf-lite.dll")
        assert found.install.library_folders == (root / "bin",)
        (trial,) = [call for call in cl.runner.calls if "trial.cc" in call.argv]
        assert "-DPROTOBUF_USE_DLLS" in trial.argv
        ran = cl.runner.calls[-1]
        assert ran.argv[0].endswith("trial.exe")
        assert str(root / "bin") in ran.env["PATH"].split(";")

    def test_it_is_no_static_one(self, root, library):
        (problem,) = described(root, bench(root)).problems
        assert "only protobuf-lite.lib" in problem

    def test_the_linker_is_asked_to_take_all_of_an_archive(self, root, library, tmp_path):
        made = mingw.dll(tmp_path, "extension", f"{mingw.SHOWN} int y(void) {{ return 1; }}")

        def link(argv):
            (output,) = [word for word in argv if word.startswith("/Fe:")]
            Path(output.removeprefix("/Fe:")).write_bytes(made.read_bytes())
            return said()

        cl = bench(root)
        runner = RecordedRunner([(has("extension.cc"), link)])
        archive = tmp_path / "onnx.lib"
        linking = Bench(**{**vars(cl), "runner": runner})
        finding = links_into_extension(archive, library, linking)
        assert finding.ok
        words = runner.calls[0].argv
        assert words[words.index("/link") + 1 :] == (f"/WHOLEARCHIVE:{archive}", str(library))
        assert "/LD" in words

    def test_the_processor_of_an_import_library_is_known(self, library, root):
        assert for_processors(library, bench(root)).ok
        other = Bench(**{**vars(bench(root)), "processors": ("aarch64",)})
        assert not for_processors(library, other).ok
