"""What the doctor's tests share: facts with some of them changed, and one check asked over them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest

from build_tools.binaries import FileKind
from build_tools.config import BuildConfig, Linkage, default_cache_dir
from build_tools.doctor import protobufs
from build_tools.doctor.basics import Source
from build_tools.doctor.checks import CHECKS
from build_tools.doctor.cmake_finds import cmake_finds
from build_tools.doctor.facts import (
    CMakeFinds,
    Facts,
    LibraryFound,
    Program,
    ProtobufFound,
    PythonFound,
)
from build_tools.doctor.model import Severity, diagnose
from build_tools.jobs import plan_jobs
from build_tools.pins import load_pins
from build_tools.process import SystemRunner
from build_tools.protobuf.model import Candidate
from build_tools.sources import resolve
from build_tools.toolchain.model import Compiler, Family, Probe, Probes, Toolchain
from build_tools.tools import Tools, find_tools
from tests.build_tools.site import clean_environment
from tests.build_tools.support import make_host
from tests.build_tools.toy_protobuf import GXX, make_bench

if TYPE_CHECKING:
    from collections.abc import Mapping

    from build_tools.doctor.model import Finding, Outcome

Said = subprocess.CompletedProcess
ROOT = Path(__file__).resolve().parents[3]
FATAL, WARNING, NOTE = Severity.FATAL, Severity.WARNING, Severity.NOTE
OK = Probe(ok=True, why="it did")
PROBES = Probes(
    runs=OK, cxx17=OK, cxx20=OK, filesystem_link=OK, shared_objects=OK, visibility=OK, lto=OK
)
PYTHON = PythonFound(
    path=Path("/usr/bin/python3"),
    origin="PATH",
    version="3.11.7",
    abi="cp311",
    soabi="cpython-311-x86_64-linux-gnu",
    prefix=Path("/usr"),
    include_dir=Path("/usr/include/python3.11"),
    has_headers=True,
    site_packages=Path("/usr/lib/python3/dist-packages"),
    has_distutils=True,
)
TOOLS = Tools(
    cmake=Path("/tools/cmake"),
    cmake_version="4.4.4",
    ninja=Path("/tools/ninja"),
    ninja_version="1.13.2",
    reasons=("cmake 4.4.4: recorded", "ninja 1.13.2: recorded"),
)
PINS, NEEDED = load_pins(), ("protobuf", "onnx", "highway", "magika")
NOTHING_FOUND = CMakeFinds(protoc=None, include_dir=None, static_library=None, shared_library=None)


def toolchain(family: Family = Family.GCC, version: str = "12.2.0", **probes: object) -> Toolchain:
    """A compiler that was never run."""
    name = "g++" if family is Family.GCC else "clang++"
    compiler = Compiler(
        family=family,
        version=version,
        target="x86_64-linux-gnu",
        cc=Path("/usr/bin/cc"),
        cxx=Path("/usr/bin") / name,
        origin="PATH",
    )
    return Toolchain(compiler=compiler, probes=replace(PROBES, **probes), reasons=("recorded",))


def make_facts(
    *arguments: str | Path, environ: Mapping[str, str] = MappingProxyType({}), **changes: object
) -> Facts:
    """Facts of a machine without protobuf; ``host`` changes single facts of the host."""
    host = make_host(
        **{
            "system": "linux",
            "machine": "x86_64",
            "cpus": 2,
            "memory_available": 8_000_000_000,
            "process_memory": None,
            "environ": dict(environ),
            **changes.pop("host", {}),
        }
    )
    resolved = resolve([*map(str, arguments)], environ, {}, windows=host.system == "windows")
    known = {
        "toolchain": toolchain(),
        "tools": TOOLS,
        "jobs": plan_jobs(host, resolved.config.jobs),
        "folders": (),
        "sources": tuple(Source(pin=PINS.pin(name), at_hand="the cache") for name in NEEDED),
        "python_headers": Path("/usr/include/python3.11/Python.h"),
        "pythons": (PYTHON,),
        "target": PYTHON,
        "cmake_finds": NOTHING_FOUND,
        "package_manager": "apt",
    }
    return Facts(host=host, resolved=resolved, **{**known, **changes})


def outcome(identifier: str, facts: Facts) -> Outcome:
    """Ask one check."""
    (check,) = (check for check in CHECKS if check.identifier == identifier)
    (result,) = diagnose([check], facts).outcomes
    return result


def findings(identifier: str, facts: Facts) -> tuple[Finding, ...]:
    """What one check finds; every finding is whole and carries the check's name."""
    found = outcome(identifier, facts).findings
    for finding in found:
        assert finding.check == identifier
        assert finding.what
        assert finding.evidence
        answered = identifier != "question-unanswered"
        assert finding.fix or finding.severity is NOTE or not answered, finding
    return found


def only(identifier: str, facts: Facts) -> Finding:
    """The one thing that one check finds."""
    (finding,) = findings(identifier, facts)
    return finding


