"""Build upstream's ``onnx`` package, any release from 1.13.1 on, into wheels that are proved.

The package is upstream's own, unmodified; the protobuf it is linked with, the Python it is for and
the range of Python protobufs it requires are chosen here.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from packaging.version import Version

from build_tools import releases
from build_tools.audit import Expectation, audit
from build_tools.bill.attach import attach_bill
from build_tools.bill.making import UPSTREAM_ROOTS
from build_tools.bill.materials import python_text, upstream_materials
from build_tools.doctor.preflight import preflight
from build_tools.durations import duration, size
from build_tools.errors import ConfigError
from build_tools.fetch import resolve
from build_tools.inputs import Inputs, source_files
from build_tools.interpreters import find_interpreter
from build_tools.onnx import protobuf_identity
from build_tools.prepare import settle
from build_tools.protobuf.provide import cmake_arguments, provide_protobuf
from build_tools.repair import repair
from build_tools.storage import PARTIAL, guarded, locked, remove_tree, rename, sha256_of, write_json
from build_tools.upstream.environment import build_environment, packages_of
from build_tools.upstream.make import Upstream, build_folder, make_wheel
from build_tools.upstream.metadata import (
    at_least,
    generated_floor,
    protobuf_range,
    require_protobuf,
    required_protobuf,
)
from build_tools.upstream.releases import release_of
from build_tools.upstream.suite import run_suite
from build_tools.upstream.trial import available_protobufs, extremes, try_wheel

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping
    from pathlib import Path

    from packaging.specifiers import SpecifierSet

    from build_tools.bill.model import Materials
    from build_tools.context import Context
    from build_tools.host import PythonFacts
    from build_tools.recipe import Site
    from build_tools.sources import Resolved
    from build_tools.upstream.environment import Environment

PACKAGE = "onnx"
SCHEMA = "onnxforge/onnx-report/1"


@dataclass(frozen=True, kw_only=True)
class Job:
    """One wheel that is to be made."""

    upstream: Upstream
    """The release, and what was decided for it."""

    python: PythonFacts
    """The Python it is for."""

    inputs: Inputs
    """Everything that it is made from and proved with."""

    run_suite: bool
    """Whether upstream's own tests are run with it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument(
        "--test",
        action="store_true",
        help="also run upstream's own tests against the wheel, in a fresh environment",
    )


def main(resolved: Resolved, args: argparse.Namespace, context: Context) -> int:
    """Run the verb."""
    site = settle(resolved, context)
    preflight(site, engine=False)
    with closing(site.fetcher):
        pythons = _pythons(site)
        upstream = _upstream(site)
    reports = []
    with locked(upstream.folder / "lock", f"onnx {upstream.version}", context.record):
        for python in pythons:
            job = Job(
                upstream=upstream,
                python=python,
                inputs=_inputs(upstream, python, site),
                run_suite=args.test,
            )
            reports.append(_make_or_find(job, site))
    if resolved.config.json:
        sys.stdout.write(json.dumps(reports) + "\n")
    else:
        sys.stdout.write("".join(f"{_line(report)}\n" for report in reports))
    return 0


def _pythons(site: Site) -> tuple[PythonFacts, ...]:
    """Return the Pythons to build for; raises ConfigError for one the release cannot be used on."""
    host, runner = site.context.host, site.context.runner
    version = site.config.onnx_version
    release = release_of(version)
    found = [find_interpreter(asked, host, runner) for asked in site.config.pythons]
    for python in found or [host.python]:
        if not release.pythons.contains(Version(python.version)):
            raise ConfigError(
                f"onnx {version} cannot be used on Python {python.version}",
                looked=[f"it can on Python {release.pythons}: {release.because}"],
                fix="choose another Python with --python, or another release with --onnx-version",
            )
    return tuple(found) or (host.python,)


def _require_generator(site: Site) -> None:
    """Refuse on Windows what a release's setup.py would tell Ninja; raises ConfigError."""
    version, host = site.config.onnx_version, site.context.host
    known = releases.release_of(version)
    by_setup_py = known is not None and known.driver == "setup.py"
    if host.system == "windows" and by_setup_py and site.generator.major is None:
        raise ConfigError(
            f"onnx {version} cannot be built with {site.generator} on Windows",
            looked=[
                "its setup.py always names a platform (-A x64), which only Visual Studio takes"
            ],
            fix='--generator "Visual Studio 17 2022", or a release from 1.22 on',
        )


