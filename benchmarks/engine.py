"""Measure the engine side by side with onnxruntime: latency, session creation, memory, agreement.

Both run every model in one process, in turn, so that whatever else the machine does hits both. In
fresh processes, in turn too: the memory over what the libraries take, and the time from the import
to the first answer, NumPy being there. A second table says how the cost grows: session creation
with the number of nodes, a run with batch, length of the sequence and size of the image. Both give
medians and ratios onnxforge / onnxruntime; below 1 is better. ``--json FILE`` keeps the figures,
which `nox -s docs -- --speed FILE` makes a page of.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime as ort
from fresh import first_answer, peak_memory, save_inputs
from models import bert_mini, chain, decoder_step, lstm, mobilenet_v2, quantized, resnet18, trees

import onnxforge

if TYPE_CHECKING:
    from collections.abc import Callable

REPOSITORY = Path(__file__).resolve().parent.parent
Feeds = dict[str, np.ndarray[Any, Any]]
Shapes = dict[str, tuple[type[np.generic], tuple[int, ...]]]
F32, I32 = np.float32, np.int32


@dataclass(frozen=True, kw_only=True)
class Case:
    """One model and what it is fed."""

    path: Path
    feeds: Feeds


@dataclass(frozen=True, kw_only=True)
class Row:
    """What was measured for one model at one thread count; milliseconds and mebibytes."""

    model: str
    threads: int
    ours_ms: float
    peer_ms: float
    ours_create_ms: float
    peer_create_ms: float
    ours_mib: float
    peer_mib: float
    ours_first_ms: float
    """From the import of the library, in a fresh process with one thread, to the first answer."""
    peer_first_ms: float
    worst_difference: float
    """The largest difference of any output element, relative to the largest element."""

    @property
    def ratio(self) -> float:
        """How our latency compares: below 1 is faster."""
        return self.ours_ms / self.peer_ms

    @property
    def create_ratio(self) -> float:
        """How the time to make a session compares."""
        return self.ours_create_ms / self.peer_create_ms

    @property
    def memory_ratio(self) -> float:
        """How the peak memory over the libraries' own compares."""
        return self.ours_mib / self.peer_mib

    @property
    def first_ratio(self) -> float:
        """How the time to a fresh process's first answer compares."""
        return self.ours_first_ms / self.peer_first_ms

    def as_dict(self) -> dict[str, Any]:
        """Return figures and ratios."""
        ratios = ("ratio", "create_ratio", "memory_ratio", "first_ratio")
        return {**asdict(self), **{name: getattr(self, name) for name in ratios}}


@dataclass(frozen=True, kw_only=True)
class Growth:
    """Median milliseconds at one size: to make a session of so many nodes, else of one run."""

    kind: str
    """What grows: a key of SCALES, or "nodes"."""
    size: int
    threads: int
    ours_ms: float
    peer_ms: float


def drawn(shapes: Shapes) -> Feeds:
    """Return random inputs: floats in [0, 1), integers below 256."""
    random = np.random.default_rng(0)
    return {
        name: random.random(shape).astype(dtype)
        if np.issubdtype(dtype, np.floating)
        else random.integers(0, 256, shape).astype(dtype)
        for name, (dtype, shape) in shapes.items()
    }


def light(name: str, _: Path) -> Case:
    """One of the image classifiers that ONNX's own test-suite runs, on [1, 3, 224, 224]."""
    folder = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
    path = folder / f"light_{name}.onnx"
    graph = onnx.load(path, load_external_data=False).graph
    weights = {tensor.name for tensor in graph.initializer}
    (image,) = (value.name for value in graph.input if value.name not in weights)
    return Case(path=path, feeds=drawn({image: (np.float32, (1, 3, 224, 224))}))


def pinned(package: str, file: str, shapes: Shapes, _: Path) -> Case:
    """A published model out of the project's pinned test data."""
    command = [sys.executable, "-m", "build_tools", "fetch", package, "--json"]
    done = subprocess.run(command, check=True, capture_output=True, cwd=REPOSITORY)
    return Case(path=Path(json.loads(done.stdout)[0]["source"], file), feeds=drawn(shapes))


def silero_vad(room: Path) -> Case:
    """A voice activity detector, on 32 ms at 16 kHz."""
    shapes: Shapes = {"input": (F32, (1, 576)), "state": (F32, (2, 1, 128))}
    case = pinned("silero-vad", "silero_vad.onnx", shapes, room)
    return Case(path=case.path, feeds={**case.feeds, "sr": np.array(16000)})


def built(build: Callable[[], tuple[onnx.ModelProto, Feeds]], room: Path) -> Case:
    """A model made by one of the scripts in models/."""
    model, feeds = build()
    path = room / "model.onnx"
    onnx.save(model, path)
    return Case(path=path, feeds=feeds)


OCR = "rapidocr-onnxruntime"

