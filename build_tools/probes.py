"""Questions about a protobuf that a compiler, a linker or the file itself answers in half a second.

Each probe returns a Finding: yes or no, the evidence in the tool's own words, and the time it took.
None of them decides anything; ``build_tools.protobuf`` does.
"""

from __future__ import annotations

import re
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from build_tools.binaries import FileKind, contains, identify, needed
from build_tools.config import Linkage
from build_tools.process import RC_NOT_EXECUTABLE, RC_NOT_FOUND
from build_tools.toolchain.describe import in_english
from build_tools.toolchain.dialect import GNU_DIALECT, MSVC_DIALECT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from build_tools.process import Result, Runner
    from build_tools.toolchain.dialect import Dialect

_PROBE_TIMEOUT = 60.0
_ERROR_LINE = re.compile(r"relocation|undefined|multiple definition|error|cannot|no such", re.I)

# Declared here instead of included, so that the library is asked alone: a check against an
# impossible version fails by saying which version the library is. It throws or aborts.
_VERSION_QUESTION = """\
#include <exception>
namespace google {{ namespace protobuf {{ namespace internal {{
void VerifyVersion(int header, {least}const char* file);
}}}}}}
int main() {{
  try {{ google::protobuf::internal::VerifyVersion(2147483647, {much}"probe"); }}
  catch (const std::exception&) {{ return 0; }}
  return 1;
}}
"""
_VERSION_QUESTIONS = (
    _VERSION_QUESTION.format(least="int least, ", much="2147483647, "),
    _VERSION_QUESTION.format(least="", much=""),
)
"""The library is asked in vain whether it is of an impossible version: up to 25, and since 26."""
_VERSION_ANSWER = re.compile(r"(?:installed|linked) version is (\d+\.\d+\.\d+)")

_TRIAL_PROTO = """\
syntax = "proto2";
option optimize_for = LITE_RUNTIME;
package onnxforge_trial;
message Trial { optional string text = 1; repeated int64 numbers = 2 [packed = true]; }
"""
_TRIAL_PROGRAM = """\
#include "trial.pb.cc"
int main() {
  onnxforge_trial::Trial out, in;
  out.set_text("protobuf");
  out.add_numbers(-3);
  const bool same = in.ParseFromString(out.SerializeAsString()) && in.text() == "protobuf" &&
                    in.numbers_size() == 1 && in.numbers(0) == -3;
  return same ? 0 : 1;
}
"""

_NUMBER = r"(\d+)"
_HEADERS = (
    ("google/protobuf/port_def.inc", re.compile(rf"#define PROTOBUF_VERSION {_NUMBER}\b")),
    ("google/protobuf/stubs/common.h", re.compile(rf"#define GOOGLE_PROTOBUF_VERSION {_NUMBER}\b")),
    (
        "google/protobuf/runtime_version.h",
        re.compile(rf"#define PROTOBUF_CPP_VERSION {_NUMBER}\b"),
    ),
)


class CxxRuntime(Enum):
    """The C++ standard library, and with GCC's the ABI, that a binary was compiled for."""

    LIBSTDCXX = "libstdc++ (C++11 ABI)"
    LIBSTDCXX_OLD = "libstdc++ (ABI before C++11)"
    LIBCXX = "libc++"
    MSVC_DYNAMIC = "Microsoft's, in a DLL (/MD)"
    MSVC_DYNAMIC_DEBUG = "Microsoft's for debugging, in a DLL (/MDd)"
    MSVC_STATIC = "Microsoft's, linked in (/MT)"
    MSVC_STATIC_DEBUG = "Microsoft's for debugging, linked in (/MTd)"
    UNKNOWN = "unknown"


# What cl writes into every object file, for the linker to compare.
_MSVC_RUNTIMES = {
    b"RuntimeLibrary=MD_DynamicRelease": CxxRuntime.MSVC_DYNAMIC,
    b"RuntimeLibrary=MDd_DynamicDebug": CxxRuntime.MSVC_DYNAMIC_DEBUG,
    b"RuntimeLibrary=MT_StaticRelease": CxxRuntime.MSVC_STATIC,
    b"RuntimeLibrary=MTd_StaticDebug": CxxRuntime.MSVC_STATIC_DEBUG,
}


