"""CMake, its generator and the arguments it is given."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.version import Version

from build_tools.cmake_args import cmake_definitions, split_cmake_args
from build_tools.doctor.model import Check, Finding, fatal, note, warning
from build_tools.doctor.upstream_build import from_source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from build_tools.doctor.basics import Basics
    from build_tools.doctor.facts import Facts
    from build_tools.errors import BuilderError

_OLDEST_POLICY, _REMOVED_BY = Version("3.5"), Version("4")
_POLICY = "CMAKE_POLICY_VERSION_MINIMUM"
_PLATFORM_VARIABLES = ("CMAKE_GENERATOR_PLATFORM", "CMAKE_GENERATOR_TOOLSET")
_DROPPED = ("CMAKE_BUILD_TYPE", "CMAKE_INSTALL_PREFIX")
_PATH_LIKE = re.compile(r"_(DIR|ROOT|PATH|EXECUTABLE|LIBRARY|PREFIX|FILE|PROTOC)$")


def _policy(basics: Basics) -> Iterator[Finding]:
    """Judge the CMake that ``nox -s build`` takes: it configures the release without pybind11."""
    tools, release = basics.tools, basics.release
    if tools is not None and release is not None:
        yield from _refused(basics, tools.cmake, tools.cmake_version, release.cmake_minimum)


def _policy_of_either(facts: Facts) -> Iterator[Finding]:
    release = facts.release
    if not facts.upstream:
        yield from _policy(facts)
    elif release is not None:
        first = next((entry for entry in facts.programs if entry.name == "cmake"), None)
        asked = [text for text in (release.cmake_minimum, release.nested_minimum) if text]
        least = min(asked, key=Version)
        if first is not None and first.version:
            yield from _refused(facts, first.path, first.version, least)
        elif facts.tools is not None:
            # pip fetches the newest one, which is what the builder has.
            yield from _refused(facts, facts.tools.cmake, facts.tools.cmake_version, least)


def _refused(basics: Basics, cmake: Path, version: str, minimum: str) -> Iterator[Finding]:
    settings = cmake_definitions(basics.config.cmake_args)
    told = _POLICY in settings or basics.host.environ.get(_POLICY)
    if told or Version(minimum) >= _OLDEST_POLICY or Version(version) < _REMOVED_BY:
        return
    onnx, setting = basics.config.onnx_version, f"-D{_POLICY}=3.5"
    ours = f"nox -s build -- --onnx-version {onnx} --cmake-arg={setting}"
    yield fatal(
        f"ONNX {onnx} asks for CMake {minimum}, and CMake {version} refuses what asks for less "
        "than 3.5",
        f"cmake_minimum_required(VERSION {minimum}) in its sources; {cmake} is {version}",
        from_source(basics, setting) if basics.upstream else ours,
        f"export {_POLICY}=3.5",
        "pip install 'cmake<4'",
    )


def _platform(facts: Facts) -> Iterator[Finding]:
    environ = facts.host.environ
    generator = environ.get("CMAKE_GENERATOR", "")
    named = {name: environ[name] for name in _PLATFORM_VARIABLES if environ.get(name)}
    spared = "it names its generator, Ninja, and leaves these variables out"
    if named and generator in ("", "Ninja") and facts.host.system != "windows":
        said = ", ".join(f"{name}={value}" for name, value in named.items())
        yield fatal(
            f"{said}, and {generator or 'the default generator'} knows no platforms",
            "CMake passes them to every generator",
            f"unset {' '.join(named)}",
            spared=spared,
        )
    if facts.host.system == "windows" and facts.release and facts.release.driver == "setup.py":
        yield from _always_a_platform(facts, generator)
    elif generator.startswith("Visual Studio") and facts.host.system != "windows":
        yield fatal(
            f"CMAKE_GENERATOR={generator} is not known on {facts.host.system}",
            "environment CMAKE_GENERATOR",
            "unset CMAKE_GENERATOR",
            spared=spared,
        )


def _always_a_platform(facts: Facts, generator: str) -> Iterator[Finding]:
    """Yield what becomes of the -A x64 -T host=x64 that upstream's setup.py adds on Windows."""
    studios = facts.windows.visual_studios if facts.windows else ()
    usable = [studio for studio in studios if studio.toolsets]
    default = "NMake Makefiles" if not usable else ""
    taken = generator or default
    if taken and not taken.startswith("Visual Studio"):
        have = ", ".join(f"{studio.name} {studio.version}" for studio in studios) or "none"
        yield fatal(
            f"setup.py of ONNX {facts.config.onnx_version} always adds -A x64 -T host=x64, and the "
            f"generator {taken} takes no platform",
            f"CMAKE_GENERATOR={generator or '(not set)'}; Visual Studio: {have}",
            "set CMAKE_GENERATOR=  (and install the C++ workload of Visual Studio)",
            spared="it drives CMake itself, with Ninja",
        )


