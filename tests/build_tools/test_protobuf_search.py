"""Candidates come in the order of who named them, each once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from build_tools.protobuf import search
from build_tools.protobuf.search import candidates
from build_tools.sources import resolve
from tests.build_tools.support import make_host, script

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def _found(*arguments: str, **environ: str) -> list[tuple[Path, str]]:
    resolved = resolve(arguments, environ, {})
    host = make_host(system="linux", environ=environ)
    return [
        (candidate.root, candidate.origin)
        for candidate in candidates(resolved.config, host, resolved.origins)
    ]


def _folder(path: Path) -> Path:
    path.mkdir(parents=True)
    return path.resolve()


def test_a_named_root_stands_alone_even_where_it_is_missing(tmp_path: Path) -> None:
    conda = _folder(tmp_path / "conda")
    found = _found("--protobuf-root", str(tmp_path / "none"), CONDA_PREFIX=str(conda))
    assert found == [(tmp_path / "none", "--protobuf-root on the command line")]


def test_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("argument", "first", "second", "conda", "path", "system")
    roots = {name: _folder(tmp_path / name) for name in names}
    protoc = script(roots["path"] / "bin" / "protoc", "exit 0")
    monkeypatch.setitem(search._SYSTEM_ROOTS, "linux", (str(roots["system"]),))
    found = _found(
        PATH=f"{tmp_path}:{roots['path']}/bin",
        CONDA_PREFIX=str(roots["conda"]),
        CMAKE_PREFIX_PATH=f"{roots['first']}:{roots['second']}",
        CMAKE_ARGS=f"-DCMAKE_PREFIX_PATH={roots['argument']};{tmp_path / 'missing'}",
    )
    assert found == [
        (roots["argument"], "CMAKE_PREFIX_PATH in CMAKE_ARGS"),
        (roots["first"], "CMAKE_PREFIX_PATH"),
        (roots["second"], "CMAKE_PREFIX_PATH"),
        (roots["conda"], "CONDA_PREFIX"),
        (roots["path"], f"{protoc} on PATH"),
        (roots["system"], "system folder"),
    ]


def test_one_folder_by_two_names_is_one_candidate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(search._SYSTEM_ROOTS, "linux", ())
    real = _folder(tmp_path / "real")
    (tmp_path / "link").symlink_to(real)
    found = _found(CONDA_PREFIX=str(tmp_path / "link"), CMAKE_PREFIX_PATH=f"{real}:{real}/.")
    assert found == [(real, "CMAKE_PREFIX_PATH")]


def test_protobuf_root_of_cmake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(search._SYSTEM_ROOTS, "linux", ())
    one, two = _folder(tmp_path / "one"), _folder(tmp_path / "two")
    found = _found(CMAKE_ARGS=f"-DProtobuf_ROOT:PATH={one}", Protobuf_ROOT=str(two))
    assert found == [(one, "Protobuf_ROOT in CMAKE_ARGS"), (two, "Protobuf_ROOT")]
