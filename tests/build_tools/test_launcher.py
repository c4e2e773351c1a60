"""The compiler cache: which one is used, and why, and that a real one keeps what is compiled."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from build_tools.errors import ToolchainError
from build_tools.process import SystemRunner
from build_tools.record import Record
from build_tools.toolchain import find_toolchain
from build_tools.toolchain.launcher import with_compiler_cache
from tests.build_tools.support import make_host, script


@pytest.fixture(scope="module")
def toolchain(tmp_path_factory):
    return find_toolchain(None, make_host(), SystemRunner(), Record(), tmp_path_factory.mktemp("c"))


def host_with(folder: Path, *names: str, **environ: str):
    """A host with such programs on PATH and nothing beside its Python."""
    for name in names:
        script(folder / "bin" / name, "")
    (folder / "python").mkdir(exist_ok=True)
    real = make_host(environ={"PATH": str(folder / "bin"), **environ})
    return replace(real, python=replace(real.python, executable=folder / "python" / "python"))


def used(toolchain, asked, host):
    record = Record()
    result = with_compiler_cache(toolchain, asked, "default", host, record)
    (decision,) = record.decisions
    return result, decision


def test_the_first_that_is_installed_is_used_aloud(toolchain, tmp_path):
    result, decision = used(toolchain, "auto", host_with(tmp_path, "sccache", "ccache"))
    assert result.compiler.launcher == tmp_path / "bin" / "ccache"
    assert result.cmake_cache()["CMAKE_CXX_COMPILER_LAUNCHER"] == str(tmp_path / "bin" / "ccache")
    assert (decision.subject, decision.choice) == (
        "compiler cache",
        str(tmp_path / "bin" / "ccache"),
    )
    assert "off" in decision.reason


def test_a_package_beside_the_builders_python_is_found(toolchain, tmp_path):
    host = host_with(tmp_path)
    program = script(tmp_path / "python" / "sccache", "")
    assert used(toolchain, "auto", host)[0].compiler.launcher == program


@pytest.mark.parametrize(("asked", "why"), [("auto", "neither"), ("off", "ruled out")])
def test_none_is_said_too(toolchain, tmp_path, asked, why):
    installed = ("ccache",) if asked == "off" else ()
    result, decision = used(toolchain, asked, host_with(tmp_path, *installed))
    assert result is toolchain
    assert why in decision.reason


def test_one_that_is_named_and_missing_is_an_error(toolchain, tmp_path):
    with pytest.raises(ToolchainError, match="distcache"):
        used(toolchain, "distcache", host_with(tmp_path, "ccache"))


def test_a_launcher_of_the_compiler_stays(toolchain, tmp_path):
    own = replace(toolchain, compiler=replace(toolchain.compiler, launcher=Path("/x/icecc")))
    assert used(own, "auto", host_with(tmp_path, "ccache"))[0] is own


def test_what_the_user_tells_ccache_stays(toolchain, tmp_path):
    host = host_with(tmp_path, "ccache")
    assert "pch_defines" in used(toolchain, "auto", host)[0].environment()["CCACHE_SLOPPINESS"]
    told = host_with(tmp_path, "ccache", CCACHE_SLOPPINESS="locale")
    assert "CCACHE_SLOPPINESS" not in used(toolchain, "auto", told)[0].environment()


def test_it_makes_no_other_product(toolchain, tmp_path):
    result, _ = used(toolchain, "auto", host_with(tmp_path, "ccache"))
    assert result.identity() == toolchain.identity()


@pytest.mark.skipif(shutil.which("ccache") is None, reason="no ccache on PATH")
def test_a_clone_in_another_folder_takes_what_a_real_one_has_kept(toolchain, tmp_path):
    """Before: a miss. After: a hit, with the same object, whatever folder it is compiled in."""
    host = make_host()
    result = with_compiler_cache(toolchain, "ccache", "test", host, Record())
    ours = result.environment()
    assert Path(ours["CCACHE_BASEDIR"], "CMakeLists.txt").is_file()
    environ = {**host.environ, **ours, "CCACHE_DIR": str(tmp_path / "kept")}
    objects = []
    for name in ("one", "two"):
        root = tmp_path / name
        (root / "build").mkdir(parents=True)
        (root / "a.h").write_text("int answer();\n", encoding="utf-8")
        text = '#include "a.h"\nint answer() { return 42; }\n'
        (root / "a.cc").write_text(text, encoding="utf-8")
        command = [result.compiler.launcher, *result.compiler.cxx_command]
        command += [f"-ffile-prefix-map={root}=source", "-c", root / "a.cc", "-o", "a.o"]
        command += ["-MD", "-MT", "a.o", "-MF", "a.o.d"]  # as CMake does for Ninja
        here = {**environ, "CCACHE_BASEDIR": str(root)}
        assert SystemRunner().run(command, cwd=root / "build", env=here).ok
        objects.append((root / "build" / "a.o").read_bytes())
    said = SystemRunner().run([result.compiler.launcher, "--print-stats"], env=environ).stdout
    counts = dict(line.split("\t") for line in said.splitlines())
    assert (counts["cache_miss"], counts["direct_cache_hit"]) == ("1", "1")
    assert objects[0] == objects[1]
    (tmp_path / "two" / "a.h").write_text("int answer() noexcept;\n", encoding="utf-8")
    assert not SystemRunner().run(command, cwd=root / "build", env=here).ok
