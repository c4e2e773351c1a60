"""From a clean clone to a proved wheel: detect, fetch, verify, build, pack, prove, try, report.

The wheel and its report appear in the output folder when everything has been proved, and not
before. When nothing has changed since, the wheel that is there is verified and left alone.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from build_tools import report
from build_tools.audit import Audit, Expectation, audit, examine, require
from build_tools.bill.attach import attach_bill
from build_tools.bill.materials import engine_materials, python_text
from build_tools.config import Linkage
from build_tools.console import show
from build_tools.doctor.preflight import preflight
from build_tools.fetch import Fetcher
from build_tools.inputs import Inputs, source_files
from build_tools.paths import install_warnings
from build_tools.prepare import Prepared, prepare, settle
from build_tools.repair import repair
from build_tools.smoke import Smoke, smoke
from build_tools.storage import PARTIAL, guarded, locked, remove_tree, rename, sha256_of
from build_tools.wheel import WheelPlan, make_wheel

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from build_tools.context import Context
    from build_tools.report import Report
    from build_tools.sources import Resolved

PACKAGE = "onnxforge"
_MODEL = "magika"
# What may differ between two builds of the same wheel.
_IRRELEVANT = frozenset(
    {
        *(
            "archives",
            "build_dir",
            "bundle",
            "cache_dir",
            "compiler_cache",
            "force",
            "jobs",
            "json",
        ),
        *("offline", "out_dir", "preflight", "verbose"),
    }
)


@dataclass(frozen=True, kw_only=True)
class Built:
    """What a run came to."""

    report: Report
    """The report of the build that made the wheel."""

    unchanged: bool
    """Whether an earlier run had made it."""

    seconds: float
    """How long this run took."""


@dataclass(frozen=True, kw_only=True)
class Clock:
    """When this run started, on the calendar and on a clock that nobody sets."""

    started: float
    """In seconds since the epoch."""

    ticks: float
    """In seconds of the steady clock."""

    def seconds(self) -> float:
        """Return how long the run has taken so far."""
        return time.perf_counter() - self.ticks


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb: the settings are all there are."""
    parser.epilog = "The report of the build is described in docs/build-report.md."


def main(resolved: Resolved, _args: argparse.Namespace, context: Context) -> int:
    """Run the verb."""
    built = build(resolved, context)
    folder = resolved.config.out_dir
    if resolved.config.json:
        sys.stdout.write(json.dumps({**built.report, "unchanged": built.unchanged}) + "\n")
    elif built.unchanged:
        show(report.unchanged_summary(built.report, folder, built.seconds), sys.stdout)
    else:
        show(report.summary(built.report, folder), sys.stdout)
    return 0


def build(resolved: Resolved, context: Context) -> Built:
    """Make the wheel, prove it, try it and write the report; or find that nothing has changed."""
    clock = Clock(started=time.time(), ticks=time.perf_counter())
    site = settle(resolved, context)
    preflight(site)
    prepared = prepare(site)
    with locked(prepared.config.build_dir.absolute() / "lock", "the wheel", context.record):
        inputs = gather_inputs(prepared)
        earlier = report.read(prepared.config.out_dir)
        if earlier and _is_current(earlier, inputs, prepared):
            return Built(report=earlier, unchanged=True, seconds=clock.seconds())
        finished = _make(prepared, inputs, earlier, clock)
    return Built(report=finished, unchanged=False, seconds=clock.seconds())


def gather_inputs(prepared: Prepared) -> Inputs:
    """Return everything that the wheel is made from and proved with."""
    values = report.config_values(prepared.config)
    facts = {f"setting {name}": str(values[name]) for name in values if name not in _IRRELEVANT}
    site, python = prepared.site, prepared.context.host.python
    return Inputs(
        files=source_files(site.repository),
        facts={
            **facts,
            "compiler": site.toolchain.identity(),
            "cmake": site.tools.cmake_version,
            "ninja": site.tools.ninja_version,
            "python": f"{python.version} {python.soabi}",
        },
        libraries=prepared.libraries,
    )


def _is_current(earlier: Report, inputs: Inputs, prepared: Prepared) -> bool:
    """Say whether the wheel of an earlier build is what this one would make, and still is that."""
    if prepared.config.force or earlier["inputs"]["key"] != inputs.key:
        return False
    wheel = prepared.config.out_dir / earlier["wheel"]["file"]
    if not wheel.is_file() or sha256_of(wheel) != earlier["wheel"]["sha256"]:
        prepared.record.warn(f"{wheel} is not the one that was reported; making it again")
        return False
    return True


