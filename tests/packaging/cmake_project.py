"""Runs CMake on small projects made for one test."""

from __future__ import annotations

import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from build_tools.process import SystemRunner

if TYPE_CHECKING:
    from build_tools.process import Result

REPOSITORY = Path(__file__).resolve().parents[2]
MODULES = REPOSITORY / "build_tools" / "cmake"
_HERE = Path(sys.executable).parent


def program(name: str) -> str:
    """Return a program of this environment, or the machine's."""
    found = shutil.which(name, path=str(_HERE)) or shutil.which(name)
    if found is None:
        pytest.skip(f"no {name} here")
    return found


@dataclass(frozen=True, kw_only=True)
class Project:
    """A source folder and the build folder beside it."""

    source: Path
    build: Path

    @classmethod
    def write(cls, folder: Path, body: str, **files: str) -> Project:
        """Write a project whose CMakeLists.txt has our modules on its path and then ``body``."""
        source = folder / "source"
        source.mkdir(parents=True, exist_ok=True)
        text = (
            "cmake_minimum_required(VERSION 3.26...4.4)\n"
            f'list(PREPEND CMAKE_MODULE_PATH "{MODULES.as_posix()}")\n'
            f"project(trial LANGUAGES CXX)\n{body}\n"
        )
        (source / "CMakeLists.txt").write_text(text, encoding="utf-8")
        for name, content in files.items():
            (source / f"{name}.cc").write_text(content, encoding="utf-8")
        return cls(source=source, build=folder / "build")

    def configure(self, *arguments: str) -> Result:
        """Run CMake's configure step."""
        ninja = f"-DCMAKE_MAKE_PROGRAM={program('ninja')}"
        command = [program("cmake"), "-G", "Ninja", ninja, "-S", str(self.source)]
        return run(*command, "-B", str(self.build), *arguments)

    def compile(self) -> Result:
        """Run CMake's build step."""
        return run(program("cmake"), "--build", str(self.build))

    def install(self, prefix: Path) -> Result:
        """Run CMake's install step."""
        return run(program("cmake"), "--install", str(self.build), "--prefix", str(prefix))


def run(*command: str, cwd: Path | None = None, timeout: float = 1800) -> Result:
    """Run a program and keep what it says."""
    return SystemRunner().run(command, cwd=cwd, timeout=timeout)


def succeed(*command: str, cwd: Path | None = None) -> str:
    """Run a program that must not fail; return its standard output."""
    result = run(*command, cwd=cwd)
    assert result.ok, f"{result.command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def ok(result: Result) -> Result:
    """Return a result that is a success; show everything where it is not."""
    assert result.ok, f"{result.command}\n{result.stdout}\n{result.stderr}"
    return result


def said(result: Result) -> str:
    """Return all output on one line, as CMake wraps its messages."""
    return re.sub(r"\s+", " ", result.stdout + result.stderr)


def cmake_lists(script: Path, folder: Path, **variables: str) -> dict[str, list[str]]:
    """Include a CMake file and return every list that it sets."""
    probe = folder / "show.cmake"
    probe.write_text(
        f'include("{script.as_posix()}")\n'
        "get_cmake_property(names VARIABLES)\n"
        'foreach(name IN LISTS names)\n  message("${name}=${${name}}")\nendforeach()\n',
        encoding="utf-8",
    )
    settings = [f"-D{name}={value}" for name, value in variables.items()]
    result = ok(run(program("cmake"), *settings, "-P", str(probe)))
    pairs = (line.partition("=") for line in result.stderr.splitlines())
    return {name: value.split(";") for name, _, value in pairs}
