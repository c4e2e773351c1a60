"""Make a wheel again from its own record, in another folder, and compare the bytes.

Everything is compiled anew, protobuf and ONNX included, with another number of jobs, another locale
and another time zone. Where the result differs, it is said where; diffoscope adds its own view
where it is installed.
"""

from __future__ import annotations

import json
import shlex
import shutil
import sys
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from build_tools.bill.making import ENGINE, making_of
from build_tools.bill.materials import python_text
from build_tools.differences import explain
from build_tools.errors import ReproduceError, UsageError
from build_tools.inputs import ROOTS
from build_tools.interpreters import find_interpreter
from build_tools.prepare import settle
from build_tools.process import tail
from build_tools.recipe import REPOSITORY
from build_tools.record import Record
from build_tools.reproduce import (
    WheelRecord,
    differences_here,
    environment_of,
    foreign_arguments,
    options_of,
    record_of,
)
from build_tools.sources import resolve
from build_tools.storage import guarded, sha256_of
from build_tools.wheel_file import WheelFile

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from build_tools.bill.model import Making
    from build_tools.context import Context
    from build_tools.sources import Resolved

_NOT_COPIED = shutil.ignore_patterns("__pycache__")
_DIFFOSCOPE_LINES = 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument("wheel", type=Path, metavar="WHEEL", help="a wheel that was made here")
    parser.add_argument(
        "--against",
        type=Path,
        metavar="OTHER",
        help="compare with this wheel, and make none",
    )
    parser.add_argument(
        "--anyway",
        action="store_true",
        help="also build where compiler, tools, lock file or sources are not those of the record, "
        "and with the record's own arguments for compiler and CMake",
    )


def main(resolved: Resolved, args: argparse.Namespace, context: Context) -> int:
    """Run the verb."""
    for file in (args.wheel, args.against):
        if file is not None and not file.is_file():
            raise UsageError(f"{file}: no such file", fix="name wheel files, e.g. dist/*.whl")
        if file is not None and not zipfile.is_zipfile(file):
            raise UsageError(f"{file} is not a wheel", fix="name wheel files, e.g. dist/*.whl")
    if args.against:
        return compare(args.wheel, args.against, resolved, context)
    record = record_of(WheelFile.open(args.wheel))
    _require_own_arguments(record, resolved, context, anyway=args.anyway)
    # Without a blank: the folder takes the place of another one in flags.
    with tempfile.TemporaryDirectory(prefix="onnxforge-rebuild-") as name:
        room = Path(name)
        _require_same(record, resolved, context, room, anyway=args.anyway)
        rebuilt = rebuild(record, resolved, context, room)
        if sha256_of(rebuilt) != sha256_of(args.wheel):
            rebuilt = _keep(rebuilt, resolved.config.out_dir)
        return compare(args.wheel, rebuilt, resolved, context)


def compare(wheel: Path, other: Path, resolved: Resolved, context: Context) -> int:
    """Say whether two wheels are the same bytes, and where they differ; raises ReproduceError."""
    found = explain(wheel, other)
    if found:
        raise ReproduceError(
            f"{wheel.name} and {other} are not the same bytes",
            looked=[*found, *_diffoscope(wheel, other, context)],
            fix="what differs first, in the order of the members, is most often the cause",
        )
    digest = sha256_of(wheel)
    if resolved.config.json:
        facts = {"wheel": wheel.name, "identical": True, "sha256": digest}
        sys.stdout.write(json.dumps(facts) + "\n")
    else:
        sys.stdout.write(f"{wheel.name}: identical, sha256 {digest}\n")
    return 0


def _require_own_arguments(
    record: WheelRecord, resolved: Resolved, context: Context, *, anyway: bool
) -> None:
    """Refuse to run what a stranger's wheel says, unasked; before a probe is compiled with it."""
    arguments = json.dumps(list(resolved.config.cmake_args))
    own = {**context.host.environ, "cmake_args": arguments}
    foreign = list(foreign_arguments(record, own))
    if foreign and not anyway:
        raise ReproduceError(
            "the wheel's record has arguments of its own for compiler or CMake",
            looked=foreign,
            fix="such arguments can run any program: set the same yourself, or, having read them, "
            "give --anyway",
        )