def _make(prepared: Prepared, inputs: Inputs, earlier: Report | None, clock: Clock) -> Report:
    """Run the steps that end in a wheel and its report in the output folder."""
    model = _fetch_model(prepared) if prepared.config.smoke else None
    final = _finish(_pack(prepared), prepared)
    _describe(final, prepared)
    proved = _prove(final, prepared)
    tried = _try(final, model, prepared) if model else None
    outcome = report.Outcome(
        started=clock.started,
        seconds=clock.seconds(),
        prepared=prepared,
        inputs=inputs,
        changed=tuple(inputs.changes(earlier["inputs"])) if earlier else (),
        audit=proved,
        smoke=tried,
    )
    finished = report.compose(outcome, prepared.record)
    _publish(final, finished, prepared.config.out_dir)
    return finished


def _fetch_model(prepared: Prepared) -> Path:
    """Have the real model at hand before the long compile."""
    site = prepared.site
    with closing(Fetcher.create(site.config, site.context)) as fetcher:
        return site.cache.source(site.pins.pin(_MODEL), fetcher)


def _pack(prepared: Prepared) -> Path:
    """Compile the engine and pack the wheel."""
    work = prepared.work_dir()
    plan = WheelPlan(
        source_dir=prepared.site.repository,
        build_dir=_tree(prepared),
        build_type=str(prepared.config.build_type),
        definitions=prepared.definitions(),
        cmake_args=prepared.arguments,
        jobs=prepared.site.jobs,
    )
    log = prepared.site.logs / "wheel.log"
    return make_wheel(plan, _empty(work / "raw"), log, prepared.cmake, prepared.context)


def _tree(prepared: Prepared) -> Path:
    """Return the folder that the engine is compiled in."""
    return prepared.work_dir() / "tree"


def _finish(raw: Path, prepared: Prepared) -> Path:
    """Check the wheel and make it self-contained."""
    with prepared.record.step("wheel: audit before repair"):
        expected = replace(_expectation(prepared, repaired=False), described=False)
        require(examine(raw, expected, prepared.context))
    if not prepared.config.repair:
        source = prepared.site.resolved.origins["repair"]
        prepared.record.decide("repair", "none", "left out", source)
        return raw
    folders = prepared.protobuf.library_folders
    log = prepared.site.logs / "repair.log"
    into = _empty(prepared.work_dir() / "repaired")
    return repair(raw, into, folders, log, prepared.context, target=prepared.site.target)


def _describe(final: Path, prepared: Prepared) -> None:
    """Write into the wheel what it is made of."""
    with prepared.record.step("wheel: bill of materials and licences"):
        python = python_text(prepared.context.host.python)
        attach_bill(final, engine_materials(prepared, python, _tree(prepared)))


def _prove(final: Path, prepared: Prepared) -> Audit:
    """Prove what the finished wheel is."""
    repaired = prepared.config.repair
    with prepared.record.step("wheel: audit"):
        proved = audit(final, _expectation(prepared, repaired=repaired), prepared.context)
    host = prepared.context.host
    site_packages = str(host.python.site_packages)
    for warning in install_warnings(host, site_packages, proved.wheel.members):
        prepared.record.warn(warning)
    return proved


def _try(final: Path, model: Path, prepared: Prepared) -> dict[str, Any]:
    """Install the finished wheel where nothing else is and run real models."""
    config = prepared.config
    plan = Smoke(
        wheel=final,
        model=model,
        wheels=config.cache_dir / "wheels" / prepared.context.host.python.abi,
        offline=config.offline,
        library_dirs=() if config.repair else prepared.protobuf.library_folders,
    )
    return smoke(plan, prepared.context)


def _expectation(prepared: Prepared, *, repaired: bool) -> Expectation:
    site, shared = prepared.site, prepared.protobuf.linkage is Linkage.SHARED
    folders = (
        site.repository,
        prepared.config.build_dir.absolute(),
        prepared.config.cache_dir.absolute(),
    )
    return Expectation(
        package=PACKAGE,
        protobuf=prepared.protobuf.linkage,
        repaired=repaired,
        target=site.target,
        # A module that is not repaired finds its shared protobuf where this machine has it.
        foreign_folders=() if shared else folders,
    )


def _publish(final: Path, finished: Report, folder: Path) -> None:
    """Put the wheel and the report into the output folder; each is whole or not there at all."""
    with guarded(folder, "write the wheel"):
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f".{final.name}{PARTIAL}"
        try:
            shutil.copyfile(final, partial)
            rename(partial, folder / final.name)
        finally:
            partial.unlink(missing_ok=True)
        report.write(finished, folder)


def _empty(folder: Path) -> Path:
    with guarded(folder, "clear a folder of the build"):
        remove_tree(folder)
        folder.mkdir(parents=True)
    return folder
