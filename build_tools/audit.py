"""Proofs about a finished wheel: what it exports, what it needs, where it runs, what it holds.

Every check is a pure function from a wheel that was read to one ``Proof``; ``examine`` reads and
runs them all, ``audit`` also records what they say; only then do they fail.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from build_tools.audit_platform import prove_platform
from build_tools.bill.prove import gather, prove_bill
from build_tools.config import Linkage
from build_tools.errors import AuditError
from build_tools.record import Proof
from build_tools.wheel_file import WheelBinary, WheelFile, is_library

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from build_tools.context import Context
    from build_tools.target import Target

_ENTRY_POINTS = ("PyInit_", "PyModExport_")
_PROTOBUF = re.compile(r"(?i)(lib)?(protobuf|protoc|absl|utf8_)")
_OWN_FOLDER = re.compile(r"^(\$ORIGIN|@loader_path)(/|$)")
_SHOWN = 5
# What belongs into an installed package; everything else came along by mistake (headers, archives
# and CMake files of a dependency's own install rules, compiled caches, editor backups).
_PACKAGE_SUFFIXES = frozenset({".py", ".pyi", ".typed", ".json", ".onnx"})


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """What a wheel must be."""

    package: str
    """The one import package it installs."""

    protobuf: Linkage
    """How its extension modules get at protobuf."""

    repaired: bool
    """Whether it was made self-contained and given its final platform tag."""

    target: Target
    """What it is for."""

    any_content: bool = False
    """Whether the package may hold files of every kind: upstream's has headers and test data."""

    foreign_folders: tuple[Path, ...] = ()
    """Folders of the building machine that nothing in it may name."""

    described: bool = True
    """Whether it says what it is made of: a bill of materials, and the licences."""


@dataclass(frozen=True, kw_only=True)
class PlatformPolicy:
    """What auditwheel says about a wheel."""

    tag: str
    """The widest platform tag that is true of it, e.g. "manylinux_2_28_x86_64"."""

    external: tuple[str, ...]
    """The libraries it needs that the tag's policy does not promise to be there."""

    symbols: dict[str, str]
    """The newest version of each versioned symbol set it needs, e.g. {"GLIBC": "2.34"}."""

    special_processor: bool
    """Whether it runs only on processors newer than the tag says."""


@dataclass(frozen=True, kw_only=True)
class Audit:
    """Everything that was found out about a wheel."""

    wheel: WheelFile
    binaries: tuple[WheelBinary, ...]
    policy: PlatformPolicy | None
    proofs: tuple[Proof, ...]

    @property
    def extensions(self) -> tuple[WheelBinary, ...]:
        """The extension modules, without libraries that were copied in."""
        return tuple(binary for binary in self.binaries if not binary.vendored)

    def as_dict(self) -> dict[str, Any]:
        """Return what the report keeps."""
        return {
            "binaries": [_binary_dict(binary) for binary in self.binaries],
            "platform_tag": self.policy.tag if self.policy else None,
            "symbol_versions": self.policy.symbols if self.policy else {},
            "external_libraries": list(self.policy.external) if self.policy else [],
        }


def audit(path: Path, expected: Expectation, context: Context) -> Audit:
    """Prove that a wheel is what is expected, and record it; raises AuditError where it is not."""
    found = examine(path, expected, context)
    for proof in found.proofs:
        context.record.prove(proof.claim, proof.evidence, proof.ok)
    require(found)
    return found


def examine(path: Path, expected: Expectation, context: Context) -> Audit:
    """Read a wheel and compare it with what is expected."""
    wheel = WheelFile.open(path)
    binaries = wheel.binaries()
    policy = read_policy(path, context) if expected.target.system == "linux" else None
    proofs = tuple(_prove(wheel, binaries, policy, expected))
    return Audit(wheel=wheel, binaries=binaries, policy=policy, proofs=proofs)


def require(found: Audit) -> None:
    """Raise AuditError naming every claim that does not hold."""
    broken = [proof for proof in found.proofs if not proof.ok]
    if broken:
        raise AuditError(
            f"{found.wheel.path.name} is not what a wheel of this project must be",
            looked=[f"{proof.claim}? no: {proof.evidence}" for proof in broken],
            fix="see the configure summary in the log for how it was linked",
        )