def _mangled(facts: Facts) -> Iterator[Finding]:
    text = facts.host.environ.get("CMAKE_ARGS", "").strip()
    yield from _lost_on_the_way(text, facts)
    yield from _odd_values(facts)
    if text and facts.release and facts.release.driver == "scikit-build-core":
        dropped = [name for name in _DROPPED if name in cmake_definitions(facts.config.cmake_args)]
        if dropped:
            yield warning(
                f"scikit-build-core drops {' and '.join(dropped)} of CMAKE_ARGS",
                f"CMAKE_ARGS={text}",
                f"{from_source(facts)} --config-settings=cmake.build-type=Debug",
                spared="it has settings of its own for them",
            )


def _lost_on_the_way(text: str, facts: Facts) -> Iterator[Finding]:
    """Yield what POSIX's rules, which every backend goes by, make of CMAKE_ARGS."""
    if not text:
        return
    refused = facts.resolved.refused
    if refused is not None and about_cmake_args(refused):
        yield fatal(refused.what, f"CMAKE_ARGS={text}", *refused.fix)
        return
    if refused is not None:
        return
    words = _posix_words(text)
    if _plain(words) != _plain(_of_environment(facts, text)):
        yield fatal(
            f"CMAKE_ARGS becomes {' '.join(map(repr, words)) or 'an error'} on its way to CMake",
            f"CMAKE_ARGS={text}; POSIX's rules eat backslashes and keep quotation marks together",
            "set CMAKE_ARGS=-DNAME=C:/folder  (no quotation marks around it all, forward slashes)",
            spared="it takes CMAKE_ARGS apart by the rules of the system, and hands CMake a file",
        )


def _posix_words(text: str) -> list[str]:
    """Return what shlex makes of CMAKE_ARGS; nothing where it gives up."""
    try:
        return shlex.split(text)
    except ValueError:  # a backslash at the end escapes nothing
        return []


def about_cmake_args(error: BuilderError) -> bool:
    """Say whether a refused setting is CMAKE_ARGS, which has a check of its own."""
    return error.what.startswith("CMAKE_ARGS ")


def _of_environment(facts: Facts, text: str) -> tuple[str, ...]:
    """Return what we make of CMAKE_ARGS, without what the other places add."""
    return split_cmake_args(text, backslash_is_literal=facts.host.system == "windows")


def _plain(words: list[str] | tuple[str, ...]) -> list[str]:
    """Return arguments in one spelling: ``-D NAME=VALUE`` is ``-DNAME=VALUE``."""
    joined = "\0".join(words)
    return re.sub(r"(^|\0)(-[DUGATC])\0", r"\1\2", joined).split("\0")


def _odd_values(facts: Facts) -> Iterator[Finding]:
    for name, value in cmake_definitions(facts.config.cmake_args).items():
        if '"' in value:
            yield warning(
                f"the value of {name} has a quotation mark in it",
                f"-D{name}={value}",
                f"""-D{name}={value.replace('"', "")}""",
            )
        elif _PATH_LIKE.search(name) and _looks_like_path(value) and not Path(value).exists():
            yield warning(
                f"{name} names something that does not exist",
                f"-D{name}={value}",
                "correct the path; on Windows with forward slashes",
            )


def _looks_like_path(value: str) -> bool:
    return value.startswith("/") or bool(re.match(r"[A-Za-z]:", value))


def _script(facts: Facts) -> Iterator[Finding]:
    first = next((program for program in facts.programs if program.name == "cmake"), None)
    if first is None or not first.is_script:
        return
    spared = "" if facts.config.cmake == "system" else "it uses the program itself, by its path"
    fix = f"PATH=/folder/of/the/real/cmake:$PATH {from_source(facts)}"
    if first.problem:
        what = f"the first cmake on PATH is a script of a Python that has no cmake: {first.path}"
        yield fatal(what, first.problem, fix, spared=spared)
    else:
        yield warning(
            f"the first cmake on PATH is a script of one Python environment: {first.path}",
            "inside pip's isolated build environment it does not find its module",
            fix,
            spared=spared,
        )


def _silent_tools(facts: Facts) -> Iterator[Finding]:
    error = facts.no_tools
    if error is not None:
        yield fatal(error.what, "; ".join(error.looked), *error.fix)
    for program in facts.programs:
        if program.problem and not program.is_script:
            yield note(f"{program.path} does not say its version", program.problem)


