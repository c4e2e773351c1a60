"""Fourier transforms beside NumPy's, and the triangles of the mel scale."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.python.kernel_support import run_op
from tests.python.properties.bits import dtypes_of, rounding_of, subnormal_of, tiers
from tests.python.properties.support import examples, kernels, shapes

LENGTHS = st.integers(1, 9) | st.sampled_from([16, 23, 30, 37])
WHOLE = st.sampled_from([np.int32, np.int64])


def parts(z: np.ndarray) -> np.ndarray:
    return np.stack((z.real, z.imag), axis=-1)


def assert_close(
    found: Any, expected: np.ndarray, dtype: np.dtype, sum_of: float, backwards: bool
) -> None:
    """Forwards in float64, rounded to the type; backwards in the type, float32 for the halves."""
    assert found.dtype == dtype
    assert found.shape == expected.shape
    inner = np.float32 if backwards and dtype != np.float64 else np.float64
    rounding = 16 * float(np.finfo(inner).eps) * sum_of
    rounding = rounding + rounding_of(dtype) * np.abs(expected)
    tiny = subnormal_of(dtype)
    away = np.abs(found.astype(np.float64) - expected)
    assert np.max(away - rounding, initial=0) <= tiny


@kernels("DFT")
@examples
@given(
    data=st.data(),
    opset=st.sampled_from([17, 20]),
    inverse=st.booleans(),
    onesided=st.booleans(),
    tier=tiers,
)
def test_dft(data: st.DataObject, opset: int, inverse: bool, onesided: bool, tier: str) -> None:
    """Of any axis but the last, cut or filled with noughts to a length that is asked for."""
    assume(opset == 20 or not (inverse and onesided))
    dtype = data.draw(st.sampled_from(dtypes_of("DFT", opset)))
    before, after = data.draw(shapes(max_dims=2, min_side=1)), data.draw(shapes(max_dims=1))
    given_length = data.draw(LENGTHS)
    real = not inverse and (onesided or data.draw(st.booleans()))
    shape = (*before, given_length, *after, 1 if real else 2)
    if opset == 17:
        assume(len(shape) >= 3)
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    x = rng.standard_normal(shape).astype(dtype)
    length = data.draw(st.none() | LENGTHS)
    axis = data.draw(st.sampled_from([len(before), len(before) - len(shape)]))
    if opset == 17:
        axis, written = len(before), {"axis": len(before)}
        inputs = [x, None if length is None else np.array(length, data.draw(WHOLE))]
    else:
        written, last = {}, axis in (-2, len(shape) - 2) and data.draw(st.booleans())
        inputs = [x, None if length is None else np.array(length, data.draw(WHOLE))]
        inputs += [] if last else [np.array(axis)]
    written |= {"inverse": 1} if inverse else {}
    written |= {"onesided": 1} if onesided else {}
    assume(not (inverse and onesided and length is None and given_length == 1))
    while inputs[-1] is None:
        inputs.pop()
    (y,) = run_op("DFT", inputs, written, opset=opset, tier=tier)
    wide = x.astype(np.float64)
    z = wide[..., 0] if real else wide[..., 0] + 1j * wide[..., 1]
    place = len(before)
    if z.size == 0 or 0 in y.shape:
        return
    if inverse and onesided:
        expected = np.fft.irfft(z, length, place)[..., None]
    elif onesided:
        expected = parts(np.fft.rfft(z, length, place))
    else:
        expected = parts((np.fft.ifft if inverse else np.fft.fft)(z, length, place))
    used = length or given_length
    assert_close(y, expected, dtype, 3 * math.sqrt(2) * (1 if inverse else used), inverse)


@kernels("STFT")
@examples
@given(data=st.data(), tier=tiers)
def test_stft(data: st.DataObject, tier: str) -> None:
    """Frames of a signal, each by its window, each transformed."""
    dtype = data.draw(st.sampled_from(dtypes_of("STFT", 17)))
    batch, length = data.draw(st.integers(0, 2)), data.draw(st.integers(1, 40))
    frame = data.draw(st.integers(1, length))
    step = data.draw(st.integers(1, 9))
    onesided = data.draw(st.sampled_from([None, 0, 1]))
    kinds = 2 if onesided == 0 and data.draw(st.booleans()) else 1
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    x = rng.standard_normal((batch, length, kinds)).astype(dtype)
    window = rng.random(frame).astype(dtype) if data.draw(st.booleans()) else None
    kind = data.draw(WHOLE)
    size = np.array(frame, kind) if window is None or data.draw(st.booleans()) else None
    if window is None and frame == length and data.draw(st.booleans()):
        size = None
    inputs = [x, np.array(step, kind), window, size]
    while inputs[-1] is None:
        inputs.pop()
    written = {} if onesided is None else {"onesided": onesided}
    (y,) = run_op("STFT", inputs, written, opset=17, tier=tier)
    wide = x.astype(np.float64)
    z = wide[..., 0] + (1j * wide[..., 1] if kinds == 2 else 0)
    weights = np.ones(frame) if window is None else window.astype(np.float64)
    starts = range(0, length - frame + 1, step)
    frames = np.stack([z[:, s : s + frame] * weights for s in starts], axis=1)
    spectrum = np.fft.fft(frames, axis=2)
    expected = parts(spectrum if onesided == 0 else spectrum[..., : frame // 2 + 1])
    assert_close(y, expected, dtype, 3 * math.sqrt(2) * frame, backwards=False)


@kernels("MelWeightMatrix")
@examples
@given(
    data=st.data(),
    bands=st.integers(1, 12),
    length=st.integers(2, 128),
    rate=st.integers(1000, 20000),
    edges=st.tuples(st.integers(0, 100), st.integers(120, 500)),
    tier=tiers,
)
def test_mel_weight_matrix(
    data: st.DataObject, bands: int, length: int, rate: int, edges: Any, tier: str
) -> None:
    """Triangles between the bins of frequencies that lie evenly on the mel scale."""
    kinds = dtypes_of("MelWeightMatrix", 17, 3)
    out = data.draw(st.none() | st.sampled_from(["f2", "f4", "f8", "i4", "u1"]).map(np.dtype))
    kind = data.draw(st.sampled_from(kinds))
    low, high = (np.array(edge).astype(kind) for edge in edges)
    mel = [2595 * math.log10(1 + float(v) / 700) for v in (low, high)]
    bins = length // 2 + 1
    places = [mel[0] + i * (mel[1] - mel[0]) / (bands + 2) for i in range(bands + 2)]
    exact = [(length + 1) * 700 * (10 ** (m / 2595) - 1) / rate for m in places]
    assume(all(abs(e - round(e)) > 1e-6 for e in exact[1:]) and exact[-1] < bins)
    at = [math.floor(e + 1e-9) for e in exact]
    expected = np.zeros((bins, bands))
    for band, (first, center, last) in enumerate(zip(at, at[1:], at[2:], strict=False)):
        if first == center:
            expected[center, band] = 1
        for j in range(first, center + 1 if first != center else center):
            expected[j, band] = (j - first) / (center - first)
        for j in range(center, last):
            expected[j, band] = (last - j) / (last - center)
    whole = data.draw(WHOLE)
    inputs = [np.array(v, whole) for v in (bands, length, rate)]
    number = {"f2": 10, "f4": 1, "f8": 11, "i4": 6, "u1": 2}
    written = {} if out is None else {"output_datatype": number[out.str[1:]]}
    (y,) = run_op("MelWeightMatrix", [*inputs, low, high], written, opset=17, tier=tier)
    assert y.dtype == (out or np.float32)
    np.testing.assert_allclose(y, expected.astype(y.dtype), rtol=1e-3 if y.itemsize == 2 else 1e-6)