_MSVC_FLAGS = dict(zip(("/MD", "/MDd", "/MT", "/MTd"), _MSVC_RUNTIMES.values(), strict=True))


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one probe found."""

    ok: bool
    """Whether the answer is the one that is needed."""

    evidence: str
    """The answer in the tool's own words, or what was read where."""

    value: str = ""
    """What was asked for, e.g. a version; empty where the question is a yes or no."""

    seconds: float = 0.0
    """How long the probe took."""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """The compiler that probes are made with, and how it is run."""

    cxx: Path
    """The C++ compiler driver; it links too."""

    runner: Runner
    """Runs it."""

    system: str
    """``linux``, ``darwin`` or ``windows``: which way the linker wants to be asked."""

    environment: Mapping[str, str]
    """The whole environment of the compiler."""

    flags: tuple[str, ...] = ()
    """Flags that everything is compiled and linked with."""

    dialect: Dialect = GNU_DIALECT
    """How the compiler is spoken to."""

    runtime: CxxRuntime | None = None
    """The C++ runtime that is compiled for, where that is a setting; None: the compiler knows."""

    processors: tuple[str, ...] = ()
    """The processors that a library must be for; empty: whatever the linker takes."""

    def compile(self, *arguments: str | Path, folder: Path) -> Result:
        """Run the compiler in ``folder``; messages are in English, whatever the user's language."""
        argv = [self.cxx, *self.flags, *arguments]
        return self._run(argv, folder, self.environment)

    def link(
        self,
        output: str,
        *sources: str,
        folder: Path,
        flags: Sequence[str] = (),
        libraries: Iterable[str | Path] = (),
    ) -> Result:
        """Compile and link C++17 into ``output``."""
        standard = (*self.dialect.standard("c++17"), *flags)
        named = [str(library) for library in libraries]
        return self.compile(*self.dialect.program(output, sources, standard, named), folder=folder)

    def execute(
        self,
        program: str | Path,
        *arguments: str | Path,
        folder: Path,
        libraries: Sequence[Path] = (),
    ) -> Result:
        """Run a program in ``folder``; Windows finds the DLLs of ``libraries`` by PATH alone."""
        environment = dict(self.environment)
        if self.system == "windows" and libraries:
            folders = [str(place) for library in libraries for place in dll_folders(library)]
            environment["PATH"] = ";".join([*folders, environment.get("PATH", "")])
        return self._run([program, *arguments], folder, environment)

    def ending(self, windows: str, elsewhere: str) -> str:
        """Return how a file's name ends, by the system."""
        return windows if self.system == "windows" else elsewhere

    def _run(self, argv: list[str | Path], folder: Path, environ: Mapping[str, str]) -> Result:
        return self.runner.run(argv, cwd=folder, env=in_english(environ), timeout=_PROBE_TIMEOUT)


def position_independent(library: Path, bench: Bench) -> Finding:
    """Say whether all of a static library can go into a shared object; the linker decides.

    A library without PIC otherwise fails at the last step of a five-minute build.
    """
    if bench.system == "windows":
        return Finding(ok=True, evidence="code for Windows can be loaded at any address")
    clock = _Clock()
    with _scratch() as folder:
        out = folder / "whole.so"
        result = bench.compile(*_whole_archive(library, bench.system), "-o", out, folder=folder)
    if result.ok:
        evidence = f"the linker puts all of {library} into a shared object"
        return Finding(ok=True, evidence=evidence, seconds=clock.seconds())
    return Finding(ok=False, evidence=first_error(result.text), seconds=clock.seconds())


def links_into_extension(archive: Path, protobuf: Path, bench: Bench) -> Finding:
    """Link all of ``archive`` with ``protobuf`` into a shared object that lacks nothing.

    ``value`` is what the shared object then needs at run time, separated by blanks. Not as quick as
    the other probes: the archive is large.
    """
    clock = _Clock()
    with _scratch() as folder:
        out = folder / f"extension{bench.ending('.dll', '.so')}"
        result = _link_extension(archive, protobuf, bench, out)
        if not result.ok:
            evidence = first_error(result.text)
            return Finding(ok=False, evidence=evidence, seconds=clock.seconds())
        needs = needed(out)
    evidence = f"the result needs {', '.join(needs)}"
    return Finding(ok=True, value=" ".join(needs), evidence=evidence, seconds=clock.seconds())


