"""NonMaxSuppression by its definition, and ImageDecoder on images that lose nothing."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.python.kernel_support import run_op
from tests.python.properties.layers import tiers
from tests.python.properties.support import arrays, examples, kernels

if TYPE_CHECKING:
    from hypothesis.strategies import DataObject

Image = pytest.importorskip("PIL.Image")


def corners(box: np.ndarray, center: bool) -> tuple[float, ...]:
    """Lower and upper ends; the corners may be any two that lie across."""
    a, b, c, d = (float(v) for v in box)
    if center:
        return b - d / 2, a - c / 2, b + d / 2, a + c / 2
    return min(a, c), min(b, d), max(a, c), max(b, d)


def overlap(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Intersection over union; 0 of two boxes without area."""
    height = min(one[2], other[2]) - max(one[0], other[0])
    width = min(one[3], other[3]) - max(one[1], other[1])
    common = max(height, 0.0) * max(width, 0.0)
    whole = sum((b[2] - b[0]) * (b[3] - b[1]) for b in (one, other)) - common
    return common / whole if whole > 0 else 0.0


@kernels("NonMaxSuppression")
@examples
@given(
    batches=st.sampled_from([1, 2, 0]),
    classes=st.sampled_from([1, 2, 0]),
    count=st.integers(0, 8),
    center=st.booleans(),
    most=st.sampled_from([None, 0, 1, 3, 1 << 40]),
    threshold=st.sampled_from([None, 0.0, 0.25, 0.5]),
    least=st.sampled_from([None, -np.inf, 0.25, 0.5]),
    tier=tiers,
    data=st.data(),
)
def test_non_max_suppression(
    batches: int,
    classes: int,
    count: int,
    center: bool,
    most: int | None,
    threshold: float | None,
    least: float | None,
    tier: str,
    data: DataObject,
) -> None:
    """Of equal scores the first box wins, as in onnxruntime; NaN is no score to select."""
    # So few places that boxes are the same, and overlap by a threshold exactly.
    rng = np.random.default_rng(data.draw(st.integers(0, 1 << 30)))
    boxes = rng.integers(0, 4, (batches, count, 4)).astype(np.float32)
    some = [0.125, 0.25, 0.5, 0.75, np.nan, np.inf, -np.inf, 0.0]
    scores = rng.choice(some, (batches, classes, count)).astype(np.float32)
    inputs = [
        boxes,
        scores,
        None if most is None else np.array([most], np.int64),
        None if threshold is None else np.array([threshold], np.float32),
        None if least is None else np.array([least], np.float32),
    ]
    attributes = {"center_point_box": 1} if center else {}
    (y,) = run_op("NonMaxSuppression", inputs, attributes, opset=11, tier=tier)
    expected = []
    for n, c in np.ndindex(batches, classes):
        kept: list[int] = []
        for i in np.argsort(-scores[n, c], kind="stable"):
            score = scores[n, c, i]
            if np.isnan(score) or (least is not None and not score > least):
                continue
            box = corners(boxes[n, i], center)
            if len(kept) < (most or 0) and all(
                overlap(box, corners(boxes[n, k], center)) <= (threshold or 0.0) for k in kept
            ):
                kept.append(i)
        expected += [(n, c, i) for i in kept]
    assert y.dtype == np.int64
    np.testing.assert_array_equal(y, np.array(expected, np.int64).reshape(-1, 3))


@kernels("ImageDecoder")
@examples
@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    gray=st.booleans(),
    form=st.sampled_from(["BMP", "PNG", "TIFF", "PPM"]),
    pixel_format=st.sampled_from([None, "RGB", "BGR", "Grayscale"]),
    tier=tiers,
    data=st.data(),
)
def test_image_decoder(
    shape: tuple[int, int],
    gray: bool,
    form: str,
    pixel_format: str | None,
    tier: str,
    data: DataObject,
) -> None:
    """Grey is the luma of ITU-R BT.601, to within its rounding."""
    pixels = data.draw(arrays(np.uint8, shape if gray else (*shape, 3)))
    with io.BytesIO() as file:
        Image.fromarray(pixels).save(file, format=form)
        encoded = np.frombuffer(file.getvalue(), np.uint8)
    attributes = {} if pixel_format is None else {"pixel_format": pixel_format}
    (y,) = run_op("ImageDecoder", [encoded], attributes, opset=20, tier=tier)
    colours = np.repeat(pixels[:, :, None], 3, 2) if gray else pixels
    assert y.dtype == np.uint8
    if pixel_format == "Grayscale":
        luma = colours @ np.array([0.299, 0.587, 0.114])
        assert y.shape == (*shape, 1)
        assert (abs(y[:, :, 0] - luma) <= (1e-9 if gray else 1)).all()
    else:
        wanted = colours[:, :, ::-1] if pixel_format == "BGR" else colours
        np.testing.assert_array_equal(y, wanted)
