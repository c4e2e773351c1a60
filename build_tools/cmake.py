"""The one place that configures, builds and installs with CMake.

Settings reach CMake as an initial-cache file, not as words on a command line, so that blanks,
quotation marks, semicolons and backslashes in them stay what they are.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from build_tools.advice import DISK_FULL, advise
from build_tools.cmake_args import cmake_definitions
from build_tools.errors import BuilderError, CompileError, ConfigureError, DiskFullError
from build_tools.generator import NINJA
from build_tools.ninja_log import last_run, read_lines
from build_tools.process import tail

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from build_tools.generator import Generator
    from build_tools.host import Host
    from build_tools.process import Result, Runner
    from build_tools.record import Record, RunningStep
    from build_tools.toolchain.model import Toolchain
    from build_tools.tools import Tools

CacheValue = str | bool | Path
INITIAL_CACHE = "onnxforge-initial-cache.cmake"

# Settings of the environment that would reach into a build whose settings are all given.
_FOREIGN = ("CMAKE_ARGS", "CMAKE_GENERATOR", "CMAKE_GENERATOR_PLATFORM", "CMAKE_GENERATOR_TOOLSET")
_OWN = frozenset(
    {
        "CMAKE_CXX_COMPILER",
        "CMAKE_C_COMPILER",
        "CMAKE_GENERATOR",
        "CMAKE_INSTALL_PREFIX",
        "CMAKE_MAKE_PROGRAM",
    }
)
PROGRESS = re.compile(r"\[(\d+)/(\d+)\]\s*(.*)")
"""A line of Ninja's output as NINJA_STATUS asks for it: done, total and what is being done."""

NINJA_STATUS = "[%f/%t] "
_TRUE = frozenset({"1", "ON", "YES", "TRUE", "Y"})
_LOG_LINES, _SEARCHED_LINES = 40, 2000


