"""Web images: recognised by their bytes, decoded in full, and resized, turned and encoded where that is needed.

Everything here parses what strangers sent, so it runs in a child process (stages/decoding/child.py).
OpenCV decodes ordinary JPEG, Pillow everything else, because OpenCV does not say when a file is cut short, and OpenCV
takes 2.3 ms for a COCO photograph where Pillow and the copy into an array take 2.8 ms. OpenCV encodes, as in
img2dataset: quality 95 and 4:2:0, the same bytes as Pillow gives in 10% less time.
"""

from __future__ import annotations

import hashlib
import io
import struct
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from schemas.errors import Reject
from stages.decoding.colour import as_rgb, has_other_colours, to_srgb
from stages.decoding.finished import Finished
from stages.decoding.perceptual import phash
from stages.decoding.resize import Pixels, Size, final_size, fit, reduction, scale, scaled_size

if TYPE_CHECKING:
    from stages.decoding.settings import ImageSettings

__all__ = ["finish"]

KEPT: Final = {"JPEG": "jpeg", "MPO": "jpeg", "PNG": "png", "WEBP": "webp"}
"""Formats every trainer reads, which are kept byte for byte, and our names of them. MPO: a JPEG with others behind."""
BROKEN: Final = (
    ArithmeticError, EOFError, LookupError, OSError, SyntaxError, TypeError, ValueError, struct.error,
)
"""What Pillow's decoders raise on broken bytes."""
PNG_COMPRESSION: Final = 6
"""0 to 9; it changes the size of the file only."""
PNG_DEPTH_AT: Final = 24
"""Where a PNG file says how many bits a sample has."""
JPEG_END: Final = b"\xff\xd9"
ORIENTATION: Final = 0x0112
"""The EXIF tag that says how the camera was held, 1 to 8 (CIPA DC-008, 4.6.5)."""
SIDEWAYS: Final = 5
"""From this orientation on, width and height are swapped."""
FLAGS: Final = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


def finish(data: bytes, settings: ImageSettings) -> Finished:
    """Decode an image; keep its bytes where it is plain and of the right size, else resize and encode it.

    Args:
        data: the file as it came.
        settings: the limits and the size wanted.

    Raises:
        Reject: ``empty``, ``not_an_image``, ``too_many_pixels``, ``decode_bomb``, ``truncated_image`` or
            ``decode_error``.
        MemoryError: it takes more memory than there is.
    """
    if not data:
        raise Reject("empty", "no bytes")
    try:
        image = Image.open(io.BytesIO(data), formats=[name.upper() for name in settings.image_formats])
        return _finish(data, image, settings)
    except UnidentifiedImageError as error:
        raise _unidentified(data, settings) from error
    except Image.DecompressionBombError as error:
        raise Reject("decode_bomb", str(error)) from error
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise MemoryError(error.err) from error
        raise Reject("decode_error", f"OpenCV: {error.err}") from error
    except BROKEN as error:
        reason = "truncated_image" if "truncated" in str(error).lower() else "decode_error"
        raise Reject(reason, f"{type(error).__name__}: {error}") from error


def _unidentified(data: bytes, settings: ImageSettings) -> Reject:
    """Tell an image too broken to open from something that never was one, by its first bytes."""
    accepts = [Image.OPEN[name.upper()][1] for name in settings.image_formats if name.upper() in Image.OPEN]
    if any(accept is not None and accept(data[:16]) is True for accept in accepts):
        return Reject("decode_error", "the header is broken")
    return Reject("not_an_image", f"begins with {data[:16]!r}")


