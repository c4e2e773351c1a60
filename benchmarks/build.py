"""Time ``nox -s build`` as a person meets it: ``python benchmarks/build.py``.

Three runs in a copy of the tree: everything from an empty cache, then nothing changed, then the
kernel file changed that took longest to compile. Each is the whole command, nox included; the first
also makes its environment and fetches every source.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from build_tools.durations import duration  # noqa: E402 - the repository is not installed
from build_tools.host import detect_host  # noqa: E402
from build_tools.process import SystemRunner, tail  # noqa: E402
from build_tools.report import EVERYTHING, JSON_NAME, NOTHING, ONE_KERNEL, Goal  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_LEFT_OUT = (".git", ".nox", "build", "dist", "__pycache__", ".*_cache", ".hypothesis")
_KERNELS = "cpp/kernels/"


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How long one run took."""

    what: str
    seconds: float
    goal_seconds: float
    detail: str

    @property
    def ok(self) -> bool:
        """Whether the goal is met."""
        return self.seconds <= self.goal_seconds


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A copy of the tree with a cache, an environment and an output folder of its own."""

    room: Path
    posargs: tuple[str, ...]

    @property
    def tree(self) -> Path:
        """The copy."""
        return self.room / "tree"

    def report(self) -> Mapping[str, Any]:
        """Return the report of the last build."""
        text = (self.tree / "dist" / JSON_NAME).read_text(encoding="utf-8")
        report: Mapping[str, Any] = json.loads(text)
        return report

    def time(self, goal: Goal, detail: Callable[[], str]) -> Timing:
        """Run the whole command once and return how long it took."""
        command = [sys.executable, "-m", "nox", "--envdir", str(self.room / "environments")]
        log = self.room / "run.log"
        result = SystemRunner().stream(
            [*command, "-s", "build", "--", "--cache-dir", str(self.room / "cache"), *self.posargs],
            log=log,
            on_line=_echo,
            cwd=self.tree,
            env=dict(os.environ),
        )
        if not result.ok:
            raise SystemExit(f"{goal.what}: the build failed\n{tail(log)}")
        return Timing(
            what=goal.what,
            seconds=round(result.seconds, 2),
            goal_seconds=goal.seconds,
            detail=detail(),
        )


def measure(bench: Bench) -> Iterable[Timing]:
    """Yield the three runs, in the order in which they must be made."""
    shutil.copytree(REPOSITORY, bench.tree, ignore=shutil.ignore_patterns(*_LEFT_OUT))
    yield bench.time(EVERYTHING, lambda: _work(bench.report()))
    yield bench.time(NOTHING, lambda: "the wheel's sha256 verified")
    kernel = slowest_kernel(bench)
    with kernel.open("a", encoding="utf-8") as source:
        source.write("\n// Changed to be measured.\n")
    yield bench.time(ONE_KERNEL, lambda: kernel.relative_to(bench.tree).as_posix())


def slowest_kernel(bench: Bench) -> Path:
    """Return the kernel source whose compilation took longest in the first run."""
    seconds = {
        _source(command["output"]): command["seconds"]
        for command in bench.report()["commands"]
        if command["kind"] == "compile" and _KERNELS in command["output"]
    }
    sources = [name for name in seconds if (bench.tree / name).is_file()]
    return bench.tree / max(sources, key=lambda name: seconds[name])


def _echo(line: str) -> None:
    sys.stderr.write(f"  {line}\n")


def _source(output: str) -> str:
    """Return the source of an object file: cpp/kernels/CMakeFiles/<target>.dir/simd/conv.cc.o."""
    folder, _, inside = output.partition("/CMakeFiles/")
    return f"{folder}/{inside.partition('/')[2]}".removesuffix(".o").removesuffix(".obj")


def _work(report: Mapping[str, Any]) -> str:
    work = sum(command["seconds"] for command in report["commands"])
    return f"{len(report['commands'])} commands, {duration(work)} of work"


def table(timings: Iterable[Timing], cpus: int) -> Table:
    """Return the timings beside their goals."""
    shown = Table(title=f"nox -s build, {cpus} processors", box=None, title_justify="left")
    for column in ("run", "time", "goal (2 processors)", "", "detail"):
        shown.add_column(column)
    for timing in timings:
        mark = "[green]met[/]" if timing.ok else "[red]missed[/]"
        goal = duration(timing.goal_seconds)
        shown.add_row(timing.what, duration(timing.seconds), goal, mark, timing.detail)
    return shown


def main() -> int:
    """Measure and print; 1 where ``--check`` is given and a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    parser.add_argument("--check", action="store_true", help="fail where a goal is missed")
    parser.add_argument("options", nargs="*", help="options of the build, after --")
    args = parser.parse_args()
    cpus = detect_host().cpus
    with tempfile.TemporaryDirectory(prefix="build benchmark ") as room:
        timings = list(measure(Bench(room=Path(room), posargs=tuple(args.options))))
    Console(width=140).print(table(timings, cpus))
    if args.json:
        figures = {"processors": cpus, "runs": [{**asdict(t), "met": t.ok} for t in timings]}
        args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 1 if args.check and not all(timing.ok for timing in timings) else 0


if __name__ == "__main__":
    sys.exit(main())
