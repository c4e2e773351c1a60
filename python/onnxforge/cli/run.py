"""`onnxforge run`."""

from __future__ import annotations

import argparse
import statistics
import time
from typing import TYPE_CHECKING, Any

from .. import load
from .common import add_command, add_session_options, collect_inputs, emit, make_session
from .outputs import describe, text, write_npz

if TYPE_CHECKING:
    from .common import Subparsers

DETAILS = """\
  onnxforge run model.onnx                                  random inputs
  onnxforge run model.onnx --dim batch=4 --seed 7           … of a batch of four
  onnxforge run model.onnx --inputs in.npz --output out.npz
"""


def add_parser(commands: Subparsers) -> None:
    """Add the command."""
    parser = add_command(commands, "run", "run a model on given or random inputs", DETAILS)
    add_session_options(parser)
    parser.add_argument("--output", metavar="FILE.npz", help="write the outputs, by name")
    parser.add_argument(
        "--only", metavar="NAME", action="append", help="an output that is wanted; may be repeated"
    )
    parser.add_argument(
        "--repeat", type=_positive, default=1, metavar="N", help="run N times and time each"
    )
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> None:
    """Run a model and print or write its outputs."""
    started = time.perf_counter()
    session = make_session(options, load(options.model))
    compiled = time.perf_counter()
    feeds = collect_inputs(options, session)
    times = []
    outputs: dict[str, Any] = {}
    for _ in range(options.repeat):
        began = time.perf_counter()
        outputs = session.run(feeds, options.only)
        times.append((time.perf_counter() - began) * 1000)
    if options.output:
        write_npz(options.output, outputs)
    result = {
        "load_ms": (compiled - started) * 1000,
        "run_ms": times,
        "threads": session.threads,
        "tier": session.tier,
        "inputs": {name: describe(_array(value)) for name, value in feeds.items()},
        "outputs": {name: describe(value) for name, value in outputs.items()},
    }
    lines = [
        f"loaded in {result['load_ms']:.1f} ms, ran in {_spread(times)} "
        f"({session.tier}, {_plural(session.threads, 'thread')})",
        "inputs",
        *(text(name, _array(value)) for name, value in feeds.items()),
        "outputs",
        *(text(name, value) for name, value in outputs.items()),
    ]
    if options.output:
        lines.append(f"written to {options.output}")
    emit(result, "\n".join(lines), as_json=options.json)


def _array(value: Any) -> Any:
    """Arrays of text are described like the objects that outputs hold."""
    if getattr(value, "dtype", None) is not None and value.dtype.kind in "SUT":
        return value.astype(object)
    return value


def _spread(times: list[float]) -> str:
    if len(times) == 1:
        return f"{times[0]:.2f} ms"
    return f"{statistics.median(times):.2f} ms (median of {len(times)}, best {min(times):.2f})"


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _positive(value: str) -> int:
    if not value.isdecimal() or int(value) == 0:
        msg = f"expected a number of 1 or more, got {value!r}"
        raise argparse.ArgumentTypeError(msg)
    return int(value)
