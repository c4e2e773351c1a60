"""``fetch`` puts sources at hand for a person, for a program and for CMake."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from build_tools import fetch_cli, transfer
from build_tools.__main__ import main
from build_tools.errors import NetworkError, OfflineError, PinError
from build_tools.pins import load_pins
from tests.build_tools import web as answers
from tests.build_tools.archives import sha256, source_archive
from tests.build_tools.source_bench import DATA, JSON_PAGE, on_index, page, pin, pins, release

OTHER = source_archive(size=9_000)


@pytest.fixture
def run(tmp_path, capsys, monkeypatch, web):
    """Runs the verb with two versions of one source; only the web server can be asked."""
    place = on_index()
    listed = page((place.filename, f"/files/{place.filename}", place.sha256))
    web.at("/simple/carrier-pigeon/", answers.whole(listed, JSON_PAGE))
    web.at(f"/files/{place.filename}", answers.whole(DATA))
    known = pins(
        pin(release(web.at("/gone", answers.status(404)), OTHER), version="2.0", default=True),
        pin(place, version="1.0", substitute_for="2.0"),
    )
    monkeypatch.setattr(fetch_cli, "load_pins", lambda: known)
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_", "ONNXFORGE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    monkeypatch.setenv("PIP_INDEX_URL", f"http://me:secret@127.0.0.1:{web.port}/simple")

    def call(*arguments):
        code = main(["fetch", *arguments, "--cache-dir", str(tmp_path / "a cache; é")])
        return code, *capsys.readouterr()

    return call


def test_a_source_by_name_and_version(run, tmp_path):
    code, out, _ = run("lib==1.0")
    assert code == 0
    name, _, folder = out.strip().partition(": ")
    assert name == "lib 1.0"
    assert folder.startswith(str(tmp_path / "a cache; é"))


def test_without_a_name_all_sources_and_the_policy_of_versions(run):
    code, out, err = run()
    assert code == 0
    assert out.startswith("lib 1.0: ")
    assert "lib 2.0, the default, cannot be had" in err
    assert "secret" not in err


def test_for_cmake_standard_output_is_nothing_but_commands(run, tmp_path):
    code, out, err = run("lib", "--print-cmake")
    assert code == 0
    assert "cannot be had" in err
    (folder,) = (tmp_path / "a cache; é" / "sources").glob("lib-1.0-*[0-9a-f]")
    assert out == f'set(ONNXFORGE_LIB_SOURCE "{folder}")\nset(ONNXFORGE_LIB_VERSION "1.0")\n'


@pytest.mark.skipif(shutil.which("cmake") is None, reason="no CMake on PATH")
def test_cmake_reads_the_very_same_path(run, tmp_path, monkeypatch):
    odd = tmp_path / 'q"uote $HOME ${x} a;b'
    monkeypatch.setenv("ONNXFORGE_CACHE_DIR", str(odd))
    assert main(["fetch", "lib==1.0", "--into", str(odd)]) == 0
    text = fetch_cli.cmake_lines(
        fetch_cli.Fetched(pin=pin(on_index()), archive=None, tree=odd)  # type: ignore[arg-type]
    )
    script = tmp_path / "check.cmake"
    script.write_text(
        text + 'file(WRITE "${CMAKE_CURRENT_LIST_DIR}/said" "${ONNXFORGE_LIB_SOURCE}")\n',
        encoding="utf-8",
    )
    subprocess.run(["cmake", "-P", str(script)], check=True)
    assert (tmp_path / "said").read_text(encoding="utf-8") == odd.as_posix()


def test_for_a_program(run):
    code, out, _ = run("lib==1.0", "--json")
    (source,) = json.loads(out)
    assert code == 0
    assert (source["name"], source["version"], source["sha256"]) == ("lib", "1.0", sha256(DATA))


def test_archives_for_another_machine_are_enough_there(run, tmp_path, monkeypatch, web):
    carried = tmp_path / "carried"
    assert run("lib==1.0", "--into", str(carried))[0] == 0
    assert [path.name for path in carried.iterdir()] == [on_index().filename]
    shutil.rmtree(tmp_path / "a cache; é")
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("a socket"))
    asked = len(web.asked)
    code, out, _ = run("lib", "--offline", "--archives", str(carried))
    assert code == 0
    assert out.startswith("lib 1.0: ")
    assert len(web.asked) == asked


def test_errors_become_exit_codes(run):
    assert run("libb")[0] == PinError.exit_code
    assert run("lib==3.0")[0] == PinError.exit_code
    assert run("lib==2.0")[0] == NetworkError.exit_code
    assert run("lib==2.0", "--offline")[0] == OfflineError.exit_code


@pytest.fixture
def dead_network(monkeypatch):
    monkeypatch.setattr(transfer, "CONNECT_SECONDS", 0.2)

    def refuse(*_args, **_options):
        raise OSError("Network is unreachable")

    monkeypatch.setattr(socket, "create_connection", refuse)


def test_without_any_network_everything_is_named(run, dead_network):
    code, _, err = run("lib")
    assert code == NetworkError.exit_code
    assert "/gone" in err
    assert "PIP_INDEX_URL" in err
    assert "Network is unreachable" in err
    assert "secret" not in err


# The real ones


@pytest.mark.network
@pytest.mark.parametrize(
    ("name", "files"),
    [
        (
            "protobuf==3.21.12",
            ("src/google/protobuf/message.cc", "src/google/protobuf/compiler/main.cc"),
        ),
        ("onnx", ("CMakeLists.txt", "onnx/onnx.in.proto", "onnx/checker.cc")),
        ("highway", ("CMakeLists.txt", "hwy/highway.h", "hwy/contrib/thread_pool/thread_pool.h")),
        ("magika", ("model.onnx", "config.min.json")),
        ("nudenet", ("320n.onnx",)),
        (
            "rapidocr-onnxruntime",
            (
                "ch_PP-OCRv4_det_infer.onnx",
                "ch_PP-OCRv4_rec_infer.onnx",
                "ch_ppocr_mobile_v2.0_cls_infer.onnx",
            ),
        ),
        ("silero-vad", ("silero_vad.onnx",)),
    ],
)
def test_each_pinned_source_can_be_had_and_has_the_layout_its_recipe_wants(
    name, files, tmp_path_factory, capsys
):
    root = tmp_path_factory.getbasetemp() / "network cache"
    assert main(["fetch", name, "--json", "--cache-dir", str(root)]) == 0
    (source,) = json.loads(capsys.readouterr().out)
    for file in files:
        assert Path(source["source"], file).is_file(), file
    pinned = {place.sha256 for entry in load_pins().all for place in entry.places}
    assert source["sha256"] in pinned
