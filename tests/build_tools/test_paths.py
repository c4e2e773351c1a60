"""How long paths may get on Windows: where is compiled, and what can be installed."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path, PureWindowsPath

import pytest

from build_tools.context import Context
from build_tools.paths import (
    LONGEST_IN_BUILD,
    build_budget,
    cache_warnings,
    choose_build_folder,
    install_budgets,
    install_warnings,
)
from build_tools.prepare import _in_short_folder
from build_tools.record import Record
from build_tools.sources import resolve
from tests.build_tools.recordings import environ, windows_host
from tests.build_tools.support import RecordedRunner, make_host

SHORT = PureWindowsPath(r"C:\src\onnxforge\build")
BLANK = PureWindowsPath(r"C:\Users\Jörg\My Projects\onnxforge\build")
LONG = PureWindowsPath("C:\\" + "\\".join(["deep"] * 25) + "\\build")
STORE = (
    r"C:\Users\Jörg\AppData\Local\Packages\PythonSoftwareFoundation.Python.3.11_qbz5n2kfra8p0"
    r"\LocalCache\local-packages\Python311\site-packages"
)


class TestBuildFolder:
    def test_a_short_one_is_kept(self):
        chosen = choose_build_folder(SHORT, windows_host(), given=False)
        assert (chosen.path, chosen.reason, chosen.warnings) == (str(SHORT), "", ())

    @pytest.mark.parametrize(("wanted", "why"), [(BLANK, "blank"), (LONG, "too long")])
    def test_another_one_is_left_for_a_short_one(self, wanted, why):
        chosen = choose_build_folder(wanted, windows_host(), given=False)
        assert chosen.path.startswith(r"C:\Users\Jörg\AppData\Local\onnxforge-build" + "\\")
        assert why in chosen.reason
        assert build_budget(chosen.path).ok
        again = choose_build_folder(wanted, windows_host(), given=False)
        assert again == chosen
        other = choose_build_folder(wanted / "2", windows_host(), given=False)
        assert other.path != chosen.path

    def test_where_the_users_own_folders_have_blanks_it_is_one_for_all(self):
        variables = {
            **environ("plain"),
            "LOCALAPPDATA": r"C:\Users\Jörg Müller\AppData\Local",
            "TEMP": r"C:\Users\Jörg Müller\AppData\Local\Temp",
        }
        chosen = choose_build_folder(BLANK, windows_host(environ=variables), given=False)
        assert chosen.path.startswith(r"C:\Users\Public\onnxforge-build" + "\\")

    def test_nothing_but_the_drive_is_left(self):
        chosen = choose_build_folder(
            BLANK, windows_host(environ={"SYSTEMDRIVE": "D:"}), given=False
        )
        assert chosen.path.startswith("D:\\onnxforge-build\\")

    def test_one_that_was_named_is_used_with_warnings(self):
        chosen = choose_build_folder(BLANK, windows_host(), given=True)
        assert (chosen.path, chosen.reason) == (str(BLANK), "")
        assert "has a blank in it" in chosen.warnings[0]

    def test_other_systems_take_any(self):
        chosen = choose_build_folder(Path("/a b") / ("c" * 300), make_host(), given=False)
        assert (chosen.reason, chosen.warnings) == ("", ())

    def test_the_limit_is_the_last_length_that_fits(self):
        room = 250 - 1 - LONGEST_IN_BUILD
        assert build_budget("C" * room).ok
        assert not build_budget("C" * (room + 1)).ok


def test_the_longest_object_of_protobuf_fits_into_what_is_reckoned_with():
    """third_party/<prefix>/CMakeFiles/<target>.dir/<digest>/<source>.obj: ONNX has none longer."""
    recipe = Path(__file__).resolve().parents[2] / "third_party" / "protobuf"
    lists, text = ((recipe / name).read_text("utf-8") for name in ("files.cmake", "CMakeLists.txt"))
    sources = [word.rpartition("/")[2] for word in re.findall(r"[\w/]+\.cc", lists)]
    targets = re.findall(r"onnxforge_protobuf_objects\(\s*(\w+)", text)
    folder = f"third_party/protobuf-3.21.12-{'0' * 20}/CMakeFiles/{max(targets, key=len)}.dir"
    reckoned = f"{folder}/{'0' * 32}/{max(sources, key=len)}.obj"
    assert len(reckoned) <= LONGEST_IN_BUILD < len(reckoned) + 20


def test_a_run_compiles_in_the_short_folder_and_says_so():
    # The names of this test's folders are those of the machine at hand; the rules are Windows'.
    host = windows_host(environ={"LOCALAPPDATA": r"C:\L"})
    context = Context(host=host, runner=RecordedRunner([]), record=Record())
    resolved = resolve(["--cache-dir", "/c"], {"ONNXFORGE_OUT_DIR": "x y"}, {})
    spaced = replace(resolved, config=replace(resolved.config, build_dir=Path("a b")))
    settled = _in_short_folder(spaced, context)
    assert str(settled.config.build_dir).startswith(r"C:\L\onnxforge-build")
    assert settled.config.out_dir == Path("x y")
    assert context.record.decisions[0].subject == "build folder"


class TestInstalling:
    members = ("onnxforge/__init__.py", "onnxforge.libs/protobuf-lite-" + "0" * 32 + ".dll")

    def test_what_fits(self):
        files, folders = install_budgets(STORE, self.members)
        assert files.ok
        assert folders.ok
        assert files.length == len(STORE) + 1 + len(self.members[1])
        assert list(install_warnings(windows_host(), STORE, self.members)) == []

    def test_what_does_not(self):
        """ONNX 1.22 and its test data in the folder of a Python from the Microsoft Store."""
        member = "onnx/backend/test/data/node/" + "t" * 90 + "/test_data_set_0/output_0.pb"
        (warning, *_) = install_warnings(windows_host(), STORE, [member])
        assert "of 259 characters" in warning
        assert "LongPathsEnabled" in warning

    def test_folders_have_a_limit_of_their_own(self):
        member = "p/" + "d" * (247 - len(STORE) - 2) + "/x"
        files, folders = install_budgets(STORE, [member])
        assert (files.ok, folders.ok) == (True, False)

    def test_long_paths_switched_on_and_other_systems(self):
        member = "x" * 300
        assert list(install_warnings(windows_host(long_paths=True), STORE, [member])) == []
        assert list(install_warnings(make_host(), STORE, [member])) == []


def test_a_deep_cache_folder_is_warned_of():
    assert list(cache_warnings(windows_host(), Path("C" * 60))) == []
    (warning,) = cache_warnings(windows_host(), Path("C" * 100))
    assert "--cache-dir" in warning
    assert list(cache_warnings(windows_host(long_paths=True), Path("C" * 100))) == []
