"""What this machine and this Python are: the only reader of ``sys.platform`` and ``os.cpu_count``.

Everything else takes a ``Host`` value, so that a test can be any machine.
"""

from __future__ import annotations

import ctypes
import importlib
import math
import os
import platform
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from build_tools.cgroups import CgroupLimits, read_limits

if TYPE_CHECKING:
    from collections.abc import Mapping

System = Literal["linux", "darwin", "windows"]

_EXE_SUFFIX: dict[System, str] = {"linux": "", "darwin": "", "windows": ".exe"}
_SHARED_SUFFIX: dict[System, str] = {"linux": ".so", "darwin": ".dylib", "windows": ".dll"}
_MACHINE_NAMES = {"amd64": "x86_64", "x64": "x86_64"}
# A 32-bit Python on a 64-bit Windows needs 32-bit libraries, whatever the processor is called.
_WINDOWS_MACHINES = {"win-amd64": "x86_64", "win32": "x86", "win-arm64": "arm64"}


_FIRST_ZIP_DATE = "315532800"  # 1980-01-01, the first day that a zip archive can hold


@dataclass(frozen=True, kw_only=True)
class PythonFacts:
    """The Python that runs the builder and that the wheel is made for."""

    version: str
    """The full version, e.g. "3.11.7"."""

    executable: Path
    """The interpreter."""

    abi: str
    """The ABI part of a wheel's tag, e.g. "cp311", "cp314t"."""

    soabi: str
    """The ABI part of an extension's file name, e.g. "cpython-311-x86_64-linux-gnu"."""

    ext_suffix: str
    """How an extension's file name ends, e.g. ".cpython-311-x86_64-linux-gnu.so"."""

    include_dir: Path
    """Where Python.h is expected."""

    site_packages: Path
    """Where its packages are installed when no virtual environment is around it."""

    platform: str
    """What it was built for, e.g. "linux-x86_64", "win-amd64", "macosx-11.0-universal2"."""

    free_threaded: bool
    """Whether this Python was built without the global interpreter lock."""


@dataclass(frozen=True, kw_only=True)
class Host:
    """The machine the builder runs on."""

    system: System
    """The operating system's family."""

    machine: str
    """The processor that Python was built for, e.g. "x86_64", "aarch64", "arm64", "x86"."""

    cpus: int
    """Processors this process may use: affinity and control-group quota respected, at least 1."""

    memory_available: int
    """Bytes usable without swapping: what the machine or the control group leaves, the lesser."""

    swap_available: int = 0
    """Bytes of free swap space; 0 where that is not asked."""

    process_memory: int | None = None
    """Bytes of address space that one process may have (ulimit -v); None: there is no limit."""

    environ: Mapping[str, str]
    """The environment, with quotation marks taken out of PATH; on Windows, names in capitals."""

    python: PythonFacts
    """The Python that runs the builder."""

    exe_suffix: str
    """How an executable's name ends: "" or ".exe"."""

    shared_suffix: str
    """How a shared library's name ends: ".so", ".dylib" or ".dll"."""

    repairs: tuple[str, ...] = ()
    """What was repaired in the environment, in words to warn with."""

    long_paths: bool = True
    """Whether paths may be longer than 260 characters: on Windows only where it is switched on."""

    @property
    def source_date_epoch(self) -> str:
        """The date of everything that is made: SOURCE_DATE_EPOCH, else the first day of zip."""
        return self.environ.get("SOURCE_DATE_EPOCH") or _FIRST_ZIP_DATE

    @property
    def path_separator(self) -> str:
        """What separates the folders in PATH and in lists of folders."""
        return ";" if self.system == "windows" else ":"


def detect_host(environ: Mapping[str, str] = os.environ, root: Path = Path("/")) -> Host:
    """Describe this machine; ``root`` stands for the file system's root (for /proc and /sys)."""
    system = _system()
    limits = read_limits(root) if system == "linux" else CgroupLimits()
    repaired, repairs = _repair_path(environ)
    return Host(
        system=system,
        machine=_machine(sysconfig.get_platform()),
        cpus=_cpus(limits),
        memory_available=_memory(system, root, limits),
        swap_available=0 if limits.memory is not None else _meminfo(root, "SwapFree"),
        process_memory=_process_memory(system),
        environ=repaired,
        python=_python(),
        exe_suffix=_EXE_SUFFIX[system],
        shared_suffix=_SHARED_SUFFIX[system],
        repairs=repairs,
        long_paths=system != "windows" or _long_paths_enabled(),
    )


