"""Upstream's own build backend, told from outside what was decided here.

A release is compiled in a tree of its own that is kept: for a second Python only the binding is
compiled again. That holds because every command of the library is the same then, the interpreter
that runs upstream's generator included; the folder ``environment`` leads to the Python at hand.
"""

from __future__ import annotations

import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from build_tools import releases
from build_tools.cmake import initial_cache
from build_tools.errors import WheelError
from build_tools.ninja_log import last_run, read_lines
from build_tools.storage import PARTIAL, guarded, remove_tree, rename
from build_tools.wheel import backend_failure, show_progress

if TYPE_CHECKING:
    from collections.abc import Mapping

    from build_tools.cmake import CacheValue, CMakeBuild
    from build_tools.host import PythonFacts
    from build_tools.protobuf.model import ProtobufInstall
    from build_tools.recipe import Site
    from build_tools.upstream.environment import Environment
    from build_tools.upstream.releases import Release

_BUILD_FOLDER = ".setuptools-cmake-build"
"""Where every release compiles, below its source folder."""

# What was found out about one Python must not outlive it; objects may. The second file would have
# scikit-build-core remove them, because the next Python's copy of it lies elsewhere.
_OF_ONE_PYTHON = ("CMakeCache.txt", ".skbuild-info.json")

_MODULE = Path(__file__).resolve().parent.parent / "cmake" / "UpstreamOnnx.cmake"


@dataclass(frozen=True, kw_only=True)
class Upstream:
    """One release with everything that was decided for it."""

    version: str
    """The release."""

    release: Release
    """Its row in the table."""

    source: Path
    """Its unpacked source distribution; not to be written to."""

    protobuf: ProtobufInstall
    """The protobuf it is linked with."""

    arguments: tuple[str, ...]
    """The user's own arguments for CMake."""

    folder: Path
    """Where it is compiled; kept between runs."""


def make_wheel(
    upstream: Upstream, python: PythonFacts, environment: Environment, site: Site
) -> Path:
    """Return the wheel as upstream's backend packs it, before it is repaired.

    Raises ConfigureError, CompileError or WheelError with the end of the log.
    """
    cmake = site.cmake()
    tree = _source_tree(upstream)
    stable = _stable_environment(upstream.folder, environment)
    build = build_folder(upstream)
    for name in _OF_ONE_PYTHON:
        (build / name).unlink(missing_ok=True)
    cache = upstream.folder / "initial-cache.cmake"
    cache.write_text(initial_cache(cache_entries(upstream, cmake, stable)), encoding="utf-8")
    raw = upstream.folder / f"raw-{python.abi}"
    remove_tree(raw)
    before = read_lines(build)
    log = site.logs / f"onnx-{upstream.version}-{python.abi}.log"
    with site.context.record.step(
        f"onnx {upstream.version} for Python {python.version}: compile and pack"
    ) as step:
        step.write_log(log)
        said = site.context.runner.stream(
            _command(stable.python, raw, tree),
            log=log,
            on_line=lambda line: show_progress(line, step),
            cwd=tree,
            env=_backend_environment(upstream, cache, site, cmake),
        )
    site.context.record.compiled(f"onnx {upstream.version}", last_run(build, before))
    made = sorted(raw.glob("*.whl"))
    if not said.ok or len(made) != 1:
        raise backend_failure(f"onnx {upstream.version}", said, log)
    return made[0]


def build_folder(upstream: Upstream) -> Path:
    """Return the folder that a release is compiled in."""
    return _tree(upstream) / _BUILD_FOLDER


def _tree(upstream: Upstream) -> Path:
    return upstream.folder / "source"


def _command(python: Path, raw: Path, tree: Path) -> list[str | Path]:
    command: list[str | Path] = [python, "-m", "build", "--wheel", "--no-isolation"]
    return [*command, "--skip-dependency-check", "--outdir", raw, tree]


