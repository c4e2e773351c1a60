"""The compiler: whether there is one, what it can do, and what it cannot be used for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from build_tools.cmake_args import cmake_definitions
from build_tools.doctor.model import Check, Finding, fatal, note, warning
from build_tools.doctor.packages import ABSEIL, COMPILER, NEWER_COMPILER, install
from build_tools.doctor.upstream_build import from_source
from build_tools.probes import CxxRuntime
from build_tools.releases import known_bad
from build_tools.toolchain.model import Assessed, Family

if TYPE_CHECKING:
    from collections.abc import Iterator

    from build_tools.doctor.basics import Basics
    from build_tools.doctor.facts import Facts

_LAST_LIBRARIES = "CMAKE_CXX_STANDARD_LIBRARIES"
_OWN = "it builds protobuf with the compiler that builds everything else"


def _no_compiler(facts: Facts) -> Iterator[Finding]:
    error = facts.no_toolchain
    if error is not None:
        named = facts.config.compiler or facts.host.environ.get("CXX", facts.host.environ.get("CC"))
        commands = error.fix if named else install(COMPILER, facts.package_manager)
        yield fatal(error.what, "; ".join(error.looked) or "PATH", *commands)


def _filesystem(basics: Basics) -> Iterator[Finding]:
    toolchain, release = basics.toolchain, basics.release
    if toolchain is None or release is None or not release.uses_filesystem:
        return
    library = toolchain.probes.filesystem_library
    # After everything else, where a static library must stand; LDFLAGS come before it.
    setting = f"-D{_LAST_LIBRARIES}=-l{library}"
    told = cmake_definitions(basics.config.cmake_args).get(_LAST_LIBRARIES, "")
    if not library or f"-l{library}" in told:
        return
    covered = release.links_filesystem and toolchain.compiler.family is Family.GCC
    say = warning if covered else fatal
    yield say(
        f"{toolchain.compiler.label} keeps <filesystem> in a library of its own",
        f"a program with <filesystem> links only with -l{library}",
        from_source(basics, setting)
        if basics.upstream
        else f"nox -s build -- --cmake-arg={setting}",
        *install(NEWER_COMPILER, basics.package_manager),
    )


def _known_bad(facts: Facts) -> Iterator[Finding]:
    compiler = _compiler(facts)
    if compiler is None or facts.release is None:
        return
    version = facts.config.onnx_version
    for entry in known_bad(version, *compiler):
        if entry.only_own_protobuf and not _builds_protobuf(facts):
            continue
        yield warning(
            f"ONNX {version} is known not to compile with {compiler[0]} {compiler[1]}: {entry.why}",
            f"{entry.reported}: {entry.symptom}",
            from_source(facts, CXXFLAGS=entry.flags),
            spared="it builds another release of protobuf" if entry.only_own_protobuf else "",
        )


def _compiler(facts: Facts) -> tuple[str, str] | None:
    """Return family and version as the table of known trouble has them."""
    if facts.windows is not None and facts.windows.toolset:
        return "msvc", facts.windows.toolset
    if facts.toolchain is None:
        return None
    compiler = facts.toolchain.compiler
    family = "clang" if compiler.family is Family.APPLE_CLANG else compiler.family.value
    return family, compiler.version


def _builds_protobuf(facts: Facts) -> bool:
    """Say whether upstream's build would build the protobuf that its release names."""
    return facts.builds_own_protobuf or facts.taken_library is None


def _standard(facts: Facts) -> Iterator[Finding]:
    """Yield compilers that cannot compile what is built, and are passed over."""
    for item in facts.compilers:
        if isinstance(item, Assessed) and not item.probes.cxx17.ok:
            used = facts.toolchain is not None
            what = f"{item.compiler.label} does not compile C++17"
            more = "; another one is used" if used else ""
            commands = install(COMPILER, facts.package_manager)
            yield note(f"{what}{more}", item.probes.cxx17.why, *commands)


def _libraries_differ(facts: Facts) -> Iterator[Finding]:
    for library in facts.libraries():
        if CxxRuntime.UNKNOWN in (library.runtime, facts.runtime):
            continue
        if library.runtime is facts.runtime:
            continue
        what = (
            f"{library.path} was compiled for {library.runtime.value}, and the compiler compiles "
            f"for {facts.runtime.value}"
        )
        said = f"the names in {library.path.name} are those of {library.runtime.value}"
        if facts.taken_library == library.path:
            own = from_source(facts, "-DONNX_BUILD_CUSTOM_PROTOBUF=ON")
            yield fatal(what, said, own, spared=_OWN)
        else:
            yield note(f"{what}; it is not used", said)


