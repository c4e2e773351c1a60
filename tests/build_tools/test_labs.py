"""Pythons of other machines: how each is started, and what is said where there is none."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from build_tools import labs
from build_tools.labs import NoLabError, Stand, find_lab
from build_tools.matrix import Way, load_matrix
from build_tools.musl import MuslPlan, configure_words
from tests.build_tools.site import make_site
from tests.build_tools.support import RecordedRunner, has, said, script

RELEASES = {"3.13": "trixie"}
VERSION = said("3.13.5\n")


@pytest.fixture(scope="module")
def probed(tmp_path_factory):
    """Where the compiler is remembered, which no test is about."""
    return tmp_path_factory.mktemp("probed")


@pytest.fixture
def make(tmp_path, monkeypatch, probed):
    """Make a stand for a target on an x86-64 Linux machine, whose Pythons say they are 3.13.5.

    Debian's packages are folders of the packages' names; a CPython on musl is a file that says who
    was to build it.
    """

    def unpacked(packages, machine, release, _stand, *, alone=False):
        return tmp_path / "debian" / f"{packages[0]}-{machine}-{release}{'-alone' * alone}"

    def built(plan, site):
        return tmp_path / f"{plan.release}-{site.target.machine}" / plan.builder.name

    monkeypatch.setattr(labs, "_unpacked", unpacked)
    monkeypatch.setattr(labs, "provide_musl_python", built)

    def stand(target, *, pythons=(), programs=()):
        (row,) = load_matrix().select([target], ["3.13"])
        for name in programs:
            script(tmp_path / "bin" / name, "")
        path = str(tmp_path / "bin")
        site = replace(
            make_site(tmp_path, environ={"PATH": path}, probed=probed), target=row.target
        )
        host = replace(site.context.host, system="linux", machine="x86_64")
        runner = RecordedRunner([(has("--version"), said("wine-8.0\n")), (lambda _: True, VERSION)])
        context = replace(site.context, host=host, runner=runner)
        monkeypatch.setattr(labs, "find_interpreters", lambda *_: iter(pythons))
        return Stand(
            site=replace(site, context=context),
            releases=RELEASES,
            sample=Path("sample"),
            model=Path("model"),
        )

    return stand


def python_here(stand):
    return replace(stand.host.python, version="3.13.0", executable=Path("/here/python3.13"))


def words(lab, folder):
    return [str(word).replace(f"{folder}/", "") for word in lab.command]


class TestNative:
    def test_a_python_of_this_machine_comes_first(self, make):
        stand = make("manylinux2014_x86_64")
        stand = make("manylinux2014_x86_64", pythons=[python_here(stand)])
        lab = find_lab("3.13", Way.NATIVE, stand)
        assert (lab.label, lab.command) == ("CPython 3.13.0", (Path("/here/python3.13"),))

    def test_debians_is_started_with_its_own_c_library(self, make, tmp_path):
        lab = find_lab("3.13", Way.NATIVE, make("manylinux2014_x86_64"))
        root = "debian/python3.13-minimal-x86_64-trixie"
        below = "lib/x86_64-linux-gnu"
        assert words(lab, tmp_path) == [
            *(f"{root}/usr/{below}/ld-linux-x86-64.so.2", "--library-path"),
            f"{root}/usr/{below}:{root}/{below}",
            f"{root}/usr/bin/python3.13",
        ]
        assert lab.label == "CPython 3.13.5 of Debian trixie amd64"

    def test_the_c_library_may_lie_outside_usr(self, make, tmp_path):
        stand = make("manylinux2014_x86_64")
        folder = tmp_path / "debian/python3.13-minimal-x86_64-trixie/lib/x86_64-linux-gnu"
        script(folder / "ld-linux-x86-64.so.2", "")
        assert labs._debian_command("3.13", "x86_64", stand)[0] == folder / "ld-linux-x86-64.so.2"

    def test_another_machines_wheel_is_not_tried(self, make):
        with pytest.raises(NoLabError, match="this machine is linux x86_64"):
            find_lab("3.13", Way.NATIVE, make("manylinux2014_aarch64"))

    def test_a_python_that_nobody_has_is_named(self, make):
        with pytest.raises(NoLabError, match=r"no release of Debian has CPython 3\.12"):
            find_lab("3.12", Way.NATIVE, make("manylinux2014_x86_64"))


class TestQemu:
    def test_the_emulator_sees_debians_folder_as_its_root(self, make, tmp_path):
        stand = make("manylinux2014_aarch64", programs=["qemu-aarch64-static"])
        lab = find_lab("3.13", Way.QEMU, stand)
        root = "debian/python3.13-minimal-aarch64-trixie"
        assert words(lab, tmp_path) == [
            *("bin/qemu-aarch64-static", "-L", root, f"{root}/usr/bin/python3.13")
        ]
        assert lab.label == "CPython 3.13.5 of Debian trixie arm64, under qemu-aarch64"

    def test_without_an_emulator_it_is_named(self, make):
        with pytest.raises(NoLabError, match="qemu-aarch64-static is not installed"):
            find_lab("3.13", Way.QEMU, make("manylinux2014_aarch64"))


class TestMusl:
    LOADER = "debian/musl-{0}-trixie-alone/lib/ld-musl-{0}.so.1"

    def test_on_this_processor_its_loader_starts_it(self, make, tmp_path):
        lab = find_lab("3.13", Way.MUSL, make("musllinux_1_2_x86_64"))
        assert words(lab, tmp_path) == [self.LOADER.format("x86_64"), "trixie-x86_64/python3.13"]
        assert lab.label == "CPython 3.13.5 of Debian trixie's sources, on the musl of trixie"

    def test_on_another_processor_the_emulator_starts_the_loader(self, make, tmp_path):
        stand = make("musllinux_1_2_aarch64", programs=["qemu-aarch64"])
        lab = find_lab("3.13", Way.MUSL, stand)
        assert words(lab, tmp_path) == [
            *("bin/qemu-aarch64", self.LOADER.format("aarch64"), "trixie-aarch64/python3.13")
        ]
        assert lab.label.endswith("on the musl of trixie, under qemu-aarch64")

    def test_debians_python_builds_it_though_this_machine_has_one(self, make):
        """Another one may not run the library; configure takes one program, so it is a script."""
        stand = make("musllinux_1_2_x86_64")
        stand = make("musllinux_1_2_x86_64", pythons=[python_here(stand)])
        loader = labs._debian_command("3.13", "x86_64", stand)[0]
        script(loader, 'printf "%s\\n" "$@"')
        builder = labs._builder("3.13", stand)
        said_by = subprocess.run([builder, "-c", "a b"], capture_output=True, text=True, check=True)
        assert said_by.stdout.splitlines()[-2:] == ["-c", "a b"]
        assert said_by.stdout.splitlines()[0] == "--library-path"

    def test_configure_is_told_what_it_cannot_find_out(self, make, tmp_path):
        site = make("musllinux_1_2_aarch64").site
        plan = MuslPlan(python="3.13", release="trixie", builder=Path("/here/python3.13"))
        told = configure_words(plan, tmp_path / "prefix", site)
        assert "--host=aarch64-linux-musl" in told
        assert "--build=x86_64-builder-linux-musl" in told
        assert "--with-build-python=/here/python3.13" in told
        # Without these the interpreter loads no extension, or has an empty environment.
        assert "LDFLAGS=-dynamic" in told
        assert any(word.startswith("CFLAGS=-fPIC") for word in told)


def test_a_python_that_does_not_start_is_no_lab(make):
    stand = make("manylinux2014_aarch64", programs=["qemu-aarch64"])
    crash = said(returncode=139, stderr="qemu: uncaught target signal 11")
    context = replace(stand.site.context, runner=RecordedRunner([(lambda _: True, crash)]))
    stand = replace(stand, site=replace(stand.site, context=context))
    with pytest.raises(NoLabError, match="signal 11"):
        find_lab("3.13", Way.QEMU, stand)


def test_programs_are_looked_for_on_path(make, tmp_path):
    stand = make("win_amd64")
    with pytest.raises(NoLabError, match="wine64 is not installed"):
        labs._program(("wine64", "wine"), stand)
    program = script(tmp_path / "bin" / "wine", "")
    assert labs._program(("wine64", "wine"), stand) == program


def test_what_concerns_another_python_is_not_handed_on(make, monkeypatch):
    stand = make("win_amd64")
    environ = {"PYTHONPATH": "/a", "LD_LIBRARY_PATH": "/b", "HOME": "/h"}
    host = replace(stand.host, environ=environ)
    context = replace(stand.site.context, host=host)
    stand = replace(stand, site=replace(stand.site, context=context))
    assert labs.environment(stand, {"WINEDEBUG": "-all"}) == {"HOME": "/h", "WINEDEBUG": "-all"}
