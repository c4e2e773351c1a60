"""Visual Studio's environment: which prompt this is, what is installed, and one of them taken.

A compiler of Visual Studio works in the environment that ``vcvarsall.bat`` makes and in no other. A
prompt that has it for the right processor is left alone; otherwise the environment is asked of an
installation and takes the place of the one the builder was started with.
"""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING

from build_tools.errors import ToolchainError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from build_tools.generator import Generator
    from build_tools.host import Host
    from build_tools.process import Runner
    from build_tools.record import Record

OLDEST_MAJOR = 16
"""Visual Studio 2019."""

_ARCHITECTURES = {"x86_64": "x64", "x86": "x86", "arm64": "arm64"}
_PROCESSORS = {"AMD64": "x64", "X86": "x86", "ARM64": "arm64"}
_COMPONENTS = {"arm64": "Microsoft.VisualStudio.Component.VC.Tools.ARM64"}
_COMPONENT = "Microsoft.VisualStudio.Component.VC.Tools.x86.x64"
_OWN_COMPILER = re.compile(r"""(?:^|[\\/\s"'])(?:cl|clang-cl|msvc)(?:\.exe)?(?:$|[\s"'])""", re.I)
_TIMEOUT = 180.0

# Everything that a prompt of Visual Studio adds, beside what it keeps of the time before itself.
_LISTS = ("PATH", "INCLUDE", "EXTERNAL_INCLUDE", "LIB", "LIBPATH")
_BEFORE = "__VSCMD_PREINIT_"
_ADDED_STARTS = ("VSCMD_", "__VSCMD", "VCTOOLS", "WINDOWSSDK", "__DOTNET_", "FRAMEWORK")
_ADDED = frozenset(
    {
        *("COMMANDPROMPTTYPE", "DEVENVDIR", "EXTENSIONSDKDIR", "FSHARPINSTALLDIR", "HTMLHELPDIR"),
        *("IFCPATH", "IS_X64_ARCH", "NETFXSDKDIR", "PLATFORM", "PREFERREDTOOLARCHITECTURE"),
        *("UCRTVERSION", "UNIVERSALCRTSDKDIR", "VCIDEINSTALLDIR", "VCINSTALLDIR", "VSINSTALLDIR"),
        *("VISUALSTUDIOVERSION", "WINDOWSLIBPATH"),
    }
)

# The path and the architecture come in variables, so that the file is the same, and ASCII, for
# every machine. UTF-8 loses no character of a path; the console gets its own code page back.
_MARK = "onnxforge: the environment"
_SCRIPT = f"""\
@echo off
for /f "tokens=2 delims=:." %%c in ('chcp') do set "ONNXFORGE_PAGE=%%c"
chcp 65001 >nul
call "%ONNXFORGE_VCVARSALL%" %ONNXFORGE_ARCH%
set "ONNXFORGE_STATUS=%errorlevel%"
echo {_MARK}
set
chcp %ONNXFORGE_PAGE% >nul
exit /b %ONNXFORGE_STATUS%
"""
_NOT_KEPT = frozenset(
    {
        *("ONNXFORGE_PAGE", "ONNXFORGE_STATUS", "ONNXFORGE_VCVARSALL", "ONNXFORGE_ARCH"),
        *("PROMPT", "VSCMD_SKIP_SENDTELEMETRY"),
    }
)


class PromptKind(Enum):
    """What the environment is, seen from the processor that is to be compiled for."""

    NATIVE = "native prompt"
    CROSS = "cross prompt for the right processor"
    WRONG_ARCH = "prompt for another processor"
    NO_TARGET = "developer prompt whose target nobody chose"
    NONE = "no prompt of Visual Studio"


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """The prompt that the builder was started in."""

    kind: PromptKind
    """What it is good for."""

    host: str = ""
    """The processor its tools run on: x64, x86, arm64."""

    target: str = ""
    """The processor they compile for."""

    version: str = ""
    """The release of Visual Studio, e.g. "16.11.35"."""

    toolset: str = ""
    """The release of the C++ tools, e.g. "14.29.30133"; empty without them."""

    sdk: str = ""
    """The release of the Windows SDK, e.g. "10.0.19041.0"."""

    installation: str = ""
    """The folder of Visual Studio."""

    @property
    def major(self) -> int | None:
        """16 for Visual Studio 2019, 17 for 2022; None outside a prompt."""
        first = self.version.partition(".")[0]
        return int(first) if first.isdigit() else None

    @property
    def fits(self) -> bool:
        """Whether what is compiled here is for the right processor."""
        return self.kind in {PromptKind.NATIVE, PromptKind.CROSS}

    def __str__(self) -> str:
        if self.kind is PromptKind.NONE:
            return str(self.kind.value)
        tools = f"{self.host or '?'} tools for {self.target or '?'}"
        return f"{self.kind.value}: {tools}, Visual Studio {self.version} in {self.installation}"


