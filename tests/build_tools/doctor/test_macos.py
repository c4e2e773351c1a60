"""What only macOS has, with recorded facts."""

from __future__ import annotations

from build_tools.doctor.facts import AppleFacts
from tests.build_tools.doctor.cases import (
    FATAL,
    NOTE,
    WARNING,
    findings,
    library,
    make_facts,
    only,
    outcome,
    protobuf,
    severities,
    taking,
    upstream,
)


def mac(*arguments: str, machine: str = "aarch64", **changes: object):
    """A Mac whose protobuf is Homebrew's, for one processor."""
    brew = library("/opt/homebrew/lib/libprotobuf.a", machine=machine)
    found = protobuf("/opt/homebrew", libraries=(brew,))
    return make_facts(
        *arguments,
        host={"system": "darwin", "machine": "arm64"},
        protobufs=(found,),
        cmake_finds=taking(found),
        **changes,
    )


def test_macos_slices():
    wheel = "--cmake-arg=-DCMAKE_OSX_ARCHITECTURES=arm64;x86_64"
    finding = only("macos-slices", upstream(mac(wheel)))
    assert finding.severity is FATAL
    assert "no code for x86_64" in finding.what
    assert only("macos-slices", mac(wheel)).severity is NOTE
    assert findings("macos-slices", upstream(mac())) == ()
    assert findings("macos-slices", upstream(mac(wheel, machine="aarch64+x86_64"))) == ()
    flags = mac(environ={"ARCHFLAGS": "-arch arm64 -arch x86_64"})
    assert severities("macos-slices", upstream(flags)) == [FATAL]
    assert outcome("macos-slices", make_facts()).not_applicable == "only macOS has this"


def test_macos_slices_and_a_tag_that_promises_too_much():
    finding = only("macos-slices", mac(environ={"MACOSX_DEPLOYMENT_TARGET": "13.3"}))
    assert finding.severity is WARNING
    assert "macosx_13_0" in finding.what
    assert finding.fix[0] == "export MACOSX_DEPLOYMENT_TARGET=14.0"
    for fine in ("13.0", "13", "10.15"):
        assert findings("macos-slices", mac(environ={"MACOSX_DEPLOYMENT_TARGET": fine})) == ()


def test_macos_tools():
    assert severities("macos-tools", mac(apple=AppleFacts())) == [FATAL]
    there = AppleFacts(developer_folder="/Library/Developer/CommandLineTools", sdk="14.4")
    assert findings("macos-tools", mac(apple=there)) == ()
    assert "not asked" in outcome("macos-tools", mac()).not_applicable
