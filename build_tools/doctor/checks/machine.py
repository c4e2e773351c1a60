"""The machine: memory, room, folders, blanks in paths, the C library and the processor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from build_tools.doctor.model import Check, Finding, fatal, note, warning
from build_tools.doctor.upstream_build import from_source
from build_tools.durations import size
from build_tools.jobs import PER_JOB_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from build_tools.doctor.basics import Basics
    from build_tools.doctor.facts import Facts

LARGEST_COMPILE = 712_000_000
"""Bytes at the peak of ONNX's largest translation unit (onnx/version_converter/convert.cc)."""

ROOM = {"cache": 400_000_000, "build": 700_000_000, "result": 40_000_000}
"""Bytes that a first build writes to each folder, rounded up."""

_LITTLE = frozenset({"x86_64", "aarch64", "arm64", "ppc64le", "riscv64", "loongarch64", "i686"})
_BIG = frozenset({"s390x", "ppc64", "ppc", "sparc64", "mips", "mips64"})


def _memory(basics: Basics) -> Iterator[Finding]:
    host, jobs = basics.host, basics.jobs
    say = _at_first(basics)
    limit = host.process_memory
    if limit is not None and limit < LARGEST_COMPILE:
        yield say(
            f"a process may have {size(limit)}, and a compiler needs {size(LARGEST_COMPILE)}",
            "the limit of this shell on a process's address space (ulimit -v)",
            "ulimit -v unlimited",
        )
    free = host.memory_available + host.swap_available
    if free < LARGEST_COMPILE:
        yield say(
            f"{size(free)} of memory are free, and one compiler needs {size(LARGEST_COMPILE)}",
            "free memory, swap and what the control group leaves",
            "docker run --memory 4g …  (or whatever limits this machine)",
            "fallocate -l 4G /swapfile && mkswap /swapfile && swapon /swapfile",
        )
    elif jobs.warning:
        yield warning(jobs.warning, jobs.reason, f"nox -s build -- --jobs {_fitting(free)}")


def _at_first(basics: Basics) -> Callable[..., Finding]:
    """Return how bad it is: where the long compile is done, there may be nothing left to do."""
    return warning if basics.has_built and not basics.upstream else fatal


