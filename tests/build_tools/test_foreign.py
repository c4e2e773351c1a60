"""Headers and packages of other machines: found, judged and explained."""

from __future__ import annotations

from pathlib import Path

import pytest

from build_tools import debian, python_headers
from build_tools.context import Context
from build_tools.debian import Debian, NoDebianError, find_mirror
from build_tools.errors import NetworkError
from build_tools.record import Record
from build_tools.sample import spread
from tests.build_tools.support import RecordedRunner, has, make_host, said


def headers(folder: Path, version: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "patchlevel.h").write_text(f'#define PY_VERSION   "{version}"\n', encoding="utf-8")
    (folder / "pyconfig.h").write_text("#define SIZEOF_LONG 8\n", encoding="utf-8")
    return folder


class TestHeaders:
    def test_the_right_version_is_taken(self, tmp_path):
        folder = headers(tmp_path / "include", "3.12.1")
        found = python_headers._judge(folder, "3.12", "here")
        assert (found.include_dir, found.pyconfig) == (folder, folder / "pyconfig.h")

    def test_another_version_is_named(self, tmp_path):
        folder = headers(tmp_path / "include", "3.11.2")
        assert python_headers._judge(folder, "3.12", "here") == "here: its headers are of 3.11"

    def test_a_folder_without_headers_is_named(self, tmp_path):
        assert "No such file" in python_headers._judge(tmp_path, "3.12", "here")

    def test_debians_dispatching_pyconfig_is_followed(self, tmp_path):
        folder = headers(tmp_path / "include" / "python3.11", "3.11.2")
        real = tmp_path / "include" / "x86_64-linux-gnu" / "python3.11" / "pyconfig.h"
        real.parent.mkdir(parents=True)
        real.write_text("#define SIZEOF_LONG 8\n", encoding="utf-8")
        leading = "# include <x86_64-linux-gnu/python3.11/pyconfig.h>\n"
        (folder / "pyconfig.h").write_text(leading, encoding="utf-8")
        assert python_headers._judge(folder, "3.11", "here").pyconfig == real


def context(*answers):
    runner = RecordedRunner([*answers, (lambda _: True, said())])
    return Context(host=make_host(), runner=runner, record=Record())


class TestDebian:
    @pytest.fixture(autouse=True)
    def _keyring(self, tmp_path, monkeypatch):
        keyring = tmp_path / "keyring.gpg"
        keyring.touch()
        monkeypatch.setattr(debian, "_KEYRING", keyring)

    @pytest.mark.parametrize("origin", ["Debian", "$(ORIGIN)"])
    def test_the_mirror_is_that_of_the_machines_apt(self, origin):
        shown = (
            f"{origin} bookworm-security http://mirror.example/debian-security/\n"
            f"{origin} bookworm http://mirror.example/debian/\n"
        )
        here = context((has("indextargets"), said(shown)))
        assert find_mirror(here) == "http://mirror.example/debian/"

    @pytest.mark.parametrize(
        ("answer", "why"),
        [
            (said(returncode=127), "does not run"),
            (said("Ubuntu noble http://mirror.example/ubuntu/\n"), "no mirror"),
        ],
    )
    def test_machines_without_debian_say_so(self, answer, why):
        with pytest.raises(NoDebianError, match=why):
            find_mirror(context((has("indextargets"), answer)))

    def test_nothing_of_the_machine_is_asked_or_changed(self, tmp_path):
        here = context((has("indextargets"), said("Debian bookworm http://m.example/debian\n")))
        folder = tmp_path / "apt folder"
        packages = Debian(release="trixie", architecture="arm64", folder=folder, context=here)
        packages.unpack(["python3.13-minimal"], tmp_path / "root")
        asked = [call for call in here.runner.calls if "indextargets" not in call.argv]
        assert {call.env["APT_CONFIG"] for call in asked} == {str(folder / "apt.conf")}
        assert [call.argv[2] for call in asked] == ["update", "install"]
        text = (folder / "sources.list").read_text(encoding="utf-8")
        assert "http://m.example/debian trixie main" in text
        assert (tmp_path / "root" / "lib").readlink() == Path("usr/lib")

    @pytest.mark.parametrize(
        ("alone", "said_to_apt"), [(True, "download"), (False, "--download-only")]
    )
    def test_only_what_this_call_has_fetched_is_unpacked(self, tmp_path, alone, said_to_apt):
        """What another call has left beside it belongs to another folder."""
        folder = tmp_path / "apt folder"
        (folder / "cache" / "archives").mkdir(parents=True)
        for left in (folder, folder / "cache" / "archives"):
            (left / "other_1_amd64.deb").touch()
        here = context((has("indextargets"), said("Debian bookworm http://m.example/debian\n")))

        def fetch(words):
            (here.runner.calls[-1].cwd / "musl_1_arm64.deb").touch()
            return said(argv=words)

        here.runner.answers.insert(0, (has(said_to_apt), fetch))
        packages = Debian(release="trixie", architecture="arm64", folder=folder, context=here)
        packages.unpack(["musl"], tmp_path / "root", alone=alone)
        unpacked = [
            Path(call.argv[2]).name for call in here.runner.calls if "dpkg-deb" in call.argv
        ]
        assert unpacked == ["musl_1_arm64.deb"]
        assert sorted(path.name for path in folder.glob("fetched-*")) == []

    def test_sources_are_the_archive_and_not_its_signature(self, tmp_path):
        here = context((has("indextargets"), said("Debian bookworm http://m.example/debian\n")))

        def fetch(words):
            for end in ("orig.tar.xz", "orig.tar.xz.asc", "debian.tar.xz", "dsc"):
                (tmp_path / "into" / f"toy_1.{end}").touch()
            return said(argv=words)

        here.runner.answers.insert(0, (has("source"), fetch))
        (tmp_path / "into").mkdir()
        packages = Debian(release="trixie", architecture="amd64", folder=tmp_path, context=here)
        assert packages.sources("toy", tmp_path / "into").name == "toy_1.orig.tar.xz"

    def test_what_cannot_be_fetched_is_named(self, tmp_path):
        here = context(
            (has("indextargets"), said("Debian bookworm http://m.example/debian\n")),
            (has("install"), said(returncode=100, stderr="E: Unable to locate package")),
        )
        packages = Debian(release="trixie", architecture="arm64", folder=tmp_path, context=here)
        with pytest.raises(NetworkError, match=r"python3\.9") as caught:
            packages.unpack(["python3.9"], tmp_path / "root")
        assert "Unable to locate" in str(caught.value)


def test_a_sample_has_every_group_before_it_has_a_second_of_any():
    cases = ["add 1", "add 2", "add 3", "relu 1", "mul 1", "mul 2"]
    groups = [case.split()[0] for case in cases]
    assert spread(cases, groups, 4) == ["add 1", "relu 1", "mul 1", "add 2"]
    assert sorted(spread(cases, groups, 99)) == sorted(cases)
