"""The protobuf of a build is settled from real installations (small ones), and aloud."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from build_tools.config import Linkage
from build_tools.errors import LinkageError, ProtobufError
from build_tools.onnx import check_needed
from build_tools.protobuf import search
from build_tools.protobuf.model import ProtobufInstall, RuntimeLibrary
from build_tools.protobuf.provide import cmake_arguments, provide_protobuf, what_is_wanted
from build_tools.sources import resolve
from tests.build_tools.site import make_site
from tests.build_tools.support import script
from tests.build_tools.toy_protobuf import (
    Toy,
    needs_compiler,
    needs_shell,
)

if TYPE_CHECKING:
    from build_tools.recipe import Site

pytestmark = [needs_compiler, needs_shell]
WISH = "ONNX_USE_PROTOBUF_SHARED_LIBS"


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the compiler's probes are remembered, so that they are made once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def no_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is installed on this machine."""
    monkeypatch.setitem(search._SYSTEM_ROOTS, "linux", ())


@pytest.fixture
def site(tmp_path: Path, shared_cache: Path):
    """Makes a site from arguments and an environment."""

    def make(*arguments: str | Path, **environ: str) -> Site:
        return make_site(tmp_path / "site", *arguments, environ=environ, cache_dir=shared_cache)

    return make


def _decision(site: Site, subject: str) -> str:
    (found,) = [entry.choice for entry in site.context.record.decisions if entry.subject == subject]
    return found


def _unused(site: Site) -> dict[str, str]:
    return {
        entry.source: f"{entry.choice}: {entry.reason}"
        for entry in site.context.record.decisions
        if entry.subject == "protobuf not used"
    }


