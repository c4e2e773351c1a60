"""A file is what its content says, whatever it is called."""

from __future__ import annotations

import shutil
import struct
import subprocess
from typing import TYPE_CHECKING

import pytest

from build_tools.binaries import (
    FileKind,
    Slice,
    archive_members,
    contains,
    dynamic_facts,
    identify,
    imported_dll,
    needed,
    real_linkage,
)
from build_tools.config import Linkage
from build_tools.errors import LinkageError
from tests.build_tools import mingw
from tests.build_tools.mingw import needs_mingw
from tests.build_tools.toy_protobuf import build, needs_compiler

if TYPE_CHECKING:
    from pathlib import Path


def _object(folder: Path, name: str = "one", text: str = "int one() { return 1; }") -> Path:
    source = folder / f"{name}.cc"
    source.write_text(text, encoding="utf-8")
    build("-c", "-fPIC", str(source), "-o", str(folder / f"{name}.o"))
    return folder / f"{name}.o"


def _member(name: bytes, content: bytes) -> bytes:
    header = b"%-16s%-12s%-6s%-6s%-8s%-10d`\n" % (name, b"0", b"0", b"0", b"644", len(content))
    return header + content + b"\n" * (len(content) % 2)


@needs_compiler
class TestRealFiles:
    def test_static_library_named_like_a_shared_one(self, tmp_path: Path) -> None:
        library = tmp_path / "libx.so"
        subprocess.run(["ar", "rcs", library, _object(tmp_path)], check=True)
        found = identify(library)
        assert (found.kind, found.linkage) == (FileKind.STATIC_LIBRARY, Linkage.STATIC)
        assert found.machine != ""
        assert real_linkage(library) is Linkage.STATIC

    def test_shared_library_named_like_a_static_one(self, tmp_path: Path) -> None:
        library = tmp_path / "libx.a"
        build("-shared", str(_object(tmp_path)), "-o", str(library))
        assert real_linkage(library) is Linkage.SHARED

    def test_position_independent_program_is_no_library(self, tmp_path: Path) -> None:
        source = tmp_path / "main.cc"
        source.write_text("int main() { return 0; }", encoding="utf-8")
        build("-pie", "-fPIE", str(source), "-o", str(tmp_path / "program"))
        assert identify(tmp_path / "program").kind is FileKind.EXECUTABLE
        with pytest.raises(LinkageError, match="is not a library"):
            real_linkage(tmp_path / "program")

    def test_object_file_is_no_library(self, tmp_path: Path) -> None:
        assert identify(_object(tmp_path)).kind is FileKind.OBJECT

    def test_thin_archive(self, tmp_path: Path) -> None:
        library = tmp_path / "libthin.a"
        subprocess.run(["ar", "rcsT", library, _object(tmp_path)], check=True)
        assert identify(library).kind is FileKind.THIN_STATIC_LIBRARY

    def test_linker_script_is_followed(self, tmp_path: Path) -> None:
        build("-shared", str(_object(tmp_path)), "-o", str(tmp_path / "libx.so.1"))
        script = tmp_path / "libx.so"
        script.write_text("/* GNU ld script */\nINPUT ( libx.so.1 )\n", encoding="utf-8")
        found = identify(script)
        assert found.real == (tmp_path / "libx.so.1").resolve()
        assert found.linkage is Linkage.SHARED

    def test_linker_script_that_names_itself_ends(self, tmp_path: Path) -> None:
        script = tmp_path / "libx.so"
        script.write_text("INPUT(libx.so)\n", encoding="utf-8")
        assert identify(script).kind is FileKind.UNKNOWN

    def test_dynamic_facts(self, tmp_path: Path) -> None:
        build(
            "-shared", "-Wl,-soname,libx.so.7", str(_object(tmp_path)), "-o", f"{tmp_path}/libx.so"
        )
        user = _object(tmp_path, "user", "int one(); int two() { return one() + 1; }")
        build(
            "-shared", str(user), f"{tmp_path}/libx.so", "-Wl,-rpath,$ORIGIN/lib",
            "-o", f"{tmp_path}/libuser.so",
        )  # fmt: skip
        facts = dynamic_facts(tmp_path / "libuser.so")
        assert "libx.so.7" in facts.needed
        assert facts.search == ("$ORIGIN/lib",)
        assert dynamic_facts(tmp_path / "libx.so").name == "libx.so.7"

    def test_an_object_has_no_dynamic_section_to_rely_on(self, tmp_path: Path) -> None:
        library = tmp_path / "libx.a"
        subprocess.run(["ar", "rcs", library, _object(tmp_path)], check=True)
        with pytest.raises(LinkageError, match="no dynamic section"):
            needed(library)

    def test_members_are_listed(self, tmp_path: Path) -> None:
        library = tmp_path / "libx.a"
        long = _object(tmp_path, "a_name_that_is_longer_than_sixteen", "int two() { return 2; }")
        subprocess.run(["ar", "rcs", library, _object(tmp_path), long], check=True)
        members = list(archive_members(library))
        assert [member.name for member in members[:2]] == ["/", "//"]
        assert len(members) == 4

    def test_contains(self, tmp_path: Path) -> None:
        assert contains(_object(tmp_path), b"_Z3onev", b"nothing like this") == (True, False)