def protoc_version(protoc: Path, bench: Bench) -> Finding:
    """Return the version that protoc says it is; not ok if it cannot run here."""
    clock = _Clock()
    with _scratch() as folder:
        result = bench.execute(protoc, "--version", folder=folder)
    said = re.search(r"\d+\.\d+(\.\d+)?", result.stdout)
    if result.ok and said:
        version = release_of(said[0])
        evidence = f"{protoc} says {result.stdout.strip()}"
        return Finding(ok=True, value=version, evidence=evidence, seconds=clock.seconds())
    return Finding(ok=False, evidence=_why_not_run(protoc, result), seconds=clock.seconds())


def headers_version(include_dir: Path) -> Finding:
    """Return the version that protobuf's headers carry."""
    clock = _Clock()
    for name, pattern in _HEADERS:
        header = include_dir / name
        try:
            found = pattern.search(header.read_text(encoding="utf-8", errors="replace"))
        except OSError:
            continue
        if found:
            version = version_of_number(int(found[1]))
            evidence = f"{header} says {found[0]}"
            return Finding(ok=True, value=version, evidence=evidence, seconds=clock.seconds())
    evidence = f"no protobuf headers in {include_dir}"
    return Finding(ok=False, evidence=evidence, seconds=clock.seconds())


def headers_in_front(include_dir: Path, bench: Bench) -> Finding:
    """Say whether the compiler takes protobuf's headers from ``include_dir`` and from nowhere else.

    Folders in CPATH, and in -I or -isystem of the environment's flags, come before those of an
    imported library: so an active conda environment gets its headers into other people's builds.
    """
    clock = _Clock()
    name = _HEADERS[0][0]
    dialect = bench.dialect
    with _scratch() as folder:
        (folder / "front.cc").write_text(f"#include <{name}>\n", encoding="utf-8")
        flags = (*dialect.standard("c++17"), *dialect.include(include_dir))
        said = bench.compile(*flags, *dialect.preprocess("front.cc"), folder=folder)
    taken = dialect.included(said.stdout, said.stderr, name)
    if not said.ok or not taken:
        return Finding(ok=False, evidence=first_error(said.text), seconds=clock.seconds())
    evidence = f"<{name}> is {taken}"
    ok = Path(taken).resolve() == (include_dir / name).resolve()
    return Finding(ok=ok, value=taken, evidence=evidence, seconds=clock.seconds())


def library_version(library: Path, bench: Bench) -> Finding:
    """Return the version of the library itself, asked by a small program linked with it alone."""
    clock = _Clock()
    with _scratch() as folder:
        program = f"version{bench.ending('.exe', '')}"
        libraries = tuple(_link(library, bench))
        failed = []
        for question in _VERSION_QUESTIONS:
            (folder / "version.cc").write_text(question, encoding="utf-8")
            built = bench.link(program, "version.cc", folder=folder, libraries=libraries)
            if built.ok:
                break
            failed.append(first_error(built.text))
        else:
            return Finding(ok=False, evidence=failed[0], seconds=clock.seconds())
        answer = bench.execute(folder / program, folder=folder, libraries=[library])
    said = _VERSION_ANSWER.search(answer.text)
    if said:
        version = release_of(said[1])
        evidence = f"{library} says: {said[0]}"
        return Finding(ok=True, value=version, evidence=evidence, seconds=clock.seconds())
    evidence = first_error(answer.text) or f"a program linked with {library} said nothing"
    return Finding(ok=False, evidence=evidence, seconds=clock.seconds())


def compiler_runtime(bench: Bench) -> CxxRuntime:
    """Return the C++ runtime that the compiler compiles for."""
    if bench.runtime is not None:
        return bench.runtime
    with _scratch() as folder:
        (folder / "runtime.cc").write_text("#include <cstddef>\n", encoding="utf-8")
        macros = bench.compile("-E", "-dM", "runtime.cc", folder=folder).stdout
    if "_LIBCPP_VERSION" in macros:
        return CxxRuntime.LIBCXX
    if re.search(r"#define _GLIBCXX_USE_CXX11_ABI 1\b", macros):
        return CxxRuntime.LIBSTDCXX
    if "__GLIBCXX__" in macros:
        return CxxRuntime.LIBSTDCXX_OLD
    return CxxRuntime.UNKNOWN


