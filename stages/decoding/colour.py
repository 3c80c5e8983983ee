"""Colour: every mode Pillow decodes to as 8-bit RGB, and embedded ICC profiles turned into sRGB."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from stages.decoding.resize import Pixels
from stages.decoding.shaper import shaper_of

__all__ = ["as_rgb", "has_other_colours", "to_srgb"]

MODES: Final = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""ICC colour space -> the Pillow mode a profile of it applies to."""
SAME: Final = 2
"""A profile that moves no colour by more than so many levels of 255 is sRGB by another name."""
ROUNDING: Final = 1
"""A level of 255 more or less is the same colour."""
LEVELS: Final = np.linspace(0, 255, 9).round().astype(np.uint8)
COLOURS: Final = np.stack(np.meshgrid(LEVELS, LEVELS, LEVELS), -1).reshape(27, 27, 3)
"""Colours from all over the cube, to compare transforms on."""
RANGES: Final = {"I": (65535.0,), "F": (1.0, 255.0, 65535.0)}
"""What white may be in modes that do not say: the first that no level exceeds, else the highest level."""


def as_rgb(image: Image.Image) -> Image.Image:
    """Return a loaded image in 8-bit RGB: transparency on white, 16 bits scaled, CMYK by its profile."""
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    if image.mode.startswith("I;16"):  # Pillow would clip 16 bits to 8, to mere white
        levels = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((levels + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.mode in RANGES:
        return Image.fromarray(_stretched(np.asarray(image), RANGES[image.mode])).convert("RGB")
    if image.mode == "CMYK" and (transform := _transform(image.info.get("icc_profile"), "CMYK")) is not None:
        return _applied(image, transform)
    if not image.has_transparency_data:
        return image.convert("RGB")
    white = Image.new("RGB", image.size, "white")
    seen = image.convert("RGBA")
    white.paste(seen, mask=seen)
    return white


def _stretched(levels: NDArray[np.generic], whites: tuple[float, ...]) -> Pixels:
    known = np.nan_to_num(levels.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    highest = float(known.max(initial=0.0))
    white = next((white for white in whites if highest <= white), highest)
    return np.rint(known.clip(0, white) * (255 / white)).astype(np.uint8)


def has_other_colours(profile: bytes | None, mode: str) -> bool:
    """Tell whether an image of this mode with this ICC profile is not sRGB; a broken profile counts for nothing."""
    return _transform(profile, mode) is not None


def to_srgb(pixels: Pixels, profile: bytes | None, mode: str) -> Pixels:
    """Return BGR pixels in sRGB.

    Args:
        pixels: 8-bit BGR, in the colours of the profile.
        profile: the image's ICC profile.
        mode: the mode the image was decoded to; a profile for grey is applied to grey images only.
    """
    if mode == "CMYK":
        return pixels
    space = "L" if mode in ("1", "L", "LA", "I;16") else "RGB"
    turn = _turner(profile, space)
    return pixels if turn is None else turn(pixels)


@lru_cache(maxsize=16)
def _turner(profile: bytes | None, space: str) -> Callable[[Pixels], Pixels] | None:
    """Return what turns BGR pixels into sRGB, None where they are: a shaper where it gives what Little CMS gives."""
    transform = _transform(profile, space)
    if transform is None or profile is None:
        return None

    def by_little_cms(pixels: Pixels) -> Pixels:
        code = cv2.COLOR_BGR2GRAY if space == "L" else cv2.COLOR_BGR2RGB
        picture = _applied(Image.fromarray(cv2.cvtColor(pixels, code)), transform)
        turned: Pixels = cv2.cvtColor(np.asarray(picture), cv2.COLOR_RGB2BGR)
        return turned

    try:
        shaper = shaper_of(profile) if space == "RGB" else None
    except (ImageCms.PyCMSError, OSError, LookupError, ValueError, struct.error):
        shaper = None
    if shaper is None or np.abs(shaper(COLOURS).astype(int) - by_little_cms(COLOURS)).max() > ROUNDING:
        return by_little_cms
    return shaper


def _applied(picture: Image.Image, transform: ImageCms.ImageCmsTransform) -> Image.Image:
    done = ImageCms.applyTransform(picture, transform)
    if done is None:
        raise ValueError("the colour transform returned nothing")
    return done


@lru_cache(maxsize=16)
def _transform(profile: bytes | None, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return what turns pixels of a mode to sRGB; None where they are sRGB, or the profile is not for them."""
    if not profile:
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if MODES.get(source.profile.xcolor_space.strip()) != mode:
            return None
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):  # a sound picture with a broken profile is still a picture
        return None
    return None if mode != "CMYK" and _changes_little(transform, mode) else transform


def _changes_little(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    probe = Image.fromarray(COLOURS if mode == "RGB" else COLOURS[:, :, 0])
    moved = np.asarray(_applied(probe, transform)).astype(int) - np.asarray(probe.convert("RGB"))
    return bool(np.abs(moved).max() <= SAME)
