"""The codecs behind the operator ImageDecoder: Pillow's, where it is installed."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

FORMATS = ("BMP", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""What the standard lists; Pillow knows more, which a model has no business to try."""


def image_decoder() -> Callable[[bytes, str], np.ndarray[Any, Any] | None] | None:
    """Return what a session decodes images with; None without Pillow (`onnxforge[images]`)."""
    return decode if is_installed("PIL") else None


def is_installed(package: str) -> bool:
    """Tell whether a package can be imported, without the 0.5 ms that importlib.util takes."""
    finders = (getattr(finder, "find_spec", None) for finder in sys.meta_path)
    return package in sys.modules or any(find and find(package, None) for find in finders)


def decode(encoded: bytes, pixel_format: str) -> np.ndarray[Any, Any] | None:
    """Decode an image to uint8 [height, width, channels]; None where it cannot be decoded.

    `pixel_format` is that of ImageDecoder-20: "RGB", "BGR" or "Grayscale".
    """
    from PIL import Image  # noqa: PLC0415 - only models with images pay for the import

    try:
        with Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
            pixels = np.asarray(
                eight_bits(image).convert("L" if pixel_format == "Grayscale" else "RGB")
            )
    # What the plug-ins raise for broken files, and the limit on pixels.
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError):
        return None
    if pixel_format == "Grayscale":
        return pixels[:, :, np.newaxis]
    return pixels[:, :, ::-1] if pixel_format == "BGR" else pixels


def eight_bits(image: Any) -> Any:
    """Return a picture of at most eight bits a sample: Pillow cuts off, rather than scales, 16."""
    from PIL import Image  # noqa: PLC0415

    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
