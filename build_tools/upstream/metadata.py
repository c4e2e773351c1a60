"""What the finished wheel says it requires, set to what its generated code was proved to need."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from build_tools.errors import ConfigError, WheelError
from build_tools.wheel_file import WheelFile

if TYPE_CHECKING:
    from build_tools.context import Context

_RUNTIME = re.compile(r"^#define PROTOBUF_OSS_VERSION (\d+)$", re.MULTILINE)
_PROTOBUF = re.compile(r"^Requires-Dist: (protobuf\b.*)$", re.MULTILINE)


def protobuf_range(text: str) -> SpecifierSet:
    """Return a range of Python protobufs as a person wrote it; raises ConfigError."""
    try:
        return SpecifierSet(text)
    except InvalidSpecifier as error:
        raise ConfigError(
            f"--protobuf-runtime {text!r} is not a range of versions",
            fix="write it as in Requires-Dist: '>=3.20.2', '>=4.21,<6'",
        ) from error


def required_protobuf(wheel: Path) -> SpecifierSet:
    """Return the range of Python protobufs that a wheel asks for."""
    for line in WheelFile.open(wheel).metadata("METADATA").get("Requires-Dist", []):
        requirement = Requirement(line)
        if requirement.name == "protobuf":
            return requirement.specifier
    raise WheelError(f"{wheel.name} does not require protobuf", looked=["METADATA"])


def generated_floor(include_dir: Path) -> Version | None:
    """Return the lowest Python protobuf that loads what the protoc of these headers generates.

    Since release 26 the code itself refuses a runtime older than its generator; None before.
    """
    header = include_dir / "google/protobuf/runtime_version.h"
    found = _RUNTIME.search(header.read_text(encoding="utf-8")) if header.is_file() else None
    if found is None:
        return None
    number = int(found[1])
    return Version(f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}")


def at_least(wanted: SpecifierSet, floor: Version) -> SpecifierSet:
    """Return a range without what lies below ``floor``."""
    lower = [part for part in wanted if part.operator in {">=", ">"}]
    if any(Version(part.version) >= floor for part in lower):
        return wanted
    kept = [str(part) for part in wanted if part not in lower]
    return SpecifierSet(",".join([*kept, f">={floor}"]))


def require_protobuf(wheel: Path, wanted: SpecifierSet, context: Context) -> None:
    """Write a range of Python protobufs into a wheel's Requires-Dist; the wheel is replaced."""
    if required_protobuf(wheel) == wanted:
        return
    python = context.host.python.executable
    with tempfile.TemporaryDirectory(prefix="onnxforge-metadata-") as name:
        scratch = Path(name)
        _wheel_tool(context, python, "unpack", "--dest", scratch, wheel)
        (tree,) = scratch.iterdir()
        (metadata,) = tree.glob("*.dist-info/METADATA")
        text = metadata.read_text(encoding="utf-8")
        line = f"Requires-Dist: protobuf{_ordered(wanted)}"
        metadata.write_text(_PROTOBUF.sub(line, text, count=1), encoding="utf-8")
        _wheel_tool(context, python, "pack", "--dest-dir", wheel.parent, tree)


def _ordered(wanted: SpecifierSet) -> str:
    """Return a range with its parts always in the same order."""
    return ",".join(sorted(str(part) for part in wanted))


def _wheel_tool(context: Context, python: Path, *arguments: str | Path) -> None:
    environ = {**context.host.environ, "SOURCE_DATE_EPOCH": context.host.source_date_epoch}
    said = context.runner.run([python, "-m", "wheel", *arguments], env=environ)
    if not said.ok:
        raise WheelError("the wheel's metadata cannot be rewritten", looked=[said.text])
