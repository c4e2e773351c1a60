"""DFT, STFT and Det against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from tests.python.kernel_support import run_op

RNG = np.random.default_rng(11)


def parts(z: np.ndarray) -> np.ndarray:
    """The real and imaginary parts along a last axis, as the operators carry them."""
    return np.stack((z.real, z.imag), axis=-1)


@pytest.mark.parametrize("length", [1, 2, 7, 16, 30, 97, 128])
def test_dft_of_a_real_signal(length: int) -> None:
    x = RNG.standard_normal((2, length, 1))
    (y,) = run_op("DFT", [x, None, np.array(1)], opset=20)
    np.testing.assert_allclose(y, parts(np.fft.fft(x[..., 0], axis=1)), atol=1e-9)
    (half,) = run_op("DFT", [x, None, np.array(1)], {"onesided": 1}, opset=20)
    np.testing.assert_allclose(half, parts(np.fft.rfft(x[..., 0], axis=1)), atol=1e-9)


@pytest.mark.parametrize("length", [5, 8, 12, 20])
def test_dft_pads_and_cuts_to_its_length(length: int) -> None:
    z = RNG.standard_normal((3, 12, 2)) + 1j * RNG.standard_normal((3, 12, 2))
    (y,) = run_op("DFT", [parts(z), np.array(length), np.array(1)], opset=20)
    np.testing.assert_allclose(y, parts(np.fft.fft(z, n=length, axis=1)), atol=1e-9)


def test_inverse_dft_undoes_dft() -> None:
    x = RNG.standard_normal((1, 21, 2)).astype(np.float32)
    (spectrum,) = run_op("DFT", [x, None, np.array(1)], opset=20)
    (back,) = run_op("DFT", [spectrum, None, np.array(1)], {"inverse": 1}, opset=20)
    np.testing.assert_allclose(back, x, atol=1e-6)


def test_stft() -> None:
    x = RNG.standard_normal((2, 64, 1))
    window = np.hanning(16)
    (y,) = run_op("STFT", [x, np.array(8), window, np.array(16)], opset=17)
    frames = np.stack([x[:, i : i + 16, 0] * window for i in range(0, 49, 8)], axis=1)
    np.testing.assert_allclose(y, parts(np.fft.rfft(frames, axis=2)), atol=1e-9)


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (2, 4, 4), (2, 3, 2, 2)])
def test_det(shape: tuple[int, ...]) -> None:
    x = RNG.standard_normal(shape)
    (y,) = run_op("Det", [x], opset=22)
    np.testing.assert_allclose(y, np.linalg.det(x), rtol=1e-9)


def test_det_of_a_singular_matrix_is_zero() -> None:
    (y,) = run_op("Det", [np.ones((3, 3), np.float32)], opset=22)
    assert y == 0