def _upstream(site: Site) -> Upstream:
    """Settle release, sources and protobuf."""
    _require_generator(site)
    protobuf = provide_protobuf(site)
    version = site.config.onnx_version
    choice = resolve(site.pins, PACKAGE, site.fetcher, version)
    origin = site.resolved.origins["onnx_version"]
    site.context.record.decide("onnx", f"{choice.pin}, unmodified", choice.reason, origin)
    arguments = cmake_arguments(site.config, "ONNX_USE_LITE_PROTO", "CMAKE_PROJECT_")
    facts = (version, site.toolchain.identity(), protobuf_identity(protobuf), *arguments)
    digest = hashlib.sha256("\0".join(facts).encode()).hexdigest()[:8]
    name = f"onnx-{version}-{protobuf.linkage}-{digest}"
    return Upstream(
        version=version,
        release=release_of(version),
        source=site.cache.source(choice.pin, site.fetcher),
        protobuf=protobuf,
        arguments=arguments,
        folder=site.config.build_dir.absolute() / "upstream" / name,
    )


def _inputs(upstream: Upstream, python: PythonFacts, site: Site) -> Inputs:
    builder = {
        name: digest
        for name, digest in source_files(site.repository).items()
        if name.partition("/")[0] in UPSTREAM_ROOTS
    }
    return Inputs(
        files=builder,
        facts={
            "release": upstream.version,
            "source": upstream.source.name,
            "compiler": site.toolchain.identity(),
            "cmake": site.tools.cmake_version,
            "ninja": site.tools.ninja_version,
            "python": f"{python.version} {python.soabi} {python.executable}",
            "protobuf runtime": str(site.config.protobuf_runtime),
            "repair": str(site.config.repair),
            "smoke": str(site.config.smoke),
            "arguments": "\n".join(upstream.arguments),
        },
        libraries={"protobuf": protobuf_identity(upstream.protobuf)},
    )


def _make_or_find(job: Job, site: Site) -> dict[str, Any]:
    """Return the report on one wheel: an earlier one that still holds, or that of a new one."""
    file = _report_file(job, site.config.out_dir)
    earlier = _read(file)
    if earlier and not site.config.force and _is_current(earlier, job, site.config.out_dir):
        return {**earlier, "unchanged": True}
    clock = time.perf_counter()
    record = site.context.record
    before = len(record.proofs)
    environment = _environment(job, site)
    raw = make_wheel(job.upstream, job.python, environment, site)
    wheel = _finish(raw, environment, job, site)
    tried = _try(wheel, job, site) if site.config.smoke else []
    suite = _test(wheel, job, site) if job.run_suite else None
    report = {
        "schema": SCHEMA,
        "onnx": job.upstream.version,
        "python": job.python.version,
        "protobuf": {
            "version": job.upstream.protobuf.version,
            "linkage": str(job.upstream.protobuf.linkage),
            "required": str(required_protobuf(wheel)),
        },
        "compiler": site.toolchain.compiler.label,
        "wheel": {
            "file": wheel.name,
            "sha256": sha256_of(wheel),
            "bytes": wheel.stat().st_size,
        },
        "seconds": round(time.perf_counter() - clock, 1),
        "proofs": [[proof.claim, proof.evidence] for proof in record.proofs[before:]],
        "tried": tried,
        "suite": suite,
        "inputs": job.inputs.as_dict(),
    }
    _publish(wheel, report, file)
    return {**report, "unchanged": False}


def _environment(job: Job, site: Site) -> Environment:
    """Return what upstream's build backend runs in."""
    return build_environment(
        job.upstream.folder / "environments" / job.python.soabi,
        job.python,
        job.upstream.release.build_requires,
        site.context,
    )


