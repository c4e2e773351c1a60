"""Fetch the sources of a build, check their sha256 and unpack them into the cache.

Also how ``pip install .`` gets them: CMake runs the verb with ``--print-cmake``.
"""

from __future__ import annotations

import json
import shutil
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from build_tools.cache import Cache
from build_tools.fetch import Fetcher, resolve
from build_tools.pins import Pin, PinKind, load_pins
from build_tools.storage import guarded

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from build_tools.config import BuildConfig
    from build_tools.context import Context
    from build_tools.fetch import Archive
    from build_tools.sources import Resolved


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """One source that is there."""

    pin: Pin
    archive: Archive
    tree: Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="a source of the lock file, or NAME==VERSION; none: all that a build needs",
    )
    parser.add_argument(
        "--print-cmake",
        action="store_true",
        help="write CMake's set() commands for the folder and version of each source",
    )
    parser.add_argument(
        "--into",
        type=Path,
        metavar="DIR",
        help="also copy the archives into this folder, to be used elsewhere with --archives",
    )


def main(resolved: Resolved, args: argparse.Namespace, context: Context) -> int:
    """Run the verb."""
    fetched = fetch_sources(args.names, resolved.config, context)
    if args.into:
        _copy_archives(fetched, args.into)
    if args.print_cmake:
        sys.stdout.write("".join(map(cmake_lines, fetched)))
    elif resolved.config.json:
        sys.stdout.write(json.dumps([_as_dict(source) for source in fetched], indent=1) + "\n")
    else:
        sys.stdout.write("".join(f"{source.pin}: {source.tree}\n" for source in fetched))
    return 0


def fetch_sources(
    names: Sequence[str], config: BuildConfig, context: Context
) -> tuple[Fetched, ...]:
    """Fetch and unpack each source: the version named, else the configured, else the default."""
    pins, cache = load_pins(), Cache.create(config, context)
    configured = {"protobuf": config.protobuf_version, "onnx": config.onnx_version}
    fetched = []
    with closing(Fetcher.create(config, context)) as fetcher:
        for wanted in names or pins.names(PinKind.SOURCE):
            name, _, version = wanted.partition("==")
            choice = resolve(pins, name, fetcher, version or configured.get(name))
            context.record.decide(f"sources of {name}", str(choice.pin), choice.reason)
            tree = cache.source(choice.pin, fetcher)
            fetched.append(Fetched(pin=choice.pin, archive=choice.archive, tree=tree))
    return tuple(fetched)


def cmake_lines(source: Fetched) -> str:
    """Return CMake's commands that name a source's folder and version."""
    prefix = f"ONNXFORGE_{source.pin.name.replace('-', '_').upper()}"
    return (
        f"set({prefix}_SOURCE {_cmake_string(source.tree.as_posix())})\n"
        f"set({prefix}_VERSION {_cmake_string(source.pin.version)})\n"
    )


def _cmake_string(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return f'"{escaped}"'


def _copy_archives(fetched: Sequence[Fetched], folder: Path) -> None:
    for source in fetched:
        target = folder / source.archive.place.filename
        with guarded(target, f"copy the archive of {source.pin}"):
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source.archive.path, target)


def _as_dict(source: Fetched) -> dict[str, str]:
    return {
        "name": source.pin.name,
        "version": source.pin.version,
        "source": str(source.tree),
        "archive": str(source.archive.path),
        "sha256": source.archive.place.sha256,
        "origin": source.archive.origin,
    }