@dataclass(frozen=True, kw_only=True)
class Instance:
    """One installation of Visual Studio or its Build Tools that has the C++ tools."""

    path: PureWindowsPath
    """Its folder."""

    version: str
    """Its release, e.g. "16.11.34902.71"."""

    name: str
    """What it is called, e.g. "Visual Studio Build Tools 2019"."""

    prerelease: bool = False
    """Whether it is a preview."""

    complete: bool = True
    """Whether its installation came to an end and it can be started."""

    @property
    def major(self) -> int:
        """16 for Visual Studio 2019, 17 for 2022."""
        return int(self.version.partition(".")[0])

    @property
    def vcvarsall(self) -> PureWindowsPath:
        """The script that makes its environment."""
        return self.path / "VC" / "Auxiliary" / "Build" / "vcvarsall.bat"

    def __str__(self) -> str:
        return f"{self.name} {self.version} in {self.path}"


@dataclass(frozen=True, kw_only=True)
class Pick:
    """The installation to take the environment of."""

    instance: Instance | None
    """The one; None where none can be."""

    reason: str
    """Why that one."""

    rejected: tuple[str, ...] = ()
    """Every other one and why not."""


def architecture(host: Host) -> str:
    """Return Visual Studio's word for the processor that Python was built for."""
    return _ARCHITECTURES.get(host.machine, host.machine)


def recognise_prompt(environ: Mapping[str, str], wanted: str = "x64") -> Prompt:
    """Say which prompt of Visual Studio an environment is of; ``wanted`` is the right target.

    A Developer Command Prompt and vcvarsall.bat set the same variables but one: only vcvarsall.bat,
    which the Native and Cross prompts start, sets Platform. A Developer Command Prompt without it
    aims at x86 because nobody said anything.
    """
    known = in_capitals(environ)
    host, target = (known.get(f"VSCMD_ARG_{which}_ARCH", "").lower() for which in ("HOST", "TGT"))
    version, toolset = known.get("VSCMD_VER", ""), known.get("VCTOOLSVERSION", "")
    if not (version or target):
        return Prompt(kind=PromptKind.NONE)
    if not (target and toolset):
        kind = PromptKind.NO_TARGET
    elif target == wanted:
        kind = PromptKind.NATIVE if host == target else PromptKind.CROSS
    else:
        kind = PromptKind.WRONG_ARCH if known.get("PLATFORM") else PromptKind.NO_TARGET
    return Prompt(
        kind=kind,
        host=host,
        target=target,
        version=version,
        toolset=toolset,
        sdk=known.get("WINDOWSSDKVERSION", "").rstrip("\\"),
        installation=known.get("VSINSTALLDIR", "").rstrip("\\"),
    )


def instances(host: Host, runner: Runner) -> tuple[Instance, ...]:
    """Ask vswhere for every installation with C++ tools; none where there is no vswhere."""
    component = _COMPONENTS.get(architecture(host), _COMPONENT)
    for vswhere in _vswhere_places(host.environ):
        said = runner.run(
            [
                *(vswhere, "-products", "*", "-prerelease", "-requires", component),
                *("-version", f"[{OLDEST_MAJOR}.0,)", "-format", "json", "-utf8"),
            ],
            env=host.environ,
            timeout=_TIMEOUT,
        )
        if said.ok:
            return parse_instances(said.stdout)
    return ()