class TestNamedRoot:
    def test_good_static_root_is_used_as_it_is(self, tmp_path: Path, site) -> None:
        root = Toy(root=tmp_path / "pb", version="3.20.2").make()
        here = site("--protobuf-root", root)
        install = provide_protobuf(here)
        assert install.root == root
        assert _decision(here, WISH) == "OFF"
        assert _decision(here, "protobuf linkage") == "static"
        assert _decision(here, "protobuf runtime") == "lite"
        assert here.context.record.warnings == []
        assert any("position independent" in proof.claim for proof in here.context.record.proofs)
        assert [entry for entry in here.cache.entries() if "prefixes" in entry.path.parts] == []

    def test_shared_root(self, tmp_path: Path, site) -> None:
        root = Toy(root=tmp_path / "pb", shared=True).make()
        here = site("--protobuf-root", root, "--protobuf", "shared")
        assert provide_protobuf(here).use_shared_libs
        assert _decision(here, WISH) == "ON"

    def test_wish_for_shared_with_only_an_archive_is_contradicted_aloud(
        self, tmp_path: Path, site
    ) -> None:
        root = Toy(root=tmp_path / "pb").make()
        here = site("--protobuf-root", root, **{WISH: "ON"})
        install = provide_protobuf(here)
        assert install.linkage is Linkage.STATIC
        assert _decision(here, WISH) == "OFF"
        (warning,) = here.context.record.warnings
        assert f"environment {WISH}=ON" in warning
        assert f"{root}/lib/libprotobuf-lite.a, so {WISH}=OFF it is" in warning
        assert "only libprotobuf-lite.a" in warning

    def test_wish_in_cmake_args_is_heard_as_well(self, tmp_path: Path, site) -> None:
        root = Toy(root=tmp_path / "pb", shared=True).make()
        here = site("--protobuf-root", root, CMAKE_ARGS=f"-D{WISH}=ON")
        assert provide_protobuf(here).use_shared_libs
        assert here.context.record.warnings == []

    def test_order_for_shared_with_only_an_archive_is_an_error(self, tmp_path: Path, site) -> None:
        root = Toy(root=tmp_path / "pb").make()
        with pytest.raises(LinkageError) as caught:
            provide_protobuf(site("--protobuf-root", root, "--protobuf", "shared"))
        assert "no shared protobuf that can be used" in str(caught.value)
        assert "only libprotobuf-lite.a" in str(caught.value)
        assert "--protobuf static uses what is there" in str(caught.value)

    def test_order_wins_over_a_wish_and_says_so(self, tmp_path: Path, site) -> None:
        root = Toy(root=tmp_path / "pb", shared=True).make()
        here = site("--protobuf-root", root, "--protobuf", "static", **{WISH: "ON"})
        assert provide_protobuf(here).linkage is Linkage.STATIC
        (warning,) = here.context.record.warnings
        assert f"environment {WISH}=ON is not followed" in warning
        assert "--protobuf on the command line" in warning

    def test_archive_without_position_independence_gives_way_to_the_library_beside_it(
        self, tmp_path: Path, site
    ) -> None:
        root = Toy(root=tmp_path / "pb", pic=False, shared=True).make()
        here = site("--protobuf-root", root)
        assert provide_protobuf(here).use_shared_libs
        (warning,) = here.context.record.warnings
        assert "static protobuf was asked for (default)" in warning
        assert "relocation R_" in warning

    def test_archive_without_position_independence_alone_is_an_error(
        self, tmp_path: Path, site
    ) -> None:
        root = Toy(root=tmp_path / "pb", pic=False).make()
        with pytest.raises(ProtobufError) as caught:
            provide_protobuf(site("--protobuf-root", root))
        assert "relocation R_" in str(caught.value)
        assert "leave out --protobuf-root" in str(caught.value)

    def test_root_that_is_not_there(self, tmp_path: Path, site) -> None:
        with pytest.raises(ProtobufError, match="cannot be used") as caught:
            provide_protobuf(site("--protobuf-root", tmp_path / "none"))
        assert f"there is no folder {tmp_path / 'none'}" in str(caught.value)

    def test_root_with_only_protoc(self, tmp_path: Path, site) -> None:
        root = Toy(root=tmp_path / "pb").make()
        shutil.rmtree(root / "lib")
        shutil.rmtree(root / "include")
        with pytest.raises(ProtobufError) as caught:
            provide_protobuf(site("--protobuf-root", root))
        assert "no headers in include/google/protobuf" in str(caught.value)
        assert "no static lite library" in str(caught.value)
        assert "no protoc" not in str(caught.value)

    def test_root_whose_protoc_is_of_another_version(self, tmp_path: Path, site) -> None:
        root = Toy(root=tmp_path / "pb", protoc="3.15.8").make()
        with pytest.raises(ProtobufError, match=r"libprotoc 3\.15\.8"):
            provide_protobuf(site("--protobuf-root", root))

    def test_root_of_another_version_than_asked_for(self, tmp_path: Path, site) -> None:
        root = Toy(root=tmp_path / "pb", version="3.20.3").make()
        with pytest.raises(ProtobufError, match=r"it is protobuf 3\.20\.3, and 3\.20\.2 is asked"):
            provide_protobuf(site("--protobuf-root", root, "--protobuf-version", "3.20.2"))

    def test_relative_root_is_absolute_for_those_who_use_it(
        self, tmp_path: Path, site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Toy(root=tmp_path / "pb").make()
        monkeypatch.chdir(tmp_path)
        assert provide_protobuf(site("--protobuf-root", "pb")).root == tmp_path / "pb"


@pytest.mark.usefixtures("no_system")
class TestMachine:
    def test_protoc_of_another_version_first_on_path_changes_nothing(
        self, tmp_path: Path, site
    ) -> None:
        good = Toy(root=tmp_path / "good", static=False, shared=True).make()
        fake = script(tmp_path / "fake/bin/protoc", "echo libprotoc 3.6.1\n")
        path = f"{fake.parent}:{good / 'bin'}:/usr/bin:/bin"
        install = provide_protobuf(here := site("--protobuf", "shared", PATH=path))
        assert install.root == good
        assert install.protoc == good / "bin/protoc"
        assert "no headers" in _unused(here)[f"{fake} on PATH"]

    def test_second_protobuf_in_conda_is_not_mixed_with_the_first(
        self, tmp_path: Path, site
    ) -> None:
        """conda's is asked first; it is too new, so all of it is left and all of ours is taken."""
        ours = Toy(root=tmp_path / "ours", static=False, shared=True).make()
        conda = Toy(
            root=tmp_path / "conda", version="4.25.1", protoc="25.1", static=False, shared=True
        )
        root = make_conda(conda)
        path = f"{root / 'bin'}:{ours / 'bin'}:/usr/bin:/bin"
        here = site("--protobuf", "shared", PATH=path, CONDA_PREFIX=str(root))
        install = provide_protobuf(here)
        assert {install.root} == {
            install.protoc.parent.parent,
            install.include_dir.parent,
            install.lite_library.parent.parent,
        }
        assert install.root == ours
        assert "protobuf 25.1 cannot be linked without abseil" in _unused(here)["CONDA_PREFIX"]

    def test_usable_one_in_conda_is_taken_whole(self, tmp_path: Path, site) -> None:
        ours = Toy(root=tmp_path / "ours", static=False, shared=True).make()
        conda = Toy(root=tmp_path / "conda", version="3.20.3", static=False, shared=True).make()
        here = site(
            "--protobuf", "shared", PATH=f"{ours / 'bin'}:/usr/bin:/bin", CONDA_PREFIX=str(conda)
        )
        install = provide_protobuf(here)
        assert (install.root, install.version) == (conda, "3.20.3")

    def test_candidate_with_only_an_archive_is_passed_by(self, tmp_path: Path, site) -> None:
        first = Toy(root=tmp_path / "first").make()
        second = Toy(root=tmp_path / "second", shared=True).make()
        here = site(**{WISH: "ON", "CMAKE_PREFIX_PATH": f"{first}:{second}"})
        assert provide_protobuf(here).root == second
        assert here.context.record.warnings == []
        assert any("no shared lite library" in text for text in _unused(here).values())


def make_conda(toy: Toy) -> Path:
    """A toy whose protoc leaves away the language's major number, as those since 22 do."""
    protoc, plain = toy.protoc, Toy(**{**vars(toy), "protoc": None})
    root = plain.make()
    program = root / "bin/protoc"
    text = program.read_text(encoding="utf-8")
    program.write_text(text.replace(f"libprotoc {toy.version}", f"libprotoc {protoc}"))
    return root


class TestWanted:
    @pytest.mark.parametrize(
        ("arguments", "environ", "linkage", "explicit"),
        [
            ((), {}, Linkage.STATIC, False),
            ((), {WISH: "1"}, Linkage.SHARED, False),
            ((), {WISH: "off"}, Linkage.STATIC, False),
            (("--protobuf", "static"), {WISH: "ON"}, Linkage.STATIC, True),
            ((), {"ONNXFORGE_PROTOBUF": "shared", WISH: "OFF"}, Linkage.SHARED, True),
        ],
    )
    def test_who_is_heard(self, arguments, environ, linkage, explicit) -> None:
        wanted = what_is_wanted(resolve(arguments, environ, {}))
        assert (wanted.linkage, wanted.explicit) == (linkage, explicit)

    def test_settled_arguments_are_not_handed_on(self) -> None:
        arguments = [f"-D{WISH}:BOOL=ON", "-DONNX_WERROR=OFF", "-DCMAKE_VERBOSE_MAKEFILE=ON"]
        config = resolve([], {"CMAKE_ARGS": " ".join(arguments)}, {}).config
        assert cmake_arguments(config) == tuple(arguments[1:])
        assert cmake_arguments(config, "ONNX") == tuple(arguments[2:])


def _install(linkage: Linkage) -> ProtobufInstall:
    root = Path("/opt/pb")
    library = RuntimeLibrary(
        name="libprotobuf-lite.so.32", path=root / "lib/libprotobuf-lite.so.32"
    )
    return ProtobufInstall(
        root=root,
        version="3.21.12",
        protoc=root / "bin/protoc",
        protoc_version="3.21.12",
        include_dir=root / "include",
        header_version="3.21.12",
        lite_library=root / "lib/libprotobuf-lite",
        library=None,
        linkage=linkage,
        origin="the test",
        runtime_libraries=(library,) if linkage is Linkage.SHARED else (),
    )


class TestNeeded:
    @pytest.mark.parametrize(
        ("linkage", "needed"),
        [
            (Linkage.STATIC, ["libc.so.6"]),
            (Linkage.SHARED, ["libprotobuf-lite.so.32", "libc.so.6"]),
        ],
    )
    def test_right(self, linkage: Linkage, needed: list[str]) -> None:
        check_needed(needed, _install(linkage), "the extension")

    @pytest.mark.parametrize(
        ("linkage", "needed"),
        [
            (Linkage.STATIC, ["libprotobuf-lite.so.32", "libc.so.6"]),
            (Linkage.SHARED, ["libc.so.6"]),
            (Linkage.SHARED, ["libprotobuf-lite.so.23"]),
            (Linkage.SHARED, ["libprotobuf-lite.so.32", "libprotobuf.so.32"]),
        ],
    )
    def test_wrong(self, linkage: Linkage, needed: list[str]) -> None:
        with pytest.raises(LinkageError, match="not linked as decided"):
            check_needed(needed, _install(linkage), "the extension")
