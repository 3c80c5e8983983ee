"""The perceptual hash that ``imagehash.phash`` gives, in two thirds of its time.

Shrinking to 32 x 32 takes most of it. Pillow's Lanczos filter (src/libImaging/Resample.c) is two passes of 22-bit
whole-number weights, each rounded to 8 bits; here each pass is one matrix product, exact in float64.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stages.decoding.resize import Pixels

__all__ = ["phash"]

SIDE: Final = 32
LOBES: Final = 3
BITS: Final = 22
MOST_PIXELS: Final = 2_000_000
"""Above that the widened copy takes more memory than the gain is worth."""
TALL: Final = 1.5
"""From about twice as high as wide, Pillow takes the vertical pass first, which rounds differently."""

Weights = NDArray[np.float64]


def phash(pixels: Pixels) -> str:
    """Return the hash of a BGR picture, 64 bits in hex."""
    height, width = pixels.shape[:2]
    grey = Image.frombuffer("RGB", (width, height), pixels, "raw", "BGR", 0, 1).convert("L")
    if height <= TALL * width and height * width <= MOST_PIXELS:
        narrow = _rounded(np.asarray(grey).astype(np.float64) @ _weights(width).T)
        grey = Image.fromarray(_rounded(_weights(height) @ narrow).astype(np.uint8))
    return str(imagehash.phash(grey))


@lru_cache(maxsize=64)
def _weights(length: int) -> Weights:
    """Return (32, length): what each pixel of a side adds to each of the 32, times 2**22."""
    step = length / SIDE
    stretch = max(step, 1.0)
    centres = (np.arange(SIDE)[:, None] + 0.5) * step
    first = np.trunc(np.maximum(centres - LOBES * stretch + 0.5, 0))
    last = np.minimum(np.trunc(centres + LOBES * stretch + 0.5), length)
    places = first + np.arange(int((last - first).max()))
    away = (places - centres + 0.5) / stretch
    lobes = np.sinc(away) * np.sinc(away / LOBES)
    lobes[(np.abs(away) >= LOBES) | (places >= last)] = 0.0
    lobes *= (1 << BITS) / lobes.sum(axis=1, keepdims=True)
    weights = np.zeros((SIDE, length))
    rows, columns = np.nonzero(lobes)
    weights[rows, places[rows, columns].astype(int)] = np.trunc(lobes + np.copysign(0.5, lobes))[rows, columns]
    return weights


def _rounded(sums: Weights) -> Weights:
    sums += 1 << (BITS - 1)
    sums *= 2.0**-BITS
    np.floor(sums, out=sums)
    return np.clip(sums, 0, 255, out=sums)
