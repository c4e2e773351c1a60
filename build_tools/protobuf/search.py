"""Where a protobuf may be: candidates in the order in which they are to be preferred."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from build_tools.cmake_args import cmake_definitions
from build_tools.protobuf.model import Candidate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from build_tools.config import BuildConfig
    from build_tools.host import Host

_ROOT_NAMES = ("Protobuf_ROOT", "protobuf_ROOT", "PROTOBUF_ROOT")
_SYSTEM_ROOTS: Mapping[str, tuple[str, ...]] = {
    "linux": ("/usr/local", "/usr"),
    "darwin": ("/opt/homebrew", "/usr/local", "/opt/local"),
    "windows": (),
}


def candidates(config: BuildConfig, host: Host, origins: Mapping[str, str]) -> Iterator[Candidate]:
    """Yield each folder that may hold a protobuf once; a folder the user named stands alone."""
    if config.protobuf_root is not None:
        root = Path(config.protobuf_root).expanduser().absolute()
        yield Candidate(root=root, origin=origins.get("protobuf_root", "--protobuf-root"))
        return
    seen: set[Path] = set()
    for candidate in _everywhere(config, host):
        root = candidate.root.resolve()
        if root not in seen and root.is_dir():
            seen.add(root)
            yield Candidate(root=root, origin=candidate.origin)


def _everywhere(config: BuildConfig, host: Host) -> Iterator[Candidate]:
    yield from _from_cmake_arguments(config)
    yield from _from_cmake_environment(host)
    yield from _from_conda(host)
    yield from _from_path(host)
    for root in _SYSTEM_ROOTS[host.system]:
        yield Candidate(root=Path(root), origin="system folder")


def _from_cmake_arguments(config: BuildConfig) -> Iterator[Candidate]:
    entries = cmake_definitions(config.cmake_args)
    for name in (*_ROOT_NAMES, "CMAKE_PREFIX_PATH"):
        for root in _folders(entries.get(name, ""), ";"):
            yield Candidate(root=root, origin=f"{name} in CMAKE_ARGS")


def _from_cmake_environment(host: Host) -> Iterator[Candidate]:
    for name in (*_ROOT_NAMES, "CMAKE_PREFIX_PATH"):
        for root in _folders(host.environ.get(name, ""), host.path_separator):
            yield Candidate(root=root, origin=name)


def _from_conda(host: Host) -> Iterator[Candidate]:
    for root in _folders(host.environ.get("CONDA_PREFIX", ""), "\n"):
        below = root / "Library" if host.system == "windows" else root
        yield Candidate(root=below, origin="CONDA_PREFIX")


def _from_path(host: Host) -> Iterator[Candidate]:
    """Yield the folder above each folder of PATH that has a protoc, as the shell finds them."""
    for folder in _folders(host.environ.get("PATH", ""), host.path_separator):
        protoc = folder / f"protoc{host.exe_suffix}"
        if protoc.is_file():
            yield Candidate(root=folder.resolve().parent, origin=f"{protoc} on PATH")


def _folders(text: str, separator: str) -> Iterator[Path]:
    for part in text.split(separator):
        if part.strip():
            yield Path(part.strip()).expanduser().absolute()
