"""Element types of ml_dtypes, and memory that DLPack carries."""

from __future__ import annotations

import gc
import weakref

import ml_dtypes
import numpy as np
import pytest
from onnx import helper

import onnxforge
from tests.python.kernel_support import run_op

SMALL = ["int2", "uint2", "int4", "uint4", "float4_e2m1fn"]
WIDE = [
    "bfloat16",
    "float8_e4m3fn",
    "float8_e4m3fnuz",
    "float8_e5m2",
    "float8_e5m2fnuz",
    "float8_e8m0fnu",
]
NUMPYS = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
NUMPYS += ["float16", "float32", "float64", "complex64", "complex128"]


def dtype_of(name: str) -> np.dtype:
    return np.dtype(getattr(ml_dtypes, name, name))


def identity(dtype: np.dtype) -> onnxforge.Session:
    kind = helper.np_dtype_to_tensor_dtype(dtype)
    values = [helper.make_tensor_value_info(name, kind, None) for name in "xy"]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])], "g", values[:1], values[1:]
    )
    opsets = [helper.make_opsetid("", 25)]
    return onnxforge.Session(helper.make_model(graph, opset_imports=opsets, ir_version=13))


class Foreign:
    """A tensor of another library: it has nothing but DLPack's two methods."""

    def __init__(self, array: np.ndarray, *, old: bool = False, device: int = 1) -> None:
        self.array, self.old, self.device = array, old, device

    def __dlpack__(self, **options: object) -> object:
        if self.old and options:
            raise TypeError("unexpected keyword")
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (self.device, 0)


@pytest.mark.parametrize("name", SMALL + WIDE + NUMPYS)
def test_every_type_goes_in_and_out(name):
    dtype = dtype_of(name)
    x = np.array([[0, 1], [1, 0]]).astype(dtype)
    y = identity(dtype).run({"x": x})["y"]
    assert y.dtype == dtype
    assert y.tobytes() == x.tobytes()


def test_arithmetic_in_bfloat16():
    x = np.array([1.5, 2.0], ml_dtypes.bfloat16)
    (y,) = run_op("Add", [x, x])
    assert y.dtype == ml_dtypes.bfloat16
    assert y.astype(np.float32).tolist() == [3, 4]


@pytest.mark.parametrize("old", [False, True], ids=["versioned", "from before version 1"])
@pytest.mark.parametrize("name", NUMPYS)
def test_dlpack_in(name, old):
    x = np.array([[0, 1, 1], [1, 0, 0]]).astype(name)
    y = identity(x.dtype).run({"x": Foreign(x, old=old)})["y"]
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(y, x)


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.T,
        lambda x: x[::-1, ::2],
        lambda x: x[:, 1:2],
        lambda x: x[:0],
        lambda x: x[0, 0],
        lambda x: np.broadcast_to(x[:1], x.shape),
    ],
    ids=["transposed", "steps", "part", "empty", "scalar", "repeated"],
)
def test_dlpack_in_of_memory_that_is_not_dense(view):
    x = view(np.arange(12.0).reshape(3, 4))
    np.testing.assert_array_equal(identity(x.dtype).run({"x": Foreign(np.asarray(x))})["y"], x)


@pytest.mark.parametrize("name", WIDE + NUMPYS)
def test_dlpack_out_and_in(name):
    dtype = dtype_of(name)
    x = np.array([[0, 1], [1, 0]]).astype(dtype)
    y = identity(dtype).run({"x": onnxforge.as_dlpack(x)})["y"]
    assert y.dtype == dtype
    assert y.tobytes() == x.tobytes()


def test_numpy_reads_what_goes_out_without_a_copy():
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    y = np.from_dlpack(onnxforge.as_dlpack(x))
    np.testing.assert_array_equal(y, x)
    assert np.shares_memory(x, y)


def test_the_memory_lives_as_long_as_somebody_holds_it():
    class Tracked(np.ndarray):
        pass

    x = np.arange(3.0).view(Tracked)
    gone = weakref.ref(x)
    capsule = onnxforge.as_dlpack(x).__dlpack__()
    producer = onnxforge.as_dlpack(x)
    y = np.from_dlpack(producer)
    del x, producer
    gc.collect()
    assert gone() is not None
    del capsule
    np.testing.assert_array_equal(y, [0, 1, 2])
    del y
    gc.collect()
    assert gone() is None


def test_a_foreign_tensor_is_let_go_after_the_run():
    session = identity(np.dtype(np.float64))
    x = np.arange(3.0)
    released = weakref.ref(x)
    session.run({"x": Foreign(x)})
    del x
    gc.collect()
    assert released() is None


@pytest.mark.parametrize("name", SMALL)
def test_types_that_dlpack_packs_do_not_go_out(name):
    with pytest.raises(onnxforge.UnsupportedError, match="DLPack has no element type"):
        onnxforge.as_dlpack(np.zeros(2, dtype_of(name)))


def test_strings_do_not_go_out():
    with pytest.raises(onnxforge.UnsupportedError, match="DLPack has no element type for str"):
        onnxforge.as_dlpack(np.array(["a"], object))


def test_what_cannot_come_in_is_told():
    session = identity(np.dtype(np.float32))
    with pytest.raises(
        onnxforge.InvalidArgumentError, match=r"'x': the memory is not the CPU's.*type 2"
    ):
        session.run({"x": Foreign(np.zeros(1, np.float32), device=2)})
    with pytest.raises(onnxforge.InvalidArgumentError, match="expected float32"):
        session.run({"x": Foreign(np.zeros(1, np.float64))})

    class Broken(Foreign):
        def __dlpack__(self, **options: object) -> object:
            raise BufferError("it needs gradients")

    with pytest.raises(
        onnxforge.InvalidArgumentError, match="__dlpack__ failed: it needs gradients"
    ):
        session.run({"x": Broken(np.zeros(1, np.float32))})

    class Empty(Foreign):
        def __dlpack__(self, **options: object) -> object:
            return "no capsule"

    with pytest.raises(onnxforge.InvalidArgumentError, match="did not return a capsule"):
        session.run({"x": Empty(np.zeros(1, np.float32))})
