"""One session, many threads; many sessions, many threads."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import onnxforge
from tests.python.support import parse, session

WORK = """
agraph (float[N, 96] x) => (float[N, 96] y)
{
    a = MatMul(x, w)
    b = Relu(a)
    c = MatMul(b, w)
    d = Add(c, x)
    y = Tanh(d)
}
"""


@pytest.fixture
def model():
    proto = parse(WORK)
    weights = np.random.default_rng(0).standard_normal((96, 96)).astype(np.float32) / 10
    proto.graph.initializer.append(numpy_helper.from_array(weights, "w"))
    return proto


def feed(n, seed):
    return {"x": np.random.default_rng(seed).standard_normal((n, 96)).astype(np.float32)}


@pytest.mark.parametrize("threads", [1, 2])
def test_concurrent_runs_of_one_session_agree_with_serial_ones(model, threads):
    s = onnxforge.Session(model, threads=threads)
    cases = [(1 + i % 7, i) for i in range(200)]
    expected = [s.run(feed(*case))["y"] for case in cases]
    with ThreadPoolExecutor(8) as pool:
        actual = list(pool.map(lambda case: s.run(feed(*case))["y"], cases * 3))
    for a, e in zip(actual, expected * 3, strict=True):
        np.testing.assert_array_equal(a, e)


def test_concurrent_first_runs_of_one_signature(model):
    s = onnxforge.Session(model)
    barrier = threading.Barrier(6)
    expected = onnxforge.Session(model).run(feed(5, 1))["y"]

    def run(_):
        barrier.wait()
        return [s.run(feed(5, 1))["y"] for _ in range(5)]

    with ThreadPoolExecutor(6) as pool:
        for results in pool.map(run, range(6)):
            for result in results:
                np.testing.assert_array_equal(result, expected)


def test_errors_in_one_thread_do_not_disturb_another(model):
    s = onnxforge.Session(model)
    expected = s.run(feed(3, 0))["y"]

    def run(i):
        if i % 2:
            with pytest.raises(onnxforge.InvalidArgumentError):
                s.run({"x": np.zeros((3, 5), np.float32)})
        else:
            np.testing.assert_array_equal(s.run(feed(3, 0))["y"], expected)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, range(100)))


def test_python_runs_while_a_session_does():
    s = session(
        """agraph (int64 n, float[64, 64] x) => (float[64, 64] y) {
            c = Constant<value = bool {1}>()
            y = Loop(n, c, x) <body = b (int64 i, bool ci, float[64, 64] p)
                    => (bool co, float[64, 64] r) {
                co = Identity(ci)
                r = Sin(p)
            }>
        }"""
    )
    ticks = 0
    done = threading.Event()
    x = np.ones((64, 64), np.float32)

    def work():
        s.run({"n": 2000, "x": x})
        done.set()

    thread = threading.Thread(target=work)
    thread.start()
    while not done.is_set():
        ticks += 1
        time.sleep(0.001)
    thread.join()
    assert ticks > 5


def test_sessions_come_and_go(model):
    before = threading.active_count()
    for i in range(20):
        s = onnxforge.Session(model, threads=3)
        assert s.threads == 3
        s.run(feed(2, i))
        del s
    assert threading.active_count() == before


def test_outputs_outlive_their_session_in_another_thread(model):
    with ThreadPoolExecutor(1) as pool:
        results = pool.submit(
            lambda: [onnxforge.Session(model).run(feed(2, i))["y"] for i in range(5)]
        ).result()
    assert all(np.isfinite(result).all() for result in results)


FORKS = """
import os, sys
import numpy as np
import onnxforge

session = onnxforge.Session(sys.argv[1], threads=2)
x = {"x": np.ones((128, 96), np.float32)}
expected = session.run(x)["y"]
child = os.fork()
same = np.array_equal(session.run(x)["y"], expected)
if child == 0:
    del session  # joins no thread of the parent's
    os._exit(0 if same else 1)
assert same
assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no fork there")
def test_a_session_lives_on_in_a_forked_process(model, tmp_path):
    """The child has the session but not its threads: it computes alone, and comes to an end."""
    onnx.save(model, tmp_path / "model.onnx")
    command = [sys.executable, "-c", FORKS, tmp_path / "model.onnx"]
    subprocess.run(command, check=True, timeout=120)
