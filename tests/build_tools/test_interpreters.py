"""Finding another Python: by version or path, and what is said when there is none."""

from __future__ import annotations

import json
import os
import sys

import pytest

from build_tools.errors import ConfigError
from build_tools.interpreters import find_interpreter, find_interpreters
from build_tools.process import SystemRunner
from tests.build_tools.support import make_host, script


def fake_python(folder, name, *, headers=True, **facts):
    """An executable that answers like a Python."""
    include = folder / "include"
    include.mkdir(parents=True, exist_ok=True)
    if headers:
        (include / "Python.h").touch()
    path = folder / "bin" / name
    answer = {
        "version": "3.12.7",
        "executable": str(path),
        "abi": "cp312",
        "soabi": "cpython-312-x86_64-linux-gnu",
        "ext_suffix": ".cpython-312-x86_64-linux-gnu.so",
        "include_dir": str(include),
        "free_threaded": False,
        "platform": "linux-x86_64",
        "site_packages": str(folder / "site-packages"),
        "implementation": "CPython",
        **facts,
    }
    return script(path, f"cat <<'END'\n{json.dumps(answer)}\nEND")


def find(asked, *folders, home="/nonexistent"):
    path = os.pathsep.join([*(str(folder / "bin") for folder in folders), "/usr/bin:/bin"])
    return find_interpreter(
        asked, make_host(environ={"PATH": path, "HOME": str(home)}), SystemRunner()
    )


def test_the_python_that_runs_the_builder_is_described_as_the_host_describes_it():
    host = make_host()
    assert find_interpreter(sys.executable, host, SystemRunner()) == host.python
    assert find_interpreter("{}.{}".format(*sys.version_info), host, SystemRunner()) == host.python


def test_a_version_is_found_on_path(tmp_path):
    fake_python(tmp_path / "a", "python3.12")
    found = find("3.12", tmp_path / "a")
    assert (found.version, found.abi) == ("3.12.7", "cp312")
    assert found.include_dir == tmp_path / "a" / "include"


def test_a_version_is_found_where_pyenv_keeps_it(tmp_path):
    fake_python(tmp_path / ".pyenv" / "versions" / "3.12.7", "python3")
    assert find("3.12.7", home=tmp_path).version == "3.12.7"


def test_a_full_version_is_not_met_by_another_patch(tmp_path):
    fake_python(tmp_path / "a", "python3.12")
    with pytest.raises(ConfigError) as caught:
        find("3.12.6", tmp_path / "a")
    assert "it is Python 3.12.7" in str(caught.value)


def test_free_threaded_and_plain_are_told_apart(tmp_path):
    fake_python(tmp_path / "a", "python3.13", version="3.13.1")
    threaded = {"version": "3.13.1", "abi": "cp313t", "free_threaded": True}
    fake_python(tmp_path / "b", "python3.13t", **threaded)
    assert not find("3.13", tmp_path / "a", tmp_path / "b").free_threaded
    assert find("3.13t", tmp_path / "a", tmp_path / "b").abi == "cp313t"


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"implementation": "PyPy"}, "not CPython"),
        ({"headers": False}, "its headers are not installed"),
    ],
)
def test_a_python_that_cannot_be_built_for_is_named_with_the_reason(tmp_path, facts, why):
    fake_python(tmp_path / "a", "python3.12", **facts)
    with pytest.raises(ConfigError) as caught:
        find("3.12", tmp_path / "a")
    assert why in str(caught.value)


def test_what_is_no_python_is_named_with_what_it_said(tmp_path):
    broken = script(tmp_path / "python", "echo 'cannot be loaded' >&2; exit 1")
    with pytest.raises(ConfigError) as caught:
        find(str(broken))
    assert "cannot be loaded" in str(caught.value)
    with pytest.raises(ConfigError) as caught:
        find(str(tmp_path / "nothing"))
    assert "no such file" in str(caught.value)


def test_a_version_that_is_nowhere_says_what_to_do(tmp_path):
    with pytest.raises(ConfigError) as caught:
        find("3.6", tmp_path)
    assert "there is no Python 3.6" in str(caught.value)
    assert "--python" in str(caught.value)


def test_every_python_of_a_version_is_found_newest_first_headers_or_not(tmp_path):
    for name in ("3.9.1", "3.9.5", "3.10.2"):
        folder = tmp_path / ".pyenv" / "versions" / name
        fake_python(folder, "python3", version=name, headers=False)
    host = make_host(environ={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)})
    found = find_interpreters("3.9", host, SystemRunner())
    assert [python.version for python in found] == ["3.9.5", "3.9.1"]
