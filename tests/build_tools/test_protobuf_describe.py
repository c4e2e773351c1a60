"""What lies at a candidate is told rightly, with the reason where it cannot be used."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from build_tools.config import Linkage
from build_tools.protobuf.describe import describe, find_files
from build_tools.protobuf.memory import recall, remember
from build_tools.protobuf.model import Candidate
from tests.build_tools.support import make_host
from tests.build_tools.toy_protobuf import Toy, make_bench, needs_compiler, needs_shell

if TYPE_CHECKING:
    from pathlib import Path

    from build_tools.protobuf.model import Description

pytestmark = [needs_compiler, needs_shell]


def _describe(root: Path, linkage: Linkage = Linkage.STATIC) -> Description:
    candidate = Candidate(root=root, origin="the test")
    return describe(candidate, linkage, make_host(), make_bench())


def _only_problem(description: Description) -> str:
    assert not description.usable
    (problem,) = description.problems
    return problem


def test_static(tmp_path: Path) -> None:
    described = _describe(Toy(root=tmp_path, version="3.20.2").make())
    assert described.problems == ()
    install = described.install
    assert install is not None
    assert install.version == install.protoc_version == install.header_version == "3.20.2"
    assert install.lite_library == tmp_path / "lib/libprotobuf-lite.a"
    assert install.library == tmp_path / "lib/libprotobuf.a"
    assert install.linkage is Linkage.STATIC
    assert not install.use_shared_libs
    assert install.runtime_libraries == ()
    claims = [proof.claim for proof in described.proofs]
    assert "protobuf: libprotobuf-lite.a is position independent" in claims
    assert "protobuf: protoc, headers and library work together" in claims


def test_shared_says_what_a_wheel_must_carry(tmp_path: Path) -> None:
    described = _describe(Toy(root=tmp_path, static=False, shared=True).make(), Linkage.SHARED)
    assert described.problems == ()
    install = described.install
    assert install is not None
    assert install.use_shared_libs
    (needed,) = install.runtime_libraries
    assert needed.name == "libprotobuf-lite.so.32"
    assert needed.path == tmp_path / "lib/libprotobuf-lite.so.32"
    assert install.library_folders == (tmp_path / "lib",)


@pytest.mark.parametrize("linkage", list(Linkage))
def test_each_linkage_is_found_where_both_are(tmp_path: Path, linkage: Linkage) -> None:
    install = _describe(Toy(root=tmp_path, shared=True).make(), linkage).install
    assert install is not None
    assert install.linkage is linkage


def test_without_position_independence(tmp_path: Path) -> None:
    described = _describe(Toy(root=tmp_path, pic=False).make())
    assert not described.usable
    assert any(
        "libprotobuf-lite.a is position independent" in problem and "relocation R_" in problem
        for problem in described.problems
    )


def test_protoc_of_another_version(tmp_path: Path) -> None:
    problem = _only_problem(_describe(Toy(root=tmp_path, protoc="3.19.4").make()))
    assert "protoc and headers are of one version" in problem
    assert "libprotoc 3.19.4" in problem
    assert "PROTOBUF_VERSION 3021012" in problem


def test_library_of_another_version(tmp_path: Path) -> None:
    described = _describe(Toy(root=tmp_path, library="3.20.3").make())
    assert [problem for problem in described.problems if "3.20.3" in problem] == list(
        described.problems
    )
    assert len(described.problems) == 2  # the lite and the full one


def test_library_for_another_cxx_runtime(tmp_path: Path) -> None:
    described = _describe(Toy(root=tmp_path, libcxx=True).make())
    assert not described.usable
    assert any(
        "was compiled for libc++," in problem and "compiles for libstdc++" in problem
        for problem in described.problems
    )


def test_only_protoc(tmp_path: Path) -> None:
    Toy(root=tmp_path).make()
    shutil.rmtree(tmp_path / "include")
    shutil.rmtree(tmp_path / "lib")
    described = _describe(tmp_path)
    assert described.install is None
    assert described.problems == (
        "no headers in include/google/protobuf",
        "no static lite library (libprotobuf-lite) in lib, lib64 or lib/<triplet>",
    )


def test_no_folder(tmp_path: Path) -> None:
    assert _only_problem(_describe(tmp_path / "none")) == f"there is no folder {tmp_path / 'none'}"


def test_missing_linkage_names_what_is_there(tmp_path: Path) -> None:
    problem = _only_problem(_describe(Toy(root=tmp_path).make(), Linkage.SHARED))
    assert "no shared lite library" in problem
    assert problem.endswith("only libprotobuf-lite.a, libprotobuf.a")


def test_the_content_decides_not_the_name(tmp_path: Path) -> None:
    """A static archive that is called .so: what CMake would link as if it were shared."""
    Toy(root=tmp_path).make()
    for name in ("libprotobuf-lite", "libprotobuf"):
        (tmp_path / "lib" / f"{name}.a").rename(tmp_path / "lib" / f"{name}.so")
    files = find_files(tmp_path, Linkage.STATIC, make_host())
    assert files.lite_library == tmp_path / "lib/libprotobuf-lite.so"
    assert find_files(tmp_path, Linkage.SHARED, make_host()).lite_library is None


@pytest.mark.parametrize("folder", ["lib64", "lib/{machine}-linux-gnu"])
def test_other_library_folders(tmp_path: Path, folder: str) -> None:
    host = make_host()
    place = folder.format(machine=host.machine)
    Toy(root=tmp_path, library_folder=place).make()
    found = find_files(tmp_path, Linkage.STATIC, host).lite_library
    assert found == tmp_path / place / "libprotobuf-lite.a"


def test_broken_links_and_garbage_are_not_libraries(tmp_path: Path) -> None:
    lib = Toy(root=tmp_path).make() / "lib"
    (lib / "libprotobuf-lite.so").symlink_to("libprotobuf-lite.so.99")
    (lib / "libprotobuf.so").write_bytes(b"\x7fELF")
    found = find_files(tmp_path, Linkage.SHARED, make_host())
    assert (found.lite_library, found.library) == (None, None)


class TestMemory:
    @pytest.mark.parametrize("linkage", list(Linkage))
    def test_what_is_remembered_is_recalled(self, tmp_path: Path, linkage: Linkage) -> None:
        described = _describe(Toy(root=tmp_path, shared=True).make(), linkage)
        remember(tmp_path, described)
        recalled = recall(tmp_path, linkage)
        assert recalled is not None
        assert recalled.install == described.install
        assert recalled.proofs == described.proofs

    def test_nothing_is_recalled_of_a_stranger(self, tmp_path: Path) -> None:
        assert recall(tmp_path, Linkage.STATIC) is None

    def test_damaged_or_other_notes_are_not_believed(self, tmp_path: Path) -> None:
        remember(tmp_path, _describe(Toy(root=tmp_path).make()))
        assert recall(tmp_path, Linkage.SHARED) is None
        notes = tmp_path / "share/onnxforge/protobuf.json"
        for text in ("{", "[]", "{}", '{"runtime_libraries": 1}'):
            notes.write_text(text, encoding="utf-8")
            assert recall(tmp_path, Linkage.STATIC) is None