@pytest.mark.skipif(not shutil.which("llvm-dlltool"), reason="no llvm-dlltool to make one")
def test_real_import_library_is_shared(tmp_path: Path) -> None:
    definition = tmp_path / "x.def"
    definition.write_text("LIBRARY x.dll\nEXPORTS\n one\n", encoding="utf-8")
    library = tmp_path / "x.lib"
    command = ["llvm-dlltool", "-m", "i386:x86-64", "-d", definition, "-D", "x.dll", "-l", library]
    subprocess.run(command, check=True)
    found = identify(library)
    assert (found.kind, found.machine) == (FileKind.IMPORT_LIBRARY, "x86_64")
    assert real_linkage(library) is Linkage.SHARED
    assert imported_dll(library) == "x.dll"


@needs_mingw
class TestFilesOfWindows:
    def test_an_import_library_and_an_archive_are_told_apart_by_content(
        self, tmp_path: Path
    ) -> None:
        mingw.dll(tmp_path, "protobuf-lite", "__declspec(dllexport) int one(void) { return 1; }")
        imports = tmp_path / "libprotobuf-lite.dll.a"
        archive = mingw.archive(tmp_path, "static", "int one(void) { return 1; }")
        # The name says nothing on Windows: both end in .lib.
        shared, static = tmp_path / "a.lib", tmp_path / "b.lib"
        imports.rename(shared)
        archive.rename(static)
        assert real_linkage(shared) is Linkage.SHARED
        assert real_linkage(static) is Linkage.STATIC
        assert identify(shared).machine == identify(static).machine == "x86_64"
        assert imported_dll(shared) == "protobuf-lite.dll"
        assert imported_dll(static) == ""

    def test_what_a_dll_needs_and_who_linked_it(self, tmp_path: Path) -> None:
        mingw.dll(tmp_path, "toy", "__declspec(dllexport) int one(void) { return 1; }")
        source = "int one(void); __declspec(dllexport) int two(void) { return one() + 1; }"
        user = mingw.dll(tmp_path, "user", source, f"-L{tmp_path}", "-ltoy")
        facts = dynamic_facts(user)
        assert facts.needed == ("toy.dll",)
        assert facts.slices == (Slice(machine="x86_64"),)
        assert facts.linker is not None
        assert facts.linker[0] == 2  # GNU ld's own version; Microsoft's start at 14


@pytest.mark.skipif(not shutil.which("clang"), reason="no clang to make one")
def test_a_real_mach_o_object_says_what_it_is_for(tmp_path: Path) -> None:
    source = tmp_path / "x.c"
    source.write_text("int one(void) { return 1; }\n", encoding="utf-8")
    for target, machine in (
        ("arm64-apple-macos11", "aarch64"),
        ("x86_64-apple-macos10.15", "x86_64"),
    ):
        made = tmp_path / f"{machine}.o"
        subprocess.run(["clang", "-target", target, "-c", source, "-o", made], check=True)
        assert identify(made).machine == machine
        version = (11, 0) if machine == "aarch64" else (10, 15)
        assert dynamic_facts(made).slices == (Slice(machine=machine, oldest_macos=version),)


