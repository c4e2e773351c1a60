"""Upstream's own build as a command to type, with what helps it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from build_tools.doctor.basics import Basics


def from_source(basics: Basics, *cmake_args: str, **environ: str) -> str:
    """Return the command that builds the release from source, with settings for CMake and others.

    Settings for CMake come by CMAKE_ARGS, which is what every release listens to.
    """
    variables = dict(environ)
    if cmake_args:
        variables["CMAKE_ARGS"] = shlex.join(cmake_args)
    words = [f"{name}={shlex.quote(value)}" for name, value in variables.items()]
    version = basics.config.onnx_version
    return " ".join([*words, f"pip install --no-binary onnx onnx=={version}"])
