"""What is compiled for on macOS: the SDK, the oldest macOS, the processors; one for all builds.

protobuf, ONNX and the extension must agree in all three: a library for one processor does not link
into an extension for two, and the newest of all deployment targets is what the wheel must promise.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from build_tools.cmake_args import cmake_definitions
from build_tools.errors import ConfigError, ToolchainError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from build_tools.host import Host
    from build_tools.process import Runner

PROCESSORS = ("arm64", "x86_64")
Version = tuple[int, int]

# <filesystem> is in the libc++ of macOS 10.15; there is no macOS for arm64 before 11.
_OLDEST: Mapping[str, Version] = {"x86_64": (10, 15), "arm64": (11, 0)}
_TARGET, _ARCHITECTURES, _SYSROOT = (
    "CMAKE_OSX_DEPLOYMENT_TARGET",
    "CMAKE_OSX_ARCHITECTURES",
    "CMAKE_OSX_SYSROOT",
)
_VARIABLE = "MACOSX_DEPLOYMENT_TARGET"
_TIMEOUT = 60.0


@dataclass(frozen=True, kw_only=True)
class Sdk:
    """The macOS SDK that xcrun finds."""

    path: str
    """Its folder."""

    version: str
    """Its release, e.g. "14.5"."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """What everything is compiled for."""

    version: Version
    """The oldest macOS that it runs on."""

    processors: tuple[str, ...]
    """The processors it runs on, sorted."""

    version_origin: str
    """Who asked for the version."""

    processors_origin: str
    """Who asked for the processors."""

    notes: tuple[str, ...] = ()
    """Where something else is done than was asked for, in words to warn with."""

    @property
    def tag(self) -> str:
        """The platform tag of a wheel with it, e.g. "macosx_11_0_arm64"."""
        return platform_tag(self.version, self.processors)

    def cache(self, sdk: Sdk) -> dict[str, str]:
        """Return the cache entries for every build."""
        return {
            _TARGET: dotted(self.version),
            _ARCHITECTURES: ";".join(self.processors),
            _SYSROOT: sdk.path,
        }

    @property
    def flags(self) -> tuple[str, ...]:
        """What the compiler is told where it is called without CMake."""
        processors = (word for processor in self.processors for word in ("-arch", processor))
        return (*processors, f"-mmacosx-version-min={dotted(self.version)}")

    def environment(self) -> dict[str, str]:
        """Return the variables by which the wheel gets its tag."""
        archflags = " ".join(f"-arch {processor}" for processor in self.processors)
        return {_VARIABLE: dotted(self.version), "ARCHFLAGS": archflags}

    def __str__(self) -> str:
        return f"macOS {dotted(self.version)} and later on {', '.join(self.processors)}"


def sdk(host: Host, runner: Runner) -> Sdk:
    """Ask xcrun for the SDK; raises ToolchainError where there are no developer tools."""
    answers = []
    for question in ("--show-sdk-path", "--show-sdk-version"):
        command = ["xcrun", "--sdk", "macosx", question]
        said = runner.run(command, env=host.environ, timeout=_TIMEOUT)
        if not said.ok or not said.stdout.strip():
            raise ToolchainError(
                "xcrun finds no macOS SDK",
                looked=[f"{said.command}: {said.text or f'exit status {said.returncode}'}"],
                fix="xcode-select --install  (or xcode-select --switch to an Xcode that is there)",
            )
        answers.append(said.stdout.strip())
    return Sdk(path=answers[0], version=answers[1])


def settle_target(host: Host, arguments: Sequence[str], xcode: Sdk) -> Target:
    """Return what to compile for, from CMake's arguments, the environment and Python itself.

    A pure function; raises ConfigError for what cannot be understood or built.
    """
    entries = cmake_definitions(arguments)
    processors, processors_origin = _processors(entries, host)
    asked, origin = _asked_version(entries, host)
    oldest = min(_OLDEST[processor] for processor in processors)
    version = raised(max(asked, oldest))
    notes = []
    if asked < oldest:
        notes.append(
            f"{origin} asks for macOS {dotted(asked)}; C++17 needs {dotted(oldest)} on "
            f"{', '.join(processors)}, so that is used"
        )
    elif version != asked:
        notes.append(
            f"{origin} asks for macOS {dotted(asked)}; since macOS 11 a wheel's tag cannot name a "
            f"minor version, so everything is built for {dotted(version)}"
        )
    if version > _version(xcode.version, "the SDK's version"):
        raise ConfigError(
            f"{origin} asks for macOS {dotted(asked)}, and the SDK is that of {xcode.version}",
            looked=[xcode.path],
            fix="install a newer Xcode, or ask for an older macOS",
        )
    return Target(
        version=version,
        processors=processors,
        version_origin=origin,
        processors_origin=processors_origin,
        notes=tuple(notes),
    )


def raised(version: Version) -> Version:
    """Return the first version, not before ``version``, that a wheel's tag can name.

    Since macOS 11 installers look at the major version only: a wheel for 13.3 must say 14.0.
    """
    major, minor = version
    return (major + 1, 0) if major >= 11 and minor > 0 else version


def platform_tag(version: Version, processors: Sequence[str]) -> str:
    """Return the tag that promises no macOS before ``version``, for all of ``processors``."""
    major, minor = raised(version)
    name = "universal2" if set(processors) == set(PROCESSORS) else "_".join(sorted(processors))
    return f"macosx_{major}_{minor}_{name}"


def parse_tag(tag: str) -> tuple[Version, frozenset[str]] | None:
    """Return the version and the processors that a platform tag promises; None for other tags."""
    found = re.fullmatch(r"macosx_(\d+)_(\d+)_(\w+)", tag)
    if found is None:
        return None
    processors = PROCESSORS if found[3] == "universal2" else (found[3],)
    return (int(found[1]), int(found[2])), frozenset(processors)


def dotted(version: Version) -> str:
    """Return a version as people write it: 11.0."""
    return ".".join(map(str, version))


def _processors(entries: Mapping[str, str], host: Host) -> tuple[tuple[str, ...], str]:
    """Return the processors to compile for: asked for by name, else the one Python runs on."""
    flags = re.findall(r"-arch[ =]*(\S+)", host.environ.get("ARCHFLAGS", ""))
    if entries.get(_ARCHITECTURES):
        found, origin = entries[_ARCHITECTURES].split(";"), f"{_ARCHITECTURES} in CMAKE_ARGS"
    elif flags:
        found, origin = flags, "environment ARCHFLAGS"
    else:
        found, origin = [host.machine], "the Python that runs this"
    unknown = sorted(set(found) - set(PROCESSORS))
    if unknown:
        raise ConfigError(
            f"{origin} names the processor {unknown[0]!r}",
            looked=[f"known: {', '.join(PROCESSORS)}; both together make universal2"],
            fix='e.g. ARCHFLAGS="-arch arm64 -arch x86_64"',
        )
    if host.machine not in found:
        raise ConfigError(
            f"{origin} asks for {', '.join(found)}, and this machine's programs are {host.machine}",
            fix="add this machine's processor: protoc and the finished wheel are run here",
        )
    return tuple(sorted(set(found))), origin


def _asked_version(entries: Mapping[str, str], host: Host) -> tuple[Version, str]:
    if entries.get(_TARGET):
        return _version(entries[_TARGET], _TARGET), f"{_TARGET} in CMAKE_ARGS"
    if host.environ.get(_VARIABLE, "").strip():
        return _version(host.environ[_VARIABLE], _VARIABLE), f"environment {_VARIABLE}"
    python = re.match(r"macosx-([\d.]+)-", host.python.platform)
    where = "the Python that runs this"
    return _version(python[1] if python else "10.9", where), where


def _version(text: str, where: str) -> Version:
    found = re.fullmatch(r"\s*(\d+)(?:\.(\d+))?(?:\.\d+)*\s*", text)
    if found is None:
        raise ConfigError(f"{where} is no version of macOS: {text!r}", fix="write e.g. 11.0")
    return int(found[1]), int(found[2] or 0)
