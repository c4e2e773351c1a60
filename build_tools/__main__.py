"""``python -m build_tools <verb> [options]``: parses, calls, turns errors into exit codes.

Standard output is for a verb's result; progress, warnings and errors go to standard error.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import io
import json
import os
import shutil
import signal
import sys
import textwrap
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from build_tools.bundle_use import use_bundle
from build_tools.config import Group, fields_of, settings
from build_tools.console import make_console
from build_tools.context import Context
from build_tools.errors import (
    EXIT_INTERNAL,
    EXIT_INTERRUPTED,
    BuilderError,
    ConfigError,
    DiskFullError,
    UsageError,
    error_kinds,
)
from build_tools.host import detect_host
from build_tools.process import SystemRunner
from build_tools.record import Record
from build_tools.sources import Parser, add_settings, load_pyproject, nearest, resolve_parsed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import FrameType

    from build_tools.host import Host
    from build_tools.sources import Resolved

PROGRAM = "python -m build_tools"
PROJECT = Path(__file__).resolve().parent.parent

# How a service manager and a closed terminal ask a program to end.
_POLITE_ENDS = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)
)


@dataclass(frozen=True)
class Verb:
    """One thing the builder can be told to do."""

    name: str
    """What is typed."""

    module: str
    """Where it lives; imported when it is used."""

    summary: str
    """One line for the list of verbs."""

    fields: tuple[str, ...] = ()
    """The settings its command line takes."""

    function: str = "main"
    """The function to call, beside the module's ``add_arguments``."""

    examines: bool = False
    """Whether settings that cannot be used are something that it reports, not its end."""


_SHOWN = ("verbose", "json")
_SOURCES = ("archives", "bundle", "offline", "cache_dir")
_NATIVE = ("protobuf", "protobuf_root")
_COMPILING = (
    *("compiler", "compiler_cache", "generator", "build_type", "jobs", "cmake", "ninja"),
    *("cmake_args", "protobuf", "protobuf_root", "protobuf_version", "onnx_version"),
    *("build_dir", *_SOURCES, *_SHOWN),
)
_UPSTREAM = fields_of(Group.UPSTREAM)
_EXAMINED = (*(name for name in _COMPILING if name != "verbose"), "out_dir", "repair", "smoke")
_CROSSING = tuple(name for name in _COMPILING if name not in {"generator", "bundle", *_NATIVE})

