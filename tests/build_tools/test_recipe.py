"""A recipe is built once per everything that makes a difference, and kept only when it is proved.

The recipe here installs a toy protobuf that the "source archive" already contains, so that the
whole way from the lock file to the proved prefix takes a second.
"""

from __future__ import annotations

import hashlib
import tarfile
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from build_tools import recipe as recipes
from build_tools.config import Linkage
from build_tools.errors import CompileError, ConfigureError, ProtobufError
from build_tools.fetch import resolve
from build_tools.pins import Pin, PinKind, Pins, Place, PlaceKind
from build_tools.protobuf import search
from build_tools.protobuf.provide import provide_protobuf
from build_tools.recipe import Recipe, Site, build_prefix, key_inputs
from tests.build_tools.site import make_site
from tests.build_tools.support import write_tree
from tests.build_tools.toy_protobuf import Toy, needs_compiler, needs_shell

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [needs_compiler, needs_shell]

_INSTALL = """\
cmake_minimum_required(VERSION 3.26)
project(toy LANGUAGES CXX)
file(CONFIGURE OUTPUT x.cc CONTENT "int x() { return 1; }")
add_library(x STATIC "${PROJECT_BINARY_DIR}/x.cc")
install(DIRECTORY "${PROTOBUF_SOURCE}/" DESTINATION . USE_SOURCE_PERMISSIONS)
"""
_INSTALL_WITH_ABSEIL = f"""\
{_INSTALL}
file(WRITE "${{PROJECT_BINARY_DIR}}/abseil.txt" "${{ABSEIL_CPP_SOURCE}}")
install(FILES "${{PROJECT_BINARY_DIR}}/abseil.txt" DESTINATION .)
"""
_REPOSITORY = {
    "third_party/protobuf/CMakeLists.txt": _INSTALL,
    "third_party/protobuf_abseil/CMakeLists.txt": _INSTALL_WITH_ABSEIL,
    "third_party/protobuf/notes.txt": "",
    "build_tools/cmake/Reproducible.cmake": "",
    "build_tools/cmake/Unrelated.cmake": "",
}


@pytest.fixture(scope="session")
def probed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the compiler's probes are remembered."""
    return tmp_path_factory.mktemp("probed")


@pytest.fixture
def no_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """No protobuf is installed on this machine."""
    monkeypatch.setattr(search, "_everywhere", lambda _config, _host: iter(()))


def pin(toy: Toy, **changes: object) -> Pin:
    """A pin on an archive of a toy installation."""
    toy.make()
    archive = toy.root.with_suffix(".tar.gz")
    with tarfile.open(archive, "w:gz") as sink:
        sink.add(toy.root, "top")
    place = Place(
        kind=PlaceKind.RELEASE,
        filename=archive.name,
        sha256=hashlib.sha256(archive.read_bytes()).hexdigest(),
        size=archive.stat().st_size,
        subdir="top",
        url=archive.as_uri(),
    )
    made = Pin(name="protobuf", version=toy.version, license="BSD-3-Clause", places=(place,))
    return replace(made, **changes)


def site_with(
    tmp_path: Path, probed: Path, *pins: Pin, arguments: tuple[str, ...] = (), **environ: str
) -> Site:
    """A site whose lock file has these pins and whose recipe installs them."""
    repository = write_tree(tmp_path / "repository", _REPOSITORY)
    made = make_site(tmp_path / "site", *arguments, environ=environ, probed=probed)
    lock = Pins(path=tmp_path / "pins.json", all=pins)
    return replace(made, pins=lock, repository=repository)


def recipe_of(site: Site, **changes: object) -> Recipe:
    source = resolve(site.pins, "protobuf", site.fetcher)
    made = Recipe(
        name="protobuf",
        source=source,
        variant="static",
        settings={},
        modules=("Reproducible.cmake",),
    )
    return replace(made, **changes)


