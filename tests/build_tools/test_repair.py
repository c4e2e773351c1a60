"""Making a wheel self-contained: auditwheel is asked for it, and its failure is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from build_tools.audit import Expectation, examine
from build_tools.config import Linkage
from build_tools.context import Context
from build_tools.errors import WheelError
from build_tools.process import SystemRunner
from build_tools.record import Record
from build_tools.repair import repair
from build_tools.target import native_target
from tests.build_tools.support import RecordedRunner, has, make_host, said
from tests.build_tools.wheels import (
    MODULE,
    extension,
    needs_c_compiler,
    shared_object,
    write_wheel,
)


def context(runner, **host) -> Context:
    return Context(host=make_host(**host), runner=runner, record=Record())


def mend(wheel, into, folders, log, here):
    return repair(wheel, into, folders, log, here, target=native_target(here.host))


def leaves(folder: Path, name: str):
    """A tool that succeeds: its result lies in ``folder`` when it has ended."""

    def run(argv):
        (folder / name).write_bytes(b"")
        return said()

    return run


def test_windows_has_delvewheel(tmp_path):
    out, wheel = tmp_path / "out", tmp_path / "toy-1.0-cp311-cp311-win_amd64.whl"
    runner = RecordedRunner([(has("delvewheel"), leaves(out, wheel.name))])
    here = context(runner, system="windows")
    made = mend(wheel, out, [tmp_path / "bin", tmp_path / "lib"], tmp_path / "log", here)
    assert made == out / wheel.name
    command = runner.calls[0].argv
    assert command[1:4] == ("-m", "delvewheel", "repair")
    places = command[command.index("--add-path") + 1]
    assert places == os.pathsep.join([str(tmp_path / "bin"), str(tmp_path / "lib")])
    (decision,) = here.record.decisions
    assert (decision.choice, decision.source) == ("win_amd64", "delvewheel")


def test_macos_has_delocate_which_may_raise_the_tag(tmp_path):
    out, wheel = tmp_path / "out", tmp_path / "toy-1.0-cp311-cp311-macosx_11_0_arm64.whl"
    made = "toy-1.0-cp311-cp311-macosx_14_0_arm64.whl"
    runner = RecordedRunner([(has("delocate.cmd.delocate_wheel"), leaves(out, made))])
    variables = {"PATH": "/bin", "MACOSX_DEPLOYMENT_TARGET": "11.0"}
    here = context(runner, system="darwin", environ=variables)
    repaired = mend(wheel, out, [Path("/prefix/lib")], tmp_path / "log", here)
    assert repaired.name == made
    (call,) = runner.calls
    assert "--check-archs" in call.argv
    assert call.env["DYLD_LIBRARY_PATH"] == "/prefix/lib"
    assert "MACOSX_DEPLOYMENT_TARGET" not in call.env
    assert here.record.decisions[0].choice == "macosx_14_0_arm64"


def test_a_failure_shows_what_auditwheel_said(tmp_path):
    here = context(RecordedRunner([(has("repair"), said("cannot grafts\n", returncode=1))]))
    with pytest.raises(WheelError) as caught:
        mend(tmp_path / "toy.whl", tmp_path / "out", (), tmp_path / "repair.log", here)
    assert "cannot grafts" in str(caught.value)
    assert "--no-repair" in str(caught.value)


def test_libraries_are_looked_for_where_they_were_linked(tmp_path):
    runner = RecordedRunner([(has("repair"), said(returncode=1))])
    here = context(runner, environ={"PATH": "/bin", "LD_LIBRARY_PATH": "/own"})
    with pytest.raises(WheelError):
        mend(tmp_path / "toy.whl", tmp_path / "out", [Path("/prefix/lib")], tmp_path / "l", here)
    environ = runner.calls[0].env
    assert environ["LD_LIBRARY_PATH"] == "/prefix/lib:/own"
    assert environ["PATH"].split(":")[0] == str(here.host.python.executable.parent)


@needs_c_compiler
def test_a_shared_library_is_really_brought_along(tmp_path):
    """Before: the module needs libprotobuf-toy.so from a prefix. After: the wheel has it."""
    prefix = tmp_path / "prefix"
    prefix.mkdir()
    show = '__attribute__((visibility("default")))'
    library = prefix / "libprotobuf-toy.so"
    source = f"{show} int toy(void) {{ return 1; }}"
    shared_object(library, source, "-Wl,-soname,libprotobuf-toy.so")
    flags = (f"-L{prefix}", "-Wl,--no-as-needed", "-lprotobuf-toy")
    use = "int toy(void);\nint use(void) { return toy(); }"
    module = extension(tmp_path, also=use, flags=flags)
    wheel = write_wheel(tmp_path, {MODULE: module, "toy/__init__.py": b""})
    here = context(SystemRunner())

    repaired = mend(wheel, tmp_path / "out", [prefix], tmp_path / "repair.log", here)

    expected = Expectation(
        package="toy",
        protobuf=Linkage.SHARED,
        repaired=True,
        target=native_target(here.host),
    )
    found = examine(repaired, expected, here)
    assert [proof.claim for proof in found.proofs if not proof.ok] == []
    (brought,) = [binary for binary in found.binaries if binary.vendored]
    assert brought.member.startswith("toy.libs/libprotobuf-toy-")
    assert found.wheel.platforms[0].startswith("manylinux")
    assert here.record.decisions[0].subject == "platform tag"
