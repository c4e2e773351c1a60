"""The result: whether what is built can live with what is installed."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from build_tools.config import Linkage
from build_tools.doctor.model import Check, Finding, fatal, note, warning
from build_tools.doctor.upstream_build import from_source
from build_tools.releases import python_protobuf_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from build_tools.doctor.facts import Distribution, Facts

_LITE = "ONNX_USE_LITE_PROTO"
_CHECKED_SINCE = Version("5.27")
"""Generated Python code of this protobuf and later compares itself with the run time."""
_BUILDS_DESCRIPTORS = Version("3.19")
"""Generated code before this makes descriptors in a way that run times from 4 on refuse."""

_NO_ENVIRONMENT = "no Python environment answers"
_OUR_OWN = "the wheel of onnxforge has no generated Python code and needs no Python protobuf"


def _environment(facts: Facts) -> str:
    return "" if facts.target is not None and not facts.target.problem else _NO_ENVIRONMENT


def _clash(facts: Facts) -> Iterator[Finding]:
    assert facts.target is not None
    for one, other in combinations(facts.target.extensions, 2):
        if one.package == other.package:
            continue
        shared = one.shared_names & other.shared_names
        if shared:
            example = min(shared, key=len)
            yield note(
                f"{one.package} and {other.package} export {len(shared)} names in common",
                f"{one.path.name} and {other.path.name}, e.g. {example}",
                "import them in one process in both orders, and run both",
            )
    release = facts.release
    if release is not None and not release.hides_symbols and _carriers(facts):
        yield warning(
            f"the wheel of ONNX {facts.config.onnx_version} exports thousands of names, and "
            f"{', '.join(_carriers(facts))} in this environment may take them for their own",
            "since 1.19 it is linked without --exclude-libs,ALL",
            from_source(facts, LDFLAGS="-Wl,--exclude-libs,ALL"),
            spared="its wheel exports one name, PyInit__core",
        )


def _carriers(facts: Facts) -> list[str]:
    """Return the installed packages, ONNX apart, that export names of ONNX or protobuf."""
    assert facts.target is not None
    having = (entry.package for entry in facts.target.extensions if entry.shared_names)
    return [name for name in dict.fromkeys(having) if name not in ("onnx", "google")]


def _descriptors(facts: Facts) -> Iterator[Finding]:
    taken = facts.library(facts.taken_library)
    lite = facts.cmake_settings.get(_LITE, "OFF").upper() in {"ON", "1", "TRUE", "YES"}
    if lite or taken is None or taken.linkage is not Linkage.SHARED:
        return
    assert facts.target is not None
    others = [
        entry
        for entry in facts.target.extensions
        if entry.package != "onnx" and entry.holds_onnx_proto and entry.needs_protobuf
    ]
    say = fatal if others else warning
    names = ", ".join(f"{entry.package} ({entry.path.name})" for entry in others)
    yield say(
        "a full protobuf would be shared, and every library with ONNX's messages registers them "
        "in it",
        f"{taken.path} is shared and full"
        + (
            f"; {names} registers onnx/onnx-ml.proto in {others[0].needs_protobuf}"
            if others
            else ""
        ),
        from_source(facts, f"-D{_LITE}=ON"),
        spared="it links the lite run time, which has no registry",
    )


def _gencode(facts: Facts) -> Iterator[Finding]:
    assert facts.target is not None
    installed = facts.target.distribution("protobuf")
    if installed is None or not facts.gencode:
        return
    generated = python_protobuf_of(facts.gencode)
    why = why_refused(generated, installed.version)
    if why:
        yield fatal(
            f"code that protoc {facts.gencode} generates does not run on the installed protobuf "
            f"{installed.version}: {why}",
            f"{facts.target.site_packages} has protobuf {installed.version}; the code would be of "
            f"{generated}",
            f"{facts.target.path} -m pip install 'protobuf>={generated}'",
            spared=_OUR_OWN,
        )


def why_refused(generated: str, runtime: str) -> str:
    """Return why a Python protobuf refuses generated code; empty where it takes it."""
    try:
        code, run = Version(generated), Version(runtime)
    except InvalidVersion:
        return ""
    if code < _BUILDS_DESCRIPTORS:
        return "Descriptors cannot be created directly" if run.major >= 4 else ""
    if code >= _CHECKED_SINCE and run < _CHECKED_SINCE:
        return "cannot import name 'runtime_version' from 'google.protobuf'"
    if code < _CHECKED_SINCE or run >= code:
        # One older major release is taken, with a warning.
        too_old = code >= _CHECKED_SINCE and run.major > code.major + 1
        return "it is more than one major release older" if too_old else ""
    return f"VersionError: gencode {generated} runtime {runtime}"


def _pins(facts: Facts) -> Iterator[Finding]:
    assert facts.target is not None
    release = facts.release
    if release is None:
        return
    generated = _parsed(release.python_protobuf)
    for entry in facts.target.distributions:
        if entry.name != "onnx" and entry.protobuf and not _compatible(entry, generated):
            yield warning(
                f"{entry.name} {entry.version} wants protobuf{entry.protobuf}, and ONNX "
                f"{facts.config.onnx_version} wants protobuf{release.python_protobuf}",
                f"one environment holds one protobuf; {facts.target.site_packages}",
                f"python -m venv apart && apart/bin/pip install onnx=={facts.config.onnx_version}",
                f"pip install --upgrade {entry.name}",
                spared=_OUR_OWN,
            )


def _parsed(text: str) -> SpecifierSet:
    try:
        return SpecifierSet(text)
    except InvalidSpecifier:
        return SpecifierSet()


def _compatible(entry: Distribution, wanted: SpecifierSet) -> bool:
    """Say whether some release of protobuf is right for both, by the bounds that they name."""
    both = _parsed(entry.protobuf) & wanted
    candidates = {spec.version.rstrip(".*") for spec in both}
    tried = {version for text in candidates for version in _around(text)}
    return any(both.contains(version, prereleases=True) for version in tried)


def _around(text: str) -> Iterator[str]:
    """Yield a bound and what lies directly above it."""
    numbers = Version(text).release
    yield text
    yield ".".join(map(str, (*numbers, 1)))
    yield ".".join(map(str, (*numbers[:-1], numbers[-1] + 1)))


CHECKS = (
    Check(
        identifier="exported-symbols-clash",
        title="Two packages export the same names of ONNX, protobuf or abseil",
        symptoms=("Segmentation fault (core dumped)  (when imported with torch or tensorflow)",),
        cause="Extensions that are linked without hiding what they are made of offer it to the "
        "whole process; the first one wins, GNU_UNIQUE names even under RTLD_LOCAL.",
        look="The dynamic symbol tables of the packages in the environment are compared.",
        cure="The wheel exports its initialisation function and nothing else, which is proved.",
        examine=_clash,
        applies=_environment,
    ),
    Check(
        identifier="descriptor-registered-twice",
        title="Two libraries register the same messages",
        symptoms=(
            "File already exists in database: onnx/onnx-ml.proto",
            "CHECK failed: GeneratedDatabase()->Add(encoded_file_descriptor, size)",
        ),
        cause="Each library with ONNX's generated code registers it in the one full libprotobuf "
        "that they share, and the second time the process is ended.",
        look="The link mode, ONNX_USE_LITE_PROTO, and the installed libraries that have the "
        "message descriptions and need a shared protobuf.",
        cure="The lite run time is linked, which has no registry.",
        examine=_descriptors,
        applies=_environment,
    ),
    Check(
        identifier="generated-code-too-new",
        title="Generated Python code does not fit the installed protobuf",
        symptoms=(
            "ImportError: cannot import name 'runtime_version' from 'google.protobuf'",
            "VersionError: Detected mismatched Protobuf Gencode/Runtime major versions … gencode "
            "6.31.1 runtime 5.29.5",
            "TypeError: Descriptors cannot be created directly.",
        ),
        cause="protoc decides which run times its Python code works with: none that is older, and "
        "none that is two major releases newer; code from before 3.19 stops at 4.",
        look="The protoc that would be used is compared with the installed Python protobuf.",
        cure="The engine has no generated Python code.",
        examine=_gencode,
        applies=lambda facts: (
            _environment(facts)
            or (
                ""
                if facts.target and facts.target.distribution("protobuf")
                else "the environment has no Python protobuf"
            )
        ),
    ),
    Check(
        identifier="protobuf-pin-conflict",
        title="Packages want different Python protobufs",
        symptoms=("pip: onnx X requires protobuf<…, but you have …", "ResolutionImpossible"),
        cause="An environment holds one protobuf, and each package names its own range.",
        look="The requirements of everything that is installed are compared with ONNX's.",
        cure="The engine needs no Python protobuf.",
        examine=_pins,
        applies=_environment,
    ),
)
