"""What docs/speed.md shows of a run of the benchmark: tables, and two pictures."""

from __future__ import annotations

import importlib
import math
import statistics
from collections import defaultdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

Run = dict[str, Any]
"""What ``engine.py --json`` has written."""

MEASURES = {
    "ratio": ("latency", 0.9),
    "create_ratio": ("creation of a session", 0.3),
    "memory_ratio": ("peak memory over the libraries' own", 0.7),
    "first_ratio": ("import and first answer of a fresh process", 0.3),
}
"""The ratios of a row by name: what they are of, and the geometric mean that is aimed at."""

WORST = 1.25
"""The latency that no single model should exceed."""

KINDS = {
    "nodes": "creation of a session by number of nodes",
    "batch": "MobileNetV2 by number of images",
    "sequence": "a BERT of 4 layers by number of tokens",
    "image": "ResNet-18 by the image's edge",
}
"""What grows, and what is timed."""


def speed_page(run: Run) -> Iterator[str]:
    """Yield the generated part of the page."""
    if not run:
        yield "No run is kept here yet."
        return
    rows, machine = run["models"], run["machine"]
    models = len({row["model"] for row in rows})
    yield (
        f"{models} models, {machine['processors']} processors ({machine['processor']}), "
        f"{machine['system']}, Python {machine['python']}; onnxforge {machine['onnxforge']} / "
        f"onnxruntime {machine['onnxruntime']}."
    )
    yield ""
    yield from _means(rows)
    yield ""
    yield from _missed(rows)
    yield ""
    yield "![Latency of every model as a ratio to onnxruntime's](speed-models.svg)"
    yield ""
    yield from _models(rows)
    yield ""
    yield "## How the cost grows"
    yield ""
    yield "![Cost by nodes, batch, length of a sequence and size of an image](speed-growth.svg)"
    yield ""
    yield from _growth(run["growth"])


def mean(ratios: Iterable[float]) -> float:
    """Return the geometric mean."""
    return math.exp(statistics.fmean(map(math.log, ratios)))


def _threads(rows: list[Run]) -> list[int]:
    return sorted({row["threads"] for row in rows})


def _heads(threads: list[int]) -> list[str]:
    return [f"{count} thread{'s' if count > 1 else ''}" for count in threads]


def _means(rows: list[Run]) -> Iterator[str]:
    threads = _threads(rows)
    yield f"| geometric mean of the ratios | {' | '.join(_heads(threads))} | aim |"
    yield f"| --- | {'---: | ' * len(threads)}---: |"
    for name, (what, aim) in MEASURES.items():
        means = (mean(r[name] for r in rows if r["threads"] == count) for count in threads)
        yield f"| {what} | {' | '.join(f'{value:.2f}' for value in means)} | {aim} |"


def _missed(rows: list[Run]) -> Iterator[str]:
    worst = sorted((row for row in rows if row["ratio"] > WORST), key=lambda row: -row["ratio"])
    if not worst:
        yield f"No model is slower than {WORST} times the peer."
        return
    named = (f"{row['model']} {row['ratio']:.2f} ({row['threads']} thr.)" for row in worst)
    yield f"Slower than {WORST} times the peer: {', '.join(named)}."


def _models(rows: list[Run]) -> Iterator[str]:
    threads = _threads(rows)
    columns = [f"ms, {head} | ratio" for head in _heads(threads)]
    yield f"| model | {' | '.join(columns)} | session, ms | ratio | MiB | ratio |"
    yield f"| --- | {'---: | ---: | ' * len(threads)}---: | ---: | ---: | ---: |"
    by_model: dict[str, list[Run]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: int(row["threads"])):
        by_model[row["model"]].append(row)
    for model, own in by_model.items():
        cells = [f"{r['ours_ms']:.2f} | {r['ratio']:.2f}" for r in own]
        first = own[0]
        cells.append(f"{first['ours_create_ms']:.0f} | {first['create_ratio']:.2f}")
        cells.append(f"{first['ours_mib']:.0f} | {first['memory_ratio']:.2f}")
        yield f"| {model} | {' | '.join(cells)} |"


