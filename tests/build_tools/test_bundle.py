"""The bundle: what is written is what is opened, and anything else is refused with its reason."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from build_tools.bundle_cli import engine_sets, runtime_requirements, upstream_sets
from build_tools.bundle_file import (
    LOCK,
    MANIFEST,
    PACKAGES,
    Fit,
    fit_of_this_machine,
    open_bundle,
    write_bundle,
)
from build_tools.bundle_use import only_from, use_bundle
from build_tools.config import BuildConfig
from build_tools.context import Context
from build_tools.errors import ChecksumError, ConfigError, UnpackError
from build_tools.record import Record
from build_tools.sources import load_pyproject, resolve
from tests.build_tools.site import clean_environment
from tests.build_tools.support import RecordedRunner, has, make_host, said

REPOSITORY = Path(__file__).resolve().parents[2]
FIT = Fit(python="cpython-311", platform="linux-x86_64", lock="ab" * 32, packages="ac" * 32)


@pytest.fixture
def files(tmp_path) -> dict[str, Path]:
    """An archive and two wheels, by member name."""
    folder = tmp_path / "made from"
    folder.mkdir()
    found = {}
    for member in ("wheels/b-1.0-py3-none-any.whl", "archives/lib-1.0.tar.gz", "wheels/a+x.whl"):
        path = folder / Path(member).name
        path.write_bytes(member.encode() * 5000)
        found[member] = path
    return found


@pytest.fixture
def bundle(tmp_path, files) -> Path:
    path = tmp_path / "the bundle.tar"
    write_bundle(path, files, FIT)
    return path


def rewritten(bundle: Path, change) -> Path:
    """Change the members of a bundle: a function of a dict of contents by name."""
    with tarfile.open(bundle) as archive:
        contents = {entry.name: archive.extractfile(entry).read() for entry in archive}
    change(contents)
    with tarfile.open(bundle, "w") as archive:
        for name, content in contents.items():
            member = bundle.with_name("member")
            member.write_bytes(content)
            archive.add(member, name)
    return bundle


class TestFile:
    def test_what_is_written_is_what_is_opened(self, tmp_path, bundle, files):
        open_bundle(bundle, tmp_path / "out", FIT)
        for member, path in files.items():
            assert (tmp_path / "out" / member).read_bytes() == path.read_bytes()

    def test_the_same_files_give_the_same_bytes(self, tmp_path, bundle, files):
        for path in files.values():
            os.utime(path, (1, 1))
        write_bundle(tmp_path / "again.tar", dict(reversed(files.items())), FIT)
        assert (tmp_path / "again.tar").read_bytes() == bundle.read_bytes()

    def test_one_folder_of_it(self, tmp_path, bundle):
        open_bundle(bundle, tmp_path / "out", FIT, below="wheels/")
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["wheels"]

    def test_what_was_unpacked_is_used_again_while_it_is_whole(self, tmp_path, bundle):
        file = tmp_path / "out" / "wheels/a+x.whl"
        open_bundle(bundle, tmp_path / "out", FIT)
        before = file.stat().st_ino
        open_bundle(bundle, tmp_path / "out", FIT)
        assert file.stat().st_ino == before
        good = file.read_bytes()
        file.write_bytes(b"x" + good[1:])
        (tmp_path / "out/wheels/foreign.whl").write_bytes(b"")
        open_bundle(bundle, tmp_path / "out", FIT)
        assert file.read_bytes() == good
        assert not (tmp_path / "out/wheels/foreign.whl").exists()

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("python", "cpython-312"),
            ("platform", "linux-aarch64"),
            ("lock", "cd" * 32),
            ("packages", "cd" * 32),
        ],
    )
    def test_a_foreign_bundle_is_refused_with_both_sides(self, tmp_path, bundle, field, value):
        here = replace(FIT, **{field: value})
        with pytest.raises(ConfigError, match="is not for this machine") as caught:
            open_bundle(bundle, tmp_path / "out", here)
        looked = f"{field}: the bundle is for {getattr(FIT, field)}, here it is {value}"
        assert caught.value.looked == (looked,)

    def test_a_changed_byte_is_found(self, tmp_path, bundle):
        content = bytearray(bundle.read_bytes())
        at = content.index(b"wheels/b-1.0-py3-none-any.whl" * 3)
        content[at + 40] ^= 1
        bundle.write_bytes(content)
        with pytest.raises(ChecksumError, match=r"damaged: wheels/b-1\.0-py3-none-any\.whl"):
            open_bundle(bundle, tmp_path / "out", FIT)
        assert not list(tmp_path.glob("out*"))

    @pytest.mark.parametrize("kept", [0, 100, 2000, 200_000])
    def test_a_bundle_that_was_cut_off_is_found(self, tmp_path, bundle, kept):
        bundle.write_bytes(bundle.read_bytes()[:kept])
        with pytest.raises(UnpackError):
            open_bundle(bundle, tmp_path / "out", FIT)
        assert not list(tmp_path.glob("out*"))

    def test_another_file_is_no_bundle(self, tmp_path, bundle):
        bundle.write_bytes(b"PK\3\4" * 1000)
        with pytest.raises(UnpackError, match="cannot be read as a bundle"):
            open_bundle(bundle, tmp_path / "out", FIT)

    def test_another_tar_is_no_bundle(self, tmp_path, bundle):
        rewritten(bundle, lambda contents: contents.pop(MANIFEST))
        with pytest.raises(UnpackError, match="is not a bundle of this builder"):
            open_bundle(bundle, tmp_path / "out", FIT)

    @pytest.mark.parametrize("name", ["../escaped", "/etc/passwd", "wheels/../../x", "other/x"])
    def test_names_that_lead_elsewhere_are_refused(self, tmp_path, bundle, name):
        def change(contents):
            manifest = json.loads(contents[MANIFEST])
            content = b"x"
            manifest["files"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "size": 1}
            contents[MANIFEST] = json.dumps(manifest).encode()
            contents[name] = content

        rewritten(bundle, change)
        with pytest.raises(UnpackError, match="is not a bundle of this builder"):
            open_bundle(bundle, tmp_path / "in" / "out", FIT)
        assert not (tmp_path / "in").exists()

    def test_a_missing_member_is_found(self, tmp_path, bundle):
        rewritten(bundle, lambda contents: contents.pop("archives/lib-1.0.tar.gz"))
        with pytest.raises(UnpackError, match=r"archives/lib-1\.0\.tar\.gz is not in it"):
            open_bundle(bundle, tmp_path / "out", FIT)

    def test_no_such_file(self, tmp_path):
        with pytest.raises(ConfigError, match=r"--bundle .*nothing\.tar: no such file"):
            open_bundle(tmp_path / "nothing.tar", tmp_path / "out", FIT)

    def test_it_is_for_this_machine_and_this_lock_file(self):
        here = fit_of_this_machine()
        assert here.lock == hashlib.sha256(LOCK.read_bytes()).hexdigest()
        assert here.packages == hashlib.sha256(PACKAGES.read_bytes()).hexdigest()
        assert here.python == sys.implementation.cache_tag


class TestUse:
    def test_without_one_everything_stays(self):
        resolved, host = resolve([], {}, {}), make_host()
        assert use_bundle(resolved, host, Record()) == (resolved, host)

    def test_sources_and_packages_come_from_it_alone(self, tmp_path, files):
        bundle = tmp_path / "b.tar"
        write_bundle(bundle, files, fit_of_this_machine())
        options = ["--bundle", str(bundle), "--build-dir", str(tmp_path / "b u")]
        host = make_host(environ={"PIP_EXTRA_INDEX_URL": "http://x", "UV_INDEX": "y", "A": "b"})
        record = Record()
        settled, machine = use_bundle(resolve(options, {}, {}), host, record)
        assert settled.config.offline
        (folder,) = settled.config.archives
        assert [path.name for path in folder.iterdir()] == ["lib-1.0.tar.gz"]
        assert machine.environ["A"] == "b"
        assert machine.environ["PIP_NO_INDEX"] == "1"
        assert "PIP_EXTRA_INDEX_URL" not in machine.environ
        assert "UV_INDEX" not in machine.environ
        assert record.decisions[-1].source == "--bundle on the command line"

    def test_a_folder_with_blanks_is_one_place_for_pip(self, tmp_path):
        found = only_from(tmp_path / "a b", {})["PIP_FIND_LINKS"]
        assert found.startswith("file:")
        assert " " not in found


class TestContent:
    def test_the_builders_packages_and_what_its_wheel_needs(self):
        builder, needed = engine_sets(load_pyproject(REPOSITORY / "pyproject.toml"))
        assert {"scikit-build-core==1.1.2", "cmake==4.4.4", "pybind11>=3.1"} <= set(builder)
        assert needed == ("numpy>=1.23",)

    def context(self):
        listed = said(json.dumps({"versions": ["7.1.0", "6.31.1", "5.29.0", "3.20.2"]}))
        runner = RecordedRunner([(has("index", "versions"), listed)])
        return Context(host=make_host(), runner=runner, record=Record())

    @pytest.mark.parametrize(
        ("asked", "lowest"), [(None, "6.31.1"), (">=3.20.2", "3.20.2"), (">=5,<6", "5.29.0")]
    )
    def test_upstreams_backend_and_both_ends_of_its_range(self, asked, lowest):
        needed = (Requirement("numpy>=1.23.2"), Requirement("protobuf>=6.31.1"))
        config = BuildConfig(onnx_version="1.23.2", protobuf_runtime=asked)
        backend, *ends = upstream_sets(config, needed, self.context())
        assert backend[0].startswith("build==")
        assert any(entry.startswith("nanobind==") for entry in backend)
        assert ends[0] == (f"protobuf=={lowest}", "numpy>=1.23.2")

    def test_what_a_release_needs_is_read_from_its_metadata(self, tmp_path):
        (tmp_path / "PKG-INFO").write_text(
            "Metadata-Version: 2.4\nRequires-Dist: numpy>=1.23.2\n"
            'Requires-Dist: protobuf>=6.31.1\nRequires-Dist: Pillow; extra == "reference"\n'
        )
        assert [str(entry) for entry in runtime_requirements(tmp_path)] == [
            "numpy>=1.23.2",
            "protobuf>=6.31.1",
        ]

    def test_of_an_old_release_from_a_file_of_setuptools(self, tmp_path):
        (tmp_path / "onnx.egg-info").mkdir()
        (tmp_path / "PKG-INFO").write_text("Metadata-Version: 2.1\n")
        text = "numpy>=1.16.6\nprotobuf<4,>=3.20.2\n\n[lint]\nclang-format==13.0.0\n"
        (tmp_path / "onnx.egg-info/requires.txt").write_text(text)
        assert [entry.name for entry in runtime_requirements(tmp_path)] == ["numpy", "protobuf"]


def cut_off(*command: str | Path) -> list[str | Path]:
    """The command in a network namespace of its own, where there is not even a loopback."""
    return ["unshare", "--user", "--map-root-user", "--net", *command]


def can_cut_off() -> bool:
    found = shutil.which("unshare")
    return found is not None and subprocess.run(cut_off("true"), check=False).returncode == 0


needs_namespaces = pytest.mark.skipif(
    sys.platform != "linux" or not can_cut_off(), reason="network namespaces are not permitted"
)


def run(command, **environ):
    """Run a command of the builder's as a person would."""
    done = subprocess.run(
        command,
        cwd=REPOSITORY,
        env=clean_environment(**environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def real(tmp_path_factory) -> Path:
    """A real bundle; its archives come from the usual cache."""
    folder = tmp_path_factory.mktemp("real bundle")
    command = (sys.executable, "-m", "build_tools", "bundle", folder / "b.tar")
    assert "archives" in run(command, ONNXFORGE_BUILD_DIR=str(folder / "build")).stdout
    return folder / "b.tar"


@needs_namespaces
def test_the_network_is_really_cut():
    program = "import socket; socket.create_connection(('127.0.0.1', 9), 1)"
    done = subprocess.run(
        cut_off(sys.executable, "-c", program), capture_output=True, text=True, check=False
    )
    assert "unreachable" in done.stderr


@pytest.mark.network
@needs_namespaces
def test_the_builders_environment_is_installed_without_a_network(real, tmp_path):
    """What noxfile.py does, before any package is there."""
    python = tmp_path / "environment/bin/python"
    run([sys.executable, "-m", "venv", python.parents[1]])
    wheels = tmp_path / "a b"
    run(cut_off(python, "-m", "build_tools.unbundle_program", real, wheels))
    builder, needed = engine_sets(load_pyproject(REPOSITORY / "pyproject.toml"))
    pip = ("-m", "pip", "install", "--quiet", "--no-index", "--find-links", wheels / "wheels")
    run(cut_off(python, *pip, *builder, *needed), PIP_CONFIG_FILE=os.devnull)
    run(cut_off(python, "-m", "build_tools", "fetch", "--help"))


@pytest.mark.network
@needs_namespaces
def test_every_source_is_found_without_a_network(real, tmp_path):
    environ = {f"ONNXFORGE_{name}_DIR": str(tmp_path / name) for name in ("CACHE", "BUILD")}
    fetch = (sys.executable, "-m", "build_tools", "fetch", "--bundle", real)
    done = run(cut_off(*fetch), **environ)
    names = {line.split()[0] for line in done.stdout.splitlines()}
    assert names == {"protobuf", "onnx", "highway"}
