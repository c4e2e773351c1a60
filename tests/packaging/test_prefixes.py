"""protobuf and ONNX, really built: by GCC and Clang, static and shared, and proved each time."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from build_tools.binaries import dynamic_facts, needed
from build_tools.config import Linkage
from build_tools.onnx import OnnxInstall, check_needed, provide_onnx
from build_tools.protobuf import search
from build_tools.protobuf.provide import provide_protobuf
from tests.build_tools.site import make_site

if TYPE_CHECKING:
    from build_tools.protobuf.model import ProtobufInstall
    from build_tools.recipe import Site

pytestmark = pytest.mark.build

WISH = "ONNX_USE_PROTOBUF_SHARED_LIBS"
VERSION = ("--protobuf-version", "3.21.12")
"""What can be had from a package index alone."""

COMPILERS = [name for name in ("g++", "clang++") if shutil.which(name)]
DEBIAN = next(iter(Path("/usr/lib").glob("*-linux-gnu*/libprotobuf-lite.so")), None)
needs_debian = pytest.mark.skipif(
    DEBIAN is None or not Path("/usr/bin/protoc").is_file(),
    reason="no libprotobuf-dev and protobuf-compiler of Debian or Ubuntu here",
)

_EXTENSION = """\
#include <onnx/checker.h>
#include <onnx/defs/schema.h>
extern "C" __attribute__((visibility("default"))) int onnx_knows_relu() {
  onnx::ModelProto model;
  model.set_ir_version(8);
  model.SerializeAsString();
  return onnx::OpSchemaRegistry::Schema("Relu", 14, "") != nullptr ? 42 : 0;
}
"""
_CALL = "import ctypes, sys; print(ctypes.CDLL(sys.argv[1]).onnx_knows_relu())"


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of all these tests: what one builds, the next one finds."""
    return tmp_path_factory.mktemp("store with blanks äöü")


@pytest.fixture
def site(tmp_path: Path, store: Path):
    """Makes a site that shares the cache with the other tests."""
    with ExitStack() as stack:

        def make(*arguments: str | Path, compiler: str | None = None, **environ: str) -> Site:
            made = make_site(
                tmp_path, *arguments, environ=environ, compiler=compiler, cache_dir=store
            )
            stack.callback(made.fetcher.close)
            return made

        yield make


@pytest.fixture
def no_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """No protobuf is installed on this machine."""
    monkeypatch.setattr(search, "_everywhere", lambda _config, _host: iter(()))


def make_extension(folder: Path, site: Site, onnx: OnnxInstall) -> Path:
    """Link a shared object with ONNX and its protobuf, as the engine's extension is."""
    protobuf, bench = onnx.protobuf, site.bench()
    (folder / "extension.cc").write_text(_EXTENSION, encoding="utf-8")
    command: list[str | Path] = [
        "-std=c++17", "-fPIC", "-shared", "-fvisibility=hidden", "-DONNX_ML=1",
        "-DONNX_NAMESPACE=onnx", "-DONNX_USE_LITE_PROTO=1", f"-I{onnx.prefix}/include",
        "extension.cc", onnx.prefix / "lib/libonnx.a", protobuf.lite_library,
        "-pthread", "-Wl,--no-undefined", "-Wl,--exclude-libs,ALL", "-o", folder / "extension.so",
    ]  # fmt: skip
    if protobuf.include_dir != Path("/usr/include"):
        command[5:5] = ["-isystem", protobuf.include_dir]
    if protobuf.use_shared_libs:
        command += [f"-Wl,-rpath,{protobuf.lite_library.parent}"]
    result = bench.compile(*command, folder=folder)
    assert result.ok, result.text
    return folder / "extension.so"


def steps(site: Site) -> dict[str, bool]:
    """The outermost steps and whether each was found in the cache."""
    return {step.name: step.cached for step in site.context.record.steps if step.depth == 0}


def prefixes(site: Site) -> list[str]:
    return [entry.name for entry in site.cache.entries() if entry.path.parent.name == "prefixes"]