@pytest.mark.usefixtures("no_machine")
class TestOwnProtobuf:
    def test_built_proved_kept_and_found_again(self, tmp_path: Path, probed: Path) -> None:
        mine = pin(Toy(root=tmp_path / "pb", version="3.20.2"), default=True)
        first = site_with(tmp_path, probed, mine)
        install = provide_protobuf(first)
        assert (install.version, install.linkage) == ("3.20.2", Linkage.STATIC)
        assert first.config.cache_dir in install.root.parents
        assert any("position independent" in proof.claim for proof in first.context.record.proofs)

        second = site_with(tmp_path, probed, mine)
        assert provide_protobuf(second) == install
        (step,) = [entry for entry in second.context.record.steps if entry.depth == 0]
        assert step.cached
        assert second.context.record.proofs == first.context.record.proofs

    def test_shared_is_another_prefix(self, tmp_path: Path, probed: Path) -> None:
        mine = pin(Toy(root=tmp_path / "pb", version="3.20.2", shared=True), default=True)
        static = provide_protobuf(site_with(tmp_path, probed, mine))
        order = ("--protobuf", "shared")
        shared = provide_protobuf(site_with(tmp_path, probed, mine, arguments=order))
        assert shared.use_shared_libs
        assert shared.root != static.root
        assert [library.name for library in shared.runtime_libraries] == ["libprotobuf-lite.so.32"]

    def test_a_release_with_parts_is_built_in_its_own_folder_and_only_statically(
        self, tmp_path: Path, probed: Path
    ) -> None:
        inside = pin(Toy(root=tmp_path / "absl"), name="abseil-cpp", version="1", kind=PinKind.PART)
        mine = pin(Toy(root=tmp_path / "pb", version="3.21.12"), default=True, needs=str(inside))
        site = site_with(tmp_path, probed, mine, inside)
        install = provide_protobuf(site)
        assert install.version == "3.21.12"
        abseil = install.root / "abseil.txt"
        assert "abseil_cpp-1-" in abseil.read_text(encoding="utf-8")
        (choice,) = [e.choice for e in site.context.record.decisions if e.subject == "protobuf"][:1]
        assert choice == "protobuf 3.21.12 with abseil-cpp 1, built from source, static"
        order = ("--protobuf", "shared")
        with pytest.raises(ProtobufError, match="is not built as a shared library") as caught:
            provide_protobuf(site_with(tmp_path, probed, mine, inside, arguments=order))
        assert "--protobuf static" in str(caught.value)

    def test_one_that_fails_the_probes_is_not_kept(self, tmp_path: Path, probed: Path) -> None:
        bad = pin(Toy(root=tmp_path / "pb", version="3.20.2", pic=False), default=True)
        site = site_with(tmp_path, probed, bad)
        with pytest.raises(ProtobufError, match="is not what it must be") as caught:
            provide_protobuf(site)
        assert "relocation R_" in str(caught.value)
        assert not any(entry.path.parent.name == "prefixes" for entry in site.cache.entries())

    def test_default_that_cannot_be_had_is_replaced_with_one_warning(
        self, tmp_path: Path, probed: Path
    ) -> None:
        default = pin(Toy(root=tmp_path / "a", version="3.20.2"), default=True)
        (tmp_path / "a.tar.gz").unlink()
        nearest = pin(Toy(root=tmp_path / "b"), substitute_for="3.20.2")
        site = site_with(tmp_path, probed, default, nearest)
        assert provide_protobuf(site).version == "3.21.12"
        (warning,) = site.context.record.warnings
        assert warning.startswith("protobuf 3.20.2, the default, cannot be had")

    def test_foreign_headers_are_found_out_although_all_is_built(
        self, tmp_path: Path, probed: Path
    ) -> None:
        mine = pin(Toy(root=tmp_path / "pb", version="3.20.2"), default=True)
        provide_protobuf(site_with(tmp_path, probed, mine))
        conda = Toy(root=tmp_path / "conda", version="3.15.8").make() / "include"
        site = site_with(tmp_path, probed, mine, CPATH=str(conda))
        with pytest.raises(
            ProtobufError, match="takes protobuf's headers from elsewhere"
        ) as caught:
            provide_protobuf(site)
        assert str(conda) in str(caught.value)
        assert "CPATH" in str(caught.value)

    def test_damaged_notes_are_made_again(self, tmp_path: Path, probed: Path) -> None:
        mine = pin(Toy(root=tmp_path / "pb", version="3.20.2"), default=True)
        install = provide_protobuf(site_with(tmp_path, probed, mine))
        notes = install.root / "share/onnxforge/protobuf.json"
        notes.write_text("x" * notes.stat().st_size, encoding="utf-8")
        again = provide_protobuf(site_with(tmp_path, probed, mine))
        assert again.lite_library == install.lite_library