def _one_file_twice(facts: Facts) -> Iterator[Finding]:
    generator = facts.host.environ.get("CMAKE_GENERATOR", "")
    has_ninja = any(program.name == "ninja" and program.version for program in facts.programs)
    makefiles = "Makefiles" in generator or (not generator and not has_ninja)
    release = facts.release
    if makefiles and facts.jobs.jobs > 1 and release and release.driver == "setup.py":
        yield warning(
            f"Make may generate onnx-ml.proto twice at once with {facts.jobs.jobs} jobs",
            "two targets depend on the same generated file; with makefiles each has its own rule",
            from_source(facts, CMAKE_GENERATOR="Ninja"),
            from_source(facts, MAX_JOBS="1"),
            spared="Ninja has one rule for each file",
        )


CHECKS = (
    Check(
        identifier="cmake-arguments-mangled",
        title="CMAKE_ARGS does not arrive as it was written",
        symptoms=(
            "C:toolsprotoc.exe",
            "Manually-specified variables were not used by the project",
            "Unsupported CMAKE_ARGS ignored: -DCMAKE_BUILD_TYPE=Debug",
        ),
        cause='Build backends split it by POSIX\'s rules, which eat backslashes; `set X="…"` makes '
        "the quotation marks part of the value; in bash `set X=…` sets nothing at all; and "
        "scikit-build-core drops two settings.",
        look="It is taken apart both ways and compared; quotation marks in values and paths that "
        "do not exist are pointed out.",
        cure="It is taken apart by the rules of the system; settings reach CMake in a file.",
        examine=_mangled,
    ),
    Check(
        identifier="cmake-policy-removed",
        title="An old ONNX asks for a CMake that no longer exists",
        symptoms=("Compatibility with CMake < 3.5 has been removed from CMake.",),
        cause="ONNX up to 1.16.0 asks for CMake 3.1, and the pybind11 that ONNX up to 1.16.2 "
        "carries for 3.4; CMake 4 refuses both.",
        look="The release's CMakeLists.txt is known; CMake is asked for its version.",
        cure="-DCMAKE_POLICY_VERSION_MINIMUM=3.5 lets CMake 4 go on.",
        examine=_policy_of_either,
        preflight=_policy,
        of_engine=True,
    ),
    Check(
        identifier="generator-platform",
        title="The generator takes no platform",
        symptoms=(
            "Generator Ninja does not support platform specification, but platform x64 was "
            "specified.",
            "Generator NMake Makefiles does not support platform specification, but platform x64 "
            "was specified.",
        ),
        cause="On Windows, setup.py of ONNX up to 1.21 always adds -A x64 -T host=x64; without "
        "Visual Studio's generator that is an error. CMAKE_GENERATOR_PLATFORM does the same "
        "anywhere.",
        look="CMAKE_GENERATOR, CMAKE_GENERATOR_PLATFORM and CMAKE_GENERATOR_TOOLSET; Visual "
        "Studio.",
        cure="CMake is driven directly, always with Ninja, and these variables are left out.",
        examine=_platform,
    ),
    Check(
        identifier="cmake-is-a-script",
        title="cmake is a script of some Python environment",
        symptoms=(
            "ModuleNotFoundError: No module named 'cmake'",
            'Could not find "cmake" executable!',
        ),
        cause="pip installs a script called cmake; found on PATH from inside an isolated build "
        "environment, it looks for its module there in vain.",
        look="The first cmake on PATH is run and its first line is read.",
        cure="The program itself is used, by its path.",
        examine=_script,
    ),
    Check(
        identifier="tool-silent",
        title="CMake or Ninja does not work",
        symptoms=('CMake was unable to find a build program corresponding to "Ninja".',),
        cause="It is missing, too old, for another machine, or hangs.",
        look="Each is asked for its version, for some seconds at most.",
        cure="The pinned ones of the builder's environment are used.",
        examine=_silent_tools,
    ),
    Check(
        identifier="proto-generated-twice",
        title="Two makes generate the same file at once",
        symptoms=(
            "onnx-ml.proto:953:13: Reached end of input in message definition (missing '}').",
        ),
        cause="Two targets of ONNX depend on one generated file. With makefiles each target has a "
        "rule of its own for it, and two jobs write the file at once.",
        look="The generator that CMake would take, and the number of jobs.",
        cure="Everything is built with Ninja, which has one rule for each file.",
        examine=_one_file_twice,
    ),
)
