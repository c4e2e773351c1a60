"""Abseils, the loader's folders and emulation: read from files below a root."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from build_tools.doctor.facts import AbseilFound

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from build_tools.host import Host
    from build_tools.process import Runner

_RELEASE = re.compile(r"#define ABSL_LTS_RELEASE_VERSION (\d+)")
_STRING_VIEW = re.compile(r"#define ABSL_OPTION_USE_STD_STRING_VIEW (\d)")
_STRING_VIEWS = {"0": "absl", "1": "std", "2": "either"}
_LOADER_LINE = re.compile(r"=> (/.*)/[^/]+$", re.M)
_INTEL = re.compile(r"GenuineIntel|AuthenticAMD")


def abseils(roots: Iterable[Path]) -> Iterator[AbseilFound]:
    """Yield the abseil below each root that has one."""
    for root in dict.fromkeys(roots):
        folder = root / "include/absl/base"
        release = _RELEASE.search(_text(folder / "config.h"))
        option = _STRING_VIEW.search(_text(folder / "options.h"))
        if option:
            yield AbseilFound(
                root=root,
                version=release.group(1) if release else "head",
                string_view=_STRING_VIEWS.get(option.group(1), "either"),
            )


def loader_folders(host: Host, runner: Runner) -> Iterator[Path]:
    """Yield the folders that the loader of programs looks into by itself."""
    for part in host.environ.get("LD_LIBRARY_PATH", "").split(":"):
        if part:
            yield Path(part)
    for program in ("ldconfig", "/sbin/ldconfig"):
        said = runner.run([program, "-p"], env=host.environ)
        if said.ok:
            yield from dict.fromkeys(Path(name) for name in _LOADER_LINE.findall(said.stdout))
            return
    yield from (Path("/lib"), Path("/usr/lib"), Path("/usr/local/lib"))


def emulated(host: Host, root: Path = Path("/")) -> str:
    """Return the processor that runs this machine's programs by emulation; empty: none."""
    if host.machine in ("x86_64", "i386", "i686"):
        return ""
    return "x86_64" if _INTEL.search(_text(root / "proc/cpuinfo")) else ""


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
