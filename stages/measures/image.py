"""Sharpness and contrast of an image."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

__all__ = ["grey_levels"]

SIDE = 512
"""Longer side, in pixels, at which an image is measured: sharpness depends on it."""
REDUCED = {2: cv2.IMREAD_REDUCED_GRAYSCALE_2, 4: cv2.IMREAD_REDUCED_GRAYSCALE_4, 8: cv2.IMREAD_REDUCED_GRAYSCALE_8}


def grey_levels(data: bytes, width: int, height: int) -> dict[str, float]:
    """Return ``sharpness`` and ``contrast`` of an encoded image.

    Sharpness is the variance of the Laplacian (Pech-Pacheco et al. 2000, "Diatom autofocusing in brightfield
    microscopy"), contrast the standard deviation, both of grey levels 0-255 with the longer side at most 512 pixels.

    Args:
        data: an image that ``download`` has made plain.
        width: its width in pixels.
        height: its height in pixels.

    Raises:
        ValueError: it cannot be decoded.
    """
    times = max((by for by in REDUCED if max(width, height) >= by * SIDE), default=1)
    grey: Any = cv2.imdecode(np.frombuffer(data, np.uint8), REDUCED.get(times, cv2.IMREAD_GRAYSCALE))
    if grey is None:
        raise ValueError("the image cannot be decoded")
    longer = max(grey.shape)
    if longer > SIDE:
        size = (max(1, round(grey.shape[1] * SIDE / longer)), max(1, round(grey.shape[0] * SIDE / longer)))
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    return {"sharpness": float(cv2.Laplacian(grey, cv2.CV_64F).var()), "contrast": float(grey.std())}
