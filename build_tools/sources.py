"""Where each setting comes from: command line > environment > pyproject.toml > default.

``resolve`` is the only place that reads those; what it returns remembers where each value came
from. A name or a value that is not known is an error naming the nearest one that is.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import sys
import types
import typing
from dataclasses import MISSING, Field, dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from build_tools.cmake_args import cmake_definitions, split_cmake_args
from build_tools.config import BuildConfig, Group, Linkage, field_docs, settings
from build_tools.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

PREFIX = "ONNXFORGE_"
DEFAULT_ORIGIN = "default"
PYPROJECT_ORIGIN = "pyproject.toml"
_SHARED_LIBS = "ONNX_USE_PROTOBUF_SHARED_LIBS"
_TRUE = frozenset({"1", "on", "true", "yes", "y"})
_FALSE = frozenset({"0", "off", "false", "no", "n"})
_SINGULAR = {"cmake_args": "--cmake-arg", "pythons": "--python"}
"""Settings that are lists, by the option that gives one element."""

_ENVIRONMENT_ONLY = frozenset({"use_shared_env"})


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """The settings of this run and where each came from."""

    config: BuildConfig
    """The settings."""

    origins: Mapping[str, str]
    """By field, e.g. "--jobs on the command line", "environment MAX_JOBS", "default"."""

    warnings: tuple[str, ...] = ()
    """What was understood, but is probably not what was meant."""

    refused: ConfigError | None = None
    """What could not be understood, where the settings are those of the command line alone."""

    def given(self, name: str) -> bool:
        """Say whether somebody chose the value of a field, rather than nobody."""
        return self.origins[name] != DEFAULT_ORIGIN


@dataclass(frozen=True, kw_only=True)
class _Found:
    """One raw value and who set it."""

    value: Any
    origin: str


class Parser(argparse.ArgumentParser):
    """An argument parser that raises instead of ending the program."""

    def error(self, message: str) -> NoReturn:
        """Raise a UsageError with argparse's message."""
        raise UsageError(message, fix=f"{self.prog} --help lists what there is")

    def parse_known(self, argv: Sequence[str]) -> argparse.Namespace:
        """Parse all of ``argv``; an unknown option is a UsageError naming the nearest known one."""
        namespace, unknown = self.parse_known_args(list(argv))
        if unknown:
            known = [option for action in self._actions for option in action.option_strings]
            raise UsageError(
                f"unknown argument: {unknown[0]}",
                fix=[*nearest(unknown[0].partition("=")[0], known), f"see {self.prog} --help"],
            )
        return namespace


def add_settings(parser: argparse.ArgumentParser, names: Iterable[str] | None = None) -> None:
    """Add the settings ``names`` (None: all) to a parser, in the sections of the manual."""
    wanted = {entry.name for entry in settings()} if names is None else set(names)
    for group in Group:
        chosen = [entry for entry in settings() if _belongs(entry, group, wanted)]
        if chosen:
            section = parser.add_argument_group(group.value)
            for entry in chosen:
                _add_setting(section, entry)


def resolve(
    argv: Sequence[str],
    environ: Mapping[str, str],
    pyproject: Mapping[str, Any],
    *,
    windows: bool = False,
) -> Resolved:
    """Resolve the settings from a command line without a verb, environment and pyproject.toml."""
    parser = Parser(prog="build_tools", add_help=False, allow_abbrev=False)
    add_settings(parser)
    return resolve_parsed(parser.parse_known(argv), environ, pyproject, windows=windows)


def resolve_parsed(
    parsed: argparse.Namespace,
    environ: Mapping[str, str],
    pyproject: Mapping[str, Any],
    *,
    windows: bool = False,
) -> Resolved:
    """Resolve the settings from a parsed command line; arguments that are no settings are ignored.

    ``pyproject`` is the whole file's content; ``windows`` says how CMAKE_ARGS and lists of folders
    are written. Raises ConfigError for a name or a value that cannot be used.
    """
    project = _project_table(pyproject)
    warnings = _unknown_variables(environ)
    found: dict[str, _Found] = {}
    for entry in settings():
        candidates = (
            *_from_command_line(parsed, entry),
            *_from_environment(environ, entry, windows=windows),
            *_from_project(project, entry),
        )
        if candidates:
            found[entry.name] = _combined(entry.name, candidates)
    _shared_from_cmake_args(found)
    _linkage_from_shared_libs(found)
    origins = {
        entry.name: found[entry.name].origin if entry.name in found else DEFAULT_ORIGIN
        for entry in settings()
    }
    config = BuildConfig(**{name: entry.value for name, entry in found.items()})
    return Resolved(config=config, origins=origins, warnings=tuple(warnings))


