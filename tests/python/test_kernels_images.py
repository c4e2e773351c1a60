"""DeformConv, MaxRoiPool, ImageDecoder; CastMap."""

from __future__ import annotations

import io

import numpy as np
import pytest
from onnx import TensorProto, TypeProto, helper

import onnxforge
from onnxforge import images
from tests.python.kernel_support import run_op
from tests.python.support import run_peer

Image = pytest.importorskip("PIL.Image")
rng = np.random.default_rng(0)


def test_deform_conv_without_offsets_is_conv():
    x, w = rng.standard_normal((1, 3, 20, 17)), rng.standard_normal((4, 3, 3, 3))
    (plain,) = run_op("Conv", [x, w], {"pads": [1] * 4})
    (y,) = run_op("DeformConv", [x, w, np.zeros((1, 18, 20, 17))], {"pads": [1] * 4})
    np.testing.assert_allclose(y, plain, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_deform_conv_far_outside_is_nothing(value):
    x, w = np.ones((1, 1, 3, 3)), np.ones((1, 1, 1, 1))
    (y,) = run_op("DeformConv", [x, w, np.full((1, 2, 3, 3), value)])
    np.testing.assert_array_equal(y, np.zeros((1, 1, 3, 3)))


@pytest.mark.parametrize(
    ("shapes", "attributes", "said"),
    [
        ([(1, 1, 3, 3), (1, 1, 2, 2), (1, 7, 2, 2)], {}, "the offset has shape"),
        ([(1, 1, 3, 3), (1, 1, 2, 2), (1, 8, 2, 3)], {}, "the offset has shape"),
        ([(1, 1, 3, 3), (1, 1, 2, 2), (1, 8, 2, 2), (2,)], {}, "the bias has shape"),
        ([(1, 1, 3, 3), (1, 1, 2, 2), (1, 8, 2, 2), (1,), (1, 8, 2, 2)], {}, "the mask has shape"),
        ([(1, 1, 3, 3), (1, 1, 2, 2), (1, 8, 2, 2)], {"offset_group": 2}, "2 groups of offsets"),
        ([(1, 1, 3, 3), (1, 1, 2, 2), (1, 8, 2, 2)], {"offset_group": 0}, "0 groups of offsets"),
        ([(1, 1, 3, 3), (1, 2, 2, 2), (1, 8, 2, 2)], {}, "channels"),
        ([(3, 3), (2, 2), (8, 2)], {}, "shape"),
    ],
)
def test_deform_conv_refuses_what_does_not_fit(shapes, attributes, said):
    with pytest.raises(onnxforge.Error, match=said):
        run_op("DeformConv", [np.zeros(shape, np.float32) for shape in shapes], attributes)


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_max_roi_pool_is_onnxruntimes(scale):
    x = rng.standard_normal((2, 3, 9, 8)).astype(np.float32)
    rois = np.array(
        [
            [0, 0, 0, 7, 8],
            [1, 2, 3, 5, 4],
            [1, -3, -2, 20, 30],
            [0, 6, 6, 2, 2],
            [0, 40, 40, 50, 50],
        ]
    )
    rois = rois.astype(np.float32)
    attributes = {"pooled_shape": [3, 2], "spatial_scale": scale}
    node = helper.make_node("MaxRoiPool", ["x", "rois"], ["y"], **attributes)
    values = [helper.make_tensor_value_info(n, 1, v.shape) for n, v in (("x", x), ("rois", rois))]
    graph = helper.make_graph([node], "g", values, [helper.make_tensor_value_info("y", 1, None)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    (expected,) = run_peer(model, {"x": x, "rois": rois})
    (y,) = run_op("MaxRoiPool", [x, rois], attributes, opset=13)
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize(
    ("rois", "attributes", "said"),
    [
        ([[2, 0, 0, 1, 1]], {"pooled_shape": [1, 1]}, "of image 2 of 2"),
        ([[np.nan, 0, 0, 1, 1]], {"pooled_shape": [1, 1]}, "of image"),
        ([[0, np.nan, 0, 1, 1]], {"pooled_shape": [1, 1]}, "not a number"),
        ([[0, 0, 1, 1]], {"pooled_shape": [1, 1]}, "rois"),
        ([[0, 0, 0, 1, 1]], {"pooled_shape": [0, 1]}, "pooled_shape"),
        ([[0, 0, 0, 1, 1]], {"pooled_shape": [1]}, "pooled_shape"),
    ],
)
def test_max_roi_pool_refuses_what_does_not_fit(rois, attributes, said):
    with pytest.raises(onnxforge.Error, match=said):
        run_op(
            "MaxRoiPool",
            [np.zeros((2, 1, 3, 3), np.float32), np.array(rois, np.float32)],
            attributes,
        )


def cast_map(values: dict, **attributes):
    kind = TensorProto.STRING if isinstance(next(iter(values.values())), str) else TensorProto.FLOAT
    held = helper.make_tensor_type_proto(kind, [])
    x = helper.make_value_info("x", helper.make_map_type_proto(TensorProto.INT64, held))
    y = helper.make_value_info("y", TypeProto())
    node = helper.make_node("CastMap", ["x"], ["y"], domain="ai.onnx.ml", **attributes)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 1)]
    graph = helper.make_graph([node], "g", [x], [y])
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    return onnxforge.Session(model).run({"x": values})["y"]


@pytest.mark.parametrize(
    ("values", "attributes", "expected"),
    [
        ({3: 1.5, 0: 2.0, 2: -7.25}, {}, [[2.0, -7.25, 1.5]]),
        ({3: 1.5, 0: 2.0}, {"map_form": "SPARSE", "max_map": 5}, [[2.0, 0, 0, 1.5, 0]]),
        ({3: 1.5, 0: 2.0, 2: -7.25}, {"cast_to": "TO_INT64"}, [[2, -7, 1]]),
        ({3: 1.5, 0: 2.0}, {"cast_to": "TO_STRING"}, [["2", "1.5"]]),
        ({3: "1.5", 0: "2"}, {}, [[2.0, 1.5]]),
        ({3: "7", 0: "-2"}, {"cast_to": "TO_INT64"}, [[-2, 7]]),
        ({2: "b", 1: "a"}, {"cast_to": "TO_STRING"}, [["a", "b"]]),
        ({2: "1", 1: "3"}, {"map_form": "SPARSE", "max_map": 4}, [[0, 3, 1, 0]]),
    ],
)
def test_cast_map(values, attributes, expected):
    assert cast_map(values, **attributes).tolist() == expected


@pytest.mark.parametrize(
    ("values", "attributes", "said"),
    [
        ({5: 1.0}, {"map_form": "SPARSE", "max_map": 5}, "the key 5"),
        ({-1: 1.0}, {"map_form": "SPARSE", "max_map": 5}, "the key -1"),
        ({1: 1.0}, {"map_form": "SPARSE", "max_map": 1 << 50}, "max_map"),
        ({1: 1.0}, {"map_form": "THIN"}, "DENSE or SPARSE"),
        ({1: 1.0}, {"cast_to": "TO_BOOL"}, "TO_FLOAT"),
        ({1: "x"}, {}, "'x' is not a number"),
    ],
)
def test_cast_map_refuses(values, attributes, said):
    with pytest.raises(onnxforge.Error, match=said):
        cast_map(values, **attributes)


PIXELS = rng.integers(0, 256, (5, 7, 3)).astype(np.uint8)


def encoded(image, form: str) -> np.ndarray:
    with io.BytesIO() as file:
        image.save(file, format=form)
        return np.frombuffer(file.getvalue(), np.uint8)


def decode(data: np.ndarray, pixel_format: str = "RGB") -> np.ndarray:
    return run_op("ImageDecoder", [data], {"pixel_format": pixel_format}, opset=20)[0]


@pytest.mark.parametrize("form", ["BMP", "PNG", "TIFF", "PPM"])
def test_lossless_images(form):
    data = encoded(Image.fromarray(PIXELS), form)
    np.testing.assert_array_equal(decode(data), PIXELS)
    np.testing.assert_array_equal(decode(data, "BGR"), PIXELS[:, :, ::-1])
    assert decode(data, "Grayscale").shape == (5, 7, 1)


def test_other_modes_become_the_format_that_is_asked_for():
    gray = encoded(Image.fromarray(PIXELS[:, :, 0]), "PNG")
    np.testing.assert_array_equal(decode(gray), np.repeat(PIXELS[:, :, :1], 3, axis=2))
    wide = encoded(Image.fromarray(PIXELS[:, :, 0].astype(np.uint16) * 257), "PNG")
    np.testing.assert_array_equal(decode(wide, "Grayscale")[:, :, 0], PIXELS[:, :, 0])


@pytest.mark.parametrize("pixel_format", ["RGB", "BGR", "Grayscale"])
@pytest.mark.parametrize("size", [0, 3, 40])
def test_what_is_no_image_is_an_empty_matrix(size, pixel_format):
    data = encoded(Image.fromarray(PIXELS), "PNG")[:size]
    assert decode(data, pixel_format).shape == (0, 0, 1 if pixel_format == "Grayscale" else 3)


def test_formats_the_standard_does_not_list_are_not_tried():
    assert decode(encoded(Image.fromarray(PIXELS), "GIF")).shape == (0, 0, 3)


def test_an_unknown_pixel_format_is_refused():
    with pytest.raises(onnxforge.InvalidModelError, match="not 'CMYK'"):
        decode(np.zeros(1, np.uint8), "CMYK")


def test_without_pillow_the_session_is_refused(monkeypatch):
    monkeypatch.setattr(images, "is_installed", lambda name: name != "PIL")
    assert images.image_decoder() is None
    with pytest.raises(onnxforge.UnsupportedError, match=r"pip install 'onnxforge\[images\]'"):
        decode(np.zeros(1, np.uint8))


def test_a_failing_decoder_is_told_with_the_node(monkeypatch):
    def fail(encoded: bytes, pixel_format: str) -> None:
        raise RuntimeError("the codec broke")

    monkeypatch.setattr(images, "decode", fail)
    with pytest.raises(onnxforge.UnsupportedError, match="the codec broke"):
        decode(np.zeros(1, np.uint8))


@pytest.mark.parametrize(
    ("theta", "size", "said"),
    [
        ((1, 2, 3), [2, 1, 4, 4], r"theta has shape \[1, 2, 3\]: \[2, 2, 3\] is expected"),
        ((1, 2, 3), [1, 1, 4, 4, 4], r"\[1, 3, 4\] is expected"),
        ((1, 2, 3), [1, 1, 4], r"size has shape \[3\]"),
        ((1, 2, 3), [1, 1, -4, 4], r"size 2 is -4"),
    ],
)
def test_affine_grid_refuses_what_does_not_fit(theta, size, said):
    with pytest.raises(onnxforge.Error, match=said):
        run_op("AffineGrid", [np.ones(theta, np.float32), np.array(size)], opset=20)
