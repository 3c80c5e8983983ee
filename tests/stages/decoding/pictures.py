"""Pictures drawn for the tests of decoding, and what the tests ask of results."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from stages.decoding.settings import ImageSettings

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.exists(), reason=f"no test data in {DATA}")

Array = NDArray[np.uint8]


def settings(**given: Any) -> ImageSettings:
    return ImageSettings(use="download", **given)


def scene(width: int = 60, height: int = 40) -> Image.Image:
    """Draw a smooth picture in which no two corners, edges or colours are alike."""
    across = np.linspace(0, 1, width)[None, :]
    down = np.linspace(0, 1, height)[:, None]
    red, green, blue = 255 * across + 0 * down, 255 * down + 0 * across, 127 + 127 * np.cos(5 * across * down + across)
    return Image.fromarray(np.stack([red, green, blue], -1).round().astype(np.uint8))


def encoded(image: Image.Image, format_: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def rgb(data: bytes) -> Array:
    """Decode to (height, width, 3)."""
    return np.asarray(opened(data).convert("RGB"))


def psnr(one: Array, other: Array) -> float:
    """Return the peak signal-to-noise ratio of two 8-bit pictures in dB."""
    error = float(np.mean((one.astype(np.float64) - other.astype(np.float64)) ** 2))
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)
