"""The builder as a person uses it: real wheels, by GCC and Clang, with protobuf static and shared.

Each starts from a copy of the tree in a folder with blanks and letters that are not ASCII, with
build and output folders of its own. Fetched sources and built libraries come from the usual cache.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from build_tools.bill.prove import gather, prove_bill
from build_tools.bill.read import read_bills
from build_tools.inputs import ROOTS
from build_tools.smoke import PROGRAM
from build_tools.storage import sha256_of
from build_tools.wheel_file import WheelFile
from tests.build_tools.site import clean_environment
from tests.build_tools.wheels import altered

pytestmark = [
    pytest.mark.build,
    pytest.mark.network,
    pytest.mark.skipif(sys.platform != "linux", reason="reads ELF files and manylinux tags"),
]

REPOSITORY = Path(__file__).resolve().parents[2]
MODULE_STEM = "onnxforge/_core."
KERNEL = "cpp/kernels/reference/clip.cc"
NOT_MADE_HERE = shutil.ignore_patterns("__pycache__")


@dataclass(frozen=True)
class Clone:
    """A copy of the tree that a person builds in."""

    tree: Path

    @classmethod
    def make(cls, folder: Path) -> Clone:
        tree = folder / "wörk in prögress (ż)"
        tree.mkdir()
        for name in ROOTS:
            source = REPOSITORY / name
            if source.is_dir():
                shutil.copytree(source, tree / name, ignore=NOT_MADE_HERE)
            else:
                shutil.copyfile(source, tree / name)
        return cls(tree)

    def start(self, *options: str, **environ: str) -> subprocess.Popen[str]:
        """Start a build that prints its report as JSON."""
        log = (self.tree / "stderr.txt").open("a", encoding="utf-8")
        with log:
            return subprocess.Popen(
                [sys.executable, "-m", "build_tools", "build", "--json", *options],
                cwd=self.tree,
                env=clean_environment(**cache_settings(), **environ),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def build(self, *options: str, **environ: str) -> dict[str, Any]:
        """Build and return the report."""
        return self.finish(self.start(*options, **environ))

    def finish(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        out, _ = process.communicate(timeout=1800)
        assert process.returncode == 0, self.stderr()
        report: dict[str, Any] = json.loads(out)
        return report

    def stderr(self) -> str:
        return (self.tree / "stderr.txt").read_text(encoding="utf-8")[-8000:]

    @property
    def dist(self) -> Path:
        return self.tree / "dist"

    def wheel(self, report: dict[str, Any]) -> Path:
        return self.dist / report["wheel"]["file"]


def cache_settings() -> dict[str, str]:
    """Where the usual cache is, if this run of the tests was told another place."""
    name = "ONNXFORGE_CACHE_DIR"
    return {name: os.environ[name]} if name in os.environ else {}


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Clone:
    """One tree for the runs that follow each other."""
    return Clone.make(tmp_path_factory.mktemp("end to end"))


def check(clone: Clone, report: dict[str, Any], *, compiler: str, linkage: str) -> None:
    """Hold a report, and the wheel itself, against what was asked for."""
    assert report["toolchain"]["name"].startswith(compiler)
    assert report["protobuf"]["linkage"] == linkage
    assert report["protobuf"]["onnx_use_protobuf_shared_libs"] is (linkage == "shared")
    assert [proof for proof in report["proofs"] if not proof["ok"]] == []
    wheel = WheelFile.open(clone.wheel(report))
    assert wheel.sha256 == report["wheel"]["sha256"]
    assert all(tag.startswith("manylinux") for tag in wheel.platforms)
    assert list(wheel.record_problems()) == []
    modules = [binary for binary in wheel.binaries() if not binary.vendored]
    assert [module.exported for module in modules] == [("PyInit__core",)]
    needed = [name for name in modules[0].dynamic.needed if "protobuf" in name]
    brought = [binary.member for binary in wheel.binaries() if binary.vendored]
    if linkage == "static":
        assert (needed, brought) == ([], [])
    else:
        (library,) = needed
        assert [Path(member).name for member in brought if "protobuf" in member] == [library]
    assert report["smoke"]["version"] == wheel.version
    assert set(report["smoke"]["magika"]["recognised"]) == {"python", "html", "ini"}
    names = {path.name for path in clone.dist.iterdir()}
    assert names == {wheel.path.name, "build-report.json", "build-report.html"}


def wait_for(condition, process, seconds=900.0) -> None:
    """Wait until something is true while a build runs."""
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the build ended before it could be killed"
        assert time.monotonic() < end
        time.sleep(0.05)


def test_killed_half_way_and_started_again_gcc_static(clone):
    """Killed without a chance to tidy up, while the engine is being compiled."""
    process = clone.start("--compiler", "gcc", "--protobuf", "static")
    log = clone.tree / "build" / "logs" / "wheel.log"

    def is_half_way() -> bool:
        return log.exists() and "[30/" in log.read_text(encoding="utf-8", errors="replace")

    wait_for(is_half_way, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not clone.dist.exists()

    report = clone.build("--compiler", "gcc", "--protobuf", "static")
    check(clone, report, compiler="GCC", linkage="static")
    engine = [entry for entry in report["commands"] if entry["project"] == "onnxforge"]
    assert engine, "the rest of the engine was compiled now"
    assert not any(entry["output"].endswith("base/error.cc.o") for entry in engine)


def test_nothing_changed_is_found_out_quickly(clone):
    before = {path.name: sha256_of(path) for path in clone.dist.iterdir()}
    clock = time.monotonic()
    report = clone.build("--compiler", "gcc", "--protobuf", "static")
    seconds = time.monotonic() - clock
    assert report["unchanged"]
    assert seconds < 10
    assert {path.name: sha256_of(path) for path in clone.dist.iterdir()} == before


def test_a_damaged_wheel_is_made_again(clone):
    report = json.loads((clone.dist / "build-report.json").read_text(encoding="utf-8"))
    clone.wheel(report).write_bytes(b"damaged")
    again = clone.build("--compiler", "gcc", "--protobuf", "static")
    assert not again["unchanged"]
    assert any("is not the one that was reported" in text for text in again["warnings"])
    assert again["wheel"]["sha256"] == report["wheel"]["sha256"]
    check(clone, again, compiler="GCC", linkage="static")


def test_one_changed_kernel_compiles_one_file(clone):
    with (clone.tree / KERNEL).open("a", encoding="utf-8") as source:
        source.write("\n// changed\n")
    report = clone.build("--compiler", "gcc", "--protobuf", "static")
    assert report["inputs"]["changed"] == [KERNEL]
    assert report["speed"]["what"] == "one kernel file changed"
    compiled = [entry["output"] for entry in report["commands"] if entry["kind"] == "compile"]
    assert [Path(output).name for output in compiled] == ["clip.cc.o"]


def test_a_failing_build_leaves_the_earlier_wheel_alone(clone):
    before = {path.name: sha256_of(path) for path in clone.dist.iterdir()}
    kernel = clone.tree / KERNEL
    text = kernel.read_text(encoding="utf-8")
    kernel.write_text(text + "\nthis does not compile\n", encoding="utf-8")
    process = clone.start("--compiler", "gcc", "--protobuf", "static")
    out, _ = process.communicate(timeout=900)
    kernel.write_text(text, encoding="utf-8")
    assert process.returncode == 51
    assert json.loads(out)["error"]["kind"] == "CompileError"
    assert "clip.cc" in clone.stderr()
    assert {path.name: sha256_of(path) for path in clone.dist.iterdir()} == before


SHARED = {"ONNX_USE_PROTOBUF_SHARED_LIBS": "OFF"}  # wrong where it is used; contradicted aloud


def was_contradicted(report: dict[str, Any]) -> bool:
    return any("ONNX_USE_PROTOBUF_SHARED_LIBS" in text for text in report["warnings"])


def test_two_debug_builds_at_once_clang_shared(tmp_path):
    """For debugging: half the time, and the settings' way through every library at once."""
    if not shutil.which("clang++"):
        pytest.skip("no clang++ here")
    clone = Clone.make(tmp_path)
    options = ("--compiler", "clang", "--protobuf", "shared", "--build-type", "Debug")
    both = [clone.start(*options, **SHARED), clone.start(*options, **SHARED)]
    reports = [clone.finish(process) for process in both]
    assert sorted(report["unchanged"] for report in reports) == [False, True]
    assert reports[0]["wheel"] == reports[1]["wheel"]
    check(clone, reports[0], compiler="Clang", linkage="shared")
    assert was_contradicted(reports[0])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("compiler", "linkage"), [("gcc", "shared"), ("clang", "static")], ids="-".join
)
def test_the_other_two_of_compiler_and_linkage(tmp_path, compiler, linkage):
    clone = Clone.make(tmp_path)
    wish = SHARED if linkage == "shared" else {}
    options = ("--compiler", compiler, "--protobuf", linkage, "--build-type", "Debug")
    report = clone.build(*options, **wish)
    name = {"gcc": "GCC", "clang": "Clang"}[compiler]
    check(clone, report, compiler=name, linkage=linkage)
    assert was_contradicted(report) is (linkage == "shared")