def _fitting(free: int) -> int:
    return max(1, free // PER_JOB_BYTES)


def _upstream_memory(facts: Facts) -> Iterator[Finding]:
    yield from _memory(facts)
    host = facts.host
    fitting = _fitting(host.memory_available)
    if host.memory_available >= LARGEST_COMPILE and fitting < host.cpus:
        yield warning(
            f"{host.cpus} compilers at once need more than the {size(host.memory_available)} that "
            "are free",
            f"{size(PER_JOB_BYTES)} each; upstream's build starts one per processor",
            from_source(facts, MAX_JOBS=str(fitting), CMAKE_BUILD_PARALLEL_LEVEL=str(fitting)),
            spared=f"it starts {facts.jobs.jobs}",
        )


def _room(basics: Basics) -> Iterator[Finding]:
    say = _at_first(basics)
    for folder in basics.folders:
        needed = ROOM.get(folder.role, 0)
        if 0 <= folder.free < needed:
            yield say(
                f"{size(folder.free)} are free for the {folder.role} folder, and a first build "
                f"needs {size(needed)}",
                f"{folder.path}",
                f"nox -s build -- --{_option(folder.role)} DIR  (on a device with room)",
                "nox -s cache -- prune",
            )


def _option(role: str) -> str:
    return {"cache": "cache-dir", "build": "build-dir", "result": "out-dir"}.get(role, "build-dir")


def _folders(basics: Basics) -> Iterator[Finding]:
    for folder in basics.folders:
        if not folder.problem:
            continue
        fix = f"nox -s build -- --{_option(folder.role)} DIR"
        if folder.role == "temporary files":
            fix = "export TMPDIR=/a/folder/that/can/be/written/to"
        # A cache that has everything, and the wheel of an earlier build, are only read.
        say = _at_first(basics) if folder.role in ("cache", "result") else fatal
        yield say(f"nothing can be written to the {folder.role} folder", folder.problem, fix)


def _blanks(facts: Facts) -> Iterator[Finding]:
    for repair in facts.host.repairs:
        yield warning(
            repair,
            "environment PATH",
            "set PATH=C:\\folder;%PATH%  (without quotation marks)",
            spared="it leaves them out",
        )
    for what, path in _paths(facts):
        if " " in str(path):
            yield warning(
                f"the path of the {what} has a blank in it: {path}",
                "commands that are not quoted end at it",
                "move it to a folder without blanks",
                spared="it quotes, and hands CMake its settings in a file",
            )


def _paths(facts: Facts) -> Iterator[tuple[str, Path]]:
    yield "project", facts.repository
    yield "build folder", facts.config.build_dir.absolute()
    if facts.target is not None:
        yield "Python", facts.target.path
    for tree in facts.source_trees:
        yield "source tree", tree.path
    if facts.config.protobuf_root is not None:
        yield "protobuf", facts.config.protobuf_root


def _musl(facts: Facts) -> Iterator[Finding]:
    version, release = facts.config.onnx_version, facts.release
    if release is not None and release.uses_stat64:
        yield fatal(
            f"ONNX {version} calls stat64, which musl does not declare",
            "onnx/checker.cc",
            from_source(facts, CXXFLAGS="-Dstat64=stat"),
        )
    yield note(
        "this is musl: there are no wheels of ONNX for it on the package index",
        f"the Python that is built for says {_soabi(facts)}",
    )


def _soabi(facts: Facts) -> str:
    return facts.target.soabi if facts.target else facts.host.python.soabi


def _processor(facts: Facts) -> Iterator[Finding]:
    machine = facts.host.machine
    if machine in _BIG:
        yield warning(
            f"{machine} stores the highest byte first, and ONNX's raw_data the lowest",
            "ONNX before 1.16 reads tensors wrongly on such machines; the engine is not tested "
            "there",
            "nox -s tests",
        )
    elif machine not in _LITTLE:
        yield note(f"nothing is known of processors called {machine}", "uname -m", "nox -s tests")
    if facts.emulated:
        yield warning(
            f"this {machine} is emulated on {facts.emulated}: compiling takes ten times as long",
            "/proc/cpuinfo names another maker's processor",
            "build on the real machine, or cross compile",
        )


CHECKS = (
    Check(
        identifier="not-enough-memory",
        title="The compilers run out of memory",
        symptoms=(
            "c++: internal compiler error: Killed (program cc1plus)",
            "virtual memory exhausted: Cannot allocate memory",
            "ninja: build stopped: subcommand failed. (Error 137)",
        ),
        cause="As many compilers are started as there are processors, whatever the control group "
        "or the shell allows; ONNX's largest file takes 0.7 GB.",
        look="Free memory, swap, control groups and ulimit.",
        cure="As many are started as fit; where not one fits, nothing is.",
        examine=_upstream_memory,
        preflight=_memory,
    ),
    Check(
        identifier="disk-full",
        title="There is no room for the build",
        symptoms=("No space left on device",),
        cause="Sources, object files and libraries take most of a gigabyte.",
        look="The devices of the cache, build and result folders are asked.",
        cure="A first build without enough room is not begun.",
        examine=_room,
        preflight=_room,
    ),
    Check(
        identifier="folder-not-writable",
        title="A folder cannot be written to",
        symptoms=("Permission denied", "Read-only file system"),
        cause="The home folder is read-only, as in many containers, or belongs to somebody else.",
        look="The nearest folder that exists is asked.",
        cure="Name others with --cache-dir, --build-dir and --out-dir.",
        examine=_folders,
        preflight=_folders,
    ),
    Check(
        identifier="path-with-blanks",
        title="Blanks or quotation marks in paths",
        symptoms=("Protobuf compiler not found", "protoc-gen-mypy: program not found"),
        cause="Commands are put together without quoting; quotation marks in PATH are part of the "
        "folder's name.",
        look="The paths of project, build folder, Python, sources and protobuf; PATH.",
        cure="Settings reach CMake in a file, custom commands are quoted, PATH is repaired.",
        examine=_blanks,
    ),
    Check(
        identifier="musl",
        title="The C library is musl",
        symptoms=(
            "error: 'stat64' was not declared in this scope",
            "onnx-….manylinux….whl is not a supported wheel on this platform.",
        ),
        cause="musl has no 64-bit doubles of file functions, and nobody publishes musllinux "
        "wheels.",
        look="Python is asked for its platform.",
        cure="The wheel is built here; auditwheel gives it a musllinux tag.",
        examine=_musl,
        applies=lambda facts: "" if "musl" in _soabi(facts) else "the C library is not musl",
    ),
    Check(
        identifier="processor",
        title="A processor that few people have",
        symptoms=("AssertionError: Not equal to tolerance", "wrong numbers, and no message at all"),
        cause="raw_data has the lowest byte first; there are no wheels, so everything is "
        "compiled, and under emulation that takes hours.",
        look="The machine's name, and /proc/cpuinfo for emulation.",
        cure="The engine's tests run on the machine that the wheel is built on.",
        examine=_processor,
    ),
)
