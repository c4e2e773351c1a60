"""The command line: one module per command, and here what they share."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import TYPE_CHECKING

from .. import Error
from .._version import __version__
from . import check, info, profile, run

if TYPE_CHECKING:
    from collections.abc import Sequence

EPILOG = """\
exit codes:
  0    done
  1    the model, its inputs or a file is at fault; one line on stderr says how
  2    the command line is at fault
  130  interrupted
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has seen enough; nothing is left to flush at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (Error, OSError, MemoryError) as error:
        _report(error, as_json=options.json)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="onnxforge",
        description="Look at, check and run ONNX models.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"onnxforge {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (info, check, run, profile):
        command.add_parser(commands)
    return parser


def _report(error: BaseException, *, as_json: bool) -> None:
    """Say what went wrong in one line; with --json also as the command's result."""
    message = " · ".join(line.strip() for line in str(error).splitlines() if line.strip())
    message = message or type(error).__name__
    if as_json:
        result = {"error": {"type": type(error).__name__, "message": message}}
        sys.stdout.write(json.dumps(result) + "\n")
    sys.stderr.write(f"onnxforge: error: {message}\n")