def cache_entries(
    upstream: Upstream, cmake: CMakeBuild, environment: Environment
) -> Mapping[str, CacheValue]:
    """Return what is settled by cache entries, for every release the same but for its own row."""
    protobuf = upstream.protobuf
    entries: dict[str, CacheValue] = {
        **cmake.toolchain_cache(),
        "CMAKE_PROJECT_onnx_INCLUDE": _MODULE,
        "ONNX_USE_LITE_PROTO": True,
        "ONNX_USE_PROTOBUF_SHARED_LIBS": protobuf.use_shared_libs,
        # Without these its CMakeLists.txt searches, and finds whatever is nearest.
        "Protobuf_PROTOC_EXECUTABLE": protobuf.protoc,
        "Protobuf_INCLUDE_DIR": protobuf.include_dir,
        "Protobuf_LITE_LIBRARY": protobuf.lite_library,
        "Protobuf_LIBRARY": protobuf.library or protobuf.lite_library,
        **_abseil_packages(protobuf),
        **upstream.release.configure,
    }
    if not cmake.generator.multi_config:
        entries["CMAKE_MAKE_PROGRAM"] = cmake.tools.ninja
    known = releases.release_of(upstream.version)
    if known is not None and known.binding == "nanobind":
        entries["nanobind_DIR"] = _package_folder(environment, "nanobind/cmake")
    else:
        entries["pybind11_DIR"] = _package_folder(environment, "pybind11/share/cmake/pybind11")
    return entries


def _abseil_packages(protobuf: ProtobufInstall) -> Mapping[str, CacheValue]:
    """Return where the packages lie that upstream asks for where protobuf is one from 22 on."""
    folders = {name: protobuf.root / "lib/cmake" / name for name in ("absl", "utf8_range")}
    return {f"{name}_DIR": folder for name, folder in folders.items() if folder.is_dir()}


def _package_folder(environment: Environment, below: str) -> Path:
    found = sorted(environment.folder.glob(f"[Ll]ib/**/site-packages/{below}"))
    if not found:
        raise WheelError(
            f"{below} is not in the build environment",
            looked=[str(environment.folder)],
            fix="remove that folder; it is made again",
        )
    return found[0]


def _source_tree(upstream: Upstream) -> Path:
    """Return a copy of the release that its backend may write into."""
    tree = _tree(upstream)
    if not tree.is_dir():
        with guarded(tree, f"copy the sources of onnx {upstream.version}"):
            partial = tree.with_name(tree.name + PARTIAL)
            remove_tree(partial)
            shutil.copytree(upstream.source, partial, symlinks=True)
            rename(partial, tree)
    return tree


def _stable_environment(folder: Path, environment: Environment) -> Environment:
    """Return the environment under a name that is the same for every Python."""
    stable = folder / "environment"
    try:
        stable.unlink(missing_ok=True)
        stable.symlink_to(environment.folder, target_is_directory=True)
    except OSError:
        return environment  # Windows without the right to make links: all is compiled again
    python = stable / environment.python.relative_to(environment.folder)
    return type(environment)(folder=stable, python=python)


def _backend_environment(
    upstream: Upstream, cache: Path, site: Site, cmake: CMakeBuild
) -> dict[str, str]:
    host = site.context.host
    tools = (cmake.tools.cmake.parent, cmake.tools.ninja.parent)
    arguments = cmake.kept_arguments(upstream.arguments, {}, set())
    path = [*map(str, tools), host.environ.get("PATH", "")]
    return cmake.environment(
        {
            "PATH": host.path_separator.join(path),
            "CMAKE_ARGS": shlex.join(["-C", cache.as_posix(), *arguments]),
            "CMAKE_GENERATOR": cmake.generator.name,
            "CMAKE_BUILD_PARALLEL_LEVEL": str(site.jobs),
            "MAX_JOBS": str(site.jobs),
            "SOURCE_DATE_EPOCH": host.source_date_epoch,
            # Sources below a base would be named relative to where the compiler runs. Upstream's
            # messages hold __FILE__: the prefix map does not know that name, and a build without a
            # compiler cache has another one.
            "CCACHE_BASEDIR": "",
        }
    )
