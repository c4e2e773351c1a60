"""What becomes of weights: packed ones are not kept a second time, those a run reads are."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import onnxforge
from tests.python.support import parse, relative_difference

RANDOM = np.random.default_rng(0)


def with_weights(text, **weights):
    model = parse(text)
    model.graph.initializer.extend(
        numpy_helper.from_array(array, name) for name, array in weights.items()
    )
    return model


def drawn(*shape):
    return RANDOM.standard_normal(shape).astype(np.float32) / 8


@pytest.mark.parametrize(
    "body",
    [
        "y = MatMul(x, w)",
        "a = MatMul(x, w) b = MatMul(a, w) y = MatMul(b, w)",  # packed by three kernels
        "a = MatMul(x, w) y = Add(a, w)",  # packed by one, read by another
        "a = MatMul(x, w) b = Transpose<perm = [1, 0]>(w) y = MatMul(a, b)",
        "a = MatMul(x, w) y = MatMul(w, a)",  # on the left it is not packed
        "a = MatMul(x, w) b = Identity(w) y = Mul(a, b)",
        "y = Gemm<transB = 1>(x, w)",
        "y = MatMul(w, w)",
        """a = MatMul(x, w) s = ReduceSum<keepdims = 0>(a) z = Less(s, s)
        y = If(z) <then_branch = t () => (float[N, M] p) { p = MatMul(a, w) },
                   else_branch = e () => (float[N, M] q) { q = Add(a, w) }>""",
        """a = MatMul(x, w) n = Constant<value = int64 {3}>() c = Constant<value = bool {1}>()
        y = Loop(n, c, a) <body = step (int64 i, bool k, float[N, M] s) => (bool l, float[N, M] t)
            { l = Identity(k) t = MatMul(s, w) }>""",
    ],
)
@pytest.mark.parametrize("optimize", [True, False])
@pytest.mark.parametrize("threads", [1, 2])
def test_whoever_reads_a_weight_finds_it(body, optimize, threads, tmp_path):
    graph = "agraph (float[96, 96] x) => (float[N, M] y) { " + body + " }"
    model = with_weights(graph, w=drawn(96, 96))
    feeds = {"x": drawn(96, 96)}
    (expected,) = onnxforge.Session(model, tier="reference", optimize=False).run(feeds).values()
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    for source in (model, path):
        session = onnxforge.Session(source, optimize=optimize, threads=threads)
        for _ in range(3):
            assert relative_difference(session.run(feeds)["y"], expected) < 1e-5


def test_a_weight_that_is_also_an_output():
    graph = "agraph (float[64, 64] x) => (float[64, 64] y, float[64, 64] w) { y = MatMul(x, w) }"
    weights = drawn(64, 64)
    outputs = onnxforge.Session(with_weights(graph, w=weights)).run({"x": drawn(64, 64)})
    np.testing.assert_array_equal(outputs["w"], weights)


def test_convolutions_of_new_sizes_still_know_their_filters():
    body = "{ a = Conv(x, w) y = Conv(a, w) }"
    graph = f"agraph (float[1, 16, H, W] x) => (float[1, 16, P, Q] y) {body}"
    model = with_weights(graph, w=drawn(16, 16, 3, 3))
    session = onnxforge.Session(model)
    reference = onnxforge.Session(model, tier="reference", optimize=False)
    for size in (8, 32, 9):
        feeds = {"x": drawn(1, 16, size, size)}
        expected = reference.run(feeds)["y"]
        assert relative_difference(session.run(feeds)["y"], expected) < 1e-4


PEAK = """
import sys, onnxforge
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
base = peak()
session = onnxforge.Session(sys.argv[1], threads=1)
print(peak() - base)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_making_a_session_never_holds_all_weights_twice(tmp_path):
    weights = {f"w{i}": drawn(1024, 1024) for i in range(16)}  # 4 MiB each
    chain = " ".join(f"v{i + 1} = MatMul(v{i}, w{i})" for i in range(16))
    graph = f"agraph (float[1, 1024] v0) => (float[1, 1024] v16) {{ {chain} }}"
    path = tmp_path / "model.onnx"
    onnx.save(with_weights(graph, **weights), path)
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(path)], check=True, capture_output=True, text=True
    )
    assert float(done.stdout) < 1.4 * 64


