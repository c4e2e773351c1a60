"""Everything that is settled on Windows before the first library, in one run over recordings."""

from __future__ import annotations

from pathlib import Path

import pytest

from build_tools import prepare
from build_tools.context import Context
from build_tools.errors import ToolchainError
from build_tools.probes import CxxRuntime
from build_tools.record import Record
from build_tools.sources import resolve
from build_tools.toolchain.dialect import MSVC_DIALECT
from build_tools.toolchain.model import Family
from tests.build_tools.recordings import text, windows_host
from tests.build_tools.support import RecordedRunner, has, said, script


@pytest.fixture
def machine(tmp_path):
    """A Windows with Visual Studio 2022 and the Build Tools 2019; cl is in a folder of its own."""
    folder = tmp_path / "bin"
    script(folder / "cl.exe", ": cl")
    captured = text("vcvarsall-x64-2022.txt").replace("\nPath=", f"\nPath={folder};")
    return RecordedRunner(
        [
            (has("vswhere.exe"), said(text("vswhere-two.json"))),
            (has(".\\capture.cmd"), said(captured)),
            (has("/EP"), said(text("cl-preprocessed-x64-2019.txt"))),
            (lambda argv: argv[0].endswith("loader.exe"), said("hidden")),
            (lambda argv: argv[0].endswith("cmake.exe"), said("cmake version 4.4.4\n")),
            (lambda argv: argv[0].endswith("ninja.exe"), said("1.13.2\n")),
            (lambda _argv: True, said("ok Microsoft STL 143 (202408)")),
        ]
    )


def settle(machine, tmp_path, *arguments, prompt="plain", **variables):
    host = windows_host(prompt)
    host = windows_host(prompt, environ={**host.environ, **variables})
    context = Context(host=host, runner=machine, record=Record())
    folders = ("--cache-dir", str(tmp_path / "cache"), "--build-dir", str(tmp_path / "b"))
    return prepare.settle(resolve([*folders, *arguments], host.environ, {}, windows=True), context)


def test_from_a_plain_prompt_to_a_compiler_with_its_settings(machine, tmp_path):
    site = settle(machine, tmp_path)
    chain = site.toolchain
    assert chain.compiler.family is Family.MSVC
    assert chain.compiler.cxx == tmp_path / "bin" / "cl.exe"
    assert dict(chain.settings)["CMAKE_MSVC_RUNTIME_LIBRARY"].endswith("DLL")
    assert site.context.host.environ["VCTOOLSVERSION"] == "14.41.34120"
    bench = site.bench()
    assert (bench.dialect, bench.flags) == (MSVC_DIALECT, ("/MD",))
    assert (bench.runtime, bench.processors) == (CxxRuntime.MSVC_DYNAMIC, ("x86_64",))
    cmake = site.cmake()
    assert cmake.generator.name == "Ninja"
    assert cmake.environment()["INCLUDE"].startswith("C:\\Program Files")
    subjects = [decision.subject for decision in site.context.record.decisions]
    assert subjects[:5] == [
        "Visual Studio not taken",
        "Visual Studio",
        "CMake generator",
        "compiler",
        "compiler cache",
    ]
    assert "C++ runtime library" in subjects
    site.fetcher.close()


def test_a_debug_build_is_probed_with_the_runtime_for_debugging(machine, tmp_path):
    site = settle(machine, tmp_path, "--build-type", "Debug")
    assert site.bench().flags == ("/MDd",)
    site.fetcher.close()


def test_flags_of_the_linker_are_not_given_to_the_compiler(machine, tmp_path):
    variables = {"CXXFLAGS": "/O1", "LDFLAGS": "/DEBUG", "PATH": str(tmp_path / "bin")}
    site = settle(machine, tmp_path, prompt="x64-native-2022", **variables)
    assert site.bench().flags == ("/MD", "/O1")
    site.fetcher.close()


def test_no_compiler_at_all_says_what_to_install(tmp_path):
    machine = RecordedRunner([(has("vswhere.exe"), said(returncode=127))])
    with pytest.raises(ToolchainError, match="no C\\+\\+ compiler was found") as caught:
        settle(machine, tmp_path, PATH=str(Path("C:/nothing")))
    assert "Desktop development with C++" in str(caught.value)