def load_pyproject(path: Path) -> Mapping[str, Any]:
    """Read a pyproject.toml; a missing file is an empty one."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    toml = _toml()
    try:
        return dict(toml.loads(text))
    except ValueError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}", fix="correct that line") from error


def option_name(field_name: str) -> str:
    """Return the command-line option of a setting."""
    return _SINGULAR.get(field_name) or "--" + field_name.replace("_", "-")


def environment_names(entry: Field[Any]) -> tuple[str, ...]:
    """Return the variables that set a setting, the one that wins first."""
    extra: tuple[str, ...] = entry.metadata["environment"]
    if entry.name in _ENVIRONMENT_ONLY:
        return extra
    return (PREFIX + entry.name.upper(), *extra)


def _toml() -> Any:
    # The standard library has it since Python 3.11; tomli is the same module for 3.10.
    return importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")


@cache
def _types() -> Mapping[str, Any]:
    return typing.get_type_hints(BuildConfig)


def _kind(name: str) -> Any:
    """Return the type of a setting's value without its None."""
    declared = _types()[name]
    if typing.get_origin(declared) in {types.UnionType, typing.Union}:
        (declared,) = (part for part in typing.get_args(declared) if part is not types.NoneType)
    return declared


def _belongs(entry: Field[Any], group: Group, wanted: set[str]) -> bool:
    hidden = entry.name in _ENVIRONMENT_ONLY
    return entry.metadata["group"] is group and entry.name in wanted and not hidden


def _add_setting(section: argparse._ArgumentGroup, entry: Field[Any]) -> None:
    kind, option = _kind(entry.name), option_name(entry.name)
    shared: dict[str, Any] = {
        "dest": entry.name,
        "default": argparse.SUPPRESS,
        "help": _help(entry).replace("%", "%%"),
    }
    if kind is bool:
        section.add_argument(option, action=argparse.BooleanOptionalAction, **shared)
        return
    if typing.get_origin(kind) is tuple:
        shared["action"] = "append"
    if _is_enum(kind):
        shared["metavar"] = "|".join(str(member.value) for member in kind)
    else:
        shared["metavar"] = entry.metadata["metavar"]
    section.add_argument(option, **shared)


def _help(entry: Field[Any]) -> str:
    variables = ", ".join(environment_names(entry))
    notes = [f"environment: {variables}"]
    if entry.default is not MISSING and entry.default not in {None, ()}:
        shown = {True: "yes", False: "no"}.get(entry.default, entry.default)
        notes.insert(0, f"default: {shown}")
    return f"{field_docs()[entry.name]} [{'; '.join(notes)}]"


def _is_enum(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Enum)


def _project_table(pyproject: Mapping[str, Any]) -> Mapping[str, Any]:
    table = pyproject.get("tool", {}).get("onnxforge", {})
    known = {entry.name for entry in settings()} - _ENVIRONMENT_ONLY
    names = {name: name.replace("-", "_") for name in table}
    for name, field_name in names.items():
        if field_name not in known:
            raise ConfigError(
                f"pyproject.toml: [tool.onnxforge] has no setting {name!r}",
                fix=nearest(field_name, known) or f"known: {', '.join(sorted(known))}",
            )
    return {names[name]: value for name, value in table.items()}


def _unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Refuse misspelt ONNXFORGE_ variables; warn of those that are like nothing known."""
    known = {name for entry in settings() for name in environment_names(entry)}
    warnings = []
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name in known:
            continue
        # The prefix, which all have in common, must not make everything similar.
        bare = {entry.removeprefix(PREFIX): entry for entry in known if entry.startswith(PREFIX)}
        near = difflib.get_close_matches(name.removeprefix(PREFIX), bare, n=1, cutoff=0.7)
        if near:
            fix = f"did you mean {bare[near[0]]}?"
            raise ConfigError(f"environment: {name} is not a setting of the builder", fix=fix)
        warnings.append(f"environment: {name} is not a setting of the builder and is ignored")
    return warnings


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """Return a line that names the nearest known name; none where nothing is near."""
    return [f"did you mean {near}?" for near in difflib.get_close_matches(name, known, n=1)]


def _combined(name: str, candidates: Sequence[_Found]) -> _Found:
    """Return the first candidate; lists add up instead, the first one last, where it wins."""
    if typing.get_origin(_kind(name)) is not tuple:
        return candidates[0]
    return _Found(
        value=tuple(item for found in reversed(candidates) for item in found.value),
        origin=", ".join(found.origin for found in candidates),
    )


def _from_command_line(parsed: argparse.Namespace, entry: Field[Any]) -> Iterator[_Found]:
    if hasattr(parsed, entry.name):
        raw, option = getattr(parsed, entry.name), option_name(entry.name)
        if raw is False:
            option = option.replace("--", "--no-", 1)
        origin = f"{option} on the command line"
        yield _Found(value=_convert(entry.name, raw, option), origin=origin)


def _from_environment(
    environ: Mapping[str, str], entry: Field[Any], *, windows: bool
) -> Iterator[_Found]:
    for variable in environment_names(entry):
        raw = environ.get(variable, "")
        if raw.strip():
            where = f"environment {variable}"
            value = _convert_text(entry.name, raw, where, windows=windows)
            yield _Found(value=value, origin=where)


def _from_project(project: Mapping[str, Any], entry: Field[Any]) -> Iterator[_Found]:
    if entry.name in project:
        value = _convert(entry.name, project[entry.name], PYPROJECT_ORIGIN)
        yield _Found(value=value, origin=PYPROJECT_ORIGIN)


def _convert_text(name: str, raw: str, where: str, *, windows: bool) -> Any:
    """Convert a variable's text; a list of folders is written like PATH."""
    if name == "cmake_args":
        return split_cmake_args(raw, backslash_is_literal=windows)
    text = _unquoted(raw)
    if typing.get_origin(_kind(name)) is tuple:
        parts = [part for part in text.split(";" if windows else ":") if part]
        return _convert(name, parts, where)
    return _convert(name, text, where)


