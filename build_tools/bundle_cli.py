"""Write one file with everything that a build needs, for machines without any network.

It holds the sources of protobuf, ONNX and Highway, the model of the trial run, and every package
that the builder, the build of upstream's package and the trials install, for this platform:
`nox -s build -- --bundle FILE` and `nox -s onnx -- --bundle FILE` then ask nobody.
"""

from __future__ import annotations

import sys
from contextlib import closing
from email.parser import Parser
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement

from build_tools.bundle_file import (
    ARCHIVES,
    LOCK,
    LOCKS,
    PACKAGES,
    WHEELS,
    fit_of_this_machine,
    write_bundle,
)
from build_tools.cache import Cache
from build_tools.durations import size
from build_tools.errors import WheelError
from build_tools.fetch import Fetcher, resolve
from build_tools.pins import load_pins
from build_tools.recipe import REPOSITORY
from build_tools.sources import load_pyproject
from build_tools.storage import guarded, locked, remove_tree, sha256_of
from build_tools.upstream.environment import FRONTEND
from build_tools.upstream.metadata import protobuf_range
from build_tools.upstream.releases import release_of
from build_tools.upstream.trial import available_protobufs, extremes

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

    from build_tools.config import BuildConfig
    from build_tools.context import Context
    from build_tools.sources import Resolved

_MODEL = "magika"
Requirements = tuple[str, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument(
        "file",
        nargs="?",
        type=Path,
        metavar="FILE",
        help="the file to write [default: dist/onnxforge-bundle-PLATFORM-PYTHON.tar]",
    )


def main(resolved: Resolved, args: argparse.Namespace, context: Context) -> int:
    """Run the verb."""
    config, fit = resolved.config, fit_of_this_machine()
    file = args.file or config.out_dir / f"onnxforge-bundle-{fit.platform}-{fit.python}.tar"
    folder = config.build_dir.absolute() / "bundle-wheels"
    with locked(folder.with_name("bundle-wheels.lock"), "the bundle", context.record):
        archives, tree = _archives(config, context)
        wheels = _wheels(config, runtime_requirements(tree), folder, context)
        with context.record.step("bundle: write"), guarded(file, "write the bundle"):
            locks = {f"{LOCKS}/{path.name}": path for path in (LOCK, PACKAGES)}
            write_bundle(file, {**archives, **locks, **wheels}, fit)
        remove_tree(folder)
    amount = f"{len(archives)} archives, {len(wheels)} packages, {size(file.stat().st_size)}"
    sys.stdout.write(f"{file}: {amount}, sha256 {sha256_of(file)}\n")
    return 0


def _archives(config: BuildConfig, context: Context) -> tuple[dict[str, Path], Path]:
    """Return the archives by member name, and the tree of the release of ONNX."""
    pins, cache = load_pins(), Cache.create(config, context)
    versions = {"protobuf": config.protobuf_version, "onnx": config.onnx_version}
    found = {}
    with closing(Fetcher.create(config, context)) as fetcher:
        for name in ("protobuf", "onnx", "highway", _MODEL):
            source = resolve(pins, name, fetcher, versions.get(name))
            context.record.decide(f"sources of {name}", str(source.pin), source.reason)
            archive = source.archive
            found[f"{ARCHIVES}/{archive.place.filename}"] = archive.path
        tree = cache.source(pins.pin("onnx", config.onnx_version), fetcher)
    return found, tree


def runtime_requirements(tree: Path) -> tuple[Requirement, ...]:
    """Return what a release's package needs, extras left out."""
    metadata = Parser().parsestr((tree / "PKG-INFO").read_text(encoding="utf-8"))
    lines = metadata.get_all("Requires-Dist", [])
    if not lines:
        # 1.13 and 1.14 were packed by a setuptools that wrote them into a file of its own.
        text = (tree / "onnx.egg-info" / "requires.txt").read_text(encoding="utf-8")
        lines = text.partition("\n[")[0].split("\n")
    found = (Requirement(line) for line in lines if line.strip())
    return tuple(entry for entry in found if entry.marker is None)


def _wheels(
    config: BuildConfig, needed: tuple[Requirement, ...], folder: Path, context: Context
) -> dict[str, Path]:
    """Have pip bring every set of packages, each resolved as it will be installed."""
    with guarded(folder, "clear a folder of the bundle"):
        remove_tree(folder)
        folder.mkdir(parents=True)
    pyproject = load_pyproject(REPOSITORY / "pyproject.toml")
    sets = [*engine_sets(pyproject), *upstream_sets(config, needed, context)]
    with context.record.step("bundle: bring the packages", total=len(sets)) as step:
        for done, requirements in enumerate(sets, start=1):
            _download(requirements, folder, context)
            step.advance(done, detail=requirements[0])
    return {f"{WHEELS}/{path.name}": path for path in sorted(folder.glob("*.whl"))}


def engine_sets(pyproject: Mapping[str, object]) -> Iterator[Requirements]:
    """Yield what the builder runs on, what `pip install .` builds with, what the wheel needs."""
    tables: Mapping[str, dict[str, Requirements]] = pyproject  # type: ignore[assignment]
    yield (*tables["dependency-groups"]["builder"], *tables["build-system"]["requires"])
    yield tuple(tables["project"]["dependencies"])


def upstream_sets(
    config: BuildConfig, needed: tuple[Requirement, ...], context: Context
) -> Iterator[Requirements]:
    """Yield what a release is built with, and what its wheel needs at both ends of its range."""
    yield (FRONTEND, *release_of(config.onnx_version).build_requires)
    others = [str(entry) for entry in needed if entry.name != "protobuf"]
    (own,) = (entry.specifier for entry in needed if entry.name == "protobuf")
    asked = config.protobuf_runtime
    allowed = own if asked is None else protobuf_range(asked)
    for version in extremes(available_protobufs(context), allowed):
        yield (f"protobuf=={version}", *others)


def _download(requirements: Requirements, folder: Path, context: Context) -> None:
    python = context.host.python.executable
    quiet = ("--quiet", "--disable-pip-version-check", "--no-input")
    command = (python, "-m", "pip", "download", *quiet, "--only-binary", ":all:")
    said = context.runner.run([*command, "--dest", folder, *requirements], env=context.host.environ)
    if not said.ok:
        raise WheelError(
            f"{requirements[0]} and what goes with it cannot be had as wheels",
            looked=[f"{said.command}\n{said.text}"],
            fix="see that pip can reach its index, or set PIP_FIND_LINKS",
        )
