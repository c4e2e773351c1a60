"""The source distribution holds what a build needs, and a wheel comes out of it alone."""

from __future__ import annotations

import re
import sys
import tarfile
import zipfile

import pytest

from build_tools.symbols import exported_symbols
from tests.packaging.cmake_project import REPOSITORY, ok, run

NEEDED = (
    "CMakeLists.txt",
    "CMakePresets.json",
    "LICENSE",
    "PKG-INFO",
    "README.md",
    "build_tools/__main__.py",
    "build_tools/cmake/Protobuf.cmake",
    "cpp/bindings/CMakeLists.txt",
    "pyproject.toml",
    "python/onnxforge/__init__.py",
    "python/onnxforge/_version.py",
    "python/onnxforge/py.typed",
    "third_party/highway/CMakeLists.txt",
    "third_party/onnx/CMakeLists.txt",
    "third_party/pins.cdx.json",
    "third_party/protobuf/CMakeLists.txt",
    "third_party/protobuf/files.cmake",
    "third_party/protobuf/protoc_main.cc",
)
UNWANTED = re.compile(
    r"(^|/)(\.git|\.ci|\.github|\.nox|\.venv|build|dist|__pycache__)(/|$)|\.(so|o|a)$"
)


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sdist")
    command = ["-m", "build", "--sdist", "--no-isolation", "--skip-dependency-check"]
    ok(run(sys.executable, *command, "--outdir", str(folder), str(REPOSITORY)))
    (archive,) = folder.iterdir()
    return archive


def declared_version():
    text = (REPOSITORY / "python" / "onnxforge" / "_version.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "(.+)"', text, re.MULTILINE)
    assert found
    return found[1]


def test_it_holds_what_a_build_needs_and_nothing_made(sdist):
    with tarfile.open(sdist) as archive:
        names = [member.name.partition("/")[2] for member in archive.getmembers()]
    assert [name for name in NEEDED if name not in names] == []
    assert [name for name in names if UNWANTED.search(name)] == []


def test_the_version_has_one_home(sdist):
    version = declared_version()
    assert sdist.name == f"onnxforge-{version}.tar.gz"
    with tarfile.open(sdist) as archive:
        info = archive.extractfile(f"onnxforge-{version}/PKG-INFO")
        assert info is not None
        assert f"\nVersion: {version}\n" in info.read().decode()


@pytest.mark.build
@pytest.mark.network
def test_a_wheel_comes_out_of_it_alone(sdist, tmp_path):
    """Everything from source, by the recipes inside the wheel's own build; an awkward folder."""
    folder = tmp_path / "a folder ż"
    folder.mkdir()
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (tree,) = folder.iterdir()
    made = tmp_path / "made"
    command = ["-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", str(made)]
    ok(run(sys.executable, *command, str(tree)))
    (wheel,) = made.iterdir()
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (module,) = (name for name in names if name.startswith("onnxforge/_core.cpython"))
        archive.extract(module, tmp_path)
    info = f"onnxforge-{declared_version()}.dist-info/"
    assert [n for n in names if not n.startswith(("onnxforge/", info))] == []
    assert "onnxforge/py.typed" in names
    assert exported_symbols(tmp_path / module) == ("PyInit__core",)
