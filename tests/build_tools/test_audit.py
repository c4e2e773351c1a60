"""The proofs about a wheel: each holds of a right wheel and fails for a wrong one."""

from __future__ import annotations

import json
import re

import pytest

from build_tools.audit import (
    Expectation,
    PlatformPolicy,
    audit,
    parse_policy,
    prove_content,
    prove_exports,
    prove_machine,
    prove_platform_tag,
    prove_protobuf_linkage,
    prove_python,
    prove_search_path,
    prove_self_contained,
    prove_target,
)
from build_tools.binaries import DynamicFacts
from build_tools.config import Linkage
from build_tools.context import Context
from build_tools.errors import AuditError
from build_tools.matrix import load_matrix
from build_tools.process import SystemRunner
from build_tools.record import Record
from build_tools.target import native_target
from build_tools.wheel_file import WheelBinary, WheelFile
from tests.build_tools.support import RecordedRunner, has, make_host, said
from tests.build_tools.wheels import MODULE, extension, needs_c_compiler, write_wheel

POLICY = PlatformPolicy(
    tag="manylinux_2_28_x86_64", external=(), symbols={"GLIBC": "2.28"}, special_processor=False
)


def binary(
    *,
    member: str = MODULE,
    exported: tuple[str, ...] = ("PyInit__core",),
    needed: tuple[str, ...] = ("libc.so.6",),
    search: tuple[str, ...] = (),
    machine: str = "x86_64",
    vendored: bool = False,
) -> WheelBinary:
    facts = DynamicFacts(needed=needed, name="", search=search)
    return WheelBinary(
        member=member,
        size=1,
        exported=exported,
        dynamic=facts,
        machine=machine,
        vendored=vendored,
    )


def test_the_entry_point_alone_may_be_exported():
    assert prove_exports([binary()]).ok
    leaking = prove_exports([binary(exported=("PyInit__core", "_ZN4onnx5CheckEv"))])
    assert not leaking.ok
    assert leaking.evidence == "1 other names: _ZN4onnx5CheckEv"


def test_many_leaked_names_are_counted_and_some_are_shown():
    names = tuple(f"_ZN4absl{n}" for n in range(3000))
    proof = prove_exports([binary(exported=names)])
    assert proof.evidence.startswith("3000 other names: _ZN4absl0, ")
    assert proof.evidence.endswith("and 2995 more")


def test_a_module_without_entry_point_proves_nothing():
    assert not prove_exports([binary(exported=())]).ok
    assert not prove_exports([]).ok


@pytest.mark.parametrize(
    ("needed", "linkage", "ok"),
    [
        (("libc.so.6",), Linkage.STATIC, True),
        (("libprotobuf-lite.so.32",), Linkage.STATIC, False),
        (("libabsl_log.so.2301",), Linkage.STATIC, False),
        (("libprotobuf-lite.so.32", "libc.so.6"), Linkage.SHARED, True),
        (("libprotobuf-lite-3f2a.so.32.0.12",), Linkage.SHARED, True),
        (("libc.so.6",), Linkage.SHARED, False),
        (("protobuf-lite.dll",), Linkage.SHARED, True),
    ],
)
def test_protobuf_is_needed_exactly_when_it_is_shared(needed, linkage, ok):
    assert prove_protobuf_linkage([binary(needed=needed)], linkage).ok is ok


@pytest.mark.parametrize(
    ("folder", "ok"),
    [
        ("$ORIGIN", True),
        ("$ORIGIN/../toy.libs", True),
        ("@loader_path/.dylibs", True),
        ("/home/builder/.cache/lib", False),
        ("$ORIGINAL/lib", False),
        ("", False),
    ],
)
def test_only_folders_of_the_wheel_are_searched(folder, ok):
    proof = prove_search_path([binary(search=(folder,))])
    assert proof.ok is ok
    assert folder in proof.evidence


def test_an_external_library_must_be_inside():
    policy = PlatformPolicy(
        tag="linux_x86_64", external=("libz.so.1",), symbols={}, special_processor=False
    )
    assert not prove_self_contained((binary(),), policy).ok
    inside = binary(member="toy.libs/libz.so.1", vendored=True)
    assert prove_self_contained((binary(), inside), policy).ok


@pytest.mark.parametrize(
    ("claimed", "ok"),
    [
        (("manylinux_2_28_x86_64",), True),
        (("manylinux_2_27_x86_64", "manylinux_2_28_x86_64"), True),
        (("manylinux_2_17_x86_64",), False),
        (("linux_x86_64",), True),
    ],
)
def test_the_tag_must_not_promise_more_than_the_symbols_allow(claimed, ok):
    assert prove_platform_tag(claimed, POLICY).ok is ok


def test_a_wheel_for_special_processors_has_no_true_tag():
    policy = PlatformPolicy(tag=POLICY.tag, external=(), symbols={}, special_processor=True)
    assert not prove_platform_tag((POLICY.tag,), policy).ok


@pytest.mark.parametrize(
    "stray",
    [
        "include/onnx/onnx.pb.h",
        "lib/libprotobuf.a",
        "toy/kernel.h",
        "toy/__pycache__/x.cpython-311.pyc",
        "other/__init__.py",
        "toy/../escaped.py",
        "top_level.py",
    ],
)
def test_stray_files_are_found(stray):
    good = ["toy/__init__.py", "toy/py.typed", "toy/_core.pyi", MODULE, "toy-1.0.dist-info/RECORD"]
    assert prove_content(good, "toy-1.0.dist-info", "toy").ok
    proof = prove_content([*good, stray], "toy-1.0.dist-info", "toy")
    assert not proof.ok
    assert stray in proof.evidence


