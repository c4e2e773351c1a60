"""`onnxforge check`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import Session, load
from .common import add_command, emit

if TYPE_CHECKING:
    import argparse

    from .common import Subparsers

DETAILS = """\
Ends with exit code 1 and one line that names the place at fault when the model is not valid."""


def add_parser(commands: Subparsers) -> None:
    """Add the command."""
    parser = add_command(commands, "check", "hold a model against the ONNX standard", DETAILS)
    parser.add_argument("model", metavar="MODEL", help="path of an .onnx file")
    parser.add_argument("--full", action="store_true", help="infer all shapes strictly as well")
    parser.add_argument(
        "--runnable", action="store_true", help="also compile it: is there a kernel for every node?"
    )
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> None:
    """Check a model."""
    model = load(options.model)
    model.check(full=options.full)
    if options.runnable:
        Session(model, threads=1)
    verdict = "valid and runnable" if options.runnable else "valid"
    result = {"model": options.model, "valid": True, "full": options.full}
    if options.runnable:
        result["runnable"] = True
    emit(result, f"{options.model}: {verdict}", as_json=options.json)