BEYOND = (1 << 20) + (1 << 18)  # rows of a KiB: three tables are 3.75 GiB


def three_tables(folder):
    """A model whose data, a file with holes, no protobuf message could hold."""
    sums = " ".join(f"g{i} = Gather(w{i}, i)" for i in range(3)) + " y = Sum(g0, g1, g2)"
    model = parse(f"agraph (int64[K] i) => (float[K, 256] y) {{ {sums} }}")
    for i in range(3):
        tensor = model.graph.initializer.add(name=f"w{i}", data_type=1, dims=[BEYOND, 256])
        tensor.data_location = onnx.TensorProto.EXTERNAL
        place = {"location": "model.data", "offset": i * BEYOND * 1024, "length": BEYOND * 1024}
        for key, value in place.items():
            tensor.external_data.add(key=key, value=str(value))
    with (folder / "model.data").open("wb") as data:
        data.truncate(3 * BEYOND * 1024)
        data.seek(-1024, 2)
        data.write(np.arange(256, dtype=np.float32).tobytes())
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


BEYOND_PEAK = (
    PEAK
    + """
import numpy as np
rows = session.run({"i": np.array([7, int(sys.argv[2]) - 1])})["y"]
assert rows[:, 200].tolist() == [0, 200], rows
print(peak() - base)
"""
)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and needs a file with holes")
def test_four_gigabytes_of_external_data_take_no_memory_of_their_own(tmp_path):
    path = three_tables(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", BEYOND_PEAK, str(path), str(BEYOND)],
        check=True,
        capture_output=True,
        text=True,
    )
    made, run = map(float, done.stdout.split())
    assert made <= run < 64


def test_the_file_may_change_once_there_is_a_session(tmp_path):
    path = tmp_path / "model.onnx"
    graph = "agraph (int64[2] i) => (float[2, 256] y) { y = Gather(w, i) }"
    table = drawn(512, 256)
    onnx.save(with_weights(graph, w=table), path)
    session = onnxforge.Session(path)
    path.write_bytes(b"something else")
    rows = session.run({"i": np.array([511, 3])})["y"]
    np.testing.assert_array_equal(rows, table[[511, 3]])


def test_weights_that_sessions_share_are_not_changed_by_what_one_does_to_them(tmp_path):
    """A batch normalisation is multiplied into weights that were read from a file, and into some
    that were computed; in both cases the next session of the same model begins with its own."""
    channels = 192  # more than a mebibyte: tensors of smaller files are not read one by one
    model = with_weights(
        """agraph (float[1, 192, 6, 6] x) => (float[1, 192, 6, 6] y) {
            a = Conv<pads = [1, 1, 1, 1]>(x, w)
            b = BatchNormalization(a, scale, shift, mean, var)
            v = Add(w, w)
            c = Conv<pads = [1, 1, 1, 1]>(b, v)
            y = BatchNormalization(c, scale, shift, mean, var)
        }""",
        w=drawn(channels, channels, 3, 3),
        scale=drawn(channels),
        shift=drawn(channels),
        mean=drawn(channels),
        var=np.abs(drawn(channels)) + 1,
    )
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    feeds = {"x": drawn(1, channels, 6, 6)}
    (expected,) = onnxforge.Session(model, tier="reference", optimize=False).run(feeds).values()
    for source in (onnxforge.load(path), onnxforge.load(model)):
        # The reference tier packs nothing: it keeps what it was given, for the others to find.
        tiers = ("reference", "reference", "auto", "auto")
        sessions = [onnxforge.Session(source, tier=tier) for tier in tiers]
        sessions.append(onnxforge.Session(source, optimize=False))
        for session in sessions:
            (actual,) = session.run(feeds).values()
            assert relative_difference(actual, expected) < 1e-4