def library_runtime(library: Path) -> CxxRuntime:
    """Return the C++ runtime that a library was compiled for, by the names in its symbols."""
    # std::__1:: and std::__ndk1:: are libc++'s, std::__cxx11:: is the new ABI of libstdc++, and
    # Ss is how its old ABI abbreviates std::string in an argument list.
    libcxx, ndk, cxx11, old, *microsoft = contains(
        *(identify(library).real, b"NSt3__1", b"NSt6__ndk1", b"NSt7__cxx11", b"RKSs"),
        *_MSVC_RUNTIMES,
    )
    for is_it, runtime in zip(microsoft, _MSVC_RUNTIMES.values(), strict=True):
        if is_it:
            return runtime
    if libcxx or ndk:
        return CxxRuntime.LIBCXX
    if cxx11:
        return CxxRuntime.LIBSTDCXX
    return CxxRuntime.LIBSTDCXX_OLD if old else CxxRuntime.UNKNOWN


def same_runtime(library: Path, bench: Bench) -> Finding:
    """Say whether a library and the compiler agree on the C++ runtime; unknown is no objection."""
    clock = _Clock()
    theirs, ours = library_runtime(library), compiler_runtime(bench)
    ok = theirs is ours or CxxRuntime.UNKNOWN in (theirs, ours)
    evidence = f"{library} was compiled for {theirs.value}, {bench.cxx} compiles for {ours.value}"
    return Finding(ok=ok, value=theirs.value, evidence=evidence, seconds=clock.seconds())


def for_processors(library: Path, bench: Bench) -> Finding:
    """Say whether a library has code for every processor that is compiled for."""
    clock = _Clock()
    found = identify(library).machine
    lacking = sorted(set(bench.processors) - set(found.split("+"))) if found else []
    evidence = f"{library} is for {found or 'any processor'}"
    if lacking:
        evidence += f", not for {', '.join(lacking)}"
    return Finding(ok=not lacking, value=found, evidence=evidence, seconds=clock.seconds())


def msvc_runtime(flag: str) -> CxxRuntime:
    """Return the runtime that a flag of cl's (/MD, /MDd, /MT, /MTd) compiles for."""
    return _MSVC_FLAGS[flag]


def real_kind(library: Path) -> Finding:
    """Say what a library file is by its content; not ok if it is no library."""
    clock = _Clock()
    found = identify(library)
    linkage = found.linkage
    evidence = f"{found.real} is a {found.kind.value} for {found.machine or 'any processor'}"
    value = linkage.value if linkage else ""
    return Finding(ok=linkage is not None, value=value, evidence=evidence, seconds=clock.seconds())


def trial(protoc: Path, include_dir: Path, library: Path, bench: Bench) -> Finding:
    """Generate, compile, link and run a lite message: protoc, headers and library as one.

    The one probe that includes protobuf's headers, so it takes about a second.
    """
    clock = _Clock()
    with _scratch() as folder:
        (folder / "trial.proto").write_text(_TRIAL_PROTO, encoding="utf-8")
        (folder / "trial.cc").write_text(_TRIAL_PROGRAM, encoding="utf-8")
        program = f"trial{bench.ending('.exe', '')}"
        libraries = tuple(_link(library, bench))
        flags = (*bench.dialect.quick(), "-I.", *bench.dialect.include(include_dir))
        if bench.system == "windows" and identify(library).linkage is Linkage.SHARED:
            flags = (*flags, "-DPROTOBUF_USE_DLLS")
        steps: tuple[Callable[[], Result], ...] = (
            lambda: bench.execute(protoc, "--cpp_out=.", "trial.proto", folder=folder),
            lambda: bench.link(
                program, "trial.cc", folder=folder, flags=flags, libraries=libraries
            ),
            lambda: bench.execute(folder / program, folder=folder, libraries=[library]),
        )
        for step in steps:
            result = step()
            if not result.ok:
                why = first_error(result.text) or f"exit status {result.returncode}"
                evidence = f"{Path(result.argv[0]).name}: {why}"
                return Finding(ok=False, evidence=evidence, seconds=clock.seconds())
    evidence = f"a message generated by {protoc} was compiled, linked with {library} and run"
    return Finding(ok=True, evidence=evidence, seconds=clock.seconds())