def _finish(raw: Path, environment: Environment, job: Job, site: Site) -> Path:
    """Set what the wheel requires, repair it, say what it is made of and prove what it is."""
    context = site.context
    require_protobuf(raw, _runtime_range(raw, job, site), context)
    wheel = raw
    if site.config.repair:
        folder = job.upstream.folder / f"repaired-{job.python.abi}"
        remove_tree(folder)
        folders = job.upstream.protobuf.library_folders
        log = site.logs / "onnx-repair.log"
        wheel = repair(raw, folder, folders, log, context, target=site.target)
    attach_bill(wheel, _materials(environment, job, site))
    expected = Expectation(
        package=PACKAGE,
        protobuf=job.upstream.protobuf.linkage,
        repaired=site.config.repair and site.target.system == "linux",
        target=site.target,
        any_content=True,
        foreign_folders=(site.config.build_dir.absolute(), site.config.cache_dir.absolute()),
    )
    with context.record.step(f"{wheel.name}: audit"):
        audit(wheel, expected, context)
    return wheel


def _runtime_range(raw: Path, job: Job, site: Site) -> SpecifierSet:
    """Return the Python protobufs that the wheel is to ask for: those that load what is in it."""
    asked = site.config.protobuf_runtime
    wanted = required_protobuf(raw) if asked is None else protobuf_range(asked)
    floor = generated_floor(job.upstream.protobuf.include_dir)
    if floor is None or at_least(wanted, floor) == wanted:
        return wanted
    record, narrower = site.context.record, at_least(wanted, floor)
    why = f"protoc of {job.upstream.protobuf.version} generates code that refuses older ones"
    record.decide("Python protobuf", str(narrower), why)
    if asked is not None:
        record.warn(f"--protobuf-runtime {asked!r} becomes {str(narrower)!r}: {why}")
    return narrower


def _materials(environment: Environment, job: Job, site: Site) -> Materials:
    return upstream_materials(
        site,
        job.upstream.version,
        job.upstream.protobuf,
        python=python_text(job.python),
        packages=packages_of(environment),
        build_folder=build_folder(job.upstream),
    )


def _try(wheel: Path, job: Job, site: Site) -> list[dict[str, Any]]:
    protobufs = extremes(available_protobufs(site.context), required_protobuf(wheel))
    folders = () if site.config.repair else job.upstream.protobuf.library_folders
    return try_wheel(wheel, job.python, protobufs, folders, site.context)


def _test(wheel: Path, job: Job, site: Site) -> dict[str, object] | None:
    log = site.logs / f"onnx-{job.upstream.version}-{job.python.abi}-tests.log"
    result = run_suite(job.upstream, wheel, job.python, log, site.context)
    return result.as_dict() if result else None


def _is_current(earlier: Mapping[str, Any], job: Job, folder: Path) -> bool:
    if earlier["inputs"]["key"] != job.inputs.key or (job.run_suite and not earlier["suite"]):
        return False
    wheel = folder / earlier["wheel"]["file"]
    return wheel.is_file() and sha256_of(wheel) == str(earlier["wheel"]["sha256"])


def _report_file(job: Job, folder: Path) -> Path:
    name = f"onnx-{job.upstream.version}-{job.python.abi}-{job.upstream.protobuf.linkage}"
    return folder / f"{name}.report.json"


def _read(file: Path) -> dict[str, Any] | None:
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return report if isinstance(report, dict) and report.get("schema") == SCHEMA else None


def _publish(wheel: Path, report: Mapping[str, Any], file: Path) -> None:
    """Put the wheel and its report into the output folder; each is whole or not there at all."""
    with guarded(file.parent, "write the wheel"):
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(f".{wheel.name}{PARTIAL}")
        try:
            shutil.copyfile(wheel, partial)
            rename(partial, file.with_name(wheel.name))
        finally:
            partial.unlink(missing_ok=True)
        write_json(file, dict(report))


def _line(report: Mapping[str, Any]) -> str:
    wheel, suite = report["wheel"], report["suite"]
    took = "nothing changed" if report["unchanged"] else duration(report["seconds"])
    tests = ""
    if suite:
        counts = f"{suite['passed']} passed, {len(suite['failed'])} failed"
        tests = f"; upstream's tests: {counts}, {suite['skipped']} skipped"
    return f"{wheel['file']} ({size(wheel['bytes'])}, {took}){tests}"
