"""What has to be known of each ONNX release: how its own build goes, and what its wheels are.

Read in the sources at each tag and in the files on the package index; a release that is not named
is like the one before it. Rules that need a compiler, a CMake or a protobuf stand in the doctor's
checks; how a release is built here stands in ``upstream.releases``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from packaging.version import InvalidVersion, Version


@dataclass(frozen=True, kw_only=True)
class Release:
    """One release of ONNX, or a run of them that are alike."""

    since: str
    """The first release that it is true of."""

    cmake_minimum: str
    """What its CMakeLists.txt asks for."""

    nested_minimum: str
    """What the CMakeLists.txt of the pybind11 that it carries asks for; empty: it carries none."""

    cxx_standard: int
    """The C++ standard that it compiles with."""

    standard_is_forced: bool
    """Whether -DCMAKE_CXX_STANDARD is overwritten."""

    own_protobuf: str
    """The protobuf that its build fetches where it finds none; empty: it ends with an error."""

    custom_protobuf_option: bool
    """Whether ONNX_BUILD_CUSTOM_PROTOBUF=ON makes it build its own whatever is installed."""

    binding: str
    """What binds it to Python: "pybind11 submodule", "pybind11", "nanobind"."""

    python_switch: str
    """The CMake option that asks for the Python extension."""

    driver: str
    """What ``pip install`` drives CMake with: "setup.py" or "scikit-build-core"."""

    python_protobuf: str
    """The Python protobuf that its wheel asks for."""

    uses_filesystem: bool
    """Whether its C++ uses <filesystem>."""

    links_filesystem: bool
    """Whether it links libstdc++fs by itself for GCC 8."""

    hides_symbols: bool
    """Whether its wheel is linked with --exclude-libs,ALL."""

    wheels: tuple[str, ...]
    """The Pythons that it has wheels for on the package index, as interpreter-ABI."""

    longest_member: int
    """The length of the longest path in its wheel."""

    windows_arm64: bool = False
    """Whether it has wheels for Windows on ARM."""

    imports_distutils: bool = False
    """Whether its setup.py imports distutils before setuptools, which might stand in for it."""

    uses_stat64: bool = False
    """Whether it calls stat64, which musl's headers do not have."""


def _cpython(*minors: int) -> tuple[str, ...]:
    return tuple(f"cp3{minor}-cp3{minor}{'m' if minor < 8 else ''}" for minor in minors)


_13 = Release(
    since="1.13.0",
    cmake_minimum="3.1",
    nested_minimum="3.4",
    cxx_standard=11,
    standard_is_forced=True,
    own_protobuf="",
    custom_protobuf_option=False,
    binding="pybind11 submodule",
    python_switch="BUILD_ONNX_PYTHON",
    driver="setup.py",
    python_protobuf=">=3.20.2,<4",
    uses_filesystem=False,
    links_filesystem=False,
    hides_symbols=True,
    wheels=_cpython(7, 8, 9, 10, 11),
    longest_member=122,
    imports_distutils=True,
)
_14 = replace(_13, since="1.14.0", python_protobuf=">=3.20.2")
_14_1 = replace(_14, since="1.14.1", uses_stat64=True)
_15 = replace(
    _14_1,
    since="1.15.0",
    cxx_standard=14,
    standard_is_forced=False,
    own_protobuf="22.3",
    wheels=_cpython(8, 9, 10, 11),
    longest_member=134,
    imports_distutils=False,
    uses_stat64=False,
)
_16 = replace(
    _15,
    since="1.16.0",
    cxx_standard=17,
    uses_filesystem=True,
    wheels=_cpython(8, 9, 10, 11, 12),
)
_16_1 = replace(_16, since="1.16.1", cmake_minimum="3.14", links_filesystem=True)
_17 = replace(_16_1, since="1.17.0", nested_minimum="3.5")
_18 = replace(
    _17,
    since="1.18.0",
    cmake_minimum="3.18",
    own_protobuf="29.2",
    custom_protobuf_option=True,
    binding="pybind11",
    python_switch="ONNX_BUILD_PYTHON",
    python_protobuf=">=4.25.1",
    wheels=(*_cpython(9, 10, 11, 12, 13), "cp313-cp313t"),
    windows_arm64=True,
)
_19 = replace(
    _18,
    since="1.19.0",
    cmake_minimum="3.24",
    nested_minimum="",
    own_protobuf="31.1",
    hides_symbols=False,
    wheels=(*_cpython(9, 10, 11, 12, 13, 14), "cp313-cp313t"),
)
_20 = replace(
    _19,
    since="1.20.0",
    cmake_minimum="3.26",
    links_filesystem=False,
    binding="nanobind",
    wheels=(*_cpython(10, 11), "cp312-abi3", "cp313-cp313t"),
)
_21 = replace(_20, since="1.21.0", wheels=(*_20.wheels, "cp314-cp314t"))
_22 = replace(
    _21,
    since="1.22.0",
    own_protobuf="25.1",
    driver="scikit-build-core",
    wheels=(*_cpython(10, 11), "cp312-abi3", "cp314-cp314t"),
)
_23 = replace(
    _22, since="1.23.0", own_protobuf="31.1", python_protobuf=">=6.31.1", longest_member=111
)