def rebuild(record: WheelRecord, resolved: Resolved, context: Context, room: Path) -> Path:
    """Make the wheel of a record in an empty folder; raises ReproduceError."""
    folders = _folders(room)
    with guarded(room, "copy the source tree"):
        copy_tree(REPOSITORY, folders["<project>"])
    verb = "build" if record.kind == ENGINE else "onnx"
    command: list[str | Path] = [context.host.python.executable, "-m", "build_tools", verb]
    command += [*options_of(record, folders), *_own_options(resolved, context, folders)]
    environ = {**_environment(context), **environment_of(record, folders)}
    logs = resolved.config.build_dir.absolute() / "logs"
    shown = shlex.join(map(str, command[3:]))
    context.record.decide("rebuild", shown, "what the wheel's record says")
    with context.record.step("rebuild: everything, in another folder") as step:
        log = logs / "reproduce.log"
        step.write_log(log)
        said = context.runner.stream(
            command, log=log, on_line=lambda _: None, cwd=folders["<project>"], env=environ
        )
    made = sorted((room / "dist").glob("*.whl"))
    if not said.ok or len(made) != 1:
        raise ReproduceError(
            "the wheel could not be made again",
            looked=[f"the end of {log}:\n{tail(log)}"],
            fix=f"read all of it in {log}",
        )
    return made[0]


def copy_tree(source: Path, target: Path) -> None:
    """Copy everything that a wheel is made from."""
    target.mkdir()
    for name in ROOTS:
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name, ignore=_NOT_COPIED)
        else:
            shutil.copyfile(source / name, target / name)


def _folders(room: Path) -> dict[str, Path]:
    return {
        "<project>": room / "tree",
        "<build>": room / "build",
        "<cache>": room / "cache",
        "<home>": Path.home(),
    }


def _own_options(
    resolved: Resolved, context: Context, folders: Mapping[str, Path]
) -> list[str | Path]:
    """Return what a rebuild does otherwise: empty folders, other jobs, no compiler cache."""
    config = resolved.config
    options: list[str | Path] = ["--build-dir", folders["<build>"], "--no-smoke", "--no-preflight"]
    options += ["--cache-dir", folders["<cache>"], "--out-dir", folders["<build>"].parent / "dist"]
    options += ["--cmake", config.cmake, "--ninja", config.ninja]
    options += ["--compiler-cache", "off", "--jobs", str(config.jobs or context.host.cpus + 1)]
    for folder in (config.cache_dir.absolute() / "archives", *config.archives):
        options += ["--archives", folder.absolute()] if folder.is_dir() else []
    options += ["--protobuf-root", config.protobuf_root] if config.protobuf_root else []
    options += ["--offline"] if config.offline else []
    return options


def _environment(context: Context) -> dict[str, str]:
    """Return the environment, with another locale and time zone, and no flags of this shell."""
    dropped = ("ONNXFORGE_", "CMAKE_ARGS", "CPPFLAGS", "CFLAGS", "CXXFLAGS", "LDFLAGS", "CC", "CXX")
    kept = {
        name: value for name, value in context.host.environ.items() if not name.startswith(dropped)
    }
    return {**kept, "LC_ALL": "C", "TZ": "Asia/Kathmandu"}


def _require_same(
    record: WheelRecord, resolved: Resolved, context: Context, room: Path, *, anyway: bool
) -> None:
    """Say before the long build what is not the same here; raises ReproduceError."""
    found = list(differences_here(record, _making_here(record, resolved, context, room)))
    if found and not anyway:
        raise ReproduceError(
            "this machine and this tree cannot make the same wheel",
            looked=found,
            fix=[
                "check out the tree that it was made from, and use the same compiler and Python",
                "--anyway builds all the same, and says what differs then",
            ],
        )
    for difference in found:
        context.record.warn(difference)


def _making_here(record: WheelRecord, resolved: Resolved, context: Context, room: Path) -> Making:
    """Return the facts of a build with the record's settings, as this machine would have them."""
    folders = _folders(room)
    environ = {**_environment(context), **environment_of(record, folders)}
    config = resolved.config
    own = ["--cache-dir", str(config.cache_dir), "--build-dir", str(folders["<build>"])]
    own += ["--cmake", config.cmake, "--ninja", config.ninja]
    settled = resolve([*options_of(record, folders), *own], environ, {})
    quiet = replace(context, host=replace(context.host, environ=environ), record=Record())
    site = settle(settled, quiet)
    site.fetcher.close()
    python = context.host.python
    if settled.config.pythons:
        python = find_interpreter(settled.config.pythons[0], context.host, context.runner)
    return making_of(site, record.kind, python_text(python), folders["<build>"])


def _keep(wheel: Path, folder: Path) -> Path:
    """Put a wheel that came out otherwise where it can be looked at."""
    kept = folder / "rebuilt" / wheel.name
    with guarded(kept, "keep the rebuilt wheel"):
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(wheel, kept)
    return kept


def _diffoscope(wheel: Path, other: Path, context: Context) -> list[str]:
    """Return the first lines of diffoscope's view, where it is installed."""
    program = shutil.which("diffoscope", path=context.host.environ.get("PATH"))
    if program is None:
        return []
    said = context.runner.run([program, "--text", "-", wheel, other], env=context.host.environ)
    lines = said.stdout.splitlines()
    return ["diffoscope:\n" + "\n".join(lines[:_DIFFOSCOPE_LINES])] if lines else []
