"""The facts that only Windows and macOS have, from recorded answers and real files."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from build_tools.doctor.platforms import apple_facts, windows_facts
from tests.build_tools import mingw
from tests.build_tools.mingw import needs_mingw
from tests.build_tools.recordings import text, windows_host
from tests.build_tools.support import RecordedRunner, has, make_host, said

WINDRES = shutil.which("x86_64-w64-mingw32-windres")


@pytest.fixture
def machine(tmp_path):
    """Folders like those of a Windows with two toolsets and an SDK."""
    studio = tmp_path / "Microsoft Visual Studio" / "2022" / "Community"
    for toolset in ("14.29.30133", "14.44.35207", "not a version"):
        (studio / "VC/Tools/MSVC" / toolset).mkdir(parents=True)
    (tmp_path / "Windows Kits/10/Include/10.0.22621.0/um").mkdir(parents=True)
    (tmp_path / "System32").mkdir()
    (row,) = json.loads(text("vswhere-2022-community.json"))
    answer = json.dumps([{**row, "installationPath": studio.as_posix()}])
    return tmp_path, RecordedRunner([(has("vswhere.exe"), said(answer))])


def on(folder, prompt="plain", **variables):
    host = windows_host(prompt)
    kept = {name: value for name, value in host.environ.items() if "PROGRAMFILES" not in name}
    places = {"ProgramFiles(x86)": str(folder), "SystemRoot": str(folder), **variables}
    kept = {name: value for name, value in kept.items() if name.upper() != "SYSTEMROOT"}
    return windows_host(prompt, environ={**kept, **places})


def test_visual_studio_is_found_with_its_toolsets_and_the_newest_would_be_used(machine):
    folder, runner = machine
    facts = windows_facts(on(folder), runner)
    (studio,) = facts.visual_studios
    assert studio.toolsets == ("14.29.30133", "14.44.35207")
    assert facts.toolset == "14.44.35207"
    assert facts.sdks == ("10.0.22621.0",)
    assert (facts.runtime, facts.long_paths) == ("", False)


def test_the_prompts_toolset_goes_before_the_newest(machine):
    folder, runner = machine
    assert windows_facts(on(folder, "x64-native-2019"), runner).toolset.startswith("14.29.")


@needs_mingw
@pytest.mark.skipif(not WINDRES, reason="no MinGW here (mingw-w64)")
def test_the_run_time_library_says_its_version(machine):
    folder, runner = machine
    resource = folder / "version.rc"
    resource.write_text("1 VERSIONINFO\nFILEVERSION 14,38,33135,2\n{\n}\n", encoding="utf-8")
    compiled = folder / "version.o"
    subprocess.run([WINDRES, "-i", str(resource), "-o", str(compiled)], check=True)
    made = mingw.dll(folder, "msvcp140", "int f(void) { return 1; }\n", str(compiled))
    made.rename(folder / "System32" / "msvcp140.dll")
    assert windows_facts(on(folder), runner).runtime == "14.38.33135.2"


@needs_mingw
def test_a_library_without_a_version_has_none(machine):
    folder, runner = machine
    made = mingw.dll(folder, "msvcp140", "int f(void) { return 1; }\n")
    made.rename(folder / "System32" / "msvcp140.dll")
    assert windows_facts(on(folder), runner).runtime == ""


def test_macos_with_and_without_command_line_tools():
    host = make_host(system="darwin")
    tools = RecordedRunner(
        [
            (has("xcode-select"), said("/Library/Developer/CommandLineTools\n")),
            (has("--show-sdk-path"), said("/Library/Developer/SDKs/MacOSX.sdk\n")),
            (has("--show-sdk-version"), said("14.5\n")),
        ]
    )
    assert apple_facts(host, tools).sdk == "14.5"
    none = RecordedRunner([(lambda _: True, said(returncode=2, stderr=text("xcrun-no-tools.txt")))])
    facts = apple_facts(host, none)
    assert (facts.developer_folder, facts.sdk) == ("", "")


def test_elsewhere_nothing_is_asked():
    host, runner = make_host(), RecordedRunner([])
    assert windows_facts(host, runner) is None
    assert apple_facts(host, runner) is None