def _abseil(facts: Facts) -> Iterator[Finding]:
    taken = facts.library(facts.taken_library)
    if taken is None or not taken.abseil:
        return
    versions = {found.version for found in facts.abseils}
    if taken.abseil not in versions:
        have = ", ".join(f"{found.root} has {found.version}" for found in facts.abseils)
        yield fatal(
            f"{taken.path} refers to abseil {taken.abseil}, which is not installed",
            have or "no include/absl in any folder that was searched",
            *install(ABSEIL, facts.package_manager),
            spared="its protobuf needs no abseil",
        )
        return
    beside = next(found for found in facts.abseils if found.version == taken.abseil)
    if taken.string_view and beside.string_view not in ("either", taken.string_view):
        yield fatal(
            f"{taken.path} was built with {taken.string_view}::string_view, and abseil's headers "
            f"in {beside.root} say {beside.string_view}::string_view",
            "ABSL_OPTION_USE_STD_STRING_VIEW follows from the C++ standard that each was built as",
            from_source(facts, "-DONNX_BUILD_CUSTOM_PROTOBUF=ON"),
            spared="its protobuf needs no abseil",
        )


CHECKS = (
    Check(
        identifier="compiler-missing",
        title="There is no compiler that can be used",
        symptoms=(
            "CMake Error: CMAKE_CXX_COMPILER not set, after EnableLanguage",
            "error: command 'gcc' failed: No such file or directory",
        ),
        cause="None is installed, CC or CXX names one that is not there, or what is there cannot "
        "compile, link and run C++17.",
        look="Every compiler of --compiler, CC and CXX or PATH compiles, links and runs programs.",
        cure="The first that passes every probe is taken; none is an error that lists all of them.",
        examine=_no_compiler,
    ),
    Check(
        identifier="compiler-too-old",
        title="A compiler is too old for C++17",
        symptoms=("error: unrecognized command line option '-std=c++17'",),
        cause="ONNX compiles as C++17 since 1.16, and so does the engine.",
        look="A program of C++17 is compiled, linked and run by every compiler.",
        cure="A newer compiler on PATH is taken instead, gcc-toolsets in /opt/rh included.",
        examine=_standard,
    ),
    Check(
        identifier="filesystem-library",
        title="<filesystem> is in a library of its own",
        symptoms=(
            "ImportError: undefined symbol: _ZNSt10filesystem7__cxx114path14_M_split_cmptsEv",
        ),
        cause="GCC before 9 and LLVM before 9 keep std::filesystem in libstdc++fs or libc++fs, "
        "and nothing links it.",
        look="A program with <filesystem> is linked, with and without the library.",
        cure="Name the library in CMAKE_CXX_STANDARD_LIBRARIES, which comes last on the command "
        "line, or use a newer compiler.",
        examine=_filesystem,
        preflight=_filesystem,
    ),
    Check(
        identifier="compiler-known-bad",
        title="This ONNX does not compile with this compiler",
        symptoms=(
            "error: 'uint32_t' was not declared in this scope",
            "error: 'transform' is not a member of 'std'",
            "fatal error C1001: Internal compiler error",
        ),
        cause="Newer standard libraries include less by the way, and compilers have defects.",
        look="A table of releases and compilers, in build_tools/releases.py.",
        cure="Compiler flags that help are named.",
        examine=_known_bad,
        applies=lambda facts: (
            "" if facts.release else f"nothing is known of ONNX {facts.config.onnx_version}"
        ),
    ),
    Check(
        identifier="other-cxx-runtime",
        title="A library was compiled for another C++ runtime",
        symptoms=(
            "undefined reference to `google::protobuf::internal::…[abi:cxx11]'",
            "undefined symbol: _ZNSt3__1…",
        ),
        cause="libstdc++ has two ABIs for std::string, and libc++ is a third.",
        look="The names in the library tell.",
        cure="protobuf is built with the compiler that builds everything else.",
        examine=_libraries_differ,
        applies=lambda facts: "" if facts.protobufs else "there is no protobuf on this machine",
    ),
    Check(
        identifier="abseil-mismatch",
        title="protobuf and abseil do not belong together",
        symptoms=(
            "undefined symbol: _ZN4absl12lts_20240722…",
            "undefined reference to absl::lts_…::string_view…",
            "DSO missing from command line",
        ),
        cause="Every name of abseil has its release in it, and string_view is std's or abseil's "
        "own as the C++ standard goes that abseil was compiled as.",
        look="The names in libprotobuf are compared with abseil's config.h and options.h.",
        cure="A protobuf that needs no abseil is built.",
        examine=_abseil,
        applies=lambda facts: (
            ""
            if any(library.abseil for library in facts.libraries())
            else "no protobuf of this machine refers to abseil"
        ),
    ),
)
