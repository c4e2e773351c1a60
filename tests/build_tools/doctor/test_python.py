"""The Python that is built for: headers, distutils, ABI, and who shadows whom."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from build_tools.doctor import programs, pythons, trees
from build_tools.doctor.checks.python import fits
from build_tools.index_settings import read_index_settings
from build_tools.process import SystemRunner
from build_tools.releases import release_of
from build_tools.transfer import connect
from tests.build_tools.doctor.cases import (
    FATAL,
    NOTE,
    PYTHON,
    WARNING,
    compile_cxx,
    findings,
    make_facts,
    only,
    outcome,
    posix,
    run,
    severities,
    upstream,
)
from tests.build_tools.site import clean_environment
from tests.build_tools.support import make_host, script, write_tree
from tests.build_tools.toy_protobuf import needs_compiler

THIS = pythons.ask(Path(sys.executable), "PATH", make_host(), SystemRunner(), packages=True)


class TestHeaders:
    @needs_compiler
    def test_python_headers(self, tmp_path):
        """The package with the headers is not installed: what is said before and after."""
        host = make_host()
        include = tmp_path / "include/python3.11"
        facts = make_facts(
            host={"python": replace(host.python, include_dir=include)}, python_headers=None
        )
        finding = only("python-headers", facts)
        assert finding.severity is FATAL
        assert str(include / "Python.h") in finding.evidence
        assert finding.fix[0].startswith("apt-get install python")
        said = compile_cxx(tmp_path, "#include <Python.h>\n", "-c", "-I", include)
        assert "Python.h: No such file or directory" in said.stderr

    def test_of_the_python_to_build_for(self):
        bare = replace(PYTHON, has_headers=False)
        facts = make_facts(target=bare, package_manager="dnf")
        finding = only("python-headers", upstream(facts))
        assert finding.severity is FATAL
        assert finding.fix[0] == "dnf install python3.11-devel"

    def test_a_python_that_does_not_answer(self):
        silent = replace(PYTHON, problem="no such file")
        facts = make_facts(target=silent)
        assert only("python-headers", upstream(facts)).severity is FATAL
        assert outcome("distutils-missing", facts).not_applicable

    def test_another_python_that_cmake_may_take(self):
        other = replace(PYTHON, path=Path("/usr/local/bin/python3"), version="3.12.1")
        facts = make_facts(pythons=(PYTHON, other))
        assert severities("python-headers", upstream(facts)) == [WARNING]
        assert severities("python-headers", facts) == [NOTE]
        hidden = make_facts(pythons=(PYTHON, replace(other, origin="pyenv")))
        assert findings("python-headers", upstream(hidden)) == ()


class TestDistutils:
    def test_distutils_missing(self, tmp_path):
        """Really asked of this Python, without the packages that could stand in."""
        asked = run(sys.executable, "-I", "-S", "-c", "import distutils")
        gone = sys.version_info >= (3, 12)
        assert (asked.returncode != 0) is gone
        target = replace(PYTHON, version="3.12.1", abi="cp312", has_distutils=False)
        facts = make_facts("--onnx-version", "1.13.1", target=target)
        finding = only("distutils-missing", upstream(facts))
        assert finding.severity is FATAL
        assert only("distutils-missing", facts).severity is NOTE
        if gone:
            assert "No module named 'distutils'" in asked.stderr

    def test_what_has_distutils_or_does_not_need_it(self):
        assert findings("distutils-missing", make_facts("--onnx-version", "1.13.1")) == ()
        bare = replace(PYTHON, has_distutils=False)
        later = make_facts("--onnx-version", "1.20.0", target=bare)
        assert findings("distutils-missing", upstream(later)) == ()


class TestWheels:
    def test_no_wheel_for_this_python(self):
        target = replace(PYTHON, version="3.12.1", abi="cp312")
        finding = only(
            "no-wheel-for-this-python", make_facts("--onnx-version", "1.15.0", target=target)
        )
        assert finding.severity is NOTE
        assert "cp312" in finding.what
        assert findings("no-wheel-for-this-python", make_facts(target=target)) == ()
        assert outcome(
            "no-wheel-for-this-python", make_facts("--onnx-version", "1.2.3")
        ).not_applicable

    @pytest.mark.parametrize(
        ("release", "abi", "there"),
        [
            ("1.13.1", "cp37", True),
            ("1.13.1", "cp312", False),
            ("1.20.0", "cp313", True),
            ("1.20.0", "cp313t", True),
            ("1.22.0", "cp313t", False),
            ("1.22.0", "cp314t", True),
            ("1.23.2", "cp39", False),
        ],
    )
    def test_the_table(self, release, abi, there):
        assert fits(abi, release_of(release).wheels) is there

    def test_processors_and_c_libraries(self):
        for host in ({"machine": "ppc64le"}, {"machine": "s390x"}):
            assert severities("no-wheel-for-this-python", make_facts(host=host)) == [NOTE]
        arm = {"system": "windows", "machine": "arm64"}
        old, new = (make_facts("--onnx-version", v, host=arm) for v in ("1.17.0", "1.18.0"))
        assert severities("no-wheel-for-this-python", old) == [NOTE]
        assert findings("no-wheel-for-this-python", new) == ()

    @pytest.mark.network
    @pytest.mark.parametrize("version", ["1.13.1", "1.15.0", "1.17.0", "1.19.1", "1.22.0"])
    def test_no_wheel_for_this_python_as_the_index_says(self, version):
        """The table of releases against the index itself."""
        settings = read_index_settings(clean_environment(), system="linux")
        indexes = [entry for entry in settings.locations if not entry.find_links]
        if not indexes:
            pytest.skip("no index is set")
        with connect(settings) as client:
            kind = "application/vnd.pypi.simple.v1+json"
            page = client.get(f"{indexes[0].url}/onnx/", headers={"Accept": kind})
        names = [entry["filename"] for entry in page.json()["files"]]
        mine = [name.split("-") for name in names if name.startswith(f"onnx-{version}-")]
        tags = {f"{parts[2]}-{parts[3]}" for parts in mine if parts[-1].endswith(".whl")}
        assert tags == set(release_of(version).wheels)


def test_free_threaded_abi():
    target = replace(PYTHON, abi="cp313t", version="3.13.0", free_threaded=True)
    facts = make_facts("--onnx-version", "1.22.0", target=target)
    finding = only("free-threaded-abi", facts)
    assert finding.severity is WARNING
    assert "stable ABI" in finding.what
    assert severities(
        "free-threaded-abi", make_facts("--onnx-version", "1.17.0", target=target)
    ) == [WARNING]
    assert (
        findings("free-threaded-abi", make_facts("--onnx-version", "1.20.0", target=target)) == ()
    )
    assert outcome("free-threaded-abi", make_facts()).not_applicable
    # pip's own rules: what the tags of such a Python are.
    said = run(
        sys.executable,
        "-c",
        "from packaging.tags import cpython_tags as t;"
        "print({str(x) for x in t((3, 13), abis=['cp313t'], platforms=['linux_x86_64'])})",
    )
    assert "cp313-cp313t-linux_x86_64" in said.stdout
    assert "abi3-" not in said.stdout


class TestShadow:
    @pytest.fixture
    def tree(self, tmp_path):
        return write_tree(
            tmp_path / "onnx clone",
            {
                "VERSION_NUMBER": "1.23.2\n",
                "onnx/onnx.in.proto": "syntax = 'proto2';\n",
                "onnx/__init__.py": "from onnx.onnx_cpp2py_export import ONNX_ML\n",
            },
        )

    def test_source_tree_shadows(self, tree):
        found = tuple(trees.source_trees(make_host(), tree))
        finding = only("source-tree-shadows", upstream(make_facts(source_trees=found)))
        assert finding.severity is WARNING
        assert str(tree) in finding.what
        said = run(sys.executable, "-c", "import onnx", cwd=tree)
        assert "No module named 'onnx.onnx_cpp2py_export'" in said.stderr
        (tree / "onnx/onnx_cpp2py_export").mkdir()
        said = run(sys.executable, "-c", "import onnx", cwd=tree)
        assert "cannot import name 'ONNX_ML' from 'onnx.onnx_cpp2py_export'" in said.stderr
        if sys.version_info >= (3, 11):
            assert run(sys.executable, "-P", "-c", "import onnx", cwd=tree).returncode == 0

    def test_by_way_of_pythonpath(self, tree, tmp_path):
        host = make_host(environ={"PYTHONPATH": str(tree)})
        found = tuple(trees.source_trees(host, tmp_path))
        finding = only("source-tree-shadows", upstream(make_facts(source_trees=found)))
        assert "unset PYTHONPATH" in finding.fix

    def test_this_repository_shadows_nothing(self):
        assert tuple(trees.source_trees(make_host(), Path(__file__).parents[3])) == ()


class TestAsking:
    def test_this_python_knows_itself(self):
        host = make_host()
        assert THIS.version == host.python.version
        assert (THIS.abi, THIS.soabi) == (host.python.abi, host.python.soabi)
        assert THIS.include_dir == host.python.include_dir
        assert THIS.distribution("pytest") is not None
        assert THIS.distribution("onnx").protobuf.startswith(">=")

    @posix
    def test_strange_answers_are_told(self, tmp_path):
        for body, words in (("echo nonsense", "makes no sense"), ("exit 3", "exit status 3")):
            path = script(tmp_path / "python3", body)
            found = pythons.ask(path, "PATH", make_host(), SystemRunner())
            assert words in found.problem

    @posix
    def test_every_python_of_path_once(self, tmp_path):
        real = Path(sys.executable).resolve()
        for name in ("a/python3", "a/python", "b/python3.11", "b/pythonw", "b/python-config"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).symlink_to(real)
        (tmp_path / "c/python3").mkdir(parents=True)  # a folder
        environ = {"PATH": ":".join(str(tmp_path / name) for name in "abc") + ":/nowhere"}
        found = [path for path, _ in pythons.candidates(make_host(environ=environ))]
        assert found[0] == tmp_path / "a/python"
        assert found[1:] in ([], [Path(sys.executable)])

    def test_the_builders_own_environment_is_not_what_a_user_finds(self, tmp_path):
        """nox puts its environment first on PATH; with its scripts, CMake's among them."""
        write_tree(tmp_path, {"pyvenv.cfg": "", "bin/python": "", "bin/cmake": ""})
        host = make_host(environ={"PATH": f"{tmp_path}/bin:/usr/bin"})
        own = replace(host, python=replace(host.python, executable=tmp_path / "bin/python"))
        assert programs.outside(own).environ["PATH"] == "/usr/bin"
        (tmp_path / "pyvenv.cfg").unlink()
        assert programs.outside(own) == own

    def test_shims_are_asked_once_and_versions_by_themselves(self, tmp_path):
        for name in ("shims/python", "shims/python3", "shims/python3.12"):
            script(tmp_path / name, "exit 127")
        script(tmp_path / "versions/3.12.1/bin/python3", "exit 0")
        environ = {"PATH": str(tmp_path / "shims")}
        found = [path for path, _ in pythons.candidates(make_host(environ=environ))]
        expected = [tmp_path / "shims/python", tmp_path / "versions/3.12.1/bin/python3"]
        assert found[:2] == expected

    def test_the_builders_own_environment_is_not_built_for_where_there_is_another(self):
        host = make_host()
        own = replace(PYTHON, prefix=host.python.executable.parent.parent)
        assert pythons.choose_target([own, PYTHON], host) == PYTHON
        assert pythons.choose_target([own], host) == own
        assert pythons.choose_target([replace(PYTHON, problem="no")], host) is None


@pytest.mark.skipif(shutil.which("python3.13t") is None, reason="no free-threaded Python here")
def test_a_real_free_threaded_python():
    path = Path(shutil.which("python3.13t") or "")
    assert pythons.ask(path, "PATH", make_host(), SystemRunner()).free_threaded
