"""macOS: the SDK, the oldest system, the processors, and the tag that they earn."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from build_tools.config import BuildConfig
from build_tools.errors import ConfigError, ToolchainError
from build_tools.record import Record
from build_tools.toolchain.apple import (
    Sdk,
    parse_tag,
    platform_tag,
    raised,
    sdk,
    settle_target,
)
from build_tools.toolchain.model import Family, Toolchain
from build_tools.toolchain.platform_settings import settle
from tests.build_tools.recordings import text
from tests.build_tools.support import RecordedRunner, make_host, said
from tests.build_tools.test_toolchain import ALL
from tests.build_tools.test_toolchain import compiler as gnu

XCODE = Sdk(path="/Xcode/MacOSX14.5.sdk", version="14.5")


def mac(machine="arm64", platform="macosx-11.0-universal2", **environ):
    host = make_host(system="darwin", machine=machine, environ={"PATH": "/usr/bin", **environ})
    return replace(host, python=replace(host.python, platform=platform))


def xcrun():
    answers = json.loads(text("xcrun.json"))
    return RecordedRunner(
        [
            (lambda argv, question=question: " ".join(argv[1:]) == question, said(answer))
            for question, answer in answers.items()
        ]
    )


class TestSdk:
    def test_xcrun_is_asked(self):
        found = sdk(mac(), xcrun())
        assert found.version == "14.5"
        assert found.path.endswith("MacOSX14.5.sdk")

    def test_no_developer_tools(self):
        words = text("xcrun-no-tools.txt")
        runner = RecordedRunner([(lambda _: True, said(returncode=1, stderr=words))])
        with pytest.raises(ToolchainError, match="no macOS SDK") as caught:
            sdk(mac(), runner)
        assert "invalid active developer path" in str(caught.value)
        assert "xcode-select --install" in str(caught.value)


class TestTarget:
    def settled(self, *arguments, xcode=XCODE, **host):
        return settle_target(mac(**host), arguments, xcode)

    def test_nobody_says_anything(self):
        target = self.settled()
        assert (target.version, target.processors) == ((11, 0), ("arm64",))
        assert target.tag == "macosx_11_0_arm64"
        assert target.version_origin == "the Python that runs this"
        assert target.notes == ()

    def test_an_older_python_does_not_make_cxx17_older(self):
        target = self.settled(machine="x86_64", platform="macosx-10.9-x86_64")
        assert target.version == (10, 15)
        assert "C++17 needs 10.15" in target.notes[0]
        assert target.tag == "macosx_10_15_x86_64"

    @pytest.mark.parametrize(
        ("arguments", "environ", "version", "origin"),
        [
            ((), {"MACOSX_DEPLOYMENT_TARGET": "12"}, (12, 0), "environment"),
            (("-DCMAKE_OSX_DEPLOYMENT_TARGET=13.0",), {}, (13, 0), "CMAKE_ARGS"),
            (
                ("-DCMAKE_OSX_DEPLOYMENT_TARGET:STRING=13.0",),
                {"MACOSX_DEPLOYMENT_TARGET": "12"},
                (13, 0),
                "CMAKE_ARGS",
            ),
        ],
    )
    def test_who_says_the_version(self, arguments, environ, version, origin):
        target = self.settled(*arguments, **environ)
        assert target.version == version
        assert origin in target.version_origin

    def test_a_minor_version_since_11_is_raised_and_told(self):
        """ONNX 1.23.2 says macosx_13_0 and needs 13.3: pip installs what cannot be loaded."""
        target = self.settled(MACOSX_DEPLOYMENT_TARGET="13.3")
        assert target.version == (14, 0)
        assert target.tag == "macosx_14_0_arm64"
        assert "13.3" in target.notes[0]
        assert target.cache(XCODE)["CMAKE_OSX_DEPLOYMENT_TARGET"] == "14.0"

    @pytest.mark.parametrize(
        ("arguments", "environ"),
        [
            ((), {"ARCHFLAGS": "-arch arm64 -arch x86_64"}),
            (("-DCMAKE_OSX_ARCHITECTURES=x86_64;arm64",), {}),
        ],
    )
    def test_universal2(self, arguments, environ):
        target = self.settled(*arguments, **environ)
        assert target.processors == ("arm64", "x86_64")
        assert target.tag == "macosx_11_0_universal2"
        assert target.cache(XCODE)["CMAKE_OSX_ARCHITECTURES"] == "arm64;x86_64"
        assert target.environment()["ARCHFLAGS"] == "-arch arm64 -arch x86_64"
        assert target.flags[:4] == ("-arch", "arm64", "-arch", "x86_64")

    @pytest.mark.parametrize(
        ("environ", "complaint"),
        [
            ({"ARCHFLAGS": "-arch ppc"}, "names the processor 'ppc'"),
            ({"ARCHFLAGS": "-arch x86_64"}, "this machine's programs are arm64"),
            ({"MACOSX_DEPLOYMENT_TARGET": "Sonoma"}, "no version of macOS: 'Sonoma'"),
            ({"MACOSX_DEPLOYMENT_TARGET": "15.0"}, "the SDK is that of 14.5"),
        ],
    )
    def test_what_cannot_be_built(self, environ, complaint):
        with pytest.raises(ConfigError) as caught:
            self.settled(**environ)
        assert complaint in str(caught.value)

    def test_it_is_part_of_the_toolchain_for_all_builds(self):
        chain = Toolchain(
            compiler=gnu(family=Family.APPLE_CLANG, target="arm64-apple-darwin23"),
            probes=ALL,
            reasons=(),
        )
        record = Record()
        made = settle(chain, BuildConfig(), mac(), xcrun(), record).toolchain
        both = settle(
            chain, BuildConfig(), mac(ARCHFLAGS="-arch arm64 -arch x86_64"), xcrun(), Record()
        ).toolchain
        cache = made.cmake_cache()
        assert cache["CMAKE_OSX_SYSROOT"].endswith("MacOSX14.5.sdk")
        assert made.environment()["MACOSX_DEPLOYMENT_TARGET"] == "11.0"
        assert both.processors == ("aarch64", "x86_64")
        assert made.identity() != both.identity()
        subjects = [decision.subject for decision in record.decisions]
        assert subjects == ["macOS SDK", "oldest macOS", "processors"]


@pytest.mark.parametrize(
    ("version", "tag"),
    [
        ((10, 15), "macosx_10_15_arm64"),
        ((11, 0), "macosx_11_0_arm64"),
        ((13, 3), "macosx_14_0_arm64"),
    ],
)
def test_tags_say_what_installers_understand(version, tag):
    assert platform_tag(version, ["arm64"]) == tag
    assert parse_tag(tag) == (raised(version), frozenset({"arm64"}))


def test_other_tags_are_none():
    assert parse_tag("manylinux_2_28_x86_64") is None
    assert parse_tag("macosx_11_0_universal2") == ((11, 0), frozenset({"arm64", "x86_64"}))