def version_of_number(number: int) -> str:
    """Return the release for the number in the headers: 3020002 is 3.20.2, 4025001 is 25.1."""
    major, minor, patch = number // 1_000_000, number // 1000 % 1000, number % 1000
    return release_of(f"{major}.{minor}.{patch}")


def release_of(version: str) -> str:
    """Return one spelling for a version that protoc, headers and library spell differently.

    From release 22 on, protoc leaves away the major number of the language, which the library has:
    protoc ``25.1`` belongs to the C++ library ``4.25.1``.
    """
    numbers = [int(part) for part in version.split(".")]
    if len(numbers) == 3 and numbers[0] >= 4 and numbers[1] >= 22:
        numbers = numbers[1:]
    return ".".join(str(number) for number in numbers)


def first_error(text: str) -> str:
    """Return the line of a linker's or compiler's output that says why, as it stands there."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if _ERROR_LINE.search(line)]
    return (telling or lines or [""])[0]


class _Clock:
    def __init__(self) -> None:
        self._started = time.perf_counter()

    def seconds(self) -> float:
        return time.perf_counter() - self._started


@contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="onnxforge-probe-") as name:
        yield Path(name)


def _whole_archive(library: Path, system: str) -> Iterator[str | Path]:
    if system == "darwin":
        yield from ("-dynamiclib", "-undefined", "dynamic_lookup", f"-Wl,-force_load,{library}")
    else:
        yield from ("-shared", "-Wl,--whole-archive", library, "-Wl,--no-whole-archive")


def _link_extension(archive: Path, protobuf: Path, bench: Bench, out: Path) -> Result:
    if bench.dialect is MSVC_DIALECT:
        # Its linker makes no DLL without an object file of its own.
        (out.parent / "extension.cc").write_text("", encoding="utf-8")
        libraries = (f"/WHOLEARCHIVE:{archive}", *_link(protobuf, bench))
        flags = bench.dialect.shared()
        return bench.link(
            str(out), "extension.cc", folder=out.parent, flags=flags, libraries=libraries
        )
    return bench.compile(*_extension(archive, protobuf, bench), "-o", out, folder=out.parent)


def _extension(archive: Path, protobuf: Path, bench: Bench) -> Iterator[str | Path]:
    if bench.system == "darwin":
        yield from ("-dynamiclib", f"-Wl,-force_load,{archive}")
    else:
        yield from ("-shared", "-Wl,--no-undefined", "-Wl,--as-needed")
        yield from ("-Wl,--whole-archive", archive, "-Wl,--no-whole-archive")
    yield from _link(protobuf, bench)


def dll_folders(library: Path) -> tuple[Path, ...]:
    """Return where the DLL of an import library may lie: beside it, or in bin."""
    return (library.parent, library.parent.parent / "bin")


def _link(library: Path, bench: Bench) -> Iterator[str | Path]:
    """Yield what links a program with ``library`` and lets it run from where it lies."""
    yield library
    if identify(library).linkage is Linkage.SHARED and bench.system != "windows":
        yield f"-Wl,-rpath,{library.parent}"
    if bench.system == "linux":
        yield "-pthread"


def _why_not_run(protoc: Path, result: Result) -> str:
    if result.returncode == RC_NOT_FOUND and not protoc.exists():
        return f"{protoc} does not exist"
    if result.returncode in (RC_NOT_FOUND, RC_NOT_EXECUTABLE) and protoc.is_file():
        found = identify(protoc)
        machine = found.machine or "no processor"
        if found.kind is not FileKind.SCRIPT:
            return f"{protoc} cannot run here: {found.kind.value} for {machine}"
    said = first_error(result.text) or f"exit status {result.returncode} and no version"
    return f"{protoc} --version: {said}"