VERBS: tuple[Verb, ...] = (
    Verb(
        "build",
        "build_tools.build",
        "Fetch, build and prove the wheel, and run a model with it.",
        tuple(entry.name for entry in settings() if entry.name not in _UPSTREAM),
    ),
    Verb(
        "onnx",
        "build_tools.onnx_cli",
        "Build upstream's onnx package, any release, for any Python, and prove it.",
        ("preflight", *_COMPILING, *_UPSTREAM, "out_dir", "repair", "smoke", "force"),
    ),
    Verb(
        "develop",
        "build_tools.develop",
        "Compile the engine for development and run its C++ tests.",
        ("preflight", *_COMPILING),
    ),
    Verb(
        "doctor",
        "build_tools.doctor_cli",
        "Say what is here, what a build would use, and what will fail.",
        _EXAMINED,
        examines=True,
    ),
    Verb(
        "wheels",
        "build_tools.wheels",
        "Build wheels for other systems and Pythons with zig, check them and try them.",
        (*_CROSSING, "out_dir", "force"),
    ),
    Verb(
        "reproduce",
        "build_tools.reproduce_cli",
        "Make a wheel again from its own record, and compare the bytes.",
        ("cmake", "ninja", "jobs", "protobuf_root", "build_dir", "out_dir", *_SOURCES, *_SHOWN),
    ),
    Verb("audit", "build_tools.audit_cli", "Prove any wheel, ours or another's.", _SHOWN),
    Verb(
        "bundle",
        "build_tools.bundle_cli",
        "Write one file with all sources and packages, for machines without a network.",
        (
            *("protobuf_version", "onnx_version", "protobuf_runtime", "archives", "offline"),
            *("cache_dir", "build_dir", "out_dir", *_SHOWN),
        ),
    ),
    Verb("matrix", "build_tools.matrix_cli", "Show the wheel matrix.", _SHOWN),
    Verb("fetch", "build_tools.fetch_cli", "Fetch pinned sources.", (*_SOURCES, *_SHOWN)),
    Verb("cache", "build_tools.cache_cli", "List, verify or prune.", ("cache_dir", *_SHOWN)),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the builder and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    _let_anything_be_written()
    as_json = "--json" in arguments
    previous = {number: signal.signal(number, _interrupt) for number in _POLITE_ENDS}
    try:
        return _run(arguments)
    except BuilderError as error:
        return _failed(error, as_json=as_json)
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted; what was finished is kept for the next run\n")
        return EXIT_INTERRUPTED
    except OSError as error:
        if error.errno != errno.ENOSPC:
            return _defect()
        full = DiskFullError(f"no room left: {error}", fix="free space, or --cache-dir elsewhere")
        return _failed(full, as_json=as_json)
    except Exception:  # noqa: BLE001 - the outermost frame: a defect of the builder
        return _defect()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _let_anything_be_written() -> None:
    """Write what a terminal cannot show, or a file name that is no text, as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _run(arguments: Sequence[str]) -> int:
    if not arguments or arguments[0] in {"-h", "--help", "help"}:
        sys.stdout.write(overview())
        return 0 if arguments else UsageError.exit_code
    verb = _verb(arguments[0])
    module = importlib.import_module(verb.module)
    parsed = _parser(verb, module.add_arguments, module.__doc__).parse_known(arguments[1:])
    return _call(verb, getattr(module, verb.function), parsed)


def _call(verb: Verb, function: Callable[..., int], parsed: argparse.Namespace) -> int:
    host = detect_host(os.environ)
    resolved = _resolve(verb, parsed, host)
    config = resolved.config
    record = Record(observer=make_console(sys.stderr, host.environ, verbose=config.verbose))
    for warning in (*host.repairs, *resolved.warnings):
        record.warn(warning)
    resolved, host = use_bundle(resolved, host, record)
    context = Context(host=host, runner=SystemRunner(host.environ), record=record)
    return function(resolved, parsed, context)


def _resolve(verb: Verb, parsed: argparse.Namespace, host: Host) -> Resolved:
    windows = host.system == "windows"
    try:
        pyproject: Mapping[str, Any] = load_pyproject(PROJECT / "pyproject.toml")
        return resolve_parsed(parsed, host.environ, pyproject, windows=windows)
    except ConfigError as error:
        if not verb.examines:
            raise
        return replace(resolve_parsed(parsed, {}, {}, windows=windows), refused=error)


def overview() -> str:
    """Return the text of ``--help``: the verbs, and what the exit codes mean."""
    verbs = [f"  {verb.name:<10}{verb.summary}" for verb in VERBS]
    kinds = [f"  {kind.exit_code:<10}{_first_line(kind.__doc__)}" for kind in error_kinds()]
    other = [
        f"  {EXIT_INTERNAL:<10}A defect of the builder itself.",
        f"  {EXIT_INTERRUPTED:<10}Interrupted.",
    ]
    return "\n".join(
        [
            f"usage: {PROGRAM} VERB [options]",
            "",
            "ONNX from source, in one command, into wheels you can prove.",
            "",
            "verbs:",
            *verbs,
            "",
            f"{PROGRAM} VERB --help shows a verb's options. Each can also be set in the",
            "environment (ONNXFORGE_<OPTION>) and in pyproject.toml ([tool.onnxforge]); the",
            "command line wins over the environment, and that over pyproject.toml.",
            "",
            "exit codes:",
            f"  {0:<10}Everything went well.",
            *kinds,
            *other,
            "",
        ]
    )


def _verb(name: str) -> Verb:
    for verb in VERBS:
        if verb.name == name:
            return verb
    names = [verb.name for verb in VERBS]
    fix = [*nearest(name, names), f"possible: {', '.join(names)}"]
    raise UsageError(f"unknown verb: {name}", fix=fix)


def _parser(
    verb: Verb, add_arguments: Callable[[argparse.ArgumentParser], None], about: str | None
) -> Parser:
    parser = Parser(
        prog=f"{PROGRAM} {verb.name}",
        description=textwrap.fill(_first_paragraph(about) or verb.summary, 88),
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    add_arguments(parser)
    add_settings(parser, verb.fields)
    return parser


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Text in a column of its own, no wider than a person reads."""

    def __init__(self, prog: str) -> None:
        width = min(100, shutil.get_terminal_size().columns)
        super().__init__(prog, max_help_position=28, width=width)


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]


def _first_paragraph(text: str | None) -> str:
    paragraph = (text or "").strip().partition("\n\n")[0]
    return " ".join(paragraph.replace("``", "").split())


def _defect() -> int:
    sys.stderr.write(f"{traceback.format_exc()}\nthis is a defect of the builder itself\n")
    return EXIT_INTERNAL


def _failed(error: BuilderError, *, as_json: bool) -> int:
    sys.stderr.write(f"error: {error}\n")
    if as_json:
        facts = {
            "kind": type(error).__name__,
            "exit_code": error.exit_code,
            "what": error.what,
            "looked": list(error.looked),
            "fix": list(error.fix),
        }
        sys.stdout.write(json.dumps({"error": facts}, indent=2) + "\n")
    return error.exit_code


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Treat a polite end as Ctrl-C, so that running programs are ended and locks given back."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
