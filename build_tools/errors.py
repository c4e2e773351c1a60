"""The one error tree of the builder, and the exit code of each kind.

Every error says what failed, where was looked and what was found there, and what to change.
Only ``build_tools.__main__`` turns an error into an exit code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_OK = 0
EXIT_INTERNAL = 70
EXIT_INTERRUPTED = 130


def _as_lines(text: Sequence[str] | str) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else tuple(text)


def _bullets(heading: str, lines: Sequence[str]) -> list[str]:
    if not lines:
        return []
    return [heading, *("  - " + line.replace("\n", "\n    ") for line in lines)]


class BuilderError(Exception):
    """Something the builder could not do, with the places it looked at and the way out.

    ``what`` says what failed, with the value; ``looked`` is one line per place that was tried and
    what it said; ``fix`` is one line per thing the reader can change.
    """

    exit_code: ClassVar[int] = EXIT_INTERNAL

    def __init__(
        self, what: str, *, looked: Sequence[str] = (), fix: Sequence[str] | str = ()
    ) -> None:
        super().__init__(what)
        self.what = what
        self.looked = _as_lines(looked)
        self.fix = _as_lines(fix)

    def __str__(self) -> str:
        lines = [self.what, *_bullets("looked at:", self.looked)]
        return "\n".join([*lines, *_bullets("what to do:", self.fix)])


class UsageError(BuilderError):
    """The command line cannot be understood."""

    exit_code = 2


class ConfigError(BuilderError):
    """A setting has a value that cannot be used."""

    exit_code = 3


class PreflightError(BuilderError):
    """The quick questions before a build have found that it will fail."""

    exit_code = 4


class ToolchainError(BuilderError):
    """No usable compiler, CMake or Ninja."""

    exit_code = 10


class NetworkError(BuilderError):
    """A source could not be fetched from any of its places."""

    exit_code = 20


class ChecksumError(BuilderError):
    """A file is not the one that the lock file names."""

    exit_code = 21


class UnpackError(BuilderError):
    """An archive is damaged or not safe to unpack."""

    exit_code = 22


class OfflineError(BuilderError):
    """Something must be fetched, but the network was ruled out."""

    exit_code = 23


class PinError(BuilderError):
    """The lock file does not name what was asked for."""

    exit_code = 24


class CacheError(BuilderError):
    """The cache cannot be read or written."""

    exit_code = 30


class DiskFullError(BuilderError):
    """There is no room left on the device."""

    exit_code = 31


class ProtobufError(BuilderError):
    """No protobuf that can be used was found or built."""

    exit_code = 40


class LinkageError(BuilderError):
    """A library is not linked in the way that was asked for or recorded."""

    exit_code = 41


class ConfigureError(BuilderError):
    """CMake could not configure a project."""

    exit_code = 50


class CompileError(BuilderError):
    """A project could not be compiled, linked or installed."""

    exit_code = 51


class EngineTestError(BuilderError):
    """The engine's C++ tests do not pass."""

    exit_code = 52


class WheelError(BuilderError):
    """The wheel could not be made."""

    exit_code = 60


class AuditError(BuilderError):
    """The wheel is not what a wheel of this project must be."""

    exit_code = 61


class SmokeError(BuilderError):
    """The installed wheel does not run a real model."""

    exit_code = 62


class ReproduceError(BuilderError):
    """A wheel cannot be made again as it is."""

    exit_code = 63


def error_kinds() -> tuple[type[BuilderError], ...]:
    """Return every kind of error, ordered by exit code: the rows of the table in the README."""
    return tuple(sorted(BuilderError.__subclasses__(), key=lambda kind: kind.exit_code))
