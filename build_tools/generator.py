"""Which of CMake's generators writes the build files, for every project alike."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from build_tools.config import GeneratorName
from build_tools.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from build_tools.host import Host

_MAJORS = {GeneratorName.VISUAL_STUDIO_2019: 16, GeneratorName.VISUAL_STUDIO_2022: 17}
_PLATFORMS = {"x86_64": "x64", "x86": "Win32", "arm64": "ARM64"}
_VARIABLES = ("CMAKE_GENERATOR", "CMAKE_GENERATOR_PLATFORM", "CMAKE_GENERATOR_TOOLSET")


@dataclass(frozen=True, kw_only=True)
class Generator:
    """One generator and what it is told."""

    name: str
    """CMake's name for it."""

    platform: str = ""
    """The processor to generate for (``-A``); empty: the compiler decides."""

    major: int | None = None
    """The version of Visual Studio that it drives; None: it runs the compiler that was chosen."""

    instance: str = ""
    """The folder of Visual Studio to drive, with forward slashes; empty where it drives none."""

    @property
    def multi_config(self) -> bool:
        """Whether the build type is chosen when building, not when configuring."""
        return self.major is not None

    @property
    def arguments(self) -> tuple[str, ...]:
        """What CMake is told on its command line."""
        return ("-G", self.name, *(("-A", self.platform) if self.platform else ()))

    def build_arguments(self, build_type: str) -> tuple[str, ...]:
        """Return what ``cmake --build`` and ``cmake --install`` are told."""
        return ("--config", build_type) if self.multi_config else ()

    def cache(self, build_type: str) -> dict[str, str]:
        """Return the cache entries that go with it."""
        if not self.multi_config:
            return {}
        return {
            "CMAKE_CONFIGURATION_TYPES": build_type,
            "CMAKE_GENERATOR_INSTANCE": self.instance,
        }

    def environment(self) -> dict[str, str]:
        """Return the variables that go with it."""
        if not self.multi_config:
            return {}
        # MSBuild takes properties from the environment. Without these, `--parallel` counts projects
        # only, and all files of one project are compiled one after the other.
        return {"UseMultiToolTask": "true", "EnforceProcessCountAcrossBuilds": "true"}

    def __str__(self) -> str:
        return f"{self.name}, {self.platform}" if self.platform else self.name


NINJA = Generator(name=GeneratorName.NINJA.value)


def driving(generator: Generator, installation: str) -> Generator:
    """Return a generator of Visual Studio that drives the installation in a folder."""
    if generator.major is None:
        return generator
    return replace(generator, instance=installation.replace("\\", "/"))


def settle_generator(name: GeneratorName, host: Host, origin: str) -> Generator:
    """Return the generator that was asked for; raises ConfigError where it cannot work here."""
    if name is GeneratorName.NINJA:
        return NINJA
    platform = _PLATFORMS.get(host.machine)
    if host.system != "windows" or platform is None:
        raise ConfigError(
            f"--generator {name.value!r} ({origin}) works on Windows only",
            looked=[f"this is {host.system}, {host.machine}"],
            fix="leave it out: Ninja works everywhere",
        )
    return Generator(name=name.value, platform=platform, major=_MAJORS[name])


def ignored_settings(generator: Generator, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield a warning for each variable of CMake that says something else about the generator."""
    values = dict(zip(_VARIABLES, (generator.name, generator.platform, ""), strict=True))
    for variable, used in values.items():
        said = environ.get(variable, "")
        if said not in {"", used}:
            yield (
                f"{variable}={said} in the environment is not followed: everything is built with "
                f"{generator}; --generator chooses another"
            )