def _prove(
    wheel: WheelFile,
    binaries: tuple[WheelBinary, ...],
    policy: PlatformPolicy | None,
    expected: Expectation,
) -> Iterable[Proof]:
    modules = [binary for binary in binaries if not binary.vendored]
    yield prove_exports(modules)
    yield prove_private_names(modules)
    yield prove_protobuf_linkage(modules, expected.protobuf)
    yield prove_hardening(modules)
    yield prove_no_source_paths(modules)
    if expected.repaired:
        yield prove_search_path(binaries)
        if policy:
            yield prove_self_contained(binaries, policy)
    if policy:
        yield prove_platform_tag(wheel.platforms, policy)
    if expected.target.system == "linux":
        yield prove_machine(binaries, expected.target)
    yield from prove_platform(wheel.platforms, binaries, repaired=expected.repaired)
    if not expected.target.is_native:
        yield prove_target(wheel.platforms, expected.target)
        yield prove_python(wheel, modules, expected.target)
    if expected.foreign_folders:
        named = wheel.mentions([str(folder) for folder in expected.foreign_folders])
        yield _all_true("it names no folder of the building machine", named, _members(wheel))
    yield prove_content(
        wheel.members, wheel.dist_info, expected.package, any_content=expected.any_content
    )
    if expected.described:
        yield from prove_bill(gather(wheel, binaries))
    yield _all_true("RECORD is true of every file", wheel.record_problems(), _members(wheel))
    yield _all_true("name, version and tags agree", wheel.name_problems(), wheel.path.name)


def prove_exports(modules: Iterable[WheelBinary]) -> Proof:
    """Only the entry point of each module is exported: nothing can clash with another package."""
    exported = {name for module in modules for name in module.exported}
    leaked = sorted(name for name in exported if not name.startswith(_ENTRY_POINTS))
    evidence = f"{len(leaked)} other names: {_some(leaked)}" if leaked else _some(sorted(exported))
    return Proof(
        claim="only PyInit_* is exported",
        evidence=evidence or "no module exports anything",
        ok=bool(exported) and not leaked,
    )


def prove_private_names(modules: Iterable[WheelBinary]) -> Proof:
    """No name is bound for the whole process, even where a module is loaded privately."""
    unique = sorted({name for module in modules for name in module.hardening.unique})
    return Proof(
        claim="no name is unique in the whole process (GNU_UNIQUE)",
        evidence=f"{len(unique)}: {_some(unique)}" if unique else "none",
        ok=not unique,
    )


def prove_hardening(modules: Iterable[WheelBinary]) -> Proof:
    """The protections that the linker offers are in place."""
    lacks = [f"{module.member}: {what}" for module in modules for what in module.hardening.lacks]
    return Proof(
        claim="it has the linker's protections: relocations, stack and data",
        evidence=f"missing: {_some(lacks)}" if lacks else "none is missing",
        ok=not lacks,
    )


def prove_no_source_paths(modules: Iterable[WheelBinary]) -> Proof:
    """It does not tell where the sources lay when it was compiled."""
    paths = sorted({path for module in modules for path in module.hardening.source_paths})
    return Proof(
        claim="no absolute path of a source file is in it",
        evidence=f"{len(paths)}: {_some(paths)}" if paths else "none",
        ok=not paths,
    )


def prove_protobuf_linkage(modules: Iterable[WheelBinary], linkage: Linkage) -> Proof:
    """The modules name a protobuf library as needed exactly when it was linked shared."""
    needed = sorted({name for module in modules for name in module.dynamic.needed})
    protobuf = [name for name in needed if _PROTOBUF.match(name)]
    if linkage is Linkage.STATIC:
        claim = "protobuf is linked in: no module needs a protobuf library"
        return Proof(claim=claim, evidence=f"needed: {', '.join(needed)}", ok=not protobuf)
    return Proof(
        claim="protobuf is linked shared: the modules need a protobuf library",
        evidence=f"needed: {', '.join(protobuf) or 'none of ' + ', '.join(needed)}",
        ok=bool(protobuf),
    )


def links_protobuf(module: WheelBinary) -> bool:
    """Say whether a module needs a protobuf library at run time."""
    return any(_PROTOBUF.match(name) for name in module.dynamic.needed)


def prove_search_path(binaries: Iterable[WheelBinary]) -> Proof:
    """No binary looks for libraries in a folder of the machine it was built on."""
    folders = {(binary.member, folder) for binary in binaries for folder in binary.dynamic.search}
    foreign = sorted(f"{member}: {folder}" for member, folder in folders if not _own(folder))
    shown = ", ".join(sorted({folder for _, folder in folders})) or "no run path at all"
    return Proof(
        claim="libraries are looked for in the wheel only",
        evidence=_some(foreign) if foreign else shown,
        ok=not foreign,
    )


def prove_self_contained(binaries: tuple[WheelBinary, ...], policy: PlatformPolicy) -> Proof:
    """Every needed library is in the wheel or promised by the platform tag."""
    inside = {PurePosixPath(binary.member).name for binary in binaries}
    missing = [name for name in policy.external if name not in inside]
    vendored = sorted(binary.member for binary in binaries if binary.vendored)
    return Proof(
        claim="every library it needs is in it or promised by its platform tag",
        evidence=f"not found: {_some(missing)}"
        if missing
        else f"brought along: {', '.join(vendored) or 'nothing'}",
        ok=not missing,
    )


