"""Run in the fresh virtual environment, never imported: real models through the installed wheel.

Usage: python -I smoke_program.py MODEL LABELS [DLL-FOLDER…]. MODEL and LABELS are the model and the
configuration of magika, which tells kinds of files apart. Prints one JSON object; fails by an
exception.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

if __name__ == "__main__":  # the arguments of sample_program, which imports this, are others
    # Python for Windows looks for the DLLs of an extension in no folder that it was not told of.
    for _folder in sys.argv[3:]:
        vars(os)["add_dll_directory"](_folder)

import onnxforge

WIDTH = 1024
PADDING = 256
LAST_BYTES = 4096

TOLERANCE = 1e-4
# Known contents, and the score that onnxruntime 1.32.0 gives the right kind.
SCORES = {"python": 0.9995135, "html": 0.9772847, "ini": 0.9989092}
SAMPLES = {
    "python": b"import os\n\n\ndef main(argv: list[str]) -> int:\n"
    b'    """List a folder."""\n'
    b"    for name in sorted(os.listdir(argv[0])):\n        print(name)\n    return 0\n\n\n"
    b'if __name__ == "__main__":\n    raise SystemExit(main(["."]))\n',
    "html": b"<!doctype html>\n<html lang='en'><head><title>A page</title></head>\n"
    b"<body><h1>Heading</h1><p>Some <em>text</em>.</p></body></html>\n",
    "ini": b"[server]\nhost = localhost\nport = 8080\n\n[log]\nlevel = info\nfile = run.log\n",
}


def features(content: bytes) -> np.ndarray[Any, np.dtype[np.int32]]:
    """Return what the model sees of a file: its first and last bytes without surrounding blanks."""
    first = list(content[:LAST_BYTES].lstrip())[:WIDTH]
    last = list(content[-LAST_BYTES:].rstrip())[-WIDTH:]
    first += [PADDING] * (WIDTH - len(first))
    last = [PADDING] * (WIDTH - len(last)) + last
    return np.array([first + last], dtype=np.int32)


def tell_files_apart(model: Path, labels: Path) -> dict[str, Any]:
    """Run the real model on known contents; each must be recognised with the known score."""
    names = json.loads(labels.read_text(encoding="utf-8"))["target_labels_space"]
    clock = time.perf_counter()
    session = onnxforge.Session(str(model))
    ready = time.perf_counter() - clock
    seen: dict[str, float] = {}
    clock = time.perf_counter()
    for expected, content in SAMPLES.items():
        scores = session.run({"bytes": features(content)})["target_label"][0]
        found, score = names[int(np.argmax(scores))], float(np.max(scores))
        if found != expected or abs(score - SCORES[expected]) > TOLERANCE:
            raise AssertionError(
                f"{expected}, {SCORES[expected]:.5f} by onnxruntime: taken for {found}, {score:.5f}"
            )
        seen[found] = round(score, 5)
    run = (time.perf_counter() - clock) / len(SAMPLES)
    return {"recognised": seen, "session_ms": round(ready * 1e3, 2), "run_ms": round(run * 1e3, 2)}


def field(number: int, payload: bytes | int) -> bytes:
    """Encode one field of a protobuf message: a number as varint, bytes with their length."""
    if isinstance(payload, int):
        return varint(number << 3) + varint(payload)
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def varint(value: int) -> bytes:
    """Encode a number that is not negative, seven bits at a time."""
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def made_model() -> bytes:
    """Write y = x·w + b with float32 x [n,3], w [3,2], b [2] as the bytes of an ONNX file."""
    weights = np.arange(6, dtype=np.float32).reshape(3, 2)
    bias = np.array([10, 20], dtype=np.float32)

    def value(name: bytes, *dims: bytes | int) -> bytes:
        sizes = [field(1, dim) if isinstance(dim, int) else field(2, dim) for dim in dims]
        shape = b"".join(field(1, entry) for entry in sizes)
        return field(1, name) + field(2, field(1, field(1, 1) + field(2, shape)))

    def tensor(name: bytes, content: np.ndarray[Any, Any]) -> bytes:
        dims = b"".join(field(1, size) for size in content.shape)
        return dims + field(2, 1) + field(8, name) + field(9, content.tobytes())

    def node(operator: bytes, inputs: list[bytes], output: bytes) -> bytes:
        return b"".join(field(1, name) for name in inputs) + field(2, output) + field(4, operator)

    graph = field(1, node(b"MatMul", [b"x", b"w"], b"t")) + field(
        1, node(b"Add", [b"t", b"b"], b"y")
    )
    graph += field(2, b"affine") + field(5, tensor(b"w", weights)) + field(5, tensor(b"b", bias))
    graph += field(11, value(b"x", b"n", 3)) + field(12, value(b"y", b"n", 2))
    return field(1, 8) + field(7, graph) + field(8, field(2, 17))


def run_made_model() -> dict[str, Any]:
    """Run the made model and compare every number."""
    x = np.array([[1, 2, 3], [-1, 0.5, 0]], dtype=np.float32)
    (y,) = onnxforge.Session(made_model()).run({"x": x}).values()
    expected = np.array([[26, 42], [11, 20.5]], dtype=np.float32)
    np.testing.assert_array_equal(y, expected)
    return {"shape": list(y.shape)}


def main(arguments: list[str]) -> None:
    """Run both models and print what was seen."""
    model, labels = (Path(argument) for argument in arguments[:2])
    result = {
        "version": onnxforge.__version__,
        "file": onnxforge.__file__,
        "numpy": np.__version__,
        "python": sys.version.split()[0],
        "made_model": run_made_model(),
        "magika": tell_files_apart(model, labels),
    }
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
