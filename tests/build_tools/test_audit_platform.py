"""Proofs about wheels for Windows and macOS, by real files where they can be made or fetched."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from build_tools.audit import Expectation, examine
from build_tools.audit_platform import prove_platform
from build_tools.binaries import DynamicFacts, Slice
from build_tools.config import Linkage
from build_tools.context import Context
from build_tools.process import SystemRunner
from build_tools.record import Record
from build_tools.repair import repair
from build_tools.target import Target
from build_tools.wheel_file import WheelBinary, WheelFile
from tests.build_tools import mingw
from tests.build_tools.mingw import SHOWN, needs_mingw
from tests.build_tools.recordings import windows_host
from tests.build_tools.support import RecordedRunner, make_host
from tests.build_tools.wheels import write_wheel

if TYPE_CHECKING:
    from pathlib import Path

    from build_tools.host import System

WINDOWS = DynamicFacts(
    needed=("KERNEL32.dll", "VCRUNTIME140.dll", "api-ms-win-crt-heap-l1-1-0.dll", "python311.dll"),
    name="",
    search=(),
    slices=(Slice(machine="x86_64"),),
    linker=(14, 44),
)
MACOS = DynamicFacts(
    needed=("/usr/lib/libc++.1.dylib", "/usr/lib/libSystem.B.dylib"),
    name="",
    search=(),
    slices=(Slice(machine="aarch64", oldest_macos=(11, 0)),),
)


def binary(facts: DynamicFacts, member: str = "toy/_core.pyd", **changes: object) -> WheelBinary:
    return WheelBinary(
        member=member,
        size=1,
        exported=("PyInit__core",),
        dynamic=replace(facts, **changes),
        machine=facts.slices[0].machine,
        vendored=".libs/" in member or ".dylibs/" in member,
    )


def native(system: System) -> Target:
    """The target of a native build on another system."""
    return Target(name="native", system=system, machine="x86_64")


def broken(tag: str, *binaries: WheelBinary) -> list[str]:
    """The evidence of what does not hold."""
    proofs = list(prove_platform([tag], binaries, repaired=True))
    assert proofs
    return [proof.evidence for proof in proofs if not proof.ok]


class TestWindows:
    def test_a_right_wheel(self):
        assert broken("win_amd64", binary(WINDOWS)) == []

    def test_a_binary_for_another_processor(self):
        wrong = binary(WINDOWS, slices=(Slice(machine="i386"),))
        assert broken("win_amd64", wrong) == ["toy/_core.pyd: no x86_64"]
        assert broken("win32", wrong) == []
        assert broken("win_arm64", wrong)

    def test_a_dll_that_is_nowhere(self):
        needing = binary(WINDOWS, needed=("protobuf-lite.dll", "KERNEL32.dll"))
        assert broken("win_amd64", needing) == ["not found: protobuf-lite.dll"]
        beside = binary(WINDOWS, member="toy.libs/protobuf-lite.dll", needed=())
        assert broken("win_amd64", needing, beside) == []

    def test_names_of_dlls_have_no_case(self):
        needing = binary(WINDOWS, needed=("Protobuf-Lite.DLL", "Kernel32.Dll", "PYTHON3.dll"))
        beside = binary(WINDOWS, member="toy.libs/protobuf-lite.dll", needed=())
        assert broken("win_amd64", needing, beside) == []

    @pytest.mark.parametrize(
        ("name", "linker", "ok"),
        [
            ("MSVCP140.dll", (14, 44), False),
            ("MSVCP140.dll", (14, 40), False),
            ("MSVCP140.dll", (14, 29), True),
            ("msvcp140-a4c2229bdc2a2a630acdc095b4d86008.dll", (14, 44), True),
            ("msvcp140_1.dll", (14, 44), False),
        ],
    )
    def test_a_newer_compiler_needs_a_cxx_runtime_of_its_own(self, name, linker, ok):
        """DLL load failed: a DLL initialization routine failed (onnx#6267)."""
        user = binary(WINDOWS, needed=(name,), linker=linker)
        own = binary(WINDOWS, member=f"toy.libs/{name}", needed=())
        evidence = broken("win_amd64", user, own)
        assert (evidence == []) is ok
        assert ok or f"linker 14.{linker[1]}" in evidence[0]

    def test_the_cxx_runtime_does_not_come_with_python(self):
        user = binary(WINDOWS, needed=("MSVCP140.dll",), linker=(14, 29))
        assert broken("win_amd64", user) == ["not found: msvcp140.dll"]


class TestMacos:
    def test_a_right_wheel(self):
        assert broken("macosx_11_0_arm64", binary(MACOS)) == []

    def test_the_tag_promises_too_old_a_system(self):
        newer = binary(MACOS, slices=(Slice(machine="aarch64", oldest_macos=(13, 3)),))
        assert broken("macosx_14_0_arm64", newer) == []
        (evidence,) = broken("macosx_13_0_arm64", newer)
        assert "needs macOS 13.3" in evidence
        assert "macosx_14_0_arm64" in evidence

    def test_one_slice_of_two(self):
        (evidence,) = broken("macosx_11_0_universal2", binary(MACOS))
        assert evidence == "toy/_core.pyd: no x86_64"
        both = (*MACOS.slices, Slice(machine="x86_64", oldest_macos=(10, 15)))
        assert broken("macosx_11_0_universal2", binary(MACOS, slices=both)) == []

    @pytest.mark.parametrize(
        ("name", "ok"),
        [
            ("@loader_path/.dylibs/libprotobuf-lite.32.dylib", True),
            ("@rpath/libprotobuf-lite.32.dylib", True),
            ("/opt/homebrew/lib/libprotobuf-lite.32.dylib", False),
            ("@rpath/libother.dylib", False),
            ("/System/Library/Frameworks/Accelerate.framework/Accelerate", True),
        ],
    )
    def test_libraries(self, name, ok):
        user = binary(MACOS, needed=(name,))
        inside = binary(MACOS, member="toy/.dylibs/libprotobuf-lite.32.dylib", needed=())
        assert (broken("macosx_11_0_arm64", user, inside) == []) is ok


def test_linux_wheels_are_auditwheels():
    assert list(prove_platform(["manylinux_2_28_x86_64"], [binary(WINDOWS)], repaired=True)) == []


@needs_mingw
class TestRealWindowsWheels:
    expected = Expectation(
        package="toy", protobuf=Linkage.SHARED, repaired=True, target=native("windows")
    )

    def wheel(self, tmp_path: Path, *flags: str) -> Path:
        module = mingw.extension(tmp_path, *flags)
        members = {"toy/_core.cp311-win_amd64.pyd": module, "toy/__init__.py": b""}
        return write_wheel(tmp_path, members, tag="cp311-cp311-win_amd64")

    def test_a_dll_is_really_brought_along_by_delvewheel(self, tmp_path):
        """Before: the module needs protobuf-toy.dll from a prefix. After: the wheel has it."""
        prefix = tmp_path / "prefix"
        prefix.mkdir()
        mingw.dll(prefix, "protobuf-toy", f"{SHOWN} int toy(void) {{ return 1; }}")
        link = (f"-L{prefix}", "-lprotobuf-toy", "-Wl,-u,toy", "-Wl,--require-defined=toy")
        wheel = self.wheel(tmp_path, *link)
        context = Context(host=windows_host(), runner=SystemRunner(), record=Record())
        before = examine(wheel, self.expected, context)
        assert [proof.evidence for proof in before.proofs if not proof.ok] == [
            "not found: protobuf-toy.dll"
        ]
        host = make_host(system="windows")
        context = Context(host=host, runner=SystemRunner(), record=Record())
        out, log = tmp_path / "out", tmp_path / "log"
        repaired = repair(wheel, out, [prefix], log, context, target=native("windows"))
        found = examine(repaired, self.expected, context)
        assert [proof.claim for proof in found.proofs if not proof.ok] == []
        (brought,) = [it for it in found.binaries if it.vendored]
        assert brought.member.startswith("toy.libs/protobuf-toy-")
        assert found.wheel.platforms == ("win_amd64",)

    def test_the_exports_of_a_pyd_are_read(self, tmp_path):
        (module,) = WheelFile.open(self.wheel(tmp_path)).binaries()
        assert module.exported == ("PyInit__core",)
        assert module.dynamic.slices == (Slice(machine="x86_64"),)


def fetched(folder: Path, requirement: str, platform: str) -> WheelFile:
    """A published wheel for another system."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder]
    command += ["--only-binary", ":all:", "--python-version", "3.11", "--platform", platform]
    made = subprocess.run([*command, requirement], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"{requirement} cannot be had here: {made.stderr.splitlines()[-1:]}")
    (wheel,) = folder.glob("*.whl")
    return WheelFile.open(wheel)


@pytest.mark.network
class TestPublishedWheels:
    def proofs(self, wheel: WheelFile) -> dict[str, tuple[bool, str]]:
        found = prove_platform(wheel.platforms, wheel.binaries(), repaired=True)
        return {proof.claim: (proof.ok, proof.evidence) for proof in found}

    def test_onnx_for_macos_promises_a_system_that_is_too_old(self, tmp_path):
        """The wheel is tagged 13.0 and both slices need 13.3."""
        wheel = fetched(tmp_path, "onnx==1.23.2", "macosx_14_0_universal2")
        proofs = self.proofs(wheel)
        ok, evidence = proofs.pop("macosx_13_0_universal2 promises no macOS that is too old for it")
        assert not ok
        assert "needs macOS 13.3: the tag must be macosx_14_0_universal2" in evidence
        assert all(ok for ok, _ in proofs.values()), proofs

    @pytest.mark.parametrize(
        ("requirement", "platform"),
        [("onnx==1.23.2", "win_amd64"), ("markupsafe==3.0.3", "macosx_11_0_arm64")],
    )
    def test_sound_ones_are_proved(self, tmp_path, requirement, platform):
        proofs = self.proofs(fetched(tmp_path, requirement, platform))
        assert len(proofs) == 3
        assert all(ok for ok, _ in proofs.values()), proofs


def test_the_audit_of_a_wheel_for_another_system_runs_nothing(tmp_path):
    path = write_wheel(tmp_path, {"toy/__init__.py": b""}, tag="cp311-cp311-macosx_11_0_arm64")
    context = Context(host=make_host(system="darwin"), runner=RecordedRunner([]), record=Record())
    expected = Expectation(
        package="toy", protobuf=Linkage.STATIC, repaired=True, target=native("darwin")
    )
    claims = [proof.claim for proof in examine(path, expected, context).proofs]
    assert "every library it needs is in it or part of macOS" in claims
