"""Compile the engine with warnings as errors and debug information in build/dev, test it there.

The same compiler and libraries as for the wheel; what ``cmake --preset dev`` gives without them.
The folder has the compile_commands.json that editors and clang-tidy read.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from build_tools.cmake import failure
from build_tools.config import BuildType
from build_tools.doctor.preflight import preflight
from build_tools.errors import EngineTestError
from build_tools.prepare import prepare, settle

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from build_tools.cmake import CacheValue, CMakeBuild
    from build_tools.context import Context
    from build_tools.prepare import Prepared
    from build_tools.sources import Resolved

FOLDER = "dev"
STAGES = ("configure", "compile", "test")
_NAME = "onnxforge (dev)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument(
        "--stop-after",
        choices=STAGES,
        default=STAGES[-1],
        help="the last thing to do [default: test]",
    )


def main(resolved: Resolved, args: argparse.Namespace, context: Context) -> int:
    """Run the verb."""
    site = settle(resolved, context)
    preflight(site)
    prepared = prepare(site)
    folder = prepared.config.build_dir.absolute() / FOLDER
    wanted = STAGES[: STAGES.index(args.stop_after) + 1]
    for stage in wanted:
        _RUN[stage](prepared, folder)
    return 0


def _cmake(prepared: Prepared) -> CMakeBuild:
    """Return CMake with the build type of this verb: RelWithDebInfo unless another is given."""
    given = prepared.site.resolved.given("build_type")
    build_type = prepared.config.build_type if given else BuildType.REL_WITH_DEB_INFO
    return replace(prepared.cmake, build_type=str(build_type))


def _configure(prepared: Prepared, folder: Path) -> None:
    site, cmake = prepared.site, _cmake(prepared)
    settings: dict[str, CacheValue] = {
        **prepared.definitions(),
        "CMAKE_BUILD_TYPE": cmake.build_type,
        "ONNXFORGE_BUILD_TESTS": True,
        "ONNXFORGE_WERROR": True,
        "Python_EXECUTABLE": prepared.context.host.python.executable,
    }
    cmake.configure(
        _NAME,
        site.repository,
        folder,
        settings,
        log=site.logs / "dev-configure.log",
        arguments=prepared.arguments,
        fixed=prepared.definitions().keys(),
    )


def _compile(prepared: Prepared, folder: Path) -> None:
    log = prepared.site.logs / "dev-compile.log"
    _cmake(prepared).build(_NAME, folder, jobs=prepared.site.jobs, log=log)


def _test(prepared: Prepared, folder: Path) -> None:
    """Run every C++ test; raises EngineTestError with the output of those that fail."""
    site, log = prepared.site, prepared.site.logs / "dev-test.log"
    ctest = site.tools.cmake.with_name(site.tools.cmake.name.replace("cmake", "ctest"))
    command: list[str | Path] = [ctest, "--test-dir", folder, "--output-on-failure"]
    command += ["--build-config", _cmake(prepared).build_type]
    with prepared.record.step("onnxforge (dev): test") as step:
        step.write_log(log)
        said = prepared.context.runner.stream(
            [*command, "--no-tests=error", "--parallel", str(site.jobs)],
            log=log,
            on_line=lambda _line: None,
            env=prepared.cmake.environment(),
        )
    if not said.ok:
        raise failure(EngineTestError, "onnxforge (dev): test", said, log)
    summary = [line for line in said.stdout.splitlines() if "tests passed" in line]
    prepared.record.prove("the engine's C++ tests pass", summary[-1] if summary else said.command)


_RUN = {"configure": _configure, "compile": _compile, "test": _test}