CASES: dict[str, Callable[[Path], Case]] = {
    "magika": partial(pinned, "magika", "model.onnx", {"bytes": (I32, (1, 2048))}),
    "silero_vad": silero_vad,
    "ocr_det": partial(pinned, OCR, "ch_PP-OCRv4_det_infer.onnx", {"x": (F32, (1, 3, 320, 480))}),
    "ocr_cls": partial(
        pinned, OCR, "ch_ppocr_mobile_v2.0_cls_infer.onnx", {"x": (F32, (1, 3, 48, 192))}
    ),
    "ocr_rec": partial(pinned, OCR, "ch_PP-OCRv4_rec_infer.onnx", {"x": (F32, (1, 3, 48, 320))}),
    "yolov8n": partial(pinned, "nudenet", "320n.onnx", {"images": (F32, (1, 3, 320, 320))}),
    "bert_mini": partial(built, bert_mini.build),
    "bert_mini_20": partial(built, partial(bert_mini.build, opset=20)),
    "decoder_step": partial(built, decoder_step.build),
    "resnet18": partial(built, resnet18.build),
    "mobilenet_v2": partial(built, mobilenet_v2.build),
    "mobilenet_v2_qdq": partial(built, partial(mobilenet_v2.build, quantized=True)),
    "lstm": partial(built, lstm.build),
    "trees": partial(built, trees.build),
    "trees_1": partial(built, partial(trees.build, rows=1)),
    "trees_16": partial(built, partial(trees.build, rows=16)),
    "trees_1000": partial(built, partial(trees.build, rows=1000)),
    "bert_mini_dynamic": partial(built, partial(quantized.dynamic, bert_mini.build)),
    "decoder_dynamic": partial(built, partial(quantized.dynamic, decoder_step.build)),
    "bert_mini_qdq": partial(built, partial(quantized.static, bert_mini.build)),
    "resnet18_qdq": partial(built, partial(quantized.static, resnet18.build)),
    "resnet18_qlinear": partial(built, partial(quantized.static, resnet18.build, operators=True)),
    "mobilenet_v2_qlinear": partial(
        built, partial(quantized.static, mobilenet_v2.build, operators=True)
    ),
    "bvlc_alexnet": partial(light, "bvlc_alexnet"),
    "densenet121": partial(light, "densenet121"),
    "inception_v1": partial(light, "inception_v1"),
    "inception_v2": partial(light, "inception_v2"),
    "resnet50": partial(light, "resnet50"),
    "shufflenet": partial(light, "shufflenet"),
    "squeezenet": partial(light, "squeezenet"),
    "vgg19": partial(light, "vgg19"),
    "zfnet512": partial(light, "zfnet512"),
}
"""Every model by its name, and how it is had; a folder is given for those that are made."""

NODES = (10, 100, 1000, 10000)
"""The sizes of chain.py whose sessions are timed."""

SCALES: dict[str, tuple[Callable[[int], tuple[onnx.ModelProto, Feeds]], tuple[int, ...]]] = {
    "batch": (mobilenet_v2.build, (1, 4, 16, 64)),
    "sequence": (bert_mini.build, (8, 32, 128, 512, 2048)),
    "image": (resnet18.build, (64, 128, 256, 512, 1024)),
}
"""What else grows: the model of a size, and the sizes."""

RUNS_IN_TURN = 5
PAUSE_S = 0.05
"""A pool's threads go on polling for a while after a run; by then they leave the other side its
cores."""


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
    """Run both in turn, some runs at a time, while the budget lasts; return the medians in ms."""
    samples: tuple[list[float], list[float]] = ([], [])
    end = time.perf_counter() + budget_s
    while not samples[1] or (time.perf_counter() < end and len(samples[1]) < 2000):
        for call, times in zip((ours, peer), samples, strict=True):
            time.sleep(PAUSE_S)
            call()
            times.extend(timed(call)[0] for _ in range(RUNS_IN_TURN))
    return statistics.median(samples[0]), statistics.median(samples[1])


def worst_difference(ours: list[Any], peer: list[Any]) -> float:
    """Return the largest element-wise difference, relative to the largest element of its output."""
    return max(
        float(np.max(np.abs(np.asarray(a, np.float64) - b)) / max(1e-30, float(np.max(np.abs(b)))))
        for a, b in zip(ours, peer, strict=True)
    )


@dataclass(frozen=True, kw_only=True)
class Fresh:
    """What fresh processes said of one model: ours, the peer's."""

    mib: tuple[float, float]
    first_ms: tuple[float, float]


def measure(name: str, case: Case, threads: int, budget_s: float, fresh: Fresh) -> Row:
    """Measure one model at one thread count."""
    ours_create, ours = timed(lambda: onnxforge.Session(str(case.path), threads=threads))
    peer_create, peer = timed(lambda: peer_session(case.path, threads))
    difference = worst_difference(list(ours.run(case.feeds).values()), peer.run(None, case.feeds))
    ours_ms, peer_ms = in_turn(
        lambda: ours.run(case.feeds), lambda: peer.run(None, case.feeds), budget_s
    )
    return Row(
        model=name,
        threads=threads,
        ours_ms=ours_ms,
        peer_ms=peer_ms,
        ours_create_ms=ours_create,
        peer_create_ms=peer_create,
        ours_mib=fresh.mib[0],
        peer_mib=fresh.mib[1],
        ours_first_ms=fresh.first_ms[0],
        peer_first_ms=fresh.first_ms[1],
        worst_difference=difference,
    )