def test_pip_install_needs_neither_nox_nor_the_builder(clone, tmp_path):
    """``pip install .`` in its own isolated environment, on libraries that are there."""
    report = clone.build("--compiler", "gcc", "--protobuf", "static")
    python = tmp_path / "environment" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", python.parents[1]], check=True)
    settings = [f"-DONNXFORGE_{name}_PREFIX={prefix}" for name, prefix in prefixes(report).items()]
    environ = clean_environment(**cache_settings(), CMAKE_ARGS=" ".join(settings))
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "."]
    done = subprocess.run(
        command, cwd=clone.tree, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    model = next(cache_dir(report).glob("sources/magika-*/model.onnx")).parent
    run = [python, "-I", PROGRAM, model / "model.onnx", model / "config.min.json"]
    seen = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(seen.stdout)["version"] == report["project"]["version"]


def cache_dir(report: dict[str, Any]) -> Path:
    return Path(report["config"]["values"]["cache_dir"])


def prefixes(report: dict[str, Any]) -> dict[str, Path]:
    """The installed libraries that a build used."""
    protobuf = Path(report["protobuf"]["library"]).parents[1]
    return {"PROTOBUF": protobuf, "ONNX": Path(report["onnx"]["prefix"])}


def test_the_bill_of_materials_is_true_and_a_lie_in_it_is_found(clone, tmp_path):
    report = clone.build("--compiler", "gcc", "--protobuf", "static")
    wheel = WheelFile.open(clone.wheel(report))
    stated = read_bills(wheel)
    versions = {component.name: component.version for component in stated.components}
    assert versions["protobuf"] == report["protobuf"]["version"]
    assert versions["onnx"] == report["onnx"]["version"]
    assert {"highway", "pybind11", "unicode-character-database"} <= versions.keys()
    assert stated.making["compiler"].startswith("gcc ")
    assert "-fvisibility=hidden" in stated.making["compile flags"]
    bill = wheel.read(stated.files[0])
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(bill.decode("utf-8")) is None
    assert str(Path.home()).encode() not in bill
    lie = tmp_path / wheel.path.name
    shutil.copyfile(wheel.path, lie)
    said = f'"{versions["protobuf"]}"'.encode()
    altered(lie, {stated.files[0]: bill.replace(said, b'"3.20.1"')})
    found = WheelFile.open(lie)
    (broken,) = [proof for proof in prove_bill(gather(found, found.binaries())) if not proof.ok]
    assert f"it says protobuf 3.20.1, {MODULE_STEM}" in broken.evidence
    assert f"holds protobuf {versions['protobuf']}" in broken.evidence


def test_the_wheel_holds_the_package_and_nothing_else(clone):
    report = clone.build("--compiler", "gcc", "--protobuf", "static")
    with zipfile.ZipFile(clone.wheel(report)) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}
    assert tops == {"onnxforge", f"onnxforge-{report['project']['version']}.dist-info"}
