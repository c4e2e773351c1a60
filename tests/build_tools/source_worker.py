"""A process of its own for the tests that run two at once or kill one half way.

python -m tests.build_tools.source_worker fetch CACHE URL
python -m tests.build_tools.source_worker prefix CACHE DIARY SECONDS
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from build_tools.cache import Cache
from build_tools.record import Record
from tests.build_tools.source_bench import Bench, pin, release

INPUTS = {"compiler": "gcc 12", "flags": "-O2"}


def fetch(cache_dir: str, url: str) -> Path:
    bench = Bench(Path(cache_dir))
    wanted = pin(release(url))
    return Cache(Path(cache_dir), bench.record).source(wanted, bench.fetcher)


def prefix(cache_dir: str, diary: str, seconds: str) -> Path:
    def build(folder: Path) -> None:
        with Path(diary).open("a", encoding="utf-8") as lines:
            lines.write(f"{os.getpid()}\n")
        (folder / "lib").mkdir()
        (folder / "lib" / "first.a").write_bytes(b"first")
        time.sleep(float(seconds))
        (folder / "lib" / "second.a").write_bytes(b"second")

    return Cache(Path(cache_dir), Record()).prefix("toy", "1.0", INPUTS, build).path


if __name__ == "__main__":
    verb = {"fetch": fetch, "prefix": prefix}[sys.argv[1]]
    sys.stdout.write(f"{verb(*sys.argv[2:])}\n")