def print_row(row: Row) -> None:
    """Print one line of the table."""
    print(  # noqa: T201
        f"{row.model:<18}{row.threads:>3}{row.ours_ms:>10.3f}{row.peer_ms:>10.3f}{row.ratio:>7.2f}"
        f"{row.ours_create_ms:>9.0f}{row.peer_create_ms:>7.0f}{row.create_ratio:>7.2f}"
        f"{row.ours_mib:>8.0f}{row.peer_mib:>7.0f}{row.memory_ratio:>7.2f}"
        f"{row.ours_first_ms:>8.0f}{row.peer_first_ms:>7.0f}{row.first_ratio:>7.2f}"
        f"{row.worst_difference:>9.0e}",
        flush=True,
    )


def print_means(rows: list[Row], threads: int) -> None:
    """Print the geometric means of the ratios at one thread count."""
    own = [row for row in rows if row.threads == threads]
    latency, create, memory, first = (
        math.exp(statistics.fmean(math.log(ratio) for ratio in ratios))
        for ratios in zip(
            *((r.ratio, r.create_ratio, r.memory_ratio, r.first_ratio) for r in own), strict=True
        )
    )
    print(  # noqa: T201
        f"geometric means at {threads} thread(s): latency {latency:.2f}, session creation "
        f"{create:.2f}, peak memory {memory:.2f}, first answer {first:.2f}; "
        f"worst latency {max(r.ratio for r in own):.2f}"
    )


def machine() -> dict[str, Any]:
    """Say what was measured on, and what against what."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(encoding="utf-8").splitlines() if facts.is_file() else []
    names = (line.partition(": ")[2] for line in lines if line.startswith("model name"))
    return {
        "processor": next(names, platform.processor()),
        "processors": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "onnxforge": onnxforge.__version__,
        "onnxruntime": ort.__version__,
    }


def measure_all(names: list[str], threads: list[int], budget_s: float) -> list[Row]:
    """Measure models at each thread count, printing each row when it is known."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            room = Path(folder, name)
            room.mkdir()
            case = CASES[name](room)
            inputs = save_inputs(case.feeds, room / "inputs.npz")
            fresh = Fresh(
                mib=peak_memory(case.path, inputs), first_ms=first_answer(case.path, inputs)
            )
            for count in threads:
                rows.append(measure(name, case, count, budget_s, fresh))
                print_row(rows[-1])
    return rows


def measure_growth(threads: list[int], budget_s: float) -> list[Growth]:
    """Time sessions of more and more nodes and runs of larger and larger inputs, printing each."""
    print(f"\n{'growth':<10}{'size':>6}{'thr':>4}{'ms':>11}{'ort':>11}{'ratio':>7}{'ms/size':>10}")  # noqa: T201
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        for nodes in NODES:
            onnx.save(chain.build(nodes)[0], path)
            pair = (
                partial(onnxforge.Session, str(path), threads=1),
                partial(peer_session, path, 1),
            )
            rows.append(grown("nodes", nodes, 1, in_turn(*pair, budget_s)))
        for kind, (build, sizes) in SCALES.items():
            for size in sizes:
                model, feeds = build(size)
                onnx.save(model, path)
                for count in threads:
                    ours = onnxforge.Session(str(path), threads=count)
                    peer = peer_session(path, count)
                    pair = (partial(ours.run, feeds), partial(peer.run, None, feeds))
                    rows.append(grown(kind, size, count, in_turn(*pair, budget_s)))
    return rows


def grown(kind: str, size: int, threads: int, medians: tuple[float, float]) -> Growth:
    """Return and print one row."""
    ours, peer = medians
    figures = f"{ours:>11.2f}{peer:>11.2f}{ours / peer:>7.2f}{ours / size:>10.4f}"
    print(f"{kind:<10}{size:>6}{threads:>4}{figures}", flush=True)  # noqa: T201
    return Growth(kind=kind, size=size, threads=threads, ours_ms=ours, peer_ms=peer)


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

    unknown = [name for name in args.models if name not in CASES]
    if unknown:
        parser.error(f"no model {', '.join(unknown)}; there are: {', '.join(CASES)}")
    print(  # noqa: T201
        f"{'model':<18}{'thr':>3}{'ours ms':>10}{'ort ms':>10}{'ratio':>7}"
        f"{'create':>9}{'ort':>7}{'ratio':>7}{'MiB':>8}{'ort':>7}{'ratio':>7}"
        f"{'first':>8}{'ort':>7}{'ratio':>7}{'diff':>9}"
    )
    rows = measure_all(args.models or list(CASES), args.threads, args.seconds)
    for count in args.threads:
        print_means(rows, count)
    growth = [] if args.models else measure_growth(args.threads, args.seconds)
    if args.json:
        document = {
            "machine": machine(),
            "models": [row.as_dict() for row in rows],
            "growth": [asdict(row) for row in growth],
        }
        args.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