def _unquoted(text: str) -> str:
    """Take off the quotation marks that ``set X="value"`` leaves around a value on Windows."""
    text = text.strip()
    if len(text) >= 2 and text[0] == text[-1] and text[0] in {'"', "'"}:
        return text[1:-1]
    return text


def _convert(name: str, raw: Any, where: str) -> Any:
    kind, label = _kind(name), f"{where}: {name}" if where == PYPROJECT_ORIGIN else where
    if typing.get_origin(kind) is not tuple:
        return _single(kind, raw, label)
    if not isinstance(raw, (list, tuple)):
        raise ConfigError(f"{label} must be a list, not {raw!r}", fix="write [...]")
    (element, *_) = typing.get_args(kind)
    return tuple(_single(element, item, label) for item in raw)


def _single(kind: Any, raw: Any, where: str) -> Any:
    if kind is bool:
        return _boolean(raw, where)
    if kind is int:
        return _count(raw, where)
    if not isinstance(raw, str) or not raw.strip():
        raise ConfigError(f"{where} cannot be {raw!r}", fix="give a text that is not empty")
    if _is_enum(kind):
        return _member(kind, raw, where)
    return Path(raw).expanduser() if kind is Path else raw


def _boolean(raw: Any, where: str) -> bool:
    if isinstance(raw, bool):
        return raw
    text = str(raw).strip().lower()
    if text in _TRUE | _FALSE:
        return text in _TRUE
    raise ConfigError(f"{where} is neither on nor off: {raw!r}", fix="write ON or OFF")


def _count(raw: Any, where: str) -> int:
    text = str(raw).strip()
    if isinstance(raw, bool) or not text.isdecimal() or int(text) < 1:
        raise ConfigError(f"{where} is not a whole number above 0: {raw!r}", fix="e.g. 2")
    return int(text)


def _member(kind: type[Enum], raw: str, where: str) -> Enum:
    by_name = {str(member.value).lower(): member for member in kind}
    if raw.lower() in by_name:
        return by_name[raw.lower()]
    values = [str(member.value) for member in kind]
    near = difflib.get_close_matches(raw, values, n=1)
    fix = [f"did you mean {near[0]}?"] if near else []
    raise ConfigError(f"{where} cannot be {raw!r}", fix=[*fix, f"possible: {', '.join(values)}"])


def _shared_from_cmake_args(found: dict[str, _Found]) -> None:
    """Take ONNX_USE_PROTOBUF_SHARED_LIBS from the CMake arguments; there it wins, as in CMake."""
    arguments = found.get("cmake_args")
    entries = cmake_definitions(arguments.value) if arguments else {}
    if arguments and _SHARED_LIBS in entries:
        where = f"{_SHARED_LIBS} in {arguments.origin.removeprefix('environment ')}"
        value = _boolean(entries[_SHARED_LIBS], where)
        found["use_shared_env"] = _Found(value=value, origin=where)


def _linkage_from_shared_libs(found: dict[str, _Found]) -> None:
    """Let ONNX_USE_PROTOBUF_SHARED_LIBS stand in where only pyproject.toml or nobody says."""
    wish, linkage = found.get("use_shared_env"), found.get("protobuf")
    if wish and (linkage is None or linkage.origin == PYPROJECT_ORIGIN):
        value = Linkage.SHARED if wish.value else Linkage.STATIC
        found["protobuf"] = _Found(value=value, origin=wish.origin)
