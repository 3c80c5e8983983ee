"""ICC profiles that are three curves and a matrix, as cameras and displays have them, in half of Little CMS's time.

Little CMS goes through a picture colour by colour: 4.2 ms for 448 x 336, 1.6 to 2.1 here. A shaper is used only where
it gives what Little CMS gives (colour.py compares them), so whatever it does not know of ICC costs time, not colours.
"""

from __future__ import annotations

import io
import struct
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ImageCms

__all__ = ["Shaper", "shaper_of"]

FINE: Final = 2**14 - 1
"""Steps of linear light: the darkest of them are a fifth of an sRGB level."""
BAND_PIXELS: Final = 2**16
"""Pixels turned at once: floats of a whole large picture would be most of the memory there is."""
TAG_TABLE: Final = 128
"""Where a profile lists its tags (ICC.1:2022, 7.3)."""
TAG: Final = struct.Struct(">4sII")
CURVES: Final = (b"bTRC", b"gTRC", b"rTRC")

Levels = NDArray[np.uint8]
Numbers = NDArray[np.floating[Any]]


LIGHT: Final = np.arange(FINE + 1) / FINE
SRGB: Final = np.where(LIGHT <= 0.0031308, 12.92 * LIGHT, 1.055 * LIGHT ** (1 / 2.4) - 0.055)
"""IEC 61966-2-1."""
ENCODED: Final[Levels] = np.rint(255 * SRGB).astype(np.uint8)


class Shaper:
    """Turns pixels into sRGB.

    Args:
        curves: linear light, 0 to 1, of each of the 256 levels of blue, green and red: (3, 256).
        matrix: from a profile's linear blue, green and red to sRGB's: (3, 3).
    """

    def __init__(self, curves: Numbers, matrix: Numbers) -> None:
        self._curves = curves.T.reshape(256, 1, 3).astype(np.float32)
        self._matrix = np.column_stack([matrix * FINE, np.full(3, 0.5)]).astype(np.float32)  # cutting then rounds

    def __call__(self, pixels: Levels) -> Levels:
        """Return BGR pixels (height, width, 3), uint8, in sRGB."""
        turned = np.empty_like(pixels)
        rows = max(1, BAND_PIXELS // pixels.shape[1])
        for start in range(0, pixels.shape[0], rows):
            light = cv2.transform(cv2.LUT(pixels[start : start + rows], self._curves), self._matrix)
            turned[start : start + rows] = np.take(ENCODED, np.clip(light, 0, FINE, out=light).astype(np.uint16))
        return turned


def shaper_of(profile: bytes) -> Shaper | None:
    """Return the shaper of an RGB profile; None where it is no matrix profile, or one with unusual curves.

    Raises:
        PyCMSError, OSError, LookupError, ValueError, struct.error: the profile is broken.
    """
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    if not source.profile.is_matrix_shaper:
        return None
    curves = [_curve(data) for data in _tags(profile, CURVES)]
    if any(curve is None for curve in curves):
        return None
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    matrix = np.linalg.solve(_colorants(srgb), _colorants(source))
    return Shaper(np.array(curves), matrix)


def _colorants(profile: ImageCms.ImageCmsProfile) -> Numbers:
    """Return the CIE XYZ of blue, green and red, a column each."""
    colours = profile.profile
    found = (colours.blue_colorant, colours.green_colorant, colours.red_colorant)
    return np.array([colour[0] for colour in found if colour]).T


def _tags(profile: bytes, names: tuple[bytes, ...]) -> list[bytes]:
    (count,) = struct.unpack_from(">I", profile, TAG_TABLE)
    table = profile[TAG_TABLE + 4 : TAG_TABLE + 4 + count * TAG.size]
    places = {name: (start, size) for name, start, size in TAG.iter_unpack(table)}
    return [profile[start : start + size] for start, size in (places.get(name, (0, 0)) for name in names)]


def _curve(tag: bytes) -> Numbers | None:
    """Return the light of each level by a ``curv`` tag or a usual ``para`` tag (ICC.1:2022, 10.6 and 10.18)."""
    level = np.arange(256) / 255
    if tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        points = np.frombuffer(tag, ">u2", count, 12)
        if count > 1:
            return np.interp(level, np.linspace(0, 1, count), points / 65535)
        return level ** float(points[0] / 256) if count else level
    if tag[:4] == b"para":
        numbers = np.frombuffer(tag, ">i4", -1, 12) / 65536
        kind = struct.unpack_from(">H", tag, 8)[0]
        if kind == 0:
            return level ** float(numbers[0])
        if kind == 3:
            gamma, slope, offset, linear, start = numbers[:5]
            light: Numbers = np.where(level >= start, np.abs(slope * level + offset) ** gamma, linear * level)
            return light
    return None
