"""What was proved of a protobuf of our own is kept beside it, for the runs that find it there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from build_tools.config import Linkage
from build_tools.protobuf.model import Candidate, Description, ProtobufInstall, RuntimeLibrary
from build_tools.record import Proof

if TYPE_CHECKING:
    from collections.abc import Mapping

_FILE = Path("share/onnxforge/protobuf.json")
_PATHS = ("protoc", "include_dir", "lite_library", "library")
_TEXTS = ("version", "protoc_version", "header_version", "origin")


def remember(prefix: Path, description: Description) -> None:
    """Write down a usable description inside the prefix; paths are relative to it."""
    install = description.install
    assert install is not None
    known: dict[str, Any] = {name: getattr(install, name) for name in _TEXTS}
    for name in _PATHS:
        path: Path | None = getattr(install, name)
        known[name] = None if path is None else path.relative_to(prefix).as_posix()
    known["linkage"] = install.linkage.value
    known["runtime_libraries"] = {
        library.name: library.path.relative_to(prefix).as_posix()
        for library in install.runtime_libraries
    }
    known["proofs"] = [[proof.claim, proof.evidence] for proof in description.proofs]
    file = prefix / _FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(known, indent=1, sort_keys=True), encoding="utf-8")


def recall(prefix: Path, linkage: Linkage) -> Description | None:
    """Return what was written down for a prefix; None if that cannot be read."""
    try:
        known = json.loads((prefix / _FILE).read_text(encoding="utf-8"))
        install = _read(prefix, known)
        proofs = tuple(Proof(claim=claim, evidence=said) for claim, said in known["proofs"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    if install.linkage is not linkage:
        return None
    candidate = Candidate(root=prefix, origin=install.origin)
    return Description(candidate=candidate, linkage=linkage, install=install, proofs=proofs)


def _read(prefix: Path, known: Mapping[str, Any]) -> ProtobufInstall:
    libraries = (
        RuntimeLibrary(name=name, path=prefix / path)
        for name, path in known["runtime_libraries"].items()
    )
    full = known["library"]
    return ProtobufInstall(
        root=prefix,
        version=known["version"],
        protoc=prefix / known["protoc"],
        protoc_version=known["protoc_version"],
        include_dir=prefix / known["include_dir"],
        header_version=known["header_version"],
        lite_library=prefix / known["lite_library"],
        library=None if full is None else prefix / full,
        linkage=Linkage(known["linkage"]),
        origin=known["origin"],
        runtime_libraries=tuple(libraries),
    )