def prove_platform_tag(claimed: tuple[str, ...], policy: PlatformPolicy) -> Proof:
    """The file's name promises no more systems than the symbols it needs allow."""
    needs = ", ".join(f"{name} {version}" for name, version in sorted(policy.symbols.items()))
    modest = all(tag.startswith("linux_") for tag in claimed)
    true_of = policy.tag in claimed or modest
    return Proof(
        claim=f"the platform tag is true: {'.'.join(claimed)}",
        evidence=f"auditwheel: {policy.tag}; newest symbols needed: {needs or 'none'}",
        ok=true_of and not policy.special_processor,
    )


def prove_machine(binaries: Iterable[WheelBinary], target: Target) -> Proof:
    """Every binary is for the processor of the platform tag."""
    machines = sorted({binary.machine for binary in binaries})
    return Proof(
        claim=f"every binary is for {target.machine}",
        evidence=", ".join(machines) or "there is none",
        ok=machines == [target.machine],
    )


def prove_target(claimed: tuple[str, ...], target: Target) -> Proof:
    """It has earned the tag that it was built for, and not only a narrower or another one."""
    return Proof(
        claim=f"its platform tag is that of the target, {target}",
        evidence=".".join(claimed),
        ok=target.name in claimed,
    )


def prove_python(wheel: WheelFile, modules: Iterable[WheelBinary], target: Target) -> Proof:
    """The extension's file name is what that Python on that system looks for."""
    (interpreter,) = {tag.interpreter for tag in wheel.tags}
    suffix = target.extension_suffix(f"3.{interpreter.removeprefix('cp3')}")
    names = [module.member for module in modules]
    needed = {name.lower() for module in modules for name in module.dynamic.needed}
    pythons = sorted(name for name in needed if name.startswith("python"))
    own = [f"python{interpreter.removeprefix('cp')}.dll"] if target.system == "windows" else []
    return Proof(
        claim=f"its module is one that {interpreter} on {target} imports",
        evidence=", ".join([*names, *pythons]),
        ok=bool(names) and all(name.endswith(suffix) for name in names) and pythons == own,
    )


def prove_content(
    members: Iterable[str], dist_info: str, package: str, *, any_content: bool = False
) -> Proof:
    """There is one package, its metadata, its vendored libraries, and no stray file."""
    folders = {package, dist_info, f"{package}.libs"}
    stray = sorted(
        name for name in members if not _belongs(PurePosixPath(name), folders, any_content)
    )
    return Proof(
        claim=f"it holds the package {package} and its metadata, nothing else",
        evidence=f"stray: {_some(stray)}" if stray else f"{len(list(members))} files",
        ok=not stray,
    )


def read_policy(path: Path, context: Context) -> PlatformPolicy:
    """Ask auditwheel for the widest platform tag that is true of a wheel."""
    python = context.host.python.executable
    command: list[str | Path] = [python, "-m", "auditwheel", "show", "--json", path]
    result = context.runner.run(command, env=context.host.environ)
    if not result.ok:
        raise AuditError(f"auditwheel cannot read {path.name}", looked=[result.text])
    return parse_policy(json.loads(result.stdout))


def parse_policy(shown: Mapping[str, Any]) -> PlatformPolicy:
    """Turn what ``auditwheel show --json`` prints into a value."""
    versions: dict[str, str] = {}
    for names in shown["versioned_symbols"].values():
        for name in names:
            family, _, version = str(name).rpartition("_")
            versions[family] = max(versions.get(family, ""), version, key=_version_key)
    return PlatformPolicy(
        tag=str(shown["overall_tag"]),
        external=tuple(sorted(shown["external_libs"])),
        symbols=versions,
        special_processor=bool(shown["unsupported_isa"]),
    )


def _version_key(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _own(folder: str) -> bool:
    return bool(_OWN_FOLDER.match(folder))


def _belongs(member: PurePosixPath, folders: set[str], any_content: bool) -> bool:
    top = member.parts[0]
    if top not in folders or len(member.parts) < 2 or ".." in member.parts:
        return False
    in_package = not top.endswith((".dist-info", ".libs"))
    return (
        any_content
        or not in_package
        or is_library(member.name)
        or member.suffix in _PACKAGE_SUFFIXES
        or (member.name == "py.typed")
    )


def _all_true(claim: str, problems: Iterable[str], evidence: str) -> Proof:
    found = list(problems)
    return Proof(claim=claim, evidence=_some(found) if found else evidence, ok=not found)


def _members(wheel: WheelFile) -> str:
    return f"{len(wheel.members)} files, {sum(wheel.members.values()) / 1e6:.1f} MB unpacked"


def _some(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _binary_dict(binary: WheelBinary) -> dict[str, Any]:
    return {
        "member": binary.member,
        "bytes": binary.size,
        "exported": len(binary.exported),
        "needed": list(binary.dynamic.needed),
        "vendored": binary.vendored,
    }