def _finish(data: bytes, image: Image.Image, settings: ImageSettings) -> Finished:
    if image.width * image.height > settings.max_pixels:
        raise Reject("too_many_pixels", f"{image.width} x {image.height}")
    pixels, size, reduced = _decode(data, image, settings)
    turn = _orientation(image)
    original = size if turn < SIDEWAYS else (size[1], size[0])
    wanted = final_size(original, settings)
    kept = KEPT.get(image.format or "", "")
    if not kept or turn != 1 or wanted != original or not _is_plain(image, data):
        pixels = to_srgb(scale(pixels, size, settings, reduced), image.info.get("icc_profile"), image.mode)
        pixels = fit(_turned(pixels, turn), wanted)
        kept = ""
    return Finished(
        data=data if kept else _encode(pixels, settings),
        format=kept or settings.encode_format.replace("jpg", "jpeg"),
        width=wanted[0],
        height=wanted[1],
        original_width=original[0],
        original_height=original[1],
        sha256=hashlib.sha256(data).hexdigest(),
        phash=phash(pixels),
    )


def _decode(data: bytes, image: Image.Image, settings: ImageSettings) -> tuple[Pixels, Size, int]:
    """Return BGR pixels, the size of the image, and by how much the pixels are reduced."""
    if image.format in ("JPEG", "MPO") and image.mode in ("RGB", "L") and data.rstrip(b"\0").endswith(JPEG_END):
        _limit_result(image.size, settings)
        times = reduction(image.size, settings)
        flags = FLAGS[times] | cv2.IMREAD_IGNORE_ORIENTATION
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        if pixels is not None and pixels.shape == (-(-image.height // times), -(-image.width // times), 3):
            return pixels, image.size, times
    image.load()  # a TIFF only knows its upright size now
    _limit_result(image.size, settings)
    return cv2.cvtColor(np.asarray(as_rgb(image)), cv2.COLOR_RGB2BGR), image.size, 1


def _limit_result(size: Size, settings: ImageSettings) -> None:
    """Reject what enlarging would make larger than any image may be."""
    width, height = scaled_size(size, settings)
    if width * height > settings.max_pixels:
        raise Reject("too_many_pixels", f"{width} x {height} after resizing")


def _is_plain(image: Image.Image, data: bytes) -> bool:
    """Tell whether a file is what every trainer reads alike: one frame of 8-bit sRGB without transparency."""
    if image.mode != "RGB" or image.has_transparency_data:
        return False
    if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
        return False
    if image.format == "PNG" and data[PNG_DEPTH_AT] != 8:
        return False
    return not has_other_colours(image.info.get("icc_profile"), "RGB")


def _orientation(image: Image.Image) -> int:
    try:
        turn = image.getexif().get(ORIENTATION, 1)
    except BROKEN:  # a sound picture with broken metadata is still a picture
        return 1
    return turn if isinstance(turn, int) and 1 <= turn <= 8 else 1


def _turned(pixels: Pixels, turn: int) -> Pixels:
    """Return the picture as it is meant to be seen, by its EXIF orientation."""
    turned: Pixels
    match turn:
        case 2:
            turned = cv2.flip(pixels, 1)
        case 3:
            turned = cv2.rotate(pixels, cv2.ROTATE_180)
        case 4:
            turned = cv2.flip(pixels, 0)
        case 5:
            turned = cv2.transpose(pixels)
        case 6:
            turned = cv2.rotate(pixels, cv2.ROTATE_90_CLOCKWISE)
        case 7:
            turned = cv2.flip(cv2.transpose(pixels), -1)
        case 8:
            turned = cv2.rotate(pixels, cv2.ROTATE_90_COUNTERCLOCKWISE)
        case _:
            turned = pixels
    return turned


def _encode(pixels: Pixels, settings: ImageSettings) -> bytes:
    options = {
        "jpg": [cv2.IMWRITE_JPEG_QUALITY, settings.encode_quality],
        "png": [cv2.IMWRITE_PNG_COMPRESSION, PNG_COMPRESSION],
        "webp": [cv2.IMWRITE_WEBP_QUALITY, settings.encode_quality],
    }
    done, data = cv2.imencode(f".{settings.encode_format}", pixels, options[settings.encode_format])
    if not done:
        height, width = pixels.shape[:2]
        raise Reject("decode_error", f"{width} x {height} does not fit into {settings.encode_format}")
    return bytes(data.tobytes())