@dataclass(frozen=True, kw_only=True)
class CMakeBuild:
    """CMake at work with one compiler, reporting its steps."""

    tools: Tools
    """CMake and Ninja."""

    toolchain: Toolchain
    """The compiler."""

    runner: Runner
    """Runs CMake."""

    record: Record
    """Takes the steps."""

    host: Host
    """The machine, for its environment."""

    verbose: bool = False
    """Whether every command line of a compile step goes into its log."""

    generator: Generator = NINJA
    """What writes the build files."""

    build_type: str = "Release"
    """The build type, for generators that are told it when building."""

    def configure(
        self,
        name: str,
        source: Path,
        build: Path,
        cache: Mapping[str, CacheValue],
        *,
        log: Path,
        arguments: Sequence[str] = (),
        fixed: Collection[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Configure ``source`` in ``build``.

        ``cache`` sets cache entries; ``arguments`` are the user's and win over them, except for
        the entries named in ``fixed`` and the builder's own: contradicting those is warned of.
        ``env`` is laid over the environment. Raises ConfigureError.
        """
        settings: dict[str, CacheValue] = {
            **({} if self.generator.multi_config else {"CMAKE_MAKE_PROGRAM": self.tools.ninja}),
            **self.toolchain_cache(),
            **cache,
        }
        _wipe_foreign(build, source, settings, self.generator)
        build.mkdir(parents=True, exist_ok=True)
        initial = build / INITIAL_CACHE
        initial.write_text(initial_cache(settings), encoding="utf-8")
        own = {*fixed, *_OWN, *dict(self.toolchain.settings)}
        kept = self.kept_arguments(arguments, settings, own)
        command: list[str | Path] = [self.tools.cmake, "-S", source, "-B", build]
        command += [*self.generator.arguments, "-C", initial, *kept]
        with self.record.step(f"{name}: configure") as step:
            said = self._stream(command, step, log, env)
            if not said.ok:
                raise failure(ConfigureError, f"{name}: configure", said, log)

    def build(
        self,
        name: str,
        build: Path,
        *,
        jobs: int,
        log: Path,
        targets: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Compile ``targets`` (none: all) in ``build``; Ninja's steps become progress.

        Raises CompileError with the log's end, or DiskFullError.
        """
        command: list[str | Path] = [self.tools.cmake, "--build", build, "--parallel", str(jobs)]
        command += self.generator.build_arguments(self.build_type)
        command += ["--target", *targets] if targets else []
        command += ["--verbose"] if self.verbose else []
        before = read_lines(build)
        with self.record.step(f"{name}: compile") as step:
            said = self._stream(command, step, log, env)
            self.record.compiled(name, last_run(build, before))
            if not said.ok:
                raise failure(CompileError, f"{name}: compile", said, log)

    def install(
        self,
        name: str,
        build: Path,
        prefix: Path,
        *,
        log: Path,
        components: Sequence[str] = (),
        destdir: Path | None = None,
    ) -> None:
        """Install what was built to ``prefix``, below ``destdir`` where given.

        Raises CompileError, or DiskFullError.
        """
        staged = {} if destdir is None else {"DESTDIR": str(destdir)}
        with self.record.step(f"{name}: install") as step:
            for component in components or ("",):
                command: list[str | Path] = [self.tools.cmake, "--install", build]
                command += ["--prefix", prefix, *self.generator.build_arguments(self.build_type)]
                command += ["--component", component] if component else []
                own_log = log.with_stem(f"{log.stem}-{component}") if component else log
                said = self._stream(command, step, own_log, staged)
                if not said.ok:
                    raise failure(CompileError, f"{name}: install", said, own_log)

    def toolchain_cache(self) -> dict[str, CacheValue]:
        """Return the cache entries for the compiler and the generator.

        A generator of Visual Studio runs the compiler of its own instance and is told no other.
        """
        if self.generator.multi_config:
            return {**self.generator.cache(self.build_type), **dict(self.toolchain.settings)}
        return dict(self.toolchain.cmake_cache())

    def kept_arguments(
        self, arguments: Sequence[str], settings: Mapping[str, CacheValue], fixed: set[str]
    ) -> list[str]:
        """Leave out the user's entries that cannot be followed here, and say so."""
        kept = []
        for argument in arguments:
            if argument.startswith("-G"):
                continue  # it names Ninja, or it would not have got here; CMake takes one -G only
            ((entry, value),) = (cmake_definitions([argument]) or {"": ""}).items()
            if entry not in fixed:
                kept.append(argument)
            elif entry not in settings or not _same(settings[entry], value):
                used = f": {as_text(settings[entry])} is used" if entry in settings else ""
                self.record.warn(f"{argument} cannot be followed here{used}")
        return kept

    def _stream(
        self,
        command: Sequence[str | Path],
        step: RunningStep,
        log: Path,
        env: Mapping[str, str] | None,
    ) -> Result:
        step.write_log(log)

        def show(line: str) -> None:
            match = PROGRESS.match(line)
            if match:
                step.advance(int(match.group(1)), int(match.group(2)), match.group(3))

        return self.runner.stream(command, log=log, on_line=show, env=self.environment(env))

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the environment of everything that CMake is started with; ``extra`` wins."""
        # A DESTDIR that happens to be set would send every installed file elsewhere.
        dropped = {*_FOREIGN, "DESTDIR"}
        kept = {name: value for name, value in self.host.environ.items() if name not in dropped}
        own = {"NINJA_STATUS": NINJA_STATUS, **self.toolchain.environment()}
        own.update(self.generator.environment())
        return {**kept, **own, **(extra or {})}


def initial_cache(settings: Mapping[str, CacheValue]) -> str:
    """Return the text of an initial-cache file: one forced cache entry per setting."""
    lines = ["# Written by build_tools/cmake.py for one configure step."]
    for name, value in sorted(settings.items()):
        kind = (
            "BOOL" if isinstance(value, bool) else "PATH" if isinstance(value, Path) else "STRING"
        )
        lines.append(f'set({name} {_literal(as_text(value))} CACHE {kind} "" FORCE)')
    return "\n".join(lines) + "\n"


def as_text(value: CacheValue) -> str:
    """Return a cache entry's value as CMake spells it."""
    if isinstance(value, bool):
        return "ON" if value else "OFF"
    return value.as_posix() if isinstance(value, Path) else value


def _same(ours: CacheValue, theirs: str) -> bool:
    """Say whether a user's text means our value; CMake has many words for ON."""
    if isinstance(ours, bool):
        return (theirs.upper() in _TRUE) is ours
    return as_text(ours) == theirs


def _literal(text: str) -> str:
    """Return a CMake bracket argument that holds ``text`` as it is."""
    marks = ""
    while f"]{marks}]" in text or text.endswith(f"]{marks}"):
        marks += "="
    # A line break right after the opening bracket is dropped by CMake.
    return f"[{marks}[{chr(10) if text.startswith(chr(10)) else ''}{text}]{marks}]"


def _wipe_foreign(
    build: Path, source: Path, settings: Mapping[str, CacheValue], generator: Generator
) -> None:
    """Remove a build folder that another source, generator or compiler left."""
    try:
        lines = (build / "CMakeCache.txt").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return
    left = dict(_cache_line(line) for line in lines if "=" in line)
    same = (
        Path(left.get("CMAKE_HOME_DIRECTORY", source)).resolve() == source.resolve()
        and left.get("CMAKE_GENERATOR", generator.name) == generator.name
        and left.get("CMAKE_GENERATOR_PLATFORM", "") == generator.platform
        and left.get("CMAKE_GENERATOR_INSTANCE", "").lower() == generator.instance.lower()
        and _driver(left.get("CMAKE_CXX_COMPILER")) == _driver(settings.get("CMAKE_CXX_COMPILER"))
    )
    ours = build.resolve() not in {source.resolve(), *source.resolve().parents}
    if ours and not same:
        shutil.rmtree(build)


def _driver(compiler: CacheValue | None) -> str:
    """Return a compiler without the arguments that CMake keeps beside it."""
    return as_text(compiler or "").partition(";")[0]


def _cache_line(line: str) -> tuple[str, str]:
    name, _, value = line.partition("=")
    return name.partition(":")[0], value


def failure(kind: type[BuilderError], what: str, said: Result, log: Path) -> BuilderError:
    """Return the error for a failed step: the first complaint, the log's end, what to do."""
    text = tail(log, _SEARCHED_LINES)
    full = DISK_FULL.search(text) is not None
    fix = ["free space on the device, or name another with --cache-dir"] if full else advise(text)
    return (DiskFullError if full else kind)(
        f"{what} failed (exit status {said.returncode}): {_complaint(text)}",
        looked=[f"the end of {log}:\n{tail(log, _LOG_LINES)}"],
        fix=[*fix, f"read all of it in {log}"],
    )


def _complaint(text: str) -> str:
    """Return the line that most likely says why."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    marks = (
        r"\bfatal error\b|\berror:",
        r"undefined (reference|symbol)",
        r"^CMake Error",
        r"error",
    )
    for mark in marks:
        for index, line in enumerate(lines):
            if re.search(mark, line, re.I):
                # CMake puts its message on the line after the place.
                follows = mark == r"^CMake Error" and index + 1 < len(lines)
                return f"{line} {lines[index + 1]}" if follows else line
    return lines[-1] if lines else "it said nothing"
