"""Real files of Windows, made on any system that has MinGW."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

GCC = shutil.which("x86_64-w64-mingw32-gcc")
AR = shutil.which("x86_64-w64-mingw32-ar")
needs_mingw = pytest.mark.skipif(not (GCC and AR), reason="no MinGW here (mingw-w64)")
SHOWN = "__declspec(dllexport)"


def dll(folder: Path, name: str, source: str, *flags: str) -> Path:
    """Make ``<name>.dll`` and its import library ``lib<name>.dll.a``; return the DLL."""
    code, made = folder / f"{name}.c", folder / f"{name}.dll"
    code.write_text(source, encoding="utf-8")
    implib = f"-Wl,--out-implib,{folder / f'lib{name}.dll.a'}"
    _run(GCC, "-shared", "-nostdlib", "-Wl,--entry=0", "-o", made, code, implib, *flags)
    return made


def archive(folder: Path, name: str, source: str) -> Path:
    """Make the static library ``lib<name>.a``."""
    code, made = folder / f"{name}.c", folder / f"lib{name}.a"
    code.write_text(source, encoding="utf-8")
    _run(GCC, "-c", "-o", code.with_suffix(".o"), code)
    _run(AR, "rcs", made, code.with_suffix(".o"))
    return made


def extension(folder: Path, *flags: str) -> bytes:
    """Make an extension module that exports its entry point and return its bytes."""
    source = f"{SHOWN} void *PyInit__core(void) {{ return 0; }}\n"
    return dll(folder, "_core", source, *flags).read_bytes()


def _run(*command: str | Path | None) -> None:
    subprocess.run([str(word) for word in command], check=True, capture_output=True)
