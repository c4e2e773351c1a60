"""What several commands share: options, output, and where a model's inputs come from."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from .. import InvalidArgumentError, Model, ModelIOError, Session
from .inputs import numpy_dtype, random_input

if TYPE_CHECKING:
    Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_command(commands: Subparsers, name: str, summary: str, details: str) -> Any:
    """Add a command with --json, which all of them have."""
    parser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.\n\n{details}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser


def emit(result: Any, text: str, *, as_json: bool) -> None:
    """Print a result, for programs or for people."""
    sys.stdout.write((json.dumps(result) if as_json else text) + "\n")


def assignment(text: str) -> tuple[str, str]:
    """NAME=VALUE; names may contain "=" no more than values may lack it."""
    name, separator, value = text.rpartition("=")
    if not separator or not name or not value:
        msg = f"expected NAME=VALUE, got {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return name, value


def dimension(text: str) -> tuple[str, int]:
    """NAME=EXTENT, as in batch=4."""
    name, value = assignment(text)
    if not value.isdecimal():
        msg = f"expected NAME=EXTENT with an extent of 0 or more, got {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return name, int(value)


def extents(text: str) -> tuple[str, tuple[int, ...]]:
    """NAME=EXTENT,EXTENT,…; a scalar is NAME=scalar."""
    name, value = assignment(text)
    if value == "scalar":
        return name, ()
    parts = value.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        msg = f"expected NAME=EXTENT,EXTENT,… with extents of 0 or more, got {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return name, tuple(int(part) for part in parts)


def add_session_options(parser: argparse.ArgumentParser) -> None:
    """Add the model, how it is compiled, and what it is fed with."""
    parser.add_argument("model", metavar="MODEL", help="path of an .onnx file")
    inputs = parser.add_argument_group("inputs (random where none is given)")
    inputs.add_argument("--inputs", metavar="FILE.npz", help="arrays by input name")
    inputs.add_argument(
        "--input",
        metavar="NAME=FILE.npy",
        action="append",
        default=[],
        type=assignment,
        help="one input's array; may be repeated",
    )
    inputs.add_argument(
        "--dim",
        metavar="NAME=EXTENT",
        action="append",
        default=[],
        type=dimension,
        help="extent of a symbolic axis of random inputs, as in batch=4 (default 1)",
    )
    inputs.add_argument(
        "--shape",
        metavar="NAME=EXTENTS",
        action="append",
        default=[],
        type=extents,
        help="shape of a random input, as in image=1,3,224,224; may be repeated",
    )
    inputs.add_argument("--seed", type=int, default=0, help="of the random inputs (default 0)")
    engine = parser.add_argument_group("engine")
    engine.add_argument("--threads", type=int, help="threads of a run (default: one per core)")
    engine.add_argument("--tier", default="auto", help="auto, reference, or a SIMD target")
    engine.add_argument(
        "--no-optimize", action="store_true", help="run the graph as it stands in the file"
    )
    engine.add_argument(
        "--disable-pass",
        metavar="NAME",
        action="append",
        default=[],
        help="a rewrite of the graph to leave out, as in fuse_add; may be repeated",
    )


def make_session(options: argparse.Namespace, model: Model) -> Session:
    """Compile the model as the options say."""
    return Session(
        model,
        threads=options.threads,
        tier=options.tier,
        optimize=not options.no_optimize,
        disable_passes=options.disable_pass,
    )


def collect_inputs(options: argparse.Namespace, session: Session) -> dict[str, Any]:
    """Inputs from files where the options name some, random ones for the rest."""
    given: dict[str, Any] = _read_npz(options.inputs) if options.inputs else {}
    for name, path in options.input:
        given[name] = _read_npy(path)
    known = {spec.name: spec for spec in (*session.inputs, *session.overridable_inputs)}
    _require_known([name for name, _ in options.shape], list(known), "--shape", "input")
    symbols = {d for spec in known.values() for d in spec.shape or () if isinstance(d, str)}
    _require_known([name for name, _ in options.dim], sorted(symbols), "--dim", "symbolic axis")

    generator = np.random.default_rng(options.seed)
    dims, shapes = dict(options.dim), dict(options.shape)
    feeds = {name: _as_declared(value, known.get(name)) for name, value in given.items()}
    for spec in session.inputs:
        if spec.name not in feeds:
            feeds[spec.name] = random_input(spec, generator, dims, shapes.get(spec.name))
    return feeds


def _require_known(names: list[str], known: list[str], option: str, what: str) -> None:
    for name in names:
        if name not in known:
            listed = ", ".join(repr(k) for k in known) or "none"
            msg = f"{option} {name}: the model has no {what} of that name; it has: {listed}"
            raise InvalidArgumentError(msg)


def _as_declared(value: Any, spec: Any) -> Any:
    """Narrow what stands for bfloat16, float8 or int4 in files, which cannot hold those."""
    if spec is None or not isinstance(value, np.ndarray) or spec.dtype in (None, "str"):
        return value
    if hasattr(np, spec.dtype) or value.dtype.kind not in "fiu":
        return value
    return value.astype(numpy_dtype(spec.dtype))


def _read_npz(path: str) -> dict[str, Any]:
    loaded = _read(path)
    if not isinstance(loaded, np.lib.npyio.NpzFile):
        msg = f"{path}: one array, not an .npz file of named ones; use --input NAME={path}"
        raise InvalidArgumentError(msg)
    with loaded:
        return {name: _member(loaded, name, path) for name in loaded.files}


def _read_npy(path: str) -> Any:
    loaded = _read(path)
    if isinstance(loaded, np.lib.npyio.NpzFile):
        loaded.close()
        msg = f"{path}: an .npz file of named arrays, not one array; use --inputs {path}"
        raise InvalidArgumentError(msg)
    return loaded


def _read(path: str) -> Any:
    try:
        return np.load(path, allow_pickle=False)
    except OSError as error:
        raise ModelIOError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, EOFError) as error:
        raise InvalidArgumentError(f"{path}: not an array file of NumPy ({error})") from error


def _member(loaded: Any, name: str, path: str) -> Any:
    try:
        return loaded[name]
    except Exception as error:  # zip, zlib and header errors have no common class
        raise InvalidArgumentError(f"{path}: array {name!r} cannot be read ({error})") from error
