"""`onnxforge info`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from .. import load
from .common import add_command, emit

if TYPE_CHECKING:
    import argparse

    from .. import Summary
    from .common import Subparsers

DETAILS = """\
Prints inputs and outputs with their types, operator sets, operators by frequency, and the
number of parameters. The model need not be valid, only readable."""


def add_parser(commands: Subparsers) -> None:
    """Add the command."""
    parser = add_command(commands, "info", "say what a model takes, gives and is made of", DETAILS)
    parser.add_argument("model", metavar="MODEL", help="path of an .onnx file")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> None:
    """Print a model's summary."""
    summary = load(options.model).summary()
    emit(asdict(summary), _text(summary), as_json=options.json)


def _text(summary: Summary) -> str:
    opsets = ", ".join(f"{domain or 'ai.onnx'} {v}" for domain, v in summary.opsets.items())
    operators = ", ".join(f"{op} {count}" for op, count in summary.operators.items())
    lines = [
        f"IR version  {summary.ir_version}",
        f"producer    {summary.producer or 'not named'}",
        f"opsets      {opsets}",
        f"nodes       {summary.nodes:,}",
        f"parameters  {summary.parameters:,} ({summary.parameter_bytes:,} bytes)",
        f"operators   {operators}",
        "inputs",
        *(f"  {value}" for value in summary.inputs),
        "outputs",
        *(f"  {value}" for value in summary.outputs),
    ]
    return "\n".join(lines)