RELEASES: tuple[Release, ...] = (
    *(_13, _14, _14_1, _15, _16, _16_1, _17, _18, _19, _20, _21, _22, _23),
)


ENGINE_SINCE = "1.23.0"
"""The oldest ONNX that the engine is compiled with in the tests. 1.17 has neither FLOAT6E2M3, which
cpp/io/import_tensor.cc reads, nor InferenceContext::hasOutput, which cpp/io/inference.cc has."""


@dataclass(frozen=True, kw_only=True)
class KnownBad:
    """A compiler that a run of releases cannot be compiled with."""

    first: str
    """The first release that is hit."""

    fixed: str
    """The first release that is not hit any more."""

    family: str
    """The compiler's family: "gcc", "clang" or "msvc"."""

    since: str
    """The first version of the compiler that does it."""

    symptom: str
    """What the compiler says."""

    why: str
    """Why, in one sentence."""

    only_own_protobuf: bool
    """Whether it is the protobuf that the release builds itself that does not compile."""

    flags: str
    """Compiler flags that help; empty: none do."""

    reported: str
    """Where it is reported."""


KNOWN_BAD: tuple[KnownBad, ...] = (
    KnownBad(
        first="1.15.0",
        fixed="1.18.0",
        family="gcc",
        since="13",
        symptom="google/protobuf/port.h:186:67: error: 'uint32_t' was not declared in this scope",
        why="protobuf 22.3, which the release builds, includes <cstdint> only by way of headers "
        "that GCC 13 has cleaned up; protobuf 22.5 includes it itself",
        only_own_protobuf=True,
        flags="-include cstdint",
        reported="onnx/onnx#6295",
    ),
    KnownBad(
        first="1.14.0",
        fixed="1.15.0",
        family="gcc",
        since="14",
        symptom="onnx/defs/shape_inference.h: error: 'transform' is not a member of 'std'",
        why="onnx/defs/shape_inference.h uses std::transform without including <algorithm>, which "
        "fewer of GCC 14's own headers bring along",
        only_own_protobuf=False,
        flags="-include algorithm",
        reported="onnx/onnx#5369",
    ),
    KnownBad(
        first="1.18.0",
        fixed="1.19.0",
        family="msvc",
        since="14.44",
        symptom="fatal error C1001: Internal compiler error",
        why="this version of MSVC breaks over a lambda in protobuf's sources",
        only_own_protobuf=True,
        flags="/Zc:lambda",
        reported="onnx/onnx#7121",
    ),
)


def release_of(version: str) -> Release | None:
    """Return what is known of a release; None for one before the first that is known."""
    try:
        asked = Version(version)
    except InvalidVersion:
        return None
    known = [release for release in RELEASES if Version(release.since) <= asked]
    return known[-1] if known else None


def known_bad(version: str, family: str, compiler: str) -> tuple[KnownBad, ...]:
    """Return what a release does not compile with, for one compiler."""
    asked = Version(version)
    return tuple(
        entry
        for entry in KNOWN_BAD
        if Version(entry.first) <= asked < Version(entry.fixed)
        and entry.family == family
        and not older(compiler, entry.since)
    )


def older(version: str, than: str) -> bool:
    """Say whether a version comes before another; what is no version comes before nothing."""
    try:
        return Version(version) < Version(than)
    except InvalidVersion:
        return False


def python_protobuf_of(protoc: str) -> str:
    """Return the Python protobuf of the same release as a protoc: "25.1" is 4.25.1.

    The language versions went apart with release 21: Python's major number is 4 from 21 on, 5 from
    26 on, 6 from 30 on and 7 from 34 on.
    """
    numbers = [int(part) for part in protoc.split(".")]
    if numbers[0] == 3 and len(numbers) > 1 and numbers[1] >= 21:
        numbers = numbers[1:]
    if numbers[0] <= 3:
        return protoc
    major = next(major for first, major in _PYTHON_MAJORS if numbers[0] >= first)
    return ".".join(str(number) for number in (major, *numbers))


_PYTHON_MAJORS = ((34, 7), (30, 6), (26, 5), (0, 4))
