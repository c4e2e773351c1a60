"""Results of a run, for people, for programs and for files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from .. import ModelIOError


def describe(value: Any) -> dict[str, Any]:
    """Return kind, dtype, shape and range of an output, ready for JSON."""
    if value is None:
        return {"kind": "none"}
    if isinstance(value, dict):
        return {"kind": "map", "length": len(value)}
    if isinstance(value, list):
        return {"kind": "sequence", "length": len(value), "items": [describe(v) for v in value]}
    if isinstance(value, tuple):
        return {"kind": "sparse_tensor", "shape": list(value[2]), "values": describe(value[0])}
    facts: dict[str, Any] = {
        "kind": "tensor",
        "dtype": "str" if value.dtype == object else value.dtype.name,
        "shape": list(value.shape),
    }
    if value.size and value.dtype != object and value.dtype.kind != "c":
        numbers = value.astype(np.float64)
        for name, number in [
            ("min", numbers.min()),
            ("mean", numbers.mean()),
            ("max", numbers.max()),
        ]:
            facts[name] = float(number) if np.isfinite(number) else str(number)
    return facts


def text(name: str, value: Any) -> str:
    """Return one line for one output."""
    return f"  {name}: {_text(describe(value))}"


def _text(facts: dict[str, Any]) -> str:
    if facts["kind"] == "tensor":
        line = f"{facts['dtype']}{facts['shape']}"
        if "mean" in facts:
            line += "".join(f"  {key} {_number(facts[key])}" for key in ("min", "mean", "max"))
        return line
    if facts["kind"] == "sequence":
        first = f", first: {_text(facts['items'][0])}" if facts["items"] else ""
        return f"sequence of {facts['length']}{first}"
    if facts["kind"] == "map":
        return f"map of {facts['length']}"
    return str(facts["kind"])


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.6g}"


def write_npz(path: str, outputs: dict[str, Any]) -> None:
    """Write outputs by name; elements of a sequence are NAME.0, NAME.1, …

    .npz files hold NumPy's own types only: bfloat16, float8 and the like are written as float32,
    integers below eight bits as int8 or uint8, strings as text of fixed width, maps as JSON. An
    empty optional is left out.
    """
    arrays: dict[str, Any] = {}
    for name, value in outputs.items():
        _flatten(name, value, arrays)
    # Beside the target first: a full disk leaves no half-written file under the name asked for.
    partial = Path(f"{path}.part")
    try:
        with partial.open("wb") as file:
            np.savez(file, **arrays)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise ModelIOError(f"cannot write {path}: {error.strerror or error}") from error


def _flatten(name: str, value: Any, arrays: dict[str, Any]) -> None:
    if isinstance(value, list):
        for i, item in enumerate(value):
            _flatten(f"{name}.{i}", item, arrays)
    elif isinstance(value, dict):
        arrays[name] = np.array(json.dumps({str(key): item for key, item in value.items()}))
    elif isinstance(value, tuple):
        parts = zip(("values", "indices", "shape"), value, strict=True)
        arrays.update({f"{name}.{part}": _storable(np.asarray(v)) for part, v in parts})
    elif value is not None:
        arrays[name] = _storable(value)


def _storable(array: Any) -> Any:
    if array.dtype == object:
        return array.astype(str)
    if hasattr(np, array.dtype.name):
        return array
    if "int" in array.dtype.name:
        return array.astype(np.uint8 if array.dtype.name.startswith("u") else np.int8)
    return array.astype(np.float32)
