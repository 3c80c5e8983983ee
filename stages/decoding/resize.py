"""Sizes and pixels as img2dataset 1.47's ``Resizer`` makes them (img2dataset/resizer.py).

Arrays are (height, width, 3), uint8; sizes are (width, height) in pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.decoding.area import averaged

if TYPE_CHECKING:
    from stages.decoding.settings import ImageSettings

__all__ = ["Pixels", "Size", "final_size", "fit", "reduction", "scale", "scaled_size"]

Pixels = NDArray[np.uint8]
Size = tuple[int, int]

MARGINS: Final = ((8, 3.5), (4, 3.25), (2, 3.5))
"""A JPEG may be decoded at a half, quarter or eighth where that is still so many times larger than what is wanted.

A reduced image only averages whole blocks, so a smaller margin shows where blocks and wanted pixels do not line up.
Lowest PSNR to the full decode over 56 COCO photographs (up to 640 pixels, so all detail is at the pixel's scale),
by margin, in dB:

    margin   2.0   2.5   3.0   3.25  3.5   4.0
    half     32.3  35.4  37.3  39.8  41.7  44.2
    quarter  35.9  37.8  39.9  40.9  40.9  42.7
    eighth   34.5  35.8  37.1  40.0  41.0  42.3

The same photographs enlarged to 12 megapixels stay above 49 dB at 224, 256 and 336 pixels; at 512 a half would be 2.9
times larger, and they are decoded in full.
"""
WHITE: Final = (255, 255, 255)


def _by_short_side(settings: ImageSettings) -> bool:
    return settings.resize_mode in ("keep_ratio", "center_crop")


def _applies(size: Size, settings: ImageSettings) -> bool:
    """Tell whether the settings ask to touch an image of this size at all."""
    if settings.image_size == 0 or settings.resize_mode == "no":
        return False
    return not settings.resize_only_if_bigger or _is_bigger(size, settings)


def _is_bigger(size: Size, settings: ImageSettings) -> bool:
    return (min(size) if _by_short_side(settings) else max(size)) > settings.image_size


def scaled_size(size: Size, settings: ImageSettings) -> Size:
    """Return the size an image is scaled to, before it is cropped or padded."""
    if not _applies(size, settings):
        return size
    ratio = settings.image_size / (min(size) if _by_short_side(settings) else max(size))
    return max(1, round(size[0] * ratio)), max(1, round(size[1] * ratio))


def final_size(size: Size, settings: ImageSettings) -> Size:
    """Return the size of the image as kept."""
    if settings.resize_mode in ("center_crop", "border") and _applies(size, settings):
        return settings.image_size, settings.image_size
    return scaled_size(size, settings)


def reduction(size: Size, settings: ImageSettings) -> int:
    """Return by how much (1, 2, 4 or 8) a JPEG of this size may be reduced while it is decoded."""
    target = scaled_size(size, settings)
    larger = min(size[0] / target[0], size[1] / target[1])
    return next((times for times, margin in MARGINS if larger >= times * margin), 1)


def scale(pixels: Pixels, size: Size, settings: ImageSettings, reduced: int = 1) -> Pixels:
    """Scale to ``scaled_size(size)``: by area averages where that is smaller, else by Lanczos.

    Args:
        pixels: the image, or what decoding it at ``1 / reduced`` gave.
        size: of the whole image.
        settings: the size wanted.
        reduced: what the image was reduced by already.
    """
    wanted = scaled_size(size, settings)
    if wanted == size:
        return pixels
    if reduced == 1 and not _is_bigger(size, settings):
        enlarged: Pixels = cv2.resize(pixels, wanted, interpolation=cv2.INTER_LANCZOS4)
        return enlarged
    # A side that the reduction does not divide ends in part of a pixel, so the spans are of the whole image.
    return averaged(pixels, wanted, (size[0] / wanted[0] / reduced, size[1] / wanted[1] / reduced))


def fit(pixels: Pixels, size: Size) -> Pixels:
    """Crop to the centre, or pad with white around it, to ``size``."""
    height, width = pixels.shape[:2]
    if (width, height) == size:
        return pixels
    if width > size[0] or height > size[1]:
        left, top = (width - size[0]) // 2, (height - size[1]) // 2
        return np.ascontiguousarray(pixels[top : top + size[1], left : left + size[0]])
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    padded: Pixels = cv2.copyMakeBorder(
        pixels, top, size[1] - height - top, left, size[0] - width - left, cv2.BORDER_CONSTANT, value=WHITE
    )
    return padded
