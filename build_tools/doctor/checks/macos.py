"""What only macOS has: libraries of two processors, and systems that a tag promises."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from build_tools.doctor.model import Check, Finding, fatal, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from build_tools.doctor.facts import Facts

_NAMES = {"arm64": "aarch64"}
_OWN = "it builds protobuf for the processors of the wheel"


def _only_macos(facts: Facts) -> str:
    return "" if facts.host.system == "darwin" else "only macOS has this"


def _slices(facts: Facts) -> Iterator[Finding]:
    wanted = _wanted(facts)
    taken = facts.library(facts.taken_library)
    if taken is not None and taken.machine:
        missing = sorted(wanted - set(taken.machine.split("+")))
        if missing:
            yield fatal(
                f"{taken.path} has no code for {', '.join(missing)}",
                f"it is for {taken.machine}; the wheel is to be for {', '.join(sorted(wanted))}",
                f"export ARCHFLAGS='-arch {facts.host.machine}'",
                "cmake -DCMAKE_OSX_ARCHITECTURES='arm64;x86_64' …  (build that protobuf again)",
                spared=_OWN,
            )
    yield from _target(facts)


def _wanted(facts: Facts) -> set[str]:
    """Return the processors that the wheel is to be for."""
    text = facts.cmake_settings.get("CMAKE_OSX_ARCHITECTURES", "")
    named = re.split("[;,]", text) if text else []
    named = named or re.findall(r"-arch\s+(\S+)", facts.host.environ.get("ARCHFLAGS", ""))
    named = named or [facts.host.machine]
    return {_NAMES.get(name, name) for name in named}


def _target(facts: Facts) -> Iterator[Finding]:
    text = facts.cmake_settings.get(
        "CMAKE_OSX_DEPLOYMENT_TARGET", facts.host.environ.get("MACOSX_DEPLOYMENT_TARGET", "")
    )
    major, _, minor = text.partition(".")
    if major.isdigit() and int(major) >= 11 and minor.partition(".")[0] not in ("", "0"):
        yield warning(
            f"a wheel for macOS {text} is tagged macosx_{major}_0, and pip installs it on "
            f"{major}.0",
            f"MACOSX_DEPLOYMENT_TARGET={text}; from macOS 11 on a tag has no minor version",
            f"export MACOSX_DEPLOYMENT_TARGET={int(major) + 1}.0",
            f"export MACOSX_DEPLOYMENT_TARGET={major}.0",
        )


def _no_tools(facts: Facts) -> Iterator[Finding]:
    assert facts.apple is not None
    if not facts.apple.developer_folder:
        yield fatal(
            "the command-line tools of Xcode are not installed",
            "xcode-select -p says nothing",
            "xcode-select --install",
        )


CHECKS = (
    Check(
        identifier="macos-slices",
        title="A library lacks a processor, or a tag promises too much",
        symptoms=(
            "ld: warning: ignoring file libprotobuf.a, building for macOS-x86_64 but attempting "
            "to link with file built for macOS-arm64",
            "dyld: Symbol not found: __ZNSt3__18to_charsEPcS0_d",
        ),
        cause="Homebrew's libraries are for one processor, and a universal wheel is for two; tags "
        "of macOS 11 and later have no minor version.",
        look="The slices of the library, ARCHFLAGS and MACOSX_DEPLOYMENT_TARGET.",
        cure="protobuf is built for the processors and the system of the wheel.",
        examine=_slices,
        applies=_only_macos,
    ),
    Check(
        identifier="macos-tools",
        title="Xcode's command-line tools are missing",
        symptoms=("xcrun: error: invalid active developer path",),
        cause="An update of macOS removes them.",
        look="xcode-select is asked.",
        cure="xcode-select --install",
        examine=_no_tools,
        applies=lambda facts: (
            _only_macos(facts) or ("" if facts.apple is not None else "xcode-select was not asked")
        ),
    ),
)
