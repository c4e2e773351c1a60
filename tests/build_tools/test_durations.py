"""Times as they are taken, and like sizes as people read them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from build_tools.durations import Stopwatch, duration, size


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (0.44, "0.4 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (125, "2 min 05 s"),
        (3599.7, "1 h 00 min"),
        (3720, "1 h 02 min"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (2_345_678, "2.3 MB"), (5e9, "5.00 GB")],
)
def test_sizes(count, text):
    assert size(count) == text


def test_a_childs_work_counts_and_its_waiting_does_not():
    """On a busy machine the time that passes says little of the work."""
    work = "import time\nwhile time.process_time() < 0.3: pass\ntime.sleep(0.3)\n"
    watch = Stopwatch()
    subprocess.run([sys.executable, "-I", "-c", work], check=True)
    spent = watch.spent()
    assert spent.seconds >= 0.6
    assert spent.processor >= 0.25  # it is counted in hundredths
    assert spent.processor <= spent.seconds - 0.2
