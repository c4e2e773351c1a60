"""What only Windows and macOS have: asked of vswhere, the prompt, the kits' folders and xcrun."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from packaging.version import InvalidVersion, Version

from build_tools.binaries import file_version
from build_tools.doctor.facts import AppleFacts, VisualStudio, WindowsFacts
from build_tools.errors import ToolchainError
from build_tools.toolchain import apple, vsenv

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from build_tools.host import Host
    from build_tools.process import Runner

_TOOLSETS = "VC/Tools/MSVC"
_KITS = "Windows Kits/10/Include"
_RUN_TIME = "System32/msvcp140.dll"


def windows_facts(host: Host, runner: Runner) -> WindowsFacts | None:
    """Find every Visual Studio with its toolsets, the SDKs and the C++ run-time library."""
    if host.system != "windows":
        return None
    studios = tuple(_studio(instance) for instance in vsenv.instances(host, runner))
    prompt = vsenv.recognise_prompt(host.environ, vsenv.architecture(host))
    installed = [toolset for studio in studios for toolset in studio.toolsets]
    environ = vsenv.in_capitals(host.environ)
    return WindowsFacts(
        visual_studios=studios,
        sdks=tuple(_kits(environ)),
        toolset=prompt.toolset or max(installed, key=_ordered, default=""),
        runtime=_run_time(environ),
        long_paths=host.long_paths,
    )


def apple_facts(host: Host, runner: Runner) -> AppleFacts | None:
    """Find Xcode's command-line tools and the SDK that xcrun takes."""
    if host.system != "darwin":
        return None
    said = runner.run(["xcode-select", "-p"], env=host.environ)
    folder = said.stdout.strip() if said.ok else ""
    try:
        return AppleFacts(developer_folder=folder, sdk=apple.sdk(host, runner).version)
    except ToolchainError:
        return AppleFacts(developer_folder=folder)


def _studio(instance: vsenv.Instance) -> VisualStudio:
    folder = Path(instance.path.as_posix())
    return VisualStudio(
        name=instance.name,
        version=instance.version,
        path=folder,
        toolsets=tuple(_versions_in(folder / _TOOLSETS)),
    )


def _kits(environ: Mapping[str, str]) -> Iterable[str]:
    for name in ("PROGRAMFILES(X86)", "PROGRAMFILES"):
        if name in environ:
            yield from _versions_in(Path(environ[name]) / _KITS)


def _run_time(environ: Mapping[str, str]) -> str:
    library = Path(environ.get("SYSTEMROOT", "")) / _RUN_TIME
    return file_version(library) if library.is_file() else ""


def _versions_in(folder: Path) -> list[str]:
    """Return the names of folders that are versions, the newest last."""
    try:
        names = [path.name for path in folder.iterdir() if path.is_dir()]
    except OSError:
        return []
    return sorted((name for name in names if _ordered(name) != Version("0")), key=_ordered)


def _ordered(name: str) -> Version:
    try:
        return Version(name)
    except InvalidVersion:
        return Version("0")