class TestRecipe:
    @pytest.fixture
    def site(self, tmp_path: Path, probed: Path) -> Site:
        mine = pin(Toy(root=tmp_path / "pb", version="3.20.2"), default=True)
        return site_with(tmp_path, probed, mine)

    @pytest.mark.parametrize(
        ("name", "matters"),
        [
            ("third_party/protobuf/CMakeLists.txt", True),
            ("third_party/protobuf/notes.txt", True),
            ("build_tools/cmake/Reproducible.cmake", True),
            ("build_tools/cmake/Unrelated.cmake", False),
        ],
    )
    def test_key_follows_the_recipes_files(self, site: Site, name: str, matters: bool) -> None:
        recipe = recipe_of(site)
        before = key_inputs(site, recipe)
        (site.repository / name).write_text("# changed\n", encoding="utf-8")
        assert (key_inputs(site, recipe) != before) is matters

    @pytest.mark.parametrize(
        "change",
        [{"variant": "shared"}, {"arguments": ("-DX=1",)}, {"built_on": {"zlib": "1"}}],
    )
    def test_key_follows_the_settings(self, site: Site, change: dict[str, object]) -> None:
        assert key_inputs(site, recipe_of(site, **change)) != key_inputs(site, recipe_of(site))

    def test_key_follows_the_compiler(self, site: Site) -> None:
        flags = (("CXXFLAGS", "-O1"),)
        other = replace(site, toolchain=replace(site.toolchain, flags=flags))
        recipe = recipe_of(site)
        assert key_inputs(other, recipe) != key_inputs(site, recipe)
        assert other.bench().flags[-1:] == ("-O1",)

    def test_build_folder_goes_and_logs_stay(self, site: Site) -> None:
        prefix = build_prefix(site, recipe_of(site), lambda _path: None)
        assert not prefix.hit
        assert not list((site.config.build_dir / "third_party").iterdir())
        assert sorted(path.name for path in site.logs.iterdir()) == [
            "protobuf-3.20.2-static-compile.log",
            "protobuf-3.20.2-static-configure.log",
            "protobuf-3.20.2-static-install.log",
        ]
        ((project, _run),) = site.context.record.compiles
        assert project == "protobuf 3.20.2"

    def test_what_a_stopped_build_compiled_is_not_compiled_again(self, site: Site) -> None:
        def stop(_prefix: Path) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            build_prefix(site, recipe_of(site), stop)
        assert not any(entry.path.parent.name == "prefixes" for entry in site.cache.entries())
        build_prefix(site, recipe_of(site), lambda _path: None)
        log = site.logs / "protobuf-3.20.2-static-compile.log"
        assert "no work to do" in log.read_text(encoding="utf-8")

    def test_recipe_that_does_not_configure(self, site: Site) -> None:
        recipe = site.repository / "third_party/protobuf/CMakeLists.txt"
        recipe.write_text(_INSTALL + 'message(FATAL_ERROR "no such luck")\n', encoding="utf-8")
        with pytest.raises(ConfigureError, match="no such luck"):
            build_prefix(site, recipe_of(site), lambda _path: None)

    def test_recipe_that_does_not_compile(self, site: Site) -> None:
        recipe = site.repository / "third_party/protobuf/CMakeLists.txt"
        broken = _INSTALL.replace("return 1;", "return one;")
        recipe.write_text(broken, encoding="utf-8")
        with pytest.raises(CompileError, match="one"):
            build_prefix(site, recipe_of(site), lambda _path: None)
        assert not any(entry.path.parent.name == "prefixes" for entry in site.cache.entries())


def test_the_repository_is_the_one_that_this_package_is_in() -> None:
    assert (recipes.REPOSITORY / "third_party/protobuf/CMakeLists.txt").is_file()
    assert (recipes.REPOSITORY / "build_tools/cmake/Reproducible.cmake").is_file()
