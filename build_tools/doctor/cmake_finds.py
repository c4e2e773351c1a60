"""What upstream's CMake would take of the protobufs of this machine: CMake itself is asked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from build_tools.cmake_args import cmake_definitions
from build_tools.doctor.facts import CMakeFinds

if TYPE_CHECKING:
    from build_tools.config import BuildConfig
    from build_tools.host import Host
    from build_tools.process import Runner

SCRIPT = Path(__file__).with_name("find_protobuf.cmake")
_ONNX_PROTOC = "ONNX_CUSTOM_PROTOC_EXECUTABLE"


def cmake_finds(
    cmake: Path, triplet: str, config: BuildConfig, host: Host, runner: Runner
) -> CMakeFinds | None:
    """Return what FindProtobuf finds with the settings of CMAKE_ARGS; None: CMake failed."""
    settings = cmake_definitions(config.cmake_args)
    if _ONNX_PROTOC in settings:
        settings["Protobuf_PROTOC_EXECUTABLE"] = settings[_ONNX_PROTOC]
    settings.setdefault("CMAKE_LIBRARY_ARCHITECTURE", triplet)
    definitions = [f"-D{name}={value}" for name, value in settings.items()]
    said = runner.run([cmake, *definitions, "-P", SCRIPT], env=host.environ)
    parts = said.stdout.strip().splitlines()[-1:]
    found = parts[0].split("|") if said.ok and parts else []
    if len(found) != 4:
        return None
    protoc, headers, archive, shared = (_path(text) for text in found)
    return CMakeFinds(
        protoc=protoc, include_dir=headers, static_library=archive, shared_library=shared
    )


def _path(text: str) -> Path | None:
    return Path(text) if text and not text.endswith("-NOTFOUND") else None