def test_msvc_import_library_is_known_by_its_symbol_table(tmp_path: Path) -> None:
    names = b"__IMPORT_DESCRIPTOR_libprotobuf\0__NULL_IMPORT_DESCRIPTOR\0"
    library = tmp_path / "libprotobuf.lib"
    table = struct.pack(">I", 2) + bytes(8) + names
    coff = struct.pack("<H", 0x8664) + bytes(62)
    library.write_bytes(b"!<arch>\n" + _member(b"/", table) + _member(b"x.dll/", coff))
    assert identify(library).kind is FileKind.IMPORT_LIBRARY


def test_msvc_static_library_is_static(tmp_path: Path) -> None:
    library = tmp_path / "libprotobuf.lib"
    coff = struct.pack("<H", 0xAA64) + bytes(62)
    table = struct.pack(">I", 1) + bytes(4) + b"?Parse@Message@@QEAA_NXZ\0"
    library.write_bytes(b"!<arch>\n" + _member(b"/", table) + _member(b"x.obj/", coff))
    found = identify(library)
    assert (found.kind, found.machine) == (FileKind.STATIC_LIBRARY, "aarch64")


def _macho(kind: int, cpu: int = 0x0100000C) -> bytes:
    return struct.pack("<IIIIIIII", 0xFEEDFACF, cpu, 0, kind, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("content", "kind", "machine"),
    [
        (_macho(6), FileKind.SHARED_LIBRARY, "aarch64"),
        (_macho(2), FileKind.EXECUTABLE, "aarch64"),
        (_macho(1, 0x01000007), FileKind.OBJECT, "x86_64"),
        (
            struct.pack(
                ">IIIIIIIIIIII", 0xCAFEBABE, 2, 0x01000007, 3, 48, 32, 0, 0x0100000C, 0, 48, 32, 0
            )
            + _macho(6),
            FileKind.SHARED_LIBRARY,
            "aarch64+x86_64",
        ),
        (
            struct.pack(">IIIIIII", 0xCAFEBABE, 1, 0x01000007, 3, 28, 8, 0) + b"!<arch>\n",
            FileKind.STATIC_LIBRARY,
            "x86_64",
        ),
        (struct.pack(">II", 0xCAFEBABE, 61) + bytes(64), FileKind.UNKNOWN, ""),
        (b"--- !tapi-tbd\ntbd-version: 4\n", FileKind.TEXT_STUB, ""),
        (b"#!/bin/sh\n", FileKind.SCRIPT, ""),
        (b"", FileKind.UNKNOWN, ""),
        (b"MZ", FileKind.UNKNOWN, ""),
        (b"\x7fELF", FileKind.UNKNOWN, ""),
        (b"!<arch>\nnot a header at all", FileKind.STATIC_LIBRARY, ""),
    ],
)
def test_kinds_by_their_first_bytes(
    tmp_path: Path, content: bytes, kind: FileKind, machine: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    found = identify(path)
    assert (found.kind, found.machine) == (kind, machine)


@pytest.mark.parametrize(("flags", "kind"), [(0x2022, "SHARED_LIBRARY"), (0x22, "EXECUTABLE")])
def test_pe_files(tmp_path: Path, flags: int, kind: str) -> None:
    stub = b"MZ" + bytes(0x3A) + struct.pack("<I", 0x40)
    header = b"PE\0\0" + struct.pack("<HHIIIHH", 0x8664, 1, 0, 0, 0, 0xF0, flags)
    path = tmp_path / "x.dll"
    path.write_bytes(stub + header)
    found = identify(path)
    assert (found.kind, found.machine) == (FileKind[kind], "x86_64")


def test_missing_and_circular_files_are_linkage_errors(tmp_path: Path) -> None:
    with pytest.raises(LinkageError, match="cannot be read"):
        identify(tmp_path / "nothing.a")
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(LinkageError, match="cannot be read"):
        identify(tmp_path / "a")
