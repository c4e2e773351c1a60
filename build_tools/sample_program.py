"""Run by the Python of a target, never imported: the sample and the real models through a wheel.

Usage: python -I sample_program.py PACKAGES SAMPLE MODEL LABELS. PACKAGES is the folder that the
wheel and NumPy were unpacked to, SAMPLE the folder that ``sample.py`` has written; MODEL and LABELS
are what ``smoke_program`` takes. Prints one JSON object; fails by an exception.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

# Wine 8 ends a program that asks it for the Windows version the way CPython does from 3.12 on.
sys.modules["_wmi"] = None  # type: ignore[assignment]
sys.path[:0] = [sys.argv[1], str(Path(__file__).resolve().parent)]

import numpy as np  # noqa: E402
import smoke_program  # type: ignore[import-not-found]  # noqa: E402

import onnxforge  # noqa: E402


def run_sample(folder: Path) -> dict[str, Any]:
    """Run every case; return how many there are and what is wrong, by name."""
    listed = json.loads((folder / "sample.json").read_text(encoding="utf-8"))["cases"]
    clock, failed = time.perf_counter(), {}
    with np.load(folder / "arrays.npz") as arrays:
        for case in listed:
            wrong = run_case(case, folder / "models" / f"{case['name']}.onnx", arrays)
            if wrong:
                failed[case["name"]] = wrong
    seconds = round(time.perf_counter() - clock, 1)
    return {"cases": len(listed), "failed": failed, "seconds": seconds}


def run_case(case: dict[str, Any], model: Path, arrays: Any) -> str:
    """Return what is wrong with one case; nothing where it passes."""
    name = case["name"]
    try:
        session = onnxforge.Session(model.read_bytes())
        found = list(
            session.run({key: arrays[f"{name}/in/{key}"] for key in case["inputs"]}).values()
        )
    except onnxforge.Error as error:
        return str(error)
    if len(found) != case["outputs"]:
        return f"{len(found)} outputs instead of {case['outputs']}"
    for place, value in enumerate(found):
        got, want = np.asarray(value), arrays[f"{name}/out/{place}"]
        if (got.dtype, got.shape) != (want.dtype, want.shape):
            return f"output {place} is {got.dtype}{got.shape}, not {want.dtype}{want.shape}"
        if not np.allclose(got, want, case["rtol"], case["atol"], equal_nan=True):
            return f"output {place} has other values"
    return ""


def main(arguments: list[str]) -> None:
    """Run everything and print what was seen."""
    sample, model, labels = (Path(argument) for argument in arguments[1:])
    result = {
        "file": onnxforge.__file__,
        "python": sys.version.split()[0],
        "platform": sys.platform,
        "numpy": np.__version__,
        "tiers": list(onnxforge.build_info().tiers),
        "made_model": smoke_program.run_made_model(),
        "magika": smoke_program.tell_files_apart(model, labels),
        "sample": run_sample(sample),
    }
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