def test_auditwheels_words_become_a_value():
    shown = {
        "overall_tag": "manylinux_2_34_x86_64",
        "versioned_symbols": {
            "libc.so.6": ["GLIBC_2.2.5", "GLIBC_2.34", "GLIBC_2.9"],
            "libstdc++.so.6": ["CXXABI_1.3.13", "CXXABI_1.3.9", "GLIBCXX_3.4.30"],
        },
        "external_libs": {"libprotobuf-lite.so.32": "/usr/lib/libprotobuf-lite.so.32"},
        "unsupported_isa": False,
    }
    assert parse_policy(shown) == PlatformPolicy(
        tag="manylinux_2_34_x86_64",
        external=("libprotobuf-lite.so.32",),
        symbols={"GLIBC": "2.34", "CXXABI": "1.3.13", "GLIBCXX": "3.4.30"},
        special_processor=False,
    )


def expectation(**changes) -> Expectation:
    values = {"package": "toy", "protobuf": Linkage.STATIC, "repaired": False, **changes}
    return Expectation(**{"target": native_target(make_host()), **values})


@needs_c_compiler
def test_a_right_wheel_is_proved_and_recorded(tmp_path):
    path = write_wheel(tmp_path, {MODULE: extension(tmp_path), "toy/__init__.py": b""})
    context = Context(host=make_host(), runner=SystemRunner(), record=Record())
    found = audit(path, expectation(), context)
    assert all(proof.ok for proof in found.proofs)
    assert list(found.proofs) == context.record.proofs
    assert {proof.claim for proof in found.proofs} >= {
        "only PyInit_* is exported",
        "RECORD is true of every file",
        "the platform tag is true: linux_x86_64",
    }
    assert [entry["member"] for entry in found.as_dict()["binaries"]] == [MODULE]


@needs_c_compiler
def test_everything_wrong_with_a_wheel_is_said_at_once(tmp_path):
    leaking = extension(tmp_path, also="SHOW int onnx_leaked(void) { return 1; }\n")
    path = write_wheel(tmp_path, {MODULE: leaking, "include/onnx.h": b""})
    context = Context(host=make_host(), runner=SystemRunner(), record=Record())
    with pytest.raises(AuditError) as caught:
        audit(path, expectation(protobuf=Linkage.SHARED), context)
    said_why = str(caught.value)
    assert "onnx_leaked" in said_why
    assert "include/onnx.h" in said_why
    assert "protobuf is linked shared" in said_why
    assert sum(not proof.ok for proof in context.record.proofs) == 3


@needs_c_compiler
def test_a_failing_auditwheel_is_an_audit_error(tmp_path):
    path = write_wheel(tmp_path, {MODULE: extension(tmp_path)})
    runner = RecordedRunner([(has("auditwheel"), said(returncode=1, stderr="no such platform"))])
    context = Context(host=make_host(), runner=runner, record=Record())
    with pytest.raises(AuditError, match="cannot read") as caught:
        audit(path, expectation(), context)
    assert "no such platform" in str(caught.value)


@needs_c_compiler
def test_other_systems_are_not_asked_for_a_manylinux_policy(tmp_path):
    path = write_wheel(tmp_path, {MODULE: extension(tmp_path)})
    context = Context(host=make_host(system="darwin"), runner=RecordedRunner([]), record=Record())
    expected = expectation(target=native_target(context.host))
    assert audit(path, expected, context).policy is None
    assert json.dumps(audit(path, expected, context).as_dict())


@needs_c_compiler
def test_a_folder_of_the_building_machine_is_found_in_a_binary(tmp_path):
    here = f'const char* where(void) {{ return "{tmp_path}/secret.c"; }}'
    module = extension(tmp_path, also=f"SHOW {here}")
    path = write_wheel(tmp_path, {MODULE: module, "toy/__init__.py": b""})
    context = Context(host=make_host(), runner=SystemRunner(), record=Record())
    with pytest.raises(AuditError, match=re.escape(path.name)) as caught:
        audit(path, expectation(foreign_folders=(tmp_path,)), context)
    assert f"{MODULE}: {tmp_path}" in str(caught.value)


def crossed(name: str):
    (row,) = load_matrix().select([name], [])
    return row.target


@pytest.mark.parametrize(
    ("claimed", "ok"),
    [
        (("manylinux2014_aarch64", "manylinux_2_17_aarch64"), True),
        (("manylinux_2_28_aarch64",), False),
        (("linux_aarch64",), False),
    ],
)
def test_a_wheel_must_earn_the_tag_of_its_target(claimed, ok):
    assert prove_target(claimed, crossed("manylinux2014_aarch64")).ok is ok


@pytest.mark.parametrize(
    ("name", "needed", "ok"),
    [
        ("toy/_core.cp313-win_amd64.pyd", ("python313.dll", "KERNEL32.dll"), True),
        ("toy/_core.cp313-win_amd64.pyd", ("python312.dll", "KERNEL32.dll"), False),
        ("toy/_core.cp313-win_amd64.pyd", ("python3.dll",), False),
        ("toy/_core.cp312-win_amd64.pyd", ("python313.dll",), False),
        ("toy/_core.pyd", ("python313.dll",), False),
    ],
)
def test_a_module_is_one_that_its_python_imports(tmp_path, name, needed, ok):
    path = write_wheel(tmp_path, {name: b""}, tag="cp313-cp313-win_amd64")
    module = binary(member=name, needed=needed)
    assert prove_python(WheelFile.open(path), [module], crossed("win_amd64")).ok is ok


def test_a_binary_for_another_processor_is_found():
    assert prove_machine([binary(machine="aarch64")], crossed("manylinux2014_aarch64")).ok
    proof = prove_machine([binary(machine="x86_64")], crossed("manylinux2014_aarch64"))
    assert (proof.ok, proof.evidence) == (False, "x86_64")
