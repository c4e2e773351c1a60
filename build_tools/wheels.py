"""Build the wheels of the matrix from this machine with zig's C++ toolchain, check and try them.

The native compiler is not used for them: `build` does that, for this machine alone.
"""

from __future__ import annotations

import json
import shutil
import sys
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from build_tools.across import make, open_workshop
from build_tools.durations import Spent, Stopwatch
from build_tools.errors import ToolchainError, UsageError
from build_tools.fetch import Fetcher
from build_tools.labs import Stand
from build_tools.matrix import load_matrix
from build_tools.prepare import provide_highway, settle
from build_tools.protobuf.provide import provide_protobuf
from build_tools.python_headers import TargetPython, provide_python
from build_tools.sample import provide_sample
from build_tools.storage import PARTIAL, guarded, locked, rename, sha256_of, write_json
from build_tools.trials import try_wheel

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping, Sequence

    from build_tools.across import Workshop
    from build_tools.context import Context
    from build_tools.matrix import Matrix, Row
    from build_tools.recipe import Site
    from build_tools.sources import Resolved
    from build_tools.trials import Trial

RESULTS = "wheels.json"
_MODEL = "magika"


@dataclass(frozen=True, kw_only=True)
class Job:
    """The wheels of one target."""

    row: Row
    """The target, and how its wheels are tried."""

    pythons: tuple[TargetPython, ...]
    """What they are compiled against, one each."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """What stays the same for all wheels of one run."""

    matrix: Matrix
    """The whole matrix."""

    site: Site
    """This machine's settings, compiler, tools, cache."""

    tried: tuple[Path, Path] | None
    """The sample and the real model that wheels are tried with; None: they are not."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument(
        "--target",
        nargs="+",
        action="extend",
        default=[],
        metavar="TAG",
        help="only these targets of ci/matrix.toml, by platform tag [default: all]",
    )
    parser.add_argument(
        "--python",
        nargs="+",
        action="extend",
        default=[],
        metavar="X.Y",
        help="only these CPythons [default: all that the target has]",
    )
    parser.add_argument(
        "--headers",
        action="append",
        default=[],
        metavar="X.Y=DIR",
        help="the folder with Python.h of a CPython that is not installed here",
    )
    parser.add_argument(
        "--test",
        action="store_true",
        help="run each wheel that can be run here, with the standard's cases and real models",
    )


def main(resolved: Resolved, args: argparse.Namespace, context: Context) -> int:
    """Run the verb."""
    matrix = load_matrix()
    rows = matrix.select(args.target, args.python)
    headers = dict(_named_headers(text) for text in args.headers)
    site = settle(resolved, context)
    lock = site.config.build_dir.absolute() / "wheels.lock"
    with closing(site.fetcher), locked(lock, "the wheels", context.record):
        jobs = plan(site, matrix, rows, headers, asked=bool(args.python))
        tried = _what_to_try_with(site) if args.test else None
        done = list(_build(Run(matrix=matrix, site=site, tried=tried), jobs))
    if resolved.config.json:
        sys.stdout.write(json.dumps(done, indent=1) + "\n")
    else:
        sys.stdout.write("".join(f"{line(entry)}\n" for entry in done))
    return 0


def plan(
    site: Site, matrix: Matrix, rows: Sequence[Row], headers: Mapping[str, Path], *, asked: bool
) -> list[Job]:
    """Have the headers of every Python before anything long is compiled.

    A Python that nobody asked for by its version is left out, with a warning, where it has none.
    """
    jobs, missing = [], None
    for row in rows:
        pythons = []
        for version in row.pythons:
            found = _headers_of(replace(site, target=row.target), version, headers, matrix)
            if isinstance(found, TargetPython):
                pythons.append(found)
                continue
            if asked:
                raise found
            missing = found
            what = f"{row.target}, Python {version} is left out: {found.what}"
            site.context.record.warn(f"{what}; {found.fix[0]}, {found.fix[1]}")
        if pythons:
            jobs.append(Job(row=row, pythons=tuple(pythons)))
    if not jobs and missing:
        raise missing
    return jobs


def _headers_of(
    site: Site, version: str, headers: Mapping[str, Path], matrix: Matrix
) -> TargetPython | ToolchainError:
    """Return what a wheel is compiled against, or why there is nothing."""
    try:
        return provide_python(site, version, headers, matrix.debian)
    except ToolchainError as error:
        return error


def _build(run: Run, jobs: Sequence[Job]) -> Iterator[dict[str, Any]]:
    """Make the wheels, one target after the other, and keep the results after each."""
    site = run.site
    builders, highway = provide_protobuf(site), provide_highway(site)
    for job in jobs:
        workshop = open_workshop(site, job.row.target, builders, highway)
        for python in job.pythons:
            entry = _wheel(run, job, workshop, python)
            _keep(entry, site.config.out_dir)
            yield entry


def line(entry: dict[str, Any]) -> str:
    """Return what one wheel came to, in one line."""
    run = entry["run"]
    if run is None:
        ran = "not tried (--test)"
    elif run["on"]:
        ran = f"run on {run['on']}: {run['cases']} cases, 3 models"
    else:
        ran = f"not run: {run['why_not']}"
    return f"{entry['file']}: built · checked ({entry['proofs']} claims) · {ran}"


def _wheel(run: Run, job: Job, workshop: Workshop, python: TargetPython) -> dict[str, Any]:
    """Make, try and publish one wheel; return what wheels.json says of it."""
    made = make(workshop, python)
    watch, trial = Stopwatch(), None
    if run.tried:
        sample, model = run.tried
        releases = run.matrix.debian
        stand = Stand(site=workshop.site, releases=releases, sample=sample, model=model)
        trial = try_wheel(made.path, python.version, job.row.way, stand)
    tried = watch.spent()
    published = _publish(made.path, run.site.config.out_dir)
    first = python is job.pythons[0]
    return {
        "target": job.row.target.name,
        "python": python.version,
        "file": published.name,
        "sha256": sha256_of(published),
        "bytes": published.stat().st_size,
        "spent": {
            "libraries": _times(workshop.spent) if first else None,
            "wheel": _times(made.spent),
            "trial": _times(tried),
        },
        "compiler": workshop.site.toolchain.reasons[0],
        "headers": python.origin,
        "proofs": len(made.audit.proofs),
        "audit": made.audit.as_dict(),
        "run": _trial_dict(trial) if trial else None,
    }


def _times(spent: Spent) -> dict[str, float]:
    return {"seconds": round(spent.seconds, 1), "processor": round(spent.processor, 1)}


def _trial_dict(trial: Trial) -> dict[str, Any]:
    seen = trial.seen
    return {
        "on": trial.label,
        "why_not": trial.why_not,
        "cases": seen["sample"]["cases"] if seen else 0,
        "tiers": seen["tiers"] if seen else [],
        "numpy": seen["numpy"] if seen else "",
    }


def _what_to_try_with(site: Site) -> tuple[Path, Path]:
    """Have the sample and the real model at hand before the long compile."""
    with closing(Fetcher.create(site.config, site.context)) as fetcher:
        model = site.cache.source(site.pins.pin(_MODEL), fetcher)
    with site.context.record.step("sample of the standard's cases"):
        return provide_sample(site.cache), model


def _named_headers(text: str) -> tuple[str, Path]:
    version, mark, folder = text.partition("=")
    if not mark or not folder:
        raise UsageError(
            f"--headers {text}: no X.Y=DIR", fix="--headers 3.12=/usr/include/python3.12"
        )
    return version, Path(folder).expanduser().absolute()


def _publish(wheel: Path, folder: Path) -> Path:
    with guarded(folder, "write the wheel"):
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f".{wheel.name}{PARTIAL}"
        try:
            shutil.copyfile(wheel, partial)
            rename(partial, folder / wheel.name)
        finally:
            partial.unlink(missing_ok=True)
    return folder / wheel.name


def _keep(entry: dict[str, Any], folder: Path) -> None:
    """Write wheels.json: this wheel, and those before it that are still what they were."""
    file = folder / RESULTS
    try:
        earlier = json.loads(file.read_text(encoding="utf-8"))["wheels"]
    except (OSError, ValueError, KeyError):
        earlier = []
    others = [other for other in earlier if other["file"] != entry["file"]]
    wheels = [entry, *(other for other in others if _is_there(other, folder))]
    wheels.sort(key=lambda wheel: (wheel["target"], wheel["file"]))
    with guarded(file, "write the results"):
        write_json(file, {"wheels": wheels})


def _is_there(entry: dict[str, Any], folder: Path) -> bool:
    wheel = folder / entry["file"]
    return wheel.is_file() and sha256_of(wheel) == str(entry["sha256"])
