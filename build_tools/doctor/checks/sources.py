"""The sources: whether they are there, or can be had."""

from __future__ import annotations

from typing import TYPE_CHECKING

from build_tools.doctor.model import Check, Finding, fatal, note, warning
from build_tools.doctor.upstream_build import from_source
from build_tools.errors import PinError
from build_tools.releases import ENGINE_SINCE, RELEASES, older

if TYPE_CHECKING:
    from collections.abc import Iterator

    from build_tools.doctor.basics import Basics, Source
    from build_tools.doctor.facts import Facts


def _not_pinned(basics: Basics) -> Iterator[Finding]:
    if isinstance(basics.sources, PinError):
        error = basics.sources
        yield fatal(
            error.what,
            "; ".join(error.looked),
            *error.fix[:1],
            "nox -s doctor -- --upstream --onnx-version …  (judges upstream's own way to build it)",
        )


def _pins(facts: Facts) -> Iterator[Finding]:
    if not facts.upstream:
        yield from _not_pinned(facts)


def _unknown(facts: Facts) -> Iterator[Finding]:
    version = facts.config.onnx_version
    if facts.upstream and facts.release is None:
        first = RELEASES[0].since
        yield warning(
            f"nothing is known of how ONNX {version} is built",
            f"the first release that is known is {first}"
            if older(version, first)
            else f"{version} is no version",
            f"nox -s doctor -- --upstream --onnx-version {first}",
        )


def _too_old(basics: Basics) -> Iterator[Finding]:
    version = basics.config.onnx_version
    if basics.upstream or not older(version, ENGINE_SINCE):
        return
    yield fatal(
        f"the engine cannot be compiled with ONNX {version}: it needs {ENGINE_SINCE} or later",
        "cpp/io uses names of ONNX that this release does not have",
        "nox -s build  (without --onnx-version)",
        f"nox -s doctor -- --upstream --onnx-version {version}  (for upstream's own wheel)",
    )


def _missing(basics: Basics) -> tuple[Source, ...]:
    return (
        ()
        if isinstance(basics.sources, PinError)
        else tuple(source for source in basics.sources if not source.usable)
    )


def _offline(basics: Basics) -> Iterator[Finding]:
    if basics.config.offline and not basics.upstream:
        for source in _missing(basics):
            yield fatal(
                f"{source.pin} is not on this machine, and --offline forbids to fetch it",
                f"neither {basics.config.cache_dir} nor a folder of --archives has it",
                *_bring(source),
            )


def _bring(source: Source) -> tuple[str, ...]:
    pin = source.pin
    return (
        f"python -m build_tools fetch {pin.name}=={pin.version} --into DIR  (on another machine)",
        "nox -s build -- --archives DIR",
    )


def _unreachable(facts: Facts) -> Iterator[Finding]:
    yield from _offline(facts)
    if facts.config.offline:
        return
    dead = [reach for reach in facts.reaches if reach.problem]
    answering = [reach for reach in facts.reaches if not reach.problem]
    for source in () if facts.upstream else _missing(facts):
        names = {str(entry.pin) for entry in (source, *source.substitutes)}
        if any(names & set(reach.needed_for) for reach in answering):
            continue
        said = "; ".join(f"{reach.name}: {reach.problem}" for reach in dead)
        yield fatal(
            f"{source.pin} is not on this machine, and no host that has it answers",
            said or "no host is known that has it",
            *_bring(source),
            "export HTTPS_PROXY=http://proxy:3128",
            "pip config set global.index-url https://mirror.example/simple",
        )
    for reach in dead:
        yield note(f"{reach.name} does not answer", reach.problem)
    yield from _upstream_fetches(facts)


def _upstream_fetches(facts: Facts) -> Iterator[Finding]:
    release = facts.release
    if not facts.upstream or release is None or not any(reach.problem for reach in facts.reaches):
        return
    fetched = [f"protobuf {release.own_protobuf}"] if release.own_protobuf else []
    fetched += ["nanobind"] if release.binding == "nanobind" else []
    if fetched and facts.taken_library is None:
        yield warning(
            f"the build of ONNX {facts.config.onnx_version} fetches {' and '.join(fetched)}",
            "; ".join(f"{entry.name}: {entry.problem}" for entry in facts.reaches if entry.problem),
            from_source(facts, "-DFETCHCONTENT_SOURCE_DIR_PROTOBUF=/an/unpacked/protobuf"),
        )


def _submodules(facts: Facts) -> Iterator[Finding]:
    for tree in facts.source_trees:
        if tree.empty_submodules:
            yield fatal(
                f"{tree.path} lacks its submodules: {', '.join(tree.empty_submodules)}",
                "the folders are there and empty, as in an archive or in a clone without "
                "--recursive",
                f"git -C {tree.path} submodule update --init --recursive",
                spared="it builds ONNX from a source distribution, which is whole",
            )


CHECKS = (
    Check(
        identifier="release-not-pinned",
        title="The release that is asked for is not in the lock file",
        symptoms=("onnx 1.16.0 is not pinned", "protobuf 25.1 is not pinned"),
        cause="Only sources whose SHA-256 is known are built.",
        look="The lock file is read.",
        cure="The releases that there are are named, before anything is compiled.",
        examine=_pins,
        preflight=_not_pinned,
    ),
    Check(
        identifier="release-unknown",
        title="Nothing is known of this release",
        symptoms=("ERROR: No matching distribution found for onnx==…",),
        cause="It is older than all that were looked at, or no release at all.",
        look="The table of releases, in build_tools/releases.py.",
        cure="The questions that need no release are asked all the same.",
        examine=_unknown,
    ),
    Check(
        identifier="release-too-old",
        title="The engine needs a newer ONNX",
        symptoms=(
            "cpp/io/inference.cc: error: 'bool …::hasOutput(size_t)' marked 'override', but does "
            "not override",
        ),
        cause="The engine is written for the C++ interface of recent releases.",
        look="The release that is asked for is compared with the oldest that the engine has.",
        cure="The default release fits. Old releases can be loaded as models, whatever is linked.",
        examine=_too_old,
        preflight=_too_old,
        of_engine=True,
    ),
    Check(
        identifier="sources-unreachable",
        title="Sources cannot be fetched",
        symptoms=(
            "Failed to download",
            "SHA1 hash of … does not match expected value",
            "error: Failed to connect to … port 443",
        ),
        cause="There is no route to the hosts, a proxy or a mirror is not set, or a host has "
        "packed its archives anew. CMake notices in the middle of the build.",
        look="What is in the cache and in --archives is looked up; the hosts of the rest are "
        "tried.",
        cure="Sources are fetched from several places, an index mirror included, and checked by "
        "their SHA-256.",
        examine=_unreachable,
        preflight=_offline,
    ),
    Check(
        identifier="submodules-missing",
        title="The sources lack their submodules",
        symptoms=(
            "does not contain a CMakeLists.txt file.",
            'Unknown CMake command "pybind11_add_module".',
        ),
        cause="Archives of a tag, and clones without --recursive, have empty third_party folders; "
        "ONNX up to 1.17 needs what belongs there.",
        look="third_party/* of a source tree in the current folder.",
        cure="Source distributions are used, which are whole.",
        examine=_submodules,
        applies=lambda facts: (
            "" if facts.source_trees else "the current folder has no sources of ONNX"
        ),
    ),
)
