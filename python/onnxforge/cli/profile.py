"""`onnxforge profile`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .. import ModelIOError, load
from .common import add_command, add_session_options, collect_inputs, emit, make_session

if TYPE_CHECKING:
    import argparse

    from .common import Subparsers

DETAILS = """\
Prints the dearest operators and nodes of one run after two warm-up runs."""


def add_parser(commands: Subparsers) -> None:
    """Add the command."""
    parser = add_command(commands, "profile", "say which nodes of a model take the time", DETAILS)
    add_session_options(parser)
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="rows (default 20)")
    parser.add_argument(
        "--trace", metavar="FILE.json", help="write the run for chrome://tracing or Perfetto"
    )
    parser.add_argument("--html", metavar="FILE.html", help="write the run as a page to look at")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> None:
    """Profile a model."""
    session = make_session(options, load(options.model))
    profile = session.profile(collect_inputs(options, session))
    if options.trace:
        write(options.trace, profile.chrome_trace())
    if options.html:
        write(options.html, profile.to_html())
    emit(profile.as_dict(), profile.table(options.limit), as_json=options.json)


def write(name: str, text: str) -> None:
    """Write a file; raises ModelIOError."""
    try:
        Path(name).write_text(text, encoding="utf-8")
    except OSError as error:
        msg = f"cannot write {name}: {error.strerror or error}"
        raise ModelIOError(msg) from error
