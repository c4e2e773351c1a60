"""ONNX_USE_PROTOBUF_SHARED_LIBS follows from the file found; a contradiction is an error."""

from __future__ import annotations

import pytest

from tests.build_tools.toy_protobuf import Toy, needs_compiler, needs_shell
from tests.packaging.cmake_project import Project, ok, said

pytestmark = [needs_compiler, needs_shell]

BODY = """
include(Options)
include(ThirdParty)
include(Protobuf)
get_target_property(file protobuf::libprotobuf-lite IMPORTED_LOCATION)
message(STATUS "decided: ${ONNXFORGE_PROTOBUF_LINKAGE} ${ONNXFORGE_PROTOBUF_VERSION} ${file}")
"""


def configure(folder, toy, shared_libs="AUTO"):
    project = Project.write(folder, BODY)
    return project.configure(
        f"-DONNXFORGE_PROTOBUF_PREFIX={toy.make()}",
        f"-DONNX_USE_PROTOBUF_SHARED_LIBS={shared_libs}",
    )


@pytest.mark.parametrize(
    ("static", "shared", "pic", "asked", "linkage"),
    [
        (True, False, True, "AUTO", "static"),
        (False, True, True, "AUTO", "shared"),
        (True, True, True, "AUTO", "static"),
        (True, True, False, "AUTO", "shared"),
        (True, True, True, "ON", "shared"),
        (True, True, True, "off", "static"),
        (True, True, True, "TRUE", "shared"),
    ],
)
def test_the_file_decides(tmp_path, static, shared, pic, asked, linkage):
    toy = Toy(root=tmp_path / "a prefix ż", static=static, shared=shared, pic=pic)
    suffix = "so" if linkage == "shared" else "a"
    expected = f"decided: {linkage} 3.21.12 {toy.root}/lib/libprotobuf-lite.{suffix}"
    assert expected in said(ok(configure(tmp_path, toy, asked)))


def refused(result, *parts):
    assert not result.ok
    for part in (*parts, "what to do"):
        assert part in said(result)


def test_on_with_only_an_archive(tmp_path):
    toy = Toy(root=tmp_path / "prefix")
    refused(
        configure(tmp_path, toy, "ON"),
        "ONNX_USE_PROTOBUF_SHARED_LIBS=ON, but there is no such library",
        f"static '{toy.root}/lib/libprotobuf-lite.a', shared ''",
    )


def test_off_with_only_a_shared_object(tmp_path):
    toy = Toy(root=tmp_path / "prefix", static=False, shared=True)
    refused(
        configure(tmp_path, toy, "OFF"),
        "ONNX_USE_PROTOBUF_SHARED_LIBS=OFF, but there is no such library",
    )


@pytest.mark.parametrize("shared", [False, True])
def test_an_archive_that_is_not_position_independent(tmp_path, shared):
    toy = Toy(root=tmp_path / "prefix", pic=False, shared=shared)
    refused(configure(tmp_path, toy, "OFF" if shared else "AUTO"), "is not position independent")


def test_a_shared_object_that_is_an_archive(tmp_path):
    toy = Toy(root=tmp_path / "prefix")
    toy.make()
    (toy.root / "lib" / "libprotobuf-lite.a").rename(toy.root / "lib" / "libprotobuf-lite.so")
    project = Project.write(tmp_path, BODY)
    refused(
        project.configure(f"-DONNXFORGE_PROTOBUF_PREFIX={toy.root}"),
        "libprotobuf-lite.so is, by its content, a library of this kind: static",
    )


def test_a_protoc_of_another_version(tmp_path):
    toy = Toy(root=tmp_path / "prefix", protoc="3.20.2")
    refused(configure(tmp_path, toy), "protoc: '3.20.2'", "headers: 3.21.12")


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ("lib/libprotobuf-lite.a", "No protobuf-lite library"),
        ("bin/protoc", "No protoc"),
        ("include/google/protobuf/port_def.inc", "No protobuf headers"),
    ],
)
def test_an_incomplete_prefix(tmp_path, gone, message):
    toy = Toy(root=tmp_path / "prefix")
    toy.make()
    (toy.root / gone).unlink()
    project = Project.write(tmp_path, BODY)
    refused(project.configure(f"-DONNXFORGE_PROTOBUF_PREFIX={toy.root}"), message)


def test_a_value_that_is_none(tmp_path):
    result = configure(tmp_path, Toy(root=tmp_path / "prefix"), "maybe")
    assert not result.ok
    assert "ONNX_USE_PROTOBUF_SHARED_LIBS is 'maybe' it may be: AUTO, ON or OFF" in said(result)


@pytest.mark.parametrize(
    ("value", "message"), [("adress", "names 'adress'"), ("thread;address", "exclude each other")]
)
def test_sanitizers_are_checked(tmp_path, value, message):
    project = Project.write(tmp_path, "include(Options)\ninclude(Sanitizers)\n")
    result = project.configure(f"-DONNXFORGE_SANITIZE={value}")
    assert not result.ok
    assert message in said(result)
