"""What a wheel is made from, as one key: when the key is the same, the wheel is the same."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from build_tools.storage import sha256_of, walk_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

# Everything that can change the wheel or what is proved of it. Tests and documents cannot.
ROOTS = (
    "CMakeLists.txt",
    "LICENSE",
    "README.md",
    "pyproject.toml",
    "build_tools",
    "cpp",
    "python",
    "third_party",
)
_MADE = ("__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache")
_MADE_SUFFIXES = (".pyc", ".so", ".pyd")


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Everything that the wheel depends on."""

    files: Mapping[str, str]
    """sha256 of each source file, by its path in the tree."""

    facts: Mapping[str, str]
    """What else counts: settings, compiler, tools, Python."""

    libraries: Mapping[str, str]
    """What identifies each library that is compiled in, by name."""

    @property
    def key(self) -> str:
        """One digest of all of it."""
        everything = [dict(self.files), dict(self.facts), dict(self.libraries)]
        return hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()

    def changes(self, earlier: Mapping[str, Any]) -> list[str]:
        """Say what differs from the inputs of an earlier report, most telling first."""
        return [
            *_differences(earlier.get("files", {}), self.files),
            *_differences(earlier.get("facts", {}), self.facts),
            *_differences(earlier.get("libraries", {}), self.libraries),
        ]

    def as_dict(self) -> dict[str, Any]:
        """Return what the report keeps."""
        return {
            "key": self.key,
            "files": dict(self.files),
            "facts": dict(self.facts),
            "libraries": dict(self.libraries),
        }


def source_files(root: Path) -> dict[str, str]:
    """Return the sha256 of every source file below ``root``, tracked by git or not."""
    return {
        path.relative_to(root).as_posix(): sha256_of(path)
        for name in ROOTS
        for path in _files(root / name)
    }


def _files(path: Path) -> Iterator[Path]:
    found = walk_files(path) if path.is_dir() else [path] if path.is_file() else []
    for file in found:
        is_made = file.suffix in _MADE_SUFFIXES or not set(_MADE).isdisjoint(file.parts)
        if not is_made and file.is_file():
            yield file


def _differences(earlier: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    names = sorted(earlier.keys() | now.keys())
    return [name for name in names if earlier.get(name) != now.get(name)]
