"""The wheel, made by scikit-build-core in a build folder that is kept for the next time."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from build_tools.cmake import PROGRESS, as_text, failure
from build_tools.errors import BuilderError, CompileError, ConfigureError, WheelError
from build_tools.ninja_log import last_run, read_lines
from build_tools.process import tail

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from build_tools.cmake import CacheValue, CMakeBuild
    from build_tools.context import Context
    from build_tools.process import Result
    from build_tools.record import RunningStep


@dataclass(frozen=True, kw_only=True)
class WheelPlan:
    """How the wheel is made."""

    source_dir: Path
    """The tree with pyproject.toml."""

    build_dir: Path
    """Where it is compiled; kept between runs."""

    build_type: str
    """CMake's build type."""

    definitions: Mapping[str, CacheValue]
    """CMake's cache entries; the user's arguments cannot change them."""

    cmake_args: tuple[str, ...]
    """The user's own arguments for CMake."""

    jobs: int
    """Compile jobs at a time."""

    cross_tag: str = ""
    """The whole tag of a wheel for another machine, e.g. "cp313-cp313-linux_aarch64"; the Python
    it is for is then in ``definitions``. Empty: for the builder's own Python."""


def make_wheel(plan: WheelPlan, into: Path, log: Path, cmake: CMakeBuild, context: Context) -> Path:
    """Compile what has changed and return the wheel, the only one in the folder ``into``.

    Raises ConfigureError, CompileError or WheelError with the end of the log.
    """
    before = read_lines(plan.build_dir)
    with context.record.step("wheel: compile and pack") as step:
        step.write_log(log)
        said = context.runner.stream(
            _command(plan, into, cmake, context),
            log=log,
            on_line=lambda line: show_progress(line, step),
            cwd=plan.source_dir,
            env=_environment(plan, cmake),
        )
    context.record.compiled("onnxforge", last_run(plan.build_dir, before))
    made = sorted(into.glob("*.whl"))
    if not said.ok or len(made) != 1:
        raise backend_failure("wheel: compile and pack", said, log)
    return made[0]


def _command(plan: WheelPlan, into: Path, cmake: CMakeBuild, context: Context) -> list[str | Path]:
    python = context.host.python.executable
    return [
        *(python, "-m", "build", "--wheel", "--no-isolation", "--outdir", into),
        *("--config-json", json.dumps(_settings(plan, cmake)), plan.source_dir),
    ]


def _settings(plan: WheelPlan, cmake: CMakeBuild) -> dict[str, str | list[str]]:
    """What scikit-build-core is told; a list stays a list, so that no blank splits a path."""
    entries = {**cmake.toolchain_cache(), **plan.definitions}
    kept = cmake.kept_arguments(plan.cmake_args, entries, {*entries})
    cross: dict[str, str | list[str]] = {}
    if plan.cross_tag:
        # Without this the builder's own interpreter, headers and tag are taken.
        cross = {"cmake.python-hints": "false", "wheel.tags": [plan.cross_tag]}
    return {
        "build-dir": str(plan.build_dir),
        **cross,
        "cmake.build-type": plan.build_type,
        "cmake.args": [*cmake.generator.arguments, *kept],
        **{f"cmake.define.{name}": as_text(value) for name, value in entries.items()},
    }


def _environment(plan: WheelPlan, cmake: CMakeBuild) -> dict[str, str]:
    return cmake.environment(
        {
            "CMAKE_EXECUTABLE": str(cmake.tools.cmake),
            "CMAKE_MAKE_PROGRAM": str(cmake.tools.ninja),
            "CMAKE_BUILD_PARALLEL_LEVEL": str(plan.jobs),
            "SOURCE_DATE_EPOCH": cmake.host.source_date_epoch,
        }
    )


def show_progress(line: str, step: RunningStep) -> None:
    """Advance a step by a line of Ninja's, whoever has started Ninja."""
    if found := PROGRESS.match(line):
        done, total, detail = found.groups()
        step.advance(int(done), int(total), detail)


def backend_failure(what: str, said: Result, log: Path) -> BuilderError:
    """Return the error for a build backend that failed, by what failed inside it."""
    text = said.stdout + tail(log, 400)
    if "FAILED:" in text or "ninja: build stopped" in text:
        return failure(CompileError, what, said, log)
    return failure(ConfigureError if "CMake Error" in text else WheelError, what, said, log)