def parse_instances(text: str) -> tuple[Instance, ...]:
    """Read what ``vswhere -format json`` says; raises ToolchainError where it is no such thing."""
    try:
        rows = json.loads(text or "[]")
        return tuple(
            Instance(
                path=PureWindowsPath(row["installationPath"]),
                version=row["installationVersion"],
                name=row.get("displayName") or row["productId"],
                prerelease=bool(row.get("isPrerelease")),
                complete=bool(row.get("isComplete", True) and row.get("isLaunchable", True)),
            )
            for row in rows
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ToolchainError(
            f"vswhere's answer cannot be read: {error!r}",
            looked=[text[:300]],
            fix="repair the Visual Studio Installer, or start from a Native Tools Command Prompt",
        ) from error


def pick(found: Sequence[Instance], *, major: int | None = None, preferred: str = "") -> Pick:
    """Take the installation in the folder ``preferred``, else the newest that is no preview.

    ``major`` leaves one generation to choose from. A pure function.
    """
    against = {instance: _against(instance, major) for instance in found}
    good = [instance for instance in found if not against[instance]]
    wanted = PureWindowsPath(preferred) if preferred else None
    ranked = sorted(good, key=lambda instance: _rank(instance, wanted), reverse=True)
    rejected = tuple(
        f"{instance}: {against[instance] or 'another one comes first'}"
        for instance in found
        if instance not in ranked[:1]
    )
    if not ranked:
        return Pick(instance=None, reason="none of them can be used", rejected=rejected)
    reason = "the newest that is no preview"
    if ranked[0].prerelease:
        reason = "a preview, but there is no other"
    if wanted == ranked[0].path:
        reason = "the one that the prompt belongs to"
    return Pick(instance=ranked[0], reason=reason, rejected=rejected)


def capture(instance: Instance, host: Host, runner: Runner) -> dict[str, str]:
    """Return the environment that ``instance`` makes for Python's processor, names in capitals.

    Raises ToolchainError where its script fails or leaves out the compiler.
    """
    wanted = architecture(host)
    environ = {
        **without_prompt(host.environ),
        "ONNXFORGE_VCVARSALL": str(instance.vcvarsall),
        "ONNXFORGE_ARCH": vcvarsall_argument(host),
        "VSCMD_SKIP_SENDTELEMETRY": "1",
    }
    with tempfile.TemporaryDirectory(prefix="onnxforge-") as folder:
        (Path(folder) / "capture.cmd").write_bytes(_SCRIPT.replace("\n", "\r\n").encode("ascii"))
        said = runner.run(
            [environ.get("COMSPEC", "cmd.exe"), "/d", "/c", ".\\capture.cmd"],
            cwd=Path(folder),
            env=environ,
            timeout=_TIMEOUT,
        )
    made = parse_set(said.stdout.partition(_MARK)[2])
    prompt = recognise_prompt(made, wanted)
    if said.ok and prompt.fits and made.get("INCLUDE") and made.get("LIB"):
        return made
    words = said.text.partition(_MARK)[0].strip()
    raise ToolchainError(
        f"{instance.vcvarsall} makes no environment for {wanted}",
        looked=[f"exit status {said.returncode}: {words or 'it said nothing'}", str(prompt)],
        fix=[
            "let the Visual Studio Installer repair it; it needs the C++ tools and a Windows SDK",
            f"or start from the {wanted} Native Tools Command Prompt",
        ],
    )


def parse_set(text: str) -> dict[str, str]:
    """Read what ``set`` prints; names in capitals, as Windows treats them, and ours left out."""
    values: dict[str, str] = {}
    last = ""
    for line in text.strip("\r\n").splitlines():
        name, equals, value = line.partition("=")
        if equals and name:
            last = name.upper()
            values[last] = value
        elif last:  # a value with a line break in it
            values[last] += f"\n{line}"
    return {name: value for name, value in values.items() if name not in _NOT_KEPT}


def without_prompt(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment as it was before a prompt of Visual Studio was opened.

    Two prompts on top of each other would search the first one's folders, too.
    """
    known = in_capitals(environ)
    if recognise_prompt(known).kind is PromptKind.NONE:
        return known
    before = {name: known[_BEFORE + name] for name in _LISTS if _BEFORE + name in known}
    kept = {
        name: value
        for name, value in known.items()
        if name not in _ADDED and not name.startswith(_ADDED_STARTS)
    }
    path = {"PATH": kept.pop("PATH", "")}
    for name in _LISTS:
        kept.pop(name, None)
    return {**kept, **path, **before}


def vcvarsall_argument(host: Host) -> str:
    """Return what vcvarsall.bat is told: the target, and the machine's own tools before it."""
    environ = in_capitals(host.environ)
    machine = environ.get("PROCESSOR_ARCHITEW6432") or environ.get("PROCESSOR_ARCHITECTURE", "")
    wanted = architecture(host)
    tools = _PROCESSORS.get(machine.upper(), wanted)
    return wanted if tools == wanted else f"{tools}_{wanted}"


def wants_visual_studio(asked: str | None, environ: Mapping[str, str]) -> bool:
    """Say whether the compiler will be one of Visual Studio's: unless somebody named another."""
    named = asked or environ.get("CXX", "").strip() or environ.get("CC", "").strip()
    return not named or _OWN_COMPILER.search(named) is not None


def enter(host: Host, runner: Runner, record: Record, generator: Generator) -> Host:
    """Return the host with an environment in which Visual Studio's compilers work, and say which.

    Raises ToolchainError where the prompt is a wrong one and there is no other way out.
    """
    prompt = recognise_prompt(host.environ, architecture(host))
    if prompt.fits and generator.major in {None, prompt.major}:
        _stay(prompt, record)
        return host
    found = instances(host, runner)
    choice = pick(found, major=generator.major, preferred=prompt.installation)
    if choice.instance is None:
        _require_none_needed(prompt, generator, choice, host)
        record.warn(
            "no Visual Studio with C++ tools was found by vswhere, and this is no prompt of one; "
            "what is on PATH is tried"
        )
        return host
    return _take(choice, prompt, host, runner, record)


def _take(choice: Pick, prompt: Prompt, host: Host, runner: Runner, record: Record) -> Host:
    assert choice.instance is not None
    with record.step("compiler: Visual Studio's environment"):
        environ = capture(choice.instance, host, runner)
    for other in choice.rejected:
        record.decide("Visual Studio not taken", *_halves(other), "vswhere")
    argument, wanted = vcvarsall_argument(host), architecture(host)
    record.decide(
        "Visual Studio",
        str(choice.instance),
        f"{choice.reason}; the environment is that of vcvarsall.bat {argument}; here: {prompt}",
        "vswhere",
    )
    if prompt.kind is not PromptKind.NONE:
        why = "--generator is of another release" if prompt.fits else f"Python is {wanted}"
        record.warn(
            f"this is a {prompt}; {why}, so the environment of {choice.instance} is used instead"
        )
    return replace(host, environ=environ)


def _stay(prompt: Prompt, record: Record) -> None:
    tools = f"C++ tools {prompt.toolset}, Windows SDK {prompt.sdk}"
    record.decide("Visual Studio", str(prompt), f"left as it is: {tools}", "environment")
    if prompt.kind is PromptKind.CROSS and prompt.host == "x86":
        record.warn(
            f"this is a {prompt}: its 32-bit compiler has 4 GB at most; the x64 Native Tools "
            "Command Prompt has no such limit"
        )


def _require_none_needed(prompt: Prompt, generator: Generator, choice: Pick, host: Host) -> None:
    """Raise ToolchainError where nothing can be built without an installation of Visual Studio."""
    wanted = architecture(host)
    if prompt.kind is PromptKind.NONE and generator.major is None:
        return
    what = f"this is a {prompt}, and Python is {wanted}"
    if generator.major is not None and (prompt.fits or prompt.kind is PromptKind.NONE):
        what = f"there is no installation of Visual Studio for --generator {generator.name!r}"
    raise ToolchainError(
        what,
        looked=choice.rejected or ["vswhere: no Visual Studio 2019 or later with C++ tools"],
        fix=[
            f"start from the {wanted} Native Tools Command Prompt",
            "or install the workload 'Desktop development with C++' (the Build Tools have it, too)",
        ],
    )


def in_capitals(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment with its names in capitals: Windows does not tell Path from PATH."""
    return {name.upper(): value for name, value in environ.items()}


def _vswhere_places(environ: Mapping[str, str]) -> Iterable[str]:
    """Yield where vswhere may be: its one fixed place, then PATH."""
    known = in_capitals(environ)
    for variable in ("PROGRAMFILES(X86)", "PROGRAMFILES"):
        if known.get(variable):
            folder = PureWindowsPath(known[variable]) / "Microsoft Visual Studio" / "Installer"
            yield str(folder / "vswhere.exe")
    yield "vswhere.exe"


def _against(instance: Instance, major: int | None) -> str:
    if not instance.complete:
        return "its installation is not complete"
    if major is not None and instance.major != major:
        return f"it is of version {instance.major}, and {major} is asked for"
    return ""


def _rank(instance: Instance, wanted: PureWindowsPath | None) -> tuple[bool, bool, tuple[int, ...]]:
    numbers = tuple(int(part) for part in instance.version.split(".") if part.isdigit())
    return instance.path == wanted, not instance.prerelease, numbers


def _halves(text: str) -> tuple[str, str]:
    choice, _, reason = text.rpartition(": ")
    return choice, reason
