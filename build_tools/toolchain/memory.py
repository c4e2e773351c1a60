"""Probe answers, remembered between runs for as long as the compiler's file stays the same."""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from build_tools.toolchain.families import traits_of
from build_tools.toolchain.model import FLAG_VARIABLES, Probe, Probes
from build_tools.toolchain.probe import SOURCES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from build_tools.toolchain.model import Compiler


_PROBE_COUNT = sum(entry.type == "Probe" for entry in fields(Probes))


def key_of(compiler: Compiler, environ: Mapping[str, str]) -> str:
    """Return what the answers depend on: the driver's file, its words, the flags, the probes."""
    file = compiler.cxx.resolve()
    state = file.stat()
    facts = (
        *(str(part) for part in (file, state.st_mtime_ns, state.st_size)),
        *(compiler.family.value, compiler.version, compiler.target),
        *compiler.cxx_command,
        *(f"{name}={environ.get(name, '')}" for name in FLAG_VARIABLES),
        *_seen_by(compiler, environ),
        *SOURCES,
    )
    return hashlib.sha256("\0".join(facts).encode()).hexdigest()


def _seen_by(compiler: Compiler, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return what cl compiles with beside its file: the folders and flags of the environment."""
    variables = traits_of(compiler.family).dialect.variables
    names = (*variables, "INCLUDE", "LIB") if variables else ()
    return tuple(f"{name}={environ.get(name, '')}" for name in names)


def recall(cache_dir: Path, key: str) -> Probes | None:
    """Return remembered answers; None where there are none that can be read."""
    try:
        raw = json.loads(_file(cache_dir, key).read_text(encoding="utf-8"))
        values: dict[str, Any] = {name: _value(item) for name, item in raw.items()}
        probes = Probes(**values)
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return probes if len(dict(probes.named())) == _PROBE_COUNT else None


def remember(cache_dir: Path, key: str, probes: Probes) -> None:
    """Keep answers for the next run; a cache that cannot be written only costs time."""
    target = _file(cache_dir, key)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=target.parent, prefix=".", suffix=".tmp", delete=False
        ) as temporary:
            json.dump(asdict(probes), temporary, indent=1)
        Path(temporary.name).replace(target)
    except OSError:
        return


def _file(cache_dir: Path, key: str) -> Path:
    return cache_dir / "probes" / f"{key[:32]}.json"


def _value(item: Any) -> Probe | str:
    return Probe(**item) if isinstance(item, dict) else str(item)
