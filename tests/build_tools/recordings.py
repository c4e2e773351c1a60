"""The recorded outputs in ``recorded/``: what they are stands in its README."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from build_tools.toolchain.vsenv import parse_set
from tests.build_tools.support import make_host

if TYPE_CHECKING:
    from build_tools.host import Host

FOLDER = Path(__file__).with_name("recorded")


def text(name: str) -> str:
    """The content of a recorded output."""
    return (FOLDER / name).read_text(encoding="utf-8")


def environ(name: str) -> dict[str, str]:
    """The environment of a recorded ``set``, with the names that Python gives them on Windows."""
    return parse_set(text(f"set-{name}.txt"))


def windows_host(prompt: str = "plain", **changes: object) -> Host:
    """A 64-bit Windows with a 64-bit Python, started from a recorded prompt."""
    facts: dict[str, object] = {
        "system": "windows",
        "machine": "x86_64",
        "exe_suffix": ".exe",
        "shared_suffix": ".dll",
        "environ": environ(prompt),
        "long_paths": False,
    }
    return make_host(**{**facts, **changes})
