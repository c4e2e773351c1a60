"""The probes' Windows branches, compiled by MinGW and run by Wine, where both are there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from build_tools.process import SystemRunner
from build_tools.toolchain.describe import describe
from build_tools.toolchain.model import Candidate
from build_tools.toolchain.probe import probe

CXX = shutil.which("x86_64-w64-mingw32-g++-posix") or shutil.which("x86_64-w64-mingw32-g++")
WINE = shutil.which("wine64") or shutil.which("wine", path="/usr/lib/wine:/usr/bin")
WINE = WINE or shutil.which("wine64", path="/usr/lib/wine")

pytestmark = pytest.mark.skipif(not (CXX and WINE), reason="no MinGW or no Wine here")


class Wine(SystemRunner):
    """Runs programs of Windows with Wine, in an environment of its own."""

    def __init__(self, prefix: Path) -> None:
        super().__init__()
        self._prefix = prefix

    def run(self, argv, *, cwd=None, env=None, timeout=None):
        own = {"WINEPREFIX": str(self._prefix), "WINEDEBUG": "-all"}
        command = [WINE, *argv] if str(argv[0]).endswith(".exe") else argv
        return super().run(command, cwd=cwd, env={**(env or {}), **own}, timeout=300)


def test_every_question_is_answered_by_programs_of_windows(tmp_path):
    cxx = Path(CXX)
    cc = cxx.with_name(cxx.name.replace("g++", "gcc"))
    found = describe(Candidate(cc=cc, cxx=cxx, origin="test"), SystemRunner(), dict(os.environ))
    assert found.for_windows
    # Its libraries are DLLs that Wine knows nothing of.
    probes = probe(found, Wine(tmp_path), {**os.environ, "LDFLAGS": "-static"})
    assert list(probes.missing()) == []
    assert probes.shared_objects.why == "a shared object was made, loaded and called"
    assert probes.visibility.why.endswith("is not found by the loader")