def severities(identifier: str, facts: Facts) -> list[Severity]:
    """How bad the things are that one check finds."""
    return [finding.severity for finding in findings(identifier, facts)]


def upstream(facts: Facts) -> Facts:
    """The same machine, with upstream's own build to be judged."""
    return replace(facts, upstream=True)


def library(path: str | Path, linkage: Linkage = Linkage.STATIC, **changes: object) -> LibraryFound:
    """A library that was never read."""
    kind = FileKind.STATIC_LIBRARY if linkage is Linkage.STATIC else FileKind.SHARED_LIBRARY
    known = {"path": Path(path), "linkage": linkage, "kind": kind, "machine": "x86_64"}
    return LibraryFound(**{**known, **changes})


def protobuf(root: str | Path, version: str = "3.21.12", **changes: object) -> ProtobufFound:
    """A protobuf that was never looked at, with protoc, headers and an archive."""
    folder = Path(root)
    protoc = Program(
        name="protoc", path=folder / "bin/protoc", version=version, origin="PATH", machine="x86_64"
    )
    known = {
        "root": folder,
        "origin": "PATH",
        "protoc": protoc,
        "include_dir": folder / "include",
        "header_version": version,
        "libraries": (library(folder / "lib/libprotobuf.a", version=version),),
    }
    return ProtobufFound(**{**known, **changes})


def taking(found: ProtobufFound, *, shared: bool = False) -> CMakeFinds:
    """What CMake finds where there is this protobuf and no other."""
    path = found.libraries[0].path if found.libraries else None
    return CMakeFinds(
        protoc=found.protoc.path if found.protoc else None,
        include_dir=found.include_dir,
        static_library=None if shared else path,
        shared_library=path if shared else None,
    )


# Real things


def look(root: Path, origin: str = "PATH") -> ProtobufFound:
    """Really look at the protobuf in one folder."""
    host, bench = make_host(), make_bench()
    candidate = Candidate(root=root, origin=origin)
    found = protobufs.survey(candidate, host, SystemRunner(), bench, thorough=True)
    assert found is not None
    paths = protobufs.libraries(candidate, host)
    parts = [
        protobufs.library(path, bench, ask_version=at < len(Linkage))
        for at, path in enumerate(paths)
    ]
    return replace(found, libraries=tuple(parts))


def real_tools() -> Tools:
    """The pinned CMake and Ninja."""
    return find_tools(BuildConfig(), make_host(), SystemRunner())


def really_finds(facts: Facts, environ: Mapping[str, str]) -> CMakeFinds:
    """What CMake really finds with the settings of these facts."""
    host = make_host(environ=clean_environment(**environ))
    found = cmake_finds(real_tools().cmake, "", facts.config, host, SystemRunner())
    assert found is not None
    return found


def run(*command: str | Path, cwd: Path | None = None, **environ: str) -> Said:
    """Run a real tool; its messages are in English."""
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=clean_environment(LC_ALL="C", **environ),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def cmake(source: Path, *arguments: str, **environ: str) -> Said:
    """Configure a project with the pinned CMake and Ninja."""
    tools = real_tools()
    command = [tools.cmake, "-S", source, "-B", source / "build", "-G", "Ninja"]
    return run(*command, f"-DCMAKE_MAKE_PROGRAM={tools.ninja}", *arguments, **environ)


def project(folder: Path, text: str) -> Path:
    """Write a CMake project."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "CMakeLists.txt").write_text(text, encoding="utf-8")
    return folder


def compile_cxx(folder: Path, text: str, *arguments: str | Path) -> Said:
    """Compile a source with the machine's compiler."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "source.cc").write_text(text, encoding="utf-8")
    return run(GXX or "c++", "-std=c++17", *arguments, "source.cc", cwd=folder)


def doctor(
    *arguments: str | Path, cwd: Path = ROOT, environ: Mapping[str, str] | None = None
) -> tuple[int, dict[str, object], str]:
    """Run the whole doctor; returns exit code, its JSON and standard error."""
    environment = {**clean_environment(), "PYTHONPATH": str(ROOT), **(environ or {})}
    said = subprocess.run(
        [sys.executable, "-m", "build_tools", "doctor", "--json", *map(str, arguments)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        check=False,
        timeout=120,
    )
    text = said.stderr.decode("utf-8", errors="replace")
    assert said.returncode in (0, 1), text
    return said.returncode, json.loads(said.stdout), text


def empty_cache(folder: Path) -> Path:
    """A cache with nothing in it but what is known of this machine's compilers."""
    cache, known = folder / "cache", default_cache_dir() / "probes"
    cache.mkdir()
    if known.is_dir():
        shutil.copytree(known, cache / "probes")
    return cache


def named(result: dict[str, object], identifier: str) -> list[dict[str, object]]:
    """The findings of one check in the doctor's JSON."""
    return [entry for entry in result["findings"] if entry["check"] == identifier]


needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="no make on PATH")
posix = pytest.mark.skipif(os.name != "posix", reason="shell scripts stand in for programs")
