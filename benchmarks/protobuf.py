"""Time our protobuf recipe against upstream's way, in one run: ``python benchmarks/protobuf.py``.

Upstream's way is its own cmake/ folder where the release carries it, else
benchmarks/protobuf_baseline, which compiles the same files in the same manner. Both are static,
position independent, Release, with the same compiler, generator and number of jobs; timed is
everything from an empty folder to an installed (ours) or linked (upstream's) library and protoc.
Processor seconds stand beside the wall time: on a busy machine they are the figure to trust.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from build_tools.process import SystemRunner  # noqa: E402 - the repository is not installed

TARGET = 0.6
"""What the ratio must not exceed."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to build protobuf."""

    name: str
    source: Path
    definitions: tuple[str, ...]
    install: bool


@dataclass(frozen=True, kw_only=True)
class Timing:
    """What one way took."""

    name: str
    seconds: float
    cpu_seconds: float
    compile_steps: int
    installed: bool


def ways(source: Path) -> tuple[Way, Way]:
    """Return our way and upstream's."""
    ours = Way(
        name="third_party/protobuf",
        source=REPOSITORY / "third_party" / "protobuf",
        definitions=(f"-DPROTOBUF_SOURCE={source}",),
        install=True,
    )
    if (source / "cmake" / "CMakeLists.txt").is_file():
        options = ("protobuf_BUILD_TESTS=OFF", "protobuf_WITH_ZLIB=OFF")
        definitions = tuple(f"-D{option}" for option in options)
        upstream = Way(
            name="upstream's own cmake/",
            source=source / "cmake",
            definitions=(*definitions, "-DCMAKE_POLICY_VERSION_MINIMUM=3.5"),
            install=False,
        )
    else:
        upstream = Way(
            name="benchmarks/protobuf_baseline (upstream's files, its way)",
            source=REPOSITORY / "benchmarks" / "protobuf_baseline",
            definitions=(f"-DPROTOBUF_SOURCE={source}",),
            install=False,
        )
    return ours, upstream


def measure(way: Way, jobs: int, compiler: str | None) -> Timing:
    """Build one way from nothing in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="protobuf-benchmark-") as folder:
        build = Path(folder) / "build"
        configure = ["-G", "Ninja", "-S", str(way.source), "-B", str(build)]
        definitions = [
            *way.definitions,
            "-DCMAKE_BUILD_TYPE=Release",
            "-DCMAKE_POSITION_INDEPENDENT_CODE=ON",
            f"-DCMAKE_INSTALL_PREFIX={Path(folder) / 'prefix'}",
            *([f"-DCMAKE_CXX_COMPILER={compiler}"] if compiler else []),
        ]
        cpu_before = cpu_of_children()
        seconds = run_cmake(*configure, *definitions)
        seconds += run_cmake("--build", str(build), "-j", str(jobs))
        if way.install:
            seconds += run_cmake("--install", str(build))
        cpu = cpu_of_children() - cpu_before
        log = (build / ".ninja_log").read_text(encoding="utf-8")
        steps = len(re.findall(r"\.o(bj)?\t", log))
        return Timing(
            name=way.name,
            seconds=seconds,
            cpu_seconds=cpu,
            compile_steps=steps,
            installed=way.install,
        )


def cpu_of_children() -> float:
    """Return the processor seconds of all programs run so far; 0 where the system does not say."""
    times = os.times()
    return times.children_user + times.children_system


def run_cmake(*arguments: str) -> float:
    """Run CMake and return its seconds; what it says is shown where it fails."""
    result = SystemRunner().run([shutil.which("cmake") or "cmake", *arguments])
    if not result.ok:
        raise SystemExit(f"{result.command}\n{result.stdout[-4000:]}\n{result.stderr[-4000:]}")
    return result.seconds


def fetched(version: str) -> Path:
    """Return the release's tree, from the lock file's places."""
    command = [sys.executable, "-m", "build_tools", "fetch", f"protobuf=={version}"]
    result = SystemRunner().run([*command, "--print-cmake"], cwd=REPOSITORY)
    found = re.search(r'SOURCE "(.*)"', result.stdout)
    if found is None:
        raise SystemExit(result.stderr)
    return Path(found[1])


def main() -> int:
    """Measure both, print the ratio; 1 where it is above the target."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, help="protobuf's tree (default: fetched)")
    parser.add_argument("--version", default="3.21.12", help="release to fetch")
    parser.add_argument("--jobs", type=int, default=2, help="compile jobs at a time")
    parser.add_argument("--compiler", help="C++ compiler (default: CMake's choice)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()
    source = (args.source or fetched(args.version)).resolve()
    timings = [measure(way, args.jobs, args.compiler) for way in ways(source)]
    ratio = timings[0].seconds / timings[1].seconds
    if args.json:
        report = {"ratio": ratio, "target": TARGET, "ways": [asdict(t) for t in timings]}
        sys.stdout.write(json.dumps(report, indent=1) + "\n")
    else:
        for timing in timings:
            what = f"{timing.compile_steps} compile steps"
            times = f"{timing.seconds:7.1f} s  ({timing.cpu_seconds:6.1f} s of CPU)"
            sys.stdout.write(f"{times}  {what:18}  {timing.name}\n")
        sys.stdout.write(f"{ratio:7.2f}    ratio, to be at most {TARGET}\n")
    return 0 if ratio <= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
