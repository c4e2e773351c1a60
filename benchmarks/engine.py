"""Measure the engine side by side with onnxruntime: latency, session creation, agreement.

Both run every model in one process, in turn, so that whatever else the machine does hits both. The
table gives medians and the ratio onnxforge / onnxruntime; below 1 is faster. ``--json FILE`` keeps
the figures.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime as ort

import onnxforge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Feeds = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One model and what it is fed."""

    name: str
    path: Path
    feeds: Feeds


@dataclass(frozen=True, kw_only=True)
class Row:
    """What was measured for one model at one thread count; times in milliseconds."""

    model: str
    threads: int
    ours_ms: float
    peer_ms: float
    ours_create_ms: float
    peer_create_ms: float
    worst_difference: float
    """The largest difference of any output element, relative to the largest element."""

    @property
    def ratio(self) -> float:
        """How our latency compares: below 1 is faster."""
        return self.ours_ms / self.peer_ms


def light_models() -> Iterator[Case]:
    """The nine image classifiers that ONNX's own test-suite runs, [1, 3, 224, 224] each."""
    folder = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
    rng = np.random.default_rng(0)
    for path in sorted(folder.glob("*.onnx")):
        graph = onnx.load(path, load_external_data=False).graph
        weights = {tensor.name for tensor in graph.initializer}
        feeds = {
            value.name: rng.random(
                [dim.dim_value for dim in value.type.tensor_type.shape.dim], dtype=np.float32
            )
            for value in graph.input
            if value.name not in weights
        }
        yield Case(name=path.stem.removeprefix("light_"), path=path, feeds=feeds)


def magika() -> Iterator[Case]:
    """A content-type classifier over 2048 bytes, from the project's pinned test data."""
    command = [sys.executable, "-m", "build_tools", "fetch", "magika", "--json"]
    tree = Path(
        json.loads(subprocess.run(command, check=True, capture_output=True).stdout)[0]["source"]
    )
    path = next(tree.rglob("model.onnx"))
    rng = np.random.default_rng(0)
    yield Case(
        name="magika", path=path, feeds={"bytes": rng.integers(0, 257, (1, 2048), dtype=np.int32)}
    )


CASES: tuple[Callable[[], Iterator[Case]], ...] = (magika, light_models)


def peer_session(path: Path, threads: int) -> ort.InferenceSession:
    """Open a model with onnxruntime, on the CPU, held to a number of threads."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Run a call; return milliseconds and its result."""
    start = time.perf_counter()
    result = call()
    return (time.perf_counter() - start) * 1e3, result


def in_turn(
    ours: Callable[[], Any], peer: Callable[[], Any], budget_s: float
) -> tuple[float, float]:
    """Run both alternately until the budget is spent; return the medians in milliseconds."""
    for _ in range(2):
        ours(), peer()
    samples: list[tuple[float, float]] = []
    end = time.perf_counter() + budget_s
    while len(samples) < 5 or (time.perf_counter() < end and len(samples) < 2000):
        samples.append((timed(ours)[0], timed(peer)[0]))
    return statistics.median(a for a, _ in samples), statistics.median(b for _, b in samples)


def worst_difference(ours: list[Any], peer: list[Any]) -> float:
    """Return the largest element-wise difference, relative to the largest element of its output."""
    return max(
        float(np.max(np.abs(np.asarray(a, np.float64) - b)) / max(1e-30, float(np.max(np.abs(b)))))
        for a, b in zip(ours, peer, strict=True)
    )


def measure(case: Case, threads: int, budget_s: float) -> Row:
    """Measure one model at one thread count."""
    ours_create, ours = timed(lambda: onnxforge.Session(str(case.path), threads=threads))
    peer_create, peer = timed(lambda: peer_session(case.path, threads))
    difference = worst_difference(list(ours.run(case.feeds).values()), peer.run(None, case.feeds))
    ours_ms, peer_ms = in_turn(
        lambda: ours.run(case.feeds), lambda: peer.run(None, case.feeds), budget_s
    )
    return Row(
        model=case.name,
        threads=threads,
        ours_ms=ours_ms,
        peer_ms=peer_ms,
        ours_create_ms=ours_create,
        peer_create_ms=peer_create,
        worst_difference=difference,
    )


def print_row(row: Row) -> None:
    """Print one line of the table."""
    print(  # noqa: T201
        f"{row.model:<24}{row.threads:>3}{row.ours_ms:>10.2f}{row.peer_ms:>10.2f}{row.ratio:>7.2f}"
        f"{row.ours_create_ms:>10.0f}{row.peer_create_ms:>10.0f}{row.worst_difference:>11.1e}",
        flush=True,
    )


def main() -> None:
    """Measure all models at each thread count and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", help="names of models; all when none is given")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], metavar="N")
    parser.add_argument(
        "--seconds", type=float, default=2.0, help="time per model and thread count"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go")
    args = parser.parse_args()

    cases = [case for source in CASES for case in source()]
    chosen = [case for case in cases if not args.models or case.name in args.models]
    if not chosen:
        parser.error(f"no such model; there are: {', '.join(case.name for case in cases)}")
    print(  # noqa: T201
        f"{'model':<24}{'thr':>3}{'ours ms':>10}{'ort ms':>10}{'ratio':>7}"
        f"{'create':>10}{'ort':>10}{'diff':>11}"
    )
    rows = []
    for threads in args.threads:
        for case in chosen:
            rows.append(measure(case, threads, args.seconds))
            print_row(rows[-1])
        mean = math.exp(statistics.fmean(math.log(r.ratio) for r in rows if r.threads == threads))
        print(f"geometric mean at {threads} thread(s): {mean:.2f}")  # noqa: T201
    if args.json:
        document = [{**asdict(row), "ratio": row.ratio} for row in rows]
        args.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
