"""Element types of ml_dtypes, and memory that DLPack carries."""

from __future__ import annotations

import ctypes
import gc
import weakref

import ml_dtypes
import numpy as np
import pytest
from onnx import helper, numpy_helper

import onnxforge
from tests.python.kernel_support import run_op
from tests.python.properties.bits import SUB_BYTE, assert_same, small

SMALL = list(SUB_BYTE)
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


@pytest.mark.parametrize("name", SMALL + WIDE + NUMPYS)
def test_dlpack_out_and_in(name):
    dtype = dtype_of(name)
    x = np.array([[0, 1, 1], [1, 0, 1]]).astype(dtype)
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


@pytest.mark.parametrize("version", [None, (0, 8), (1, 0)])
@pytest.mark.parametrize("name", SMALL)
def test_types_below_a_byte_go_out_to_who_knows_them(name, version):
    """Without the flag of version 1.1 they would be taken for packed ones."""
    out = onnxforge.as_dlpack(np.zeros(2, dtype_of(name)))
    with pytest.raises(BufferError, match=f"elements of {name} go out one byte each"):
        out.__dlpack__(max_version=version)


class Tensor(ctypes.Structure):
    """DLTensor."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device", ctypes.c_int32 * 2),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


class Old(ctypes.Structure):
    """DLManagedTensor."""

    _fields_ = (("tensor", Tensor), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p))


class Versioned(ctypes.Structure):
    """DLManagedTensorVersioned."""

    _fields_ = (
        ("version", ctypes.c_uint32 * 2),
        ("context", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("tensor", Tensor),
    )


NAMES = {Old: b"dltensor", Versioned: b"dltensor_versioned"}
CODES = {
    "int2": 0, "int4": 0, "uint2": 1, "uint4": 1,
    "float6_e2m3fn": 15, "float6_e3m2fn": 16, "float4_e2m1fn": 17,
}  # fmt: skip
capsule_of = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)(
    ("PyCapsule_New", ctypes.pythonapi)
)
content_of = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)


class Raw:
    """A tensor of elements below a byte, laid out by hand."""

    def __init__(self, kind, name, data, shape, strides, *, padded=False):
        self.kind = kind
        self.data = ctypes.create_string_buffer(b"??" + data)
        self.held = kind()
        tensor = self.held.tensor
        tensor.data, tensor.byte_offset = ctypes.addressof(self.data), 2
        tensor.device, tensor.ndim = (1, 0), len(shape)
        tensor.code, tensor.bits, tensor.lanes = CODES[name], SUB_BYTE[name], 1
        tensor.shape, tensor.strides = ((ctypes.c_int64 * 2)(*part) for part in (shape, strides))
        if kind is Versioned:
            self.held.version, self.held.flags = (1, 1), 4 if padded else 0

    def __dlpack__(self, *, max_version=None):
        return capsule_of(ctypes.addressof(self.held), NAMES[self.kind], None)

    def __dlpack_device__(self):
        return (1, 0)


def packed(x):
    """The bytes of an array as files have them, which DLPack has the same."""
    return numpy_helper.from_array(x).raw_data


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("name", SMALL)
def test_packed_elements_come_in(name, kind):
    x = small(np.arange(15, dtype=np.uint8) * 5, dtype_of(name)).reshape(3, 5)
    session = identity(x.dtype)
    y = session.run({"x": Raw(kind, name, packed(x), (3, 5), (5, 1))})["y"]
    assert_same(y, x)
    with pytest.raises(
        onnxforge.UnsupportedError, match=f"packed elements of {name} are read only where they are"
    ):
        session.run({"x": Raw(kind, name, packed(x), (3, 5), (1, 3))})


@pytest.mark.parametrize("name", SMALL)
def test_padded_elements_come_in(name):
    x = small(np.arange(15, dtype=np.uint8) * 5, dtype_of(name)).reshape(3, 5)
    tensor = Raw(Versioned, name, x.tobytes(), (3, 5), (5, 1), padded=True)
    assert_same(identity(x.dtype).run({"x": tensor})["y"], x)
    turned = Raw(Versioned, name, x.tobytes(), (5, 3), (1, 5), padded=True)
    assert_same(identity(x.dtype).run({"x": turned})["y"], x.T)


@pytest.mark.parametrize("name", SMALL)
def test_elements_below_a_byte_go_out_padded(name):
    x = np.array([[0, 1, 1], [1, 0, 1]]).astype(dtype_of(name))
    capsule = onnxforge.as_dlpack(x).__dlpack__(max_version=(1, 1))
    made = Versioned.from_address(content_of(capsule, NAMES[Versioned]))
    assert (list(made.version), made.flags) == ([1, 1], 4)
    assert (made.tensor.code, made.tensor.bits, made.tensor.lanes) == (
        CODES[name], SUB_BYTE[name], 1
    )  # fmt: skip
    assert made.tensor.shape[:2] == [2, 3]
    assert made.tensor.strides[:2] == [3, 1]
    assert ctypes.string_at(made.tensor.data, 6) == x.tobytes()
    assert made.tensor.data == x.ctypes.data


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
