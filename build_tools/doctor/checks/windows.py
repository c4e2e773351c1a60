"""What only Windows has: short paths, two run times, a library older than the compiler."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.version import InvalidVersion, Version

from build_tools.config import BuildType
from build_tools.doctor.model import Check, Finding, fatal, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from build_tools.doctor.facts import Facts, LibraryFound

_LONGEST_PATH, _LONGEST_FOLDER = 259, 247
_CONSTEXPR_MUTEX = Version("14.40")
_OWN = "it builds protobuf with the run time that everything else has"
_OUR_LONGEST = len("onnxforge/_core.cp313-win_amd64.pyd") + len("onnxforge-0.0.0.dist-info/RECORD")


def _only_windows(facts: Facts) -> str:
    return "" if facts.host.system == "windows" else "only Windows has this"


def _long_paths(facts: Facts) -> Iterator[Finding]:
    target, release = facts.target, facts.release
    if target is None or target.problem or release is None:
        return
    if facts.windows is not None and facts.windows.long_paths:
        return
    site = len(str(target.site_packages)) + 1
    longest = site + release.longest_member
    ours = site + _OUR_LONGEST <= _LONGEST_PATH
    if longest > _LONGEST_PATH:
        yield fatal(
            f"{longest} characters: the longest path in the wheel of ONNX "
            f"{facts.config.onnx_version}, below {target.site_packages}",
            f"{site} + {release.longest_member}; Windows allows {_LONGEST_PATH}, folders "
            f"{_LONGEST_FOLDER}, and LongPathsEnabled is not set",
            "reg add HKLM\\SYSTEM\\CurrentControlSet\\Control\\FileSystem /v LongPathsEnabled /t "
            "REG_DWORD /d 1",
            "git config --system core.longpaths true",
            "py -m venv C:\\v",
            spared="the paths in its wheel are short" if ours else "",
        )


def _run_time(facts: Facts) -> Iterator[Finding]:
    taken = _taken(facts)
    wanted = facts.cmake_settings.get("CMAKE_MSVC_RUNTIME_LIBRARY", "MultiThreadedDLL")
    if taken is None or not taken.msvc_runtime:
        return
    static_wanted, static_found = "DLL" not in wanted, taken.msvc_runtime.startswith("MT")
    if static_wanted != static_found:
        yield fatal(
            f"{taken.path} was compiled for {taken.msvc_runtime}, and ONNX is compiled for "
            f"{wanted}",
            "the RuntimeLibrary that the library asks the linker to compare",
            "cmake -Dprotobuf_MSVC_STATIC_RUNTIME=OFF …  (build that protobuf again)",
            spared=_OWN,
        )
    elif static_wanted and facts.wants_shared:
        yield fatal(
            "a shared protobuf with a static run time has two heaps",
            f"CMAKE_MSVC_RUNTIME_LIBRARY={wanted}",
            "take CMAKE_MSVC_RUNTIME_LIBRARY out of CMAKE_ARGS",
        )


def _debug(facts: Facts) -> Iterator[Finding]:
    taken, is_debug = _taken(facts), facts.config.build_type is BuildType.DEBUG
    if taken is not None:
        marked = taken.msvc_runtime.endswith("Debug") or taken.path.stem.endswith("protobufd")
        if marked != is_debug and (taken.msvc_runtime or marked):
            yield fatal(
                f"{taken.path} is for {'Debug' if marked else 'Release'}, and the build type is "
                f"{facts.config.build_type}",
                taken.msvc_runtime or f"the name {taken.path.name}",
                f"nox -s build -- --build-type {'Debug' if marked else 'Release'}",
                spared=_OWN,
            )
    target = facts.target
    if target is not None and target.is_debug and not is_debug:
        yield fatal(
            f"{target.path} is a debug build, and the build type is {facts.config.build_type}",
            "it asks the linker for python3xx_d.lib, and for the debug run time",
            "nox -s build -- --build-type Debug",
        )
    for tree in facts.source_trees:
        if tree.stale_debug is not None:
            yield warning(
                "an earlier build has left a Debug folder, which setup.py packs instead of Release",
                str(tree.stale_debug),
                f"rmdir /s /q {tree.stale_debug.parent}",
                spared="each build type has a folder of its own",
            )


def _taken(facts: Facts) -> LibraryFound | None:
    named = facts.config.protobuf_root
    if named is not None:
        libraries = (lib for lib in facts.libraries() if lib.path.is_relative_to(named))
        return next(libraries, None)
    return facts.library(facts.taken_library)


def _old_run_time(facts: Facts) -> Iterator[Finding]:
    windows = facts.windows
    assert windows is not None
    try:
        toolset, installed = Version(windows.toolset), Version(windows.runtime)
    except InvalidVersion:
        return
    if toolset >= _CONSTEXPR_MUTEX > installed:
        yield fatal(
            f"the toolset {windows.toolset} makes mutexes that msvcp140.dll {windows.runtime} does "
            "not know",
            f"toolset {windows.toolset}, msvcp140.dll {windows.runtime}",
            "winget install Microsoft.VCRedist.2015+.x64",
            "set CXXFLAGS=/D_DISABLE_CONSTEXPR_MUTEX_CONSTRUCTOR",
        )
    elif toolset >= _CONSTEXPR_MUTEX:
        yield warning(
            f"the toolset {windows.toolset} makes wheels that fail where msvcp140.dll is older "
            f"than "
            "14.40",
            f"msvcp140.dll here is {windows.runtime}; another package may have loaded an older one",
            "set CXXFLAGS=/D_DISABLE_CONSTEXPR_MUTEX_CONSTRUCTOR",
            "delvewheel repair --add-dll msvcp140.dll onnx-*.whl",
        )


def _has_windows_facts(facts: Facts) -> str:
    if why := _only_windows(facts):
        return why
    known = facts.windows is not None and facts.windows.toolset and facts.windows.runtime
    return "" if known else "neither a toolset nor msvcp140.dll was found"


def _no_library(facts: Facts) -> str:
    return _only_windows(facts) or (
        "" if _taken(facts) else "no protobuf of this machine would be linked"
    )


CHECKS = (
    Check(
        identifier="path-too-long",
        title="Paths are longer than Windows allows",
        symptoms=(
            "[WinError 206] The filename or extension is too long",
            "[WinError 3] The system cannot find the path specified: '…test_data_set_0…'",
        ),
        cause="The longest path in ONNX's wheel has up to 134 characters, and the Python of the "
        "Microsoft Store installs to a folder of 139.",
        look="The length of site-packages plus that of the longest member; LongPathsEnabled.",
        cure="The engine's wheel has short paths.",
        examine=_long_paths,
        applies=_only_windows,
    ),
    Check(
        identifier="msvc-runtime-mismatch",
        title="Two of MSVC's run times are mixed",
        symptoms=(
            "LNK2038: mismatch detected for 'RuntimeLibrary': value 'MT_StaticRelease' doesn't "
            "match value 'MD_DynamicRelease'",
        ),
        cause="protobuf's default is the static run time, ONNX's the shared one.",
        look="The directives in the .lib are read.",
        cure="One CMAKE_MSVC_RUNTIME_LIBRARY for everything: the shared one.",
        examine=_run_time,
        applies=_no_library,
    ),
    Check(
        identifier="debug-and-release-mixed",
        title="Debug and Release are mixed",
        symptoms=(
            "LNK2038: mismatch detected for '_ITERATOR_DEBUG_LEVEL': value '2' doesn't match "
            "value '0'",
            "LNK1104: cannot open file 'libprotobufd.lib'",
        ),
        cause="Debug libraries have another layout and a name that ends in d; setup.py packs a "
        "Debug folder that lies about.",
        look="The directives in the .lib and its name; Debug folders of earlier builds.",
        cure="Every build type has a folder and a protobuf of its own.",
        examine=_debug,
        applies=_only_windows,
    ),
    Check(
        identifier="msvc-runtime-too-old",
        title="The run-time library is older than the compiler",
        symptoms=(
            "ImportError: DLL load failed while importing onnx_cpp2py_export: A dynamic link "
            "library (DLL) initialization routine failed.",
        ),
        cause="From toolset 14.40 on mutexes are initialised in a way that an older msvcp140.dll, "
        "which may be in the process already, cannot handle.",
        look="The toolset's version and that of the installed msvcp140.dll.",
        cure="Build with _DISABLE_CONSTEXPR_MUTEX_CONSTRUCTOR, or let the wheel bring its own.",
        examine=_old_run_time,
        applies=_has_windows_facts,
    ),
)
