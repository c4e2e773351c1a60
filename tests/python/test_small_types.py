"""Element types below eight bits: their values, and how they lie in files.

In memory they take a byte each, as in arrays of ml_dtypes. A file packs them into one stream of
bits; six bits go across its bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import onnxforge
from tests.python.kernel_support import TIERS
from tests.python.properties.bits import SUB_BYTE, small

if TYPE_CHECKING:
    from pathlib import Path

FLOATS = [name for name in SUB_BYTE if name.startswith("float")]
SIXES = [name for name in SUB_BYTE if SUB_BYTE[name] == 6]
WIDE = {"float16": np.float16, "float32": np.float32, "float64": np.float64}
COUNTS = (0, 1, 2, 3, 4, 5, 7, 8, 9, 40)


def dtype_of(name: str) -> np.dtype[Any]:
    return np.dtype(getattr(ml_dtypes, name))


def every_code(name: str, count: int | None = None) -> np.ndarray:
    """All values of a type, again and again where more are asked for."""
    numbers = np.arange(1 << SUB_BYTE[name] if count is None else count) % 256
    return small(numbers.astype(np.uint8), dtype_of(name))


def bits_of(x: np.ndarray) -> list[int]:
    """The bits that count."""
    return (x.view(np.uint8) & ((1 << SUB_BYTE[x.dtype.name]) - 1)).ravel().tolist()


def model_of(node: onnx.NodeProto, *, to: int, x: int | None = None) -> onnx.ModelProto:
    """A node from x, or from the initializer w, to y."""
    inputs = [] if x is None else [helper.make_tensor_value_info("x", x, [None])]
    graph = helper.make_graph([node], "g", inputs, [helper.make_tensor_value_info("y", to, [None])])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 28)], ir_version=14)


def cast(x: np.ndarray, to: np.dtype[Any], tier: str = "auto") -> np.ndarray:
    source, target = (helper.np_dtype_to_tensor_dtype(dtype) for dtype in (x.dtype, to))
    model = model_of(helper.make_node("Cast", ["x"], ["y"], to=target), x=source, to=target)
    result: np.ndarray = onnxforge.Session(model, tier=tier).run({"x": x})["y"]
    return result


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("wide", [*WIDE, "bfloat16"])
@pytest.mark.parametrize("name", FLOATS)
def test_every_code_is_the_number_that_ml_dtypes_says(name: str, wide: str, tier: str) -> None:
    to = np.dtype(getattr(ml_dtypes, wide, wide))
    x = every_code(name)
    assert cast(x, to, tier).tobytes() == x.astype(to).tobytes()
    # What the other bits of a byte hold says nothing.
    filled = (x.view(np.uint8) | np.uint8(0xC0)).view(x.dtype)
    assert cast(filled, to, tier).tobytes() == x.astype(to).tobytes()


def sweep(wide: str, name: str) -> np.ndarray:
    """All halves; of wider types any bits, and all about the places where rounding turns."""
    dtype = np.dtype(wide)
    if dtype == np.float16:
        return np.arange(1 << 16).astype(np.uint16).view(dtype)
    codes = np.unique(every_code(name).astype(dtype))
    codes = np.concatenate([codes, [codes[-1] * 2 - codes[-2], codes[-1] * 4]]).astype(dtype)
    turns = np.concatenate([codes, (codes[1:] + codes[:-1]) / 2]).astype(dtype)
    near = [
        turns,
        np.nextafter(turns, dtype.type(np.inf)),
        np.nextafter(turns, -dtype.type(np.inf)),
    ]
    # A double that float32 rounds onto a middle is on one side of it all the same.
    far = turns.astype(np.float64) * (1 + 2.0**-40)
    bits = np.random.default_rng(6).integers(0, 256, 200_000 * dtype.itemsize, np.uint8)
    edges = [np.inf, np.nan, -0.0, np.finfo(dtype).tiny, np.finfo(dtype).max]
    found = np.concatenate([*near, far.astype(dtype), bits.view(dtype), np.array(edges, dtype)])
    return np.concatenate([found, -found])


def nearest(x: np.ndarray, name: str) -> np.ndarray:
    """By search among all numbers of the type: ties go to the even code, the rest saturates."""
    half = 1 << (SUB_BYTE[name] - 1)
    grid = every_code(name).astype(np.float64)[:half]
    magnitude = np.minimum(np.abs(x.astype(np.float64)), grid[-1])
    above = np.clip(np.searchsorted(grid, magnitude), 1, half - 1)
    middle = (grid[above - 1] + grid[above]) / 2
    up = (magnitude > middle) | ((magnitude == middle) & (above % 2 == 0))
    code = np.where(up, above, above - 1) | np.where(np.signbit(x), half, 0)
    return code.astype(np.uint8).view(dtype_of(name))


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("wide", WIDE)
@pytest.mark.parametrize("name", FLOATS)
def test_numbers_are_rounded_once(name: str, wide: str, tier: str) -> None:
    """As ml_dtypes does it, but for float64, which that rounds to float32 on the way."""
    x = sweep(wide, name)
    found = cast(x, dtype_of(name), tier)
    real = ~np.isnan(x)
    assert bits_of(found[real]) == bits_of(nearest(x[real], name))
    if wide != "float64":
        with np.errstate(all="ignore"):
            assert bits_of(found[real]) == bits_of(x[real].astype(dtype_of(name)))
    # There is no NaN: it is -0, whatever its own sign, which processors give as they like.
    assert set(bits_of(found[~real])) == {1 << (SUB_BYTE[name] - 1)}


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("name", FLOATS)
def test_floats_below_a_byte_and_all_other_types(name: str, tier: str) -> None:
    x = every_code(name)
    numbers = x.astype(np.float32)
    for other in (*FLOATS, "float8_e4m3fn", "float8_e5m2"):
        assert cast(x, dtype_of(other), tier).astype(np.float32).tolist() == (
            numbers.astype(dtype_of(other)).astype(np.float32).tolist()
        )
    assert cast(x, np.dtype(bool), tier).tolist() == (numbers != 0).tolist()
    for whole in (np.int8, np.int64):
        assert cast(x, np.dtype(whole), tier).tolist() == numbers.astype(whole).tolist()
    text = cast(x, np.dtype(object), tier)
    assert [float(word) for word in text] == numbers.tolist()
    assert cast(text, dtype_of(name), tier).tobytes() == x.tobytes()


# In files


def with_initializer(tensor: onnx.TensorProto) -> onnx.ModelProto:
    tensor.name = "w"
    model = model_of(
        helper.make_node("Cast", ["w"], ["y"], to=tensor.data_type), to=tensor.data_type
    )
    model.graph.initializer.append(tensor)
    return model


def typed(x: np.ndarray) -> onnx.TensorProto:
    """The tensor with its elements in int32_data."""
    code = helper.np_dtype_to_tensor_dtype(x.dtype)
    return helper.make_tensor("w", code, x.shape, x.ravel())


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", SUB_BYTE)
def test_files_of_the_standards_own_library_are_read(name: str, count: int) -> None:
    x = every_code(name, count)
    for tensor in (numpy_helper.from_array(x), typed(x)):
        y = onnxforge.Session(with_initializer(tensor)).run({})["y"]
        assert y.dtype == x.dtype
        assert bits_of(y) == bits_of(x)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", SUB_BYTE)
def test_what_is_saved_is_read_by_the_standards_own_library(
    name: str, count: int, tmp_path: Path
) -> None:
    x = every_code(name, count)
    packed = -(-count * SUB_BYTE[name] // 8)
    for tensor in (numpy_helper.from_array(x), typed(x)):
        path = tmp_path / "model.onnx"
        onnxforge.save(with_initializer(tensor), path, external_data_threshold=1)
        if count:
            assert (tmp_path / "model.onnx.data").stat().st_size == packed
        whole = onnx.load_from_string(onnxforge.load(path).serialize())
        for model in (onnx.load(path), whole):
            onnx.checker.check_model(model)
            assert bits_of(numpy_helper.to_array(model.graph.initializer[0])) == bits_of(x)
        assert onnxforge.load(path).summary().parameter_bytes == packed
        assert bits_of(onnxforge.Session(path).run({})["y"]) == bits_of(x)


@pytest.mark.parametrize("name", SUB_BYTE)
def test_large_tensors_stay_in_the_models_file(name: str, tmp_path: Path) -> None:
    """From a size on the message that is parsed only refers to the data."""
    x = every_code(name, 1_500_001 * 8 // SUB_BYTE[name])
    path = tmp_path / "model.onnx"
    onnx.save(with_initializer(numpy_helper.from_array(x)), path)
    model = onnxforge.load(path)
    assert model.summary().parameter_bytes == -(-x.size * SUB_BYTE[name] // 8)
    assert bits_of(onnxforge.Session(model).run({})["y"]) == bits_of(x)
    cut = onnx.load(path)
    cut.graph.initializer[0].raw_data = cut.graph.initializer[0].raw_data[:-1]
    onnx.save(cut, path)
    with pytest.raises(onnxforge.InvalidModelError, match=r"in tensor 'w'"):
        onnxforge.Session(path)


@pytest.mark.parametrize("change", [-1, 1])
@pytest.mark.parametrize("name", SUB_BYTE)
def test_another_number_of_bytes_is_refused(name: str, change: int, tmp_path: Path) -> None:
    tensor = numpy_helper.from_array(every_code(name, 9))
    needs = len(tensor.raw_data)
    tensor.raw_data = (tensor.raw_data + b"\0")[: needs + change]
    message = (
        rf"a {name} tensor of shape \[9\] has {needs} bytes, but raw_data has {needs + change}"
    )
    with pytest.raises(onnxforge.InvalidModelError, match=message):
        onnxforge.Session(with_initializer(tensor))
    (tmp_path / "data").write_bytes(tensor.raw_data)
    onnx.external_data_helper.set_external_data(tensor, "data", length=needs + change)
    tensor.ClearField("raw_data")
    onnx.save(with_initializer(tensor), tmp_path / "model.onnx")
    with pytest.raises(onnxforge.InvalidModelError, match=f"its shape needs {needs} bytes"):
        onnxforge.Session(tmp_path / "model.onnx")


@pytest.mark.parametrize("entry", [64, 255, 1 << 30, -1])
@pytest.mark.parametrize("name", SIXES)
def test_entries_of_more_than_six_bits_are_refused(name: str, entry: int) -> None:
    tensor = typed(every_code(name, 5))
    tensor.int32_data[2] = entry
    with pytest.raises(
        onnxforge.InvalidModelError, match=f"entry 2 of int32_data is {entry}, but a {name} is six"
    ):
        onnxforge.Session(with_initializer(tensor))
    del tensor.int32_data[2:]
    with pytest.raises(onnxforge.InvalidModelError, match="needs 5 entries in int32_data"):
        onnxforge.Session(with_initializer(tensor))


@pytest.mark.parametrize("name", SIXES)
def test_bits_behind_the_last_element_are_refused(name: str, tmp_path: Path) -> None:
    """As the standard's checker does, wherever the data is."""
    tensor = numpy_helper.from_array(every_code(name, 3))
    tensor.raw_data = tensor.raw_data[:-1] + bytes([tensor.raw_data[-1] | 0x80])
    model = with_initializer(tensor)
    with pytest.raises(onnx.checker.ValidationError, match="non-zero padding bits"):
        onnx.checker.check_model(model)
    message = "the 6 bits behind the last element .* must be 0"
    with pytest.raises(onnxforge.InvalidModelError, match=message):
        onnxforge.check(model)
    path = tmp_path / "model.onnx"
    onnx.save(model, path, save_as_external_data=True, size_threshold=0)
    with pytest.raises(onnxforge.InvalidModelError, match=message):
        onnxforge.check(path)


@pytest.mark.parametrize("name", SIXES)
def test_a_shape_beyond_all_data_is_refused(name: str) -> None:
    tensor = numpy_helper.from_array(every_code(name, 4))
    del tensor.dims[:]
    tensor.dims.extend([1 << 58, 1])
    with pytest.raises(onnxforge.InvalidModelError, match="has 216172782113783808 bytes"):
        onnxforge.Session(with_initializer(tensor))
    tensor.dims[1] = 1 << 58
    with pytest.raises(onnxforge.InvalidModelError, match="more elements than can be counted"):
        onnxforge.Session(with_initializer(tensor))