def _growth(rows: list[Run]) -> Iterator[str]:
    yield "| what grows | size | threads | ms | onnxruntime, ms | ratio |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    for row in rows:
        ours, peer = row["ours_ms"], row["peer_ms"]
        cells = (row["kind"], str(row["size"]), str(row["threads"]), f"{ours:.2f}", f"{peer:.2f}")
        yield f"| {' | '.join(cells)} | {ours / peer:.2f} |"


def draw(run: Run, folder: Path) -> None:
    """Write both pictures as SVG, the same bytes for the same figures."""
    pyplot = importlib.import_module("matplotlib.pyplot")
    settings = {"svg.hashsalt": "onnxforge", "svg.fonttype": "none", "font.size": 9}
    pyplot.rcParams.update(
        {**settings, "axes.spines.top": False, "axes.spines.right": False, "figure.dpi": 80}
    )
    for name, picture in (("models", _draw_models), ("growth", _draw_growth)):
        figure = picture(pyplot, run)
        figure.savefig(folder / f"speed-{name}.svg", metadata={"Date": None}, bbox_inches="tight")
        pyplot.close(figure)


OURS, OURS_TOO, PEER = "#c2410c", "#fdba74", "#64748b"


def _draw_models(pyplot: Any, run: Run) -> Any:
    """Draw a dot per model and number of threads, the fastest in comparison on top."""
    rows = run["models"]
    one, *more = _threads(rows)
    order = sorted((r for r in rows if r["threads"] == one), key=lambda r: -r["ratio"])
    places = {row["model"]: place for place, row in enumerate(order)}
    figure, axes = pyplot.subplots(figsize=(7, 0.19 * len(order) + 1))
    axes.axvspan(1, 3, color="#f1f5f9", zorder=0)
    for threads, color in zip((*more, one), (OURS_TOO, OURS), strict=False):
        own = [row for row in rows if row["threads"] == threads]
        x, y = [row["ratio"] for row in own], [places[row["model"]] for row in own]
        axes.scatter(x, y, color=color, s=22, zorder=3, label=_heads([threads])[0])
    axes.set_xscale("log")
    ticks = (0.25, 0.5, 1, 1.25, 2)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlim(0.2, 2.2)
    axes.set_yticks(range(len(order)), [row["model"] for row in order])
    axes.grid(axis="x", color="#e2e8f0", zorder=1)
    axes.set_xlabel("time of a run, onnxforge / onnxruntime; left of 1 onnxforge is faster")
    axes.legend(frameon=False, loc="lower left")
    return figure


def _draw_growth(pyplot: Any, run: Run) -> Any:
    """Draw milliseconds by size, both axes logarithmic, one panel for each thing that grows."""
    figure, panels = pyplot.subplots(2, 2, figsize=(8, 6), layout="constrained")
    for axes, (kind, title) in zip(panels.flat, KINDS.items(), strict=True):
        rows = [row for row in run["growth"] if row["kind"] == kind]
        for threads, style in zip(_threads(rows), ("-", "--"), strict=False):
            own = [row for row in rows if row["threads"] == threads]
            sizes = [row["size"] for row in own]
            for side, color in (("peer", PEER), ("ours", OURS)):
                label = f"{'onnxforge' if side == 'ours' else 'onnxruntime'}, {threads} thr."
                times = [row[f"{side}_ms"] for row in own]
                axes.plot(sizes, times, style, color=color, marker="o", ms=3, label=label)
        axes.set_xscale("log", base=2 if kind != "nodes" else 10)
        axes.set_yscale("log")
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.minorticks_off()
        axes.set_title(title, loc="left", fontsize=9)
        axes.set_ylabel("ms")
        axes.grid(color="#e2e8f0")
        axes.legend(frameon=False, fontsize=7)
    return figure
