"""The protobuf of this build: a found one or our own, settled aloud and proved."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from build_tools import probes
from build_tools.binaries import identify
from build_tools.config import BuildType, Linkage
from build_tools.errors import LinkageError, ProtobufError
from build_tools.fetch import resolve, resolve_pin
from build_tools.protobuf.choose import FIRST_WITH_ABSEIL, choose
from build_tools.protobuf.describe import describe, find_files
from build_tools.protobuf.memory import recall, remember
from build_tools.protobuf.model import Candidate, Wanted
from build_tools.protobuf.search import candidates
from build_tools.recipe import Recipe, build_prefix
from build_tools.toolchain.runtime import refuse_static_runtime

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from build_tools.cmake import CacheValue
    from build_tools.config import BuildConfig
    from build_tools.fetch import Resolved as ResolvedSource
    from build_tools.protobuf.model import Choice, Description, ProtobufInstall
    from build_tools.recipe import Site
    from build_tools.record import Record
    from build_tools.sources import Resolved

_WISH = "ONNX_USE_PROTOBUF_SHARED_LIBS"
_RECIPE_MODULES = ("Reproducible.cmake",)
_FOLDER_WITH_ABSEIL = "protobuf_abseil"
_FOREIGN_HEADERS = (
    "take the folder of another protobuf out of CPATH, CPPFLAGS and CXXFLAGS (an active conda "
    "environment sets them)"
)
_LITE_REASON = (
    "ONNX needs no more; and a full protobuf shared by two libraries that both carry ONNX's "
    "messages aborts the process ('File already exists in database')"
)


def provide_protobuf(site: Site) -> ProtobufInstall:
    """Return the protobuf to build with: found where one is asked for, else built and cached.

    Raises ProtobufError or LinkageError where the one that was asked for cannot be used, and what
    fetching and building raise.
    """
    wanted = what_is_wanted(site.resolved)
    if wanted.explicit:
        refuse_static_runtime(site.runtime, wanted.linkage)
    description = _look(site, wanted) or _build(site, wanted)
    install = description.install
    assert install is not None
    refuse_static_runtime(site.runtime, install.linkage)
    record = site.context.record
    for proof in description.proofs:
        record.prove(proof.claim, proof.evidence, proof.ok)
    _decide_linkage(install, wanted, record)
    _contradict_wish(install, wanted, site.resolved, record)
    return install


def provide_protobuf_across(site: Site, builders: ProtobufInstall) -> ProtobufInstall:
    """Return our own static protobuf for the site's target.

    ``builders`` is the building machine's: its version is taken, and its protoc comes along.
    """
    record = site.context.record
    source = resolve(site.pins, "protobuf", site.fetcher, builders.version)
    settings: dict[str, CacheValue] = {
        "PROTOBUF_PROTOC": builders.protoc,
        "PROTOBUF_UNITY": site.target.joins_files,
    }
    recipe = _recipe(site, source, Linkage.STATIC, settings)
    record.decide("protobuf", f"{source.pin} for {site.target}", f"as {builders.root} has it")

    def prove(prefix: Path) -> None:
        _prove_across(site, recipe, prefix)

    prefix = build_prefix(site, recipe, prove).path
    files = find_files(prefix, Linkage.STATIC, site.context.host)
    assert files.lite_library is not None
    assert files.include_dir is not None
    assert files.protoc is not None
    return replace(
        builders,
        root=prefix,
        protoc=files.protoc,
        include_dir=files.include_dir,
        lite_library=files.lite_library,
        library=files.library,
        linkage=Linkage.STATIC,
        origin=f"built from source for {site.target}",
        runtime_libraries=(),
    )


def _prove_across(site: Site, recipe: Recipe, prefix: Path) -> None:
    """Ask of a library for another machine what can be asked without running it."""
    bench, machine = site.bench(), site.target.machine
    with site.context.record.step(f"{recipe}: prove"):
        files = find_files(prefix, Linkage.STATIC, site.context.host)
        headers = probes.headers_version(prefix / "include")
        problems = [] if headers.value == recipe.version else [headers.evidence]
        if files.lite_library is None:
            problems.append(f"{prefix}/lib: no static libprotobuf-lite")
        else:
            found = identify(files.lite_library).machine
            problems += [] if found == machine else [f"{files.lite_library} is for {found}"]
            pic = probes.position_independent(files.lite_library, bench)
            problems += [] if pic.ok else [pic.evidence]
    if problems:
        raise ProtobufError(
            f"{recipe} was built for {site.target}, but is not what it must be",
            looked=problems,
            fix="take flags that change how code is generated out of CXXFLAGS and CMAKE_ARGS",
        )


def what_is_wanted(resolved: Resolved) -> Wanted:
    """Return the linkage and version to look for, and how binding the linkage is.

    ONNX_USE_PROTOBUF_SHARED_LIBS stands in for --protobuf where nobody gave that; it is a wish that
    a file may contradict, while --protobuf is an order.
    """
    config, origins = resolved.config, resolved.origins
    is_wish = config.use_shared_env is not None and origins["protobuf"] == origins["use_shared_env"]
    return Wanted(
        linkage=config.protobuf,
        version=config.protobuf_version,
        explicit=resolved.given("protobuf") and not is_wish,
        who=_wish_text(config, origins) if is_wish else origins["protobuf"],
    )


def cmake_arguments(config: BuildConfig, *unwanted: str) -> tuple[str, ...]:
    """Return the user's arguments for CMake without the settings that are decided here.

    ``unwanted`` are beginnings of further settings that are nothing to the library at hand.
    """
    skipped = (f"-D{_WISH}", *(f"-D{name}" for name in unwanted))
    return tuple(argument for argument in config.cmake_args if not argument.startswith(skipped))


def _look(site: Site, wanted: Wanted) -> Description | None:
    """Return an installed protobuf if one is to be used; None where our own is to be built."""
    if site.config.protobuf_root is not None:
        return _from_root(site, wanted)
    if wanted.linkage is Linkage.STATIC:
        _name_the_unused(site)
        return None
    return _from_machine(site, wanted)


def _from_root(site: Site, wanted: Wanted) -> Description:
    """Return the protobuf in the folder that the user named; raises where it cannot be used."""
    (candidate,) = candidates(site.config, site.context.host, site.resolved.origins)
    with site.context.record.step("protobuf: probe the installed one"):
        described = [_describe(site, candidate, wanted.linkage)]
        if not described[0].usable:
            described.append(_describe(site, candidate, _other(wanted.linkage)))
    choice = choose(described, wanted)
    if choice.chosen is None:
        raise _cannot_use(candidate.root, described, choice, wanted)
    _report(choice, site.context.record)
    if choice.contradicts:
        site.context.record.warn(choice.contradicts)
    return choice.chosen


def _from_machine(site: Site, wanted: Wanted) -> Description | None:
    """Return the first shared protobuf of this machine that can be used, if there is one."""
    strict = replace(wanted, explicit=True)
    described: list[Description] = []
    choice = choose(described, strict)
    with site.context.record.step("protobuf: look for a shared one"):
        for candidate in candidates(site.config, site.context.host, site.resolved.origins):
            described.append(_describe(site, candidate, wanted.linkage))
            choice = choose(described, strict)
            if choice.chosen is not None:
                break
    _report(choice, site.context.record)
    return choice.chosen


def _describe(site: Site, candidate: Candidate, linkage: Linkage) -> Description:
    debug = site.config.build_type is BuildType.DEBUG
    return describe(candidate, linkage, site.context.host, site.bench(), debug=debug)


def _name_the_unused(site: Site) -> None:
    """Name every other protobuf of the machine, so that nobody wonders which one was taken."""
    host = site.context.host
    for candidate in candidates(site.config, host, site.resolved.origins):
        files = [find_files(candidate.root, linkage, host) for linkage in Linkage]
        parts = [
            str(path)
            for path in (files[0].protoc, files[0].lite_library, files[1].lite_library)
            if path is not None
        ]
        if parts:
            site.context.record.decide(
                "protobuf not used",
                f"{candidate.root} ({', '.join(parts)})",
                "a static protobuf is built from its pinned source, whatever is installed; "
                f"--protobuf-root {candidate.root} would use this one",
                candidate.origin,
            )


def _build(site: Site, wanted: Wanted) -> Description:
    """Build our own protobuf into the cache, or take it from there."""
    record = site.context.record
    source = resolve(site.pins, "protobuf", site.fetcher, wanted.version)
    recipe = _recipe(site, source, wanted.linkage, {})
    parts = "".join(f" with {part.pin}" for part in recipe.parts)
    record.decide(
        "protobuf",
        f"{source.pin}{parts}, built from source, {wanted.linkage}",
        source.reason,
        site.resolved.origins["protobuf_version"],
    )

    def prove(prefix: Path) -> None:
        remember(prefix, _prove_own(site, recipe, prefix, wanted.linkage))

    prefix = build_prefix(site, recipe, prove)
    known = recall(prefix.path, wanted.linkage)
    if known is None:
        return _prove_own(site, recipe, prefix.path, wanted.linkage)
    _require_headers_in_front(site, known)
    return known


def _recipe(
    site: Site, source: ResolvedSource, linkage: Linkage, settings: Mapping[str, CacheValue]
) -> Recipe:
    """Return how a release is built: from 22 on with its abseil inside, and statically only."""
    parts = tuple(resolve_pin(part, site.fetcher) for part in site.pins.parts(source.pin))
    if parts and linkage is Linkage.SHARED:
        raise ProtobufError(
            f"{source.pin} is not built as a shared library",
            looked=["its headers call abseil, which such a library would have to export whole"],
            fix=[
                "--protobuf static",
                f"or ask for a release before {FIRST_WITH_ABSEIL} with --protobuf-version",
            ],
        )
    settings = {"BUILD_SHARED_LIBS": linkage is Linkage.SHARED, **settings}
    if not parts:
        # What is linked in is the lite library; a shared one is installed as upstream installs it.
        settings["PROTOBUF_FULL"] = linkage is Linkage.SHARED
    return Recipe(
        name="protobuf",
        folder=_FOLDER_WITH_ABSEIL if parts else "",
        source=source,
        parts=parts,
        variant=str(linkage),
        settings=settings,
        modules=_RECIPE_MODULES,
        arguments=cmake_arguments(site.config, "ONNX", "Protobuf_", "protobuf_"),
    )


def _require_headers_in_front(site: Site, known: Description) -> None:
    """Ask again what the environment of this run decides; the rest was proved for good."""
    assert known.install is not None
    finding = probes.headers_in_front(known.install.include_dir, site.bench())
    if not finding.ok:
        raise ProtobufError(
            f"the compiler takes protobuf's headers from elsewhere, not from {known.install.root}",
            looked=[finding.evidence],
            fix=_FOREIGN_HEADERS,
        )


def _prove_own(site: Site, recipe: Recipe, prefix: Path, linkage: Linkage) -> Description:
    """Probe what was built as if a stranger had built it; raises ProtobufError for a bad one."""
    candidate = Candidate(root=prefix, origin="built from source by third_party/protobuf")
    with site.context.record.step(f"{recipe}: prove"):
        found = _describe(site, candidate, linkage)
    if found.usable:
        return found
    raise ProtobufError(
        f"{recipe} was built, but is not what it must be",
        looked=[f"{found}: {problem}" for problem in found.problems],
        fix=[
            "take flags that change how code is generated or linked out of CXXFLAGS, LDFLAGS "
            "and CMAKE_ARGS",
            _FOREIGN_HEADERS,
            "or choose another compiler with --compiler",
        ],
    )


def _cannot_use(
    root: Path, described: list[Description], choice: Choice, wanted: Wanted
) -> ProtobufError | LinkageError:
    """Return the error for a named folder that cannot be used, with the way out it leaves."""
    looked = [
        f"{entry.description}: {reason}" for entry in choice.rejected for reason in entry.reasons
    ]
    other = _other(wanted.linkage)
    other_works = any(entry.linkage is other and entry.usable for entry in described)
    own = f"leave out --protobuf-root: a {wanted.linkage} protobuf is then found or built"
    if other_works:
        what = f"there is no {wanted.linkage} protobuf that can be used in {root}"
        return LinkageError(
            what, looked=looked, fix=[f"--protobuf {other} uses what is there", own]
        )
    return ProtobufError(
        f"the protobuf in {root} cannot be used",
        looked=looked,
        fix=[
            "name a folder whose bin/protoc, include/ and lib/ come from one installation of "
            "protobuf, with lib/libprotobuf-lite",
            own,
        ],
    )


def _report(choice: Choice, record: Record) -> None:
    for entry in choice.rejected:
        described = entry.description
        record.decide(
            "protobuf not used",
            f"{described.candidate.root} ({described.linkage})",
            "; ".join(entry.reasons),
            described.candidate.origin,
        )
    if choice.chosen is not None:
        chosen = choice.chosen
        record.decide("protobuf", str(chosen.install), choice.reason, chosen.candidate.origin)


def _decide_linkage(install: ProtobufInstall, wanted: Wanted, record: Record) -> None:
    flag = "ON" if install.use_shared_libs else "OFF"
    fact = f"{install.lite_library} is a {install.linkage} library, by its content"
    as_wanted = install.linkage is wanted.linkage
    record.decide(
        "protobuf linkage", str(install.linkage), fact, wanted.who if as_wanted else "probe"
    )
    record.decide(_WISH, flag, fact, "probe")
    record.decide("protobuf runtime", "lite", _LITE_REASON, "fixed")


def _contradict_wish(
    install: ProtobufInstall, wanted: Wanted, resolved: Resolved, record: Record
) -> None:
    """Say aloud that a wish in the environment is not followed, because --protobuf is an order."""
    wish = resolved.config.use_shared_env
    if wish is None or wish == install.use_shared_libs:
        return
    who = _wish_text(resolved.config, resolved.origins)
    if wanted.who == who:
        return  # the choice had to depart from it, and has said why
    flag = "ON" if install.use_shared_libs else "OFF"
    why = f" ({resolved.origins['protobuf']})" if resolved.given("protobuf") else ""
    record.warn(
        f"{who} is not followed: {install.lite_library} is a {install.linkage} library{why}, so "
        f"{_WISH}={flag} it is"
    )


def _wish_text(config: BuildConfig, origins: Mapping[str, str]) -> str:
    return f"{origins['use_shared_env']}={'ON' if config.use_shared_env else 'OFF'}"


def _other(linkage: Linkage) -> Linkage:
    return Linkage.STATIC if linkage is Linkage.SHARED else Linkage.SHARED