@pytest.mark.parametrize("compiler", COMPILERS)
def test_static_protobuf_of_our_own(site, compiler: str) -> None:
    here = site(*VERSION, compiler=compiler)
    install = provide_protobuf(here)
    assert (install.version, install.linkage) == ("3.21.12", Linkage.STATIC)
    assert install.library is None
    claims = {proof.claim: proof.ok for proof in here.context.record.proofs}
    for claim in (
        "protobuf: libprotobuf-lite.a is position independent",
        "protobuf: protoc and headers are of one version",
        "protobuf: protoc, headers and library work together",
    ):
        assert claims[claim]
    assert not list(here.config.build_dir.glob("third_party/*"))
    assert (here.logs / "protobuf-3.21.12-static-compile.log").is_file()
    assert here.context.record.compiles[0][0] == "protobuf 3.21.12"

    again = site(*VERSION, compiler=compiler)
    assert provide_protobuf(again) == install
    assert steps(again)["protobuf 3.21.12"]
    assert again.context.record.proofs == here.context.record.proofs
    assert sum(step.seconds for step in again.context.record.steps) < 5


def test_onnx_on_static_protobuf(site, tmp_path: Path) -> None:
    here = site(*VERSION)
    protobuf = provide_protobuf(here)
    onnx = provide_onnx(here, protobuf)
    extension = make_extension(tmp_path, here, onnx)
    check_needed(needed(extension), protobuf, "the extension")
    assert run(extension) == "42"

    again = provide_onnx(site(*VERSION), protobuf)
    assert (again.prefix, again.hit) == (onnx.prefix, True)
    warned = site(*VERSION, CMAKE_ARGS=f"-D{WISH}=ON", ONNXFORGE_PROTOBUF="static")
    provide_protobuf(warned)
    assert any("is not followed" in warning for warning in warned.context.record.warnings)


def test_static_root_that_is_good_is_used_as_it_is(site, tmp_path: Path) -> None:
    """The prefix of an earlier build, moved elsewhere: as if the user had built it."""
    root = tmp_path / "mine"
    shutil.copytree(provide_protobuf(site(*VERSION)).root, root)
    here = site("--protobuf-root", root)
    before = prefixes(here)
    install = provide_protobuf(here)
    assert (install.root, install.linkage) == (root, Linkage.STATIC)
    assert prefixes(here) == before

    wish = site("--protobuf-root", root, **{WISH: "ON"})
    assert provide_protobuf(wish).linkage is Linkage.STATIC
    (warning,) = wish.context.record.warnings
    assert f"{WISH}=ON" in warning
    assert f"{WISH}=OFF it is" in warning


@pytest.mark.usefixtures("no_system")
def test_shared_protobuf_of_our_own_can_be_carried_by_a_wheel(site, tmp_path: Path) -> None:
    here = site("--protobuf", "shared", *VERSION)
    protobuf = provide_protobuf(here)
    assert protobuf.use_shared_libs
    (library,) = protobuf.runtime_libraries
    assert library.name == "libprotobuf-lite.so.32"
    assert library.path.is_file()
    facts = dynamic_facts(library.path)
    assert facts.name == library.name
    assert not any(folder.startswith("/") for folder in facts.search)
    assert not any("protobuf" in name for name in facts.needed)


@needs_debian
def test_onnx_on_the_systems_shared_protobuf(site, tmp_path: Path) -> None:
    here = site("--protobuf", "shared")
    protobuf = provide_protobuf(here)
    assert (protobuf.root, protobuf.linkage) == (Path("/usr"), Linkage.SHARED)
    onnx = provide_onnx(here, protobuf)
    extension = make_extension(tmp_path, here, onnx)
    found = needed(extension)
    check_needed(found, protobuf, "the extension")
    assert "libprotobuf-lite.so.32" in found
    assert "libprotobuf.so.32" not in found
    assert run(extension) == "42"


@needs_debian
def test_the_systems_archive_is_rejected_before_anything_is_compiled(site) -> None:
    here = site("--protobuf-root", "/usr")
    install: ProtobufInstall = provide_protobuf(here)
    assert install.use_shared_libs  # the library beside the archive
    (warning,) = here.context.record.warnings
    assert "relocation R_" in warning
    assert "recompile with -fPIC" in warning


def run(extension: Path) -> str:
    """Load the shared object in a fresh process and call it."""
    command = [shutil.which("python3") or "python3", "-c", _CALL, str(extension)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