def _system() -> System:
    if sys.platform in {"win32", "cygwin"}:
        return "windows"
    return "darwin" if sys.platform == "darwin" else "linux"


def _machine(python_platform: str) -> str:
    name = platform.machine().lower()
    return _WINDOWS_MACHINES.get(python_platform) or _MACHINE_NAMES.get(name, name)


def _long_paths_enabled() -> bool:
    """Read the switch that lets programs of Windows use long paths; off where it is not there."""
    import winreg  # noqa: PLC0415 - Windows only

    registry: Any = winreg  # its functions are unknown to type checkers on other systems
    folder = r"SYSTEM\CurrentControlSet\Control\FileSystem"
    try:
        with registry.OpenKey(registry.HKEY_LOCAL_MACHINE, folder) as key:
            return bool(registry.QueryValueEx(key, "LongPathsEnabled")[0])
    except OSError:
        return False


def _cpus(limits: CgroupLimits) -> int:
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    share = math.inf if limits.cpus is None else limits.cpus
    return max(1, math.floor(min(allowed or 1, math.ceil(share) if share < math.inf else math.inf)))


def _memory(system: System, root: Path, limits: CgroupLimits) -> int:
    free = {"linux": _free_linux, "darwin": _free_darwin, "windows": _free_windows}[system](root)
    return free if limits.memory is None else min(free, limits.memory)


def _free_linux(root: Path) -> int:
    known = _meminfo(root, "MemAvailable")
    return known or os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _meminfo(root: Path, wanted: str) -> int:
    """Return a number of bytes that Linux tells; 0 where it does not."""
    try:
        text = (root / "proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return 0
    for line in text.splitlines():
        name, _, amount = line.partition(":")
        if name == wanted:
            return int(amount.split()[0]) * 1024
    return 0


def _process_memory(system: System) -> int | None:
    """Return what the shell's limit leaves one process; the stricter of two kinds."""
    if system == "windows":
        return None
    resource = importlib.import_module("resource")
    kinds = (resource.RLIMIT_AS, resource.RLIMIT_DATA)
    limits = [resource.getrlimit(kind)[0] for kind in kinds]
    return min((limit for limit in limits if limit != resource.RLIM_INFINITY), default=None)


def _free_darwin(_root: Path) -> int:
    # Free pages say little on macOS, which fills memory and compresses it; half is a safe share.
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


class _MemoryStatus(ctypes.Structure):
    """MEMORYSTATUSEX of the Windows API."""

    _fields_ = (
        ("length", ctypes.c_uint32),
        ("load", ctypes.c_uint32),
        *((name, ctypes.c_uint64) for name in ("total", "available", "page", "page_free")),
        *((name, ctypes.c_uint64) for name in ("virtual", "virtual_free", "extended")),
    )


def _free_windows(_root: Path) -> int:
    status = _MemoryStatus(length=ctypes.sizeof(_MemoryStatus))
    kernel = ctypes.CDLL("kernel32.dll")
    if not kernel.GlobalMemoryStatusEx(ctypes.byref(status)):
        raise OSError("GlobalMemoryStatusEx failed")
    return int(status.available)


def _python() -> PythonFacts:
    def variable(name: str) -> str:
        return str(sysconfig.get_config_var(name) or "")

    free_threaded = variable("Py_GIL_DISABLED") == "1"
    major, minor = sys.version_info[:2]
    return PythonFacts(
        version=platform.python_version(),
        executable=Path(sys.executable),
        abi=f"cp{major}{minor}{'t' if free_threaded else ''}",
        soabi=variable("SOABI"),
        ext_suffix=variable("EXT_SUFFIX"),
        include_dir=Path(sysconfig.get_path("include")),
        site_packages=Path(sysconfig.get_path("platlib", vars=_outermost())),
        platform=sysconfig.get_platform(),
        free_threaded=free_threaded,
    )


def _outermost() -> dict[str, str]:
    """Return what makes sysconfig name the folders of the Python below all environments."""
    return {"base": sys.base_prefix, "platbase": sys.base_exec_prefix}


def _repair_path(environ: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Take quotation marks out of PATH: no system looks into a folder whose entry is quoted."""
    repaired = dict(environ)
    path = repaired.get("PATH", "")
    if '"' not in path:
        return repaired, ()
    repaired["PATH"] = path.replace('"', "")
    return repaired, ('PATH contains quotation marks (from a set PATH="…"?); they are ignored',)
