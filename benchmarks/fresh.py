"""What only a fresh process tells: how much memory a session takes, how soon it answers."""

from __future__ import annotations

import statistics
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

ENGINES = ("onnxforge", "onnxruntime")

OPEN = """
if engine == "onnxforge":
    import onnxforge
    def open_model():
        session = onnxforge.Session(model, threads=1)
        return lambda: session.run(feeds)
else:
    import onnxruntime
    def open_model():
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])
        return lambda: session.run(None, feeds)
"""

MEMORY = f"""
import sys, numpy as np
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
engine, model, inputs = sys.argv[1:]
feeds = dict(np.load(inputs))
{OPEN}
base = peak()
open_model()()
print(peak() - base)
"""
"""Prints the mebibytes that a session and one answer take, over what the libraries do."""

FIRST_ANSWER = f"""
import sys, time, numpy as np
engine, model, inputs = sys.argv[1:]
feeds = dict(np.load(inputs))
begin = time.perf_counter()
{OPEN}
open_model()()
print((time.perf_counter() - begin) * 1e3)
"""
"""Prints the milliseconds from the import of an engine to the first answer of a session. NumPy,
which both need and the inputs are made with, has been imported."""


def peak_memory(model: Path, inputs: Path) -> tuple[float, float]:
    """Return the mebibytes that a session and one answer take in a process: ours, the peer's."""
    ours, peer = (_printed(MEMORY, engine, model, inputs) for engine in ENGINES)
    return max(0.1, ours), max(0.1, peer)


def first_answer(model: Path, inputs: Path, rounds: int = 5) -> tuple[float, float]:
    """Return the median milliseconds to a first answer: ours, the peer's; processes in turn."""
    samples = [
        [_printed(FIRST_ANSWER, engine, model, inputs) for engine in ENGINES] for _ in range(rounds)
    ]
    ours, peer = (statistics.median(column) for column in zip(*samples, strict=True))
    return ours, peer


def save_inputs(feeds: dict[str, np.ndarray[Any, Any]], path: Path) -> Path:
    """Write inputs for the programs above."""
    np.savez(path, **feeds)  # type: ignore[arg-type]
    return path


def _printed(program: str, engine: str, model: Path, inputs: Path) -> float:
    command = [sys.executable, "-c", program, engine, str(model), str(inputs)]
    return float(subprocess.run(command, check=True, capture_output=True).stdout)
