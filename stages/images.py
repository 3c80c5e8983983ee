"""Web images: recognised by their bytes, decoded in full, and resized where asked.

Pillow decodes; img2dataset's resizer, which parses with OpenCV, only ever sees the plain bitmap made of that.
"""

from __future__ import annotations

import io
import os
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from schemas.errors import Reject

if TYPE_CHECKING:
    from PIL.Image import Image

    from stages.download import DownloadConfig

__all__ = ["Finished", "decode", "finish", "upright_rgb"]

MAX_PIXELS: Final = 178_000_000
"""Just under what Pillow itself takes for a decompression bomb."""
FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"""What Pillow may open: nothing that starts a program (EPS) or hardly any web page shows."""
KEPT: Final = {"JPEG": "jpeg", "MPO": "jpeg", "PNG": "png", "WEBP": "webp"}
"""Formats every trainer reads, which are kept byte for byte, and what we call them."""
KEPT_MODES: Final = frozenset({"RGB", "L"})
BROKEN: Final = (
    ArithmeticError, EOFError, LookupError, OSError, SyntaxError, TypeError, ValueError, struct.error,
)
"""What Pillow's decoders raise on broken bytes."""
PNG_COMPRESSION: Final = 6
"""0 to 9; it changes the size of the file only."""
ORIENTATION: Final = 0x0112
"""The EXIF tag that says how the camera was held, 1 to 8 (CIPA DC-008, 4.6.5)."""


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide warnings: Pillow's end as a picture or a reject, img2dataset's are about itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@dataclass(frozen=True)
class Finished:
    """An image as the dataset holds it. Sizes are in pixels, upright."""

    data: bytes
    format: str
    width: int
    height: int
    original_width: int
    original_height: int
    phash: str


def finish(data: bytes, config: DownloadConfig) -> Finished:
    """Decode an image; keep its bytes where it is plain and of the right size, else resize and encode it.

    Args:
        data: the file as it came.
        config: the limits and the size wanted.

    Raises:
        Reject: why it cannot be used.
    """
    import imagehash

    image = decode(data, config.max_pixels)
    picture = upright_rgb(image)
    original_width, original_height = picture.size
    name = KEPT.get(image.format or "", "")
    if not name or image.mode not in KEPT_MODES or _resizes(picture.size, config):
        data, name = _encode(picture, config), config.encode_format.replace("jpg", "jpeg")
        picture = upright_rgb(decode(data, config.max_pixels))
    phash = str(imagehash.phash(picture))
    return Finished(data, name, *picture.size, original_width, original_height, phash)


@_quiet()
def decode(data: bytes, max_pixels: int = MAX_PIXELS) -> Image:
    """Return the (first) image in ``data``, fully decoded. Raises Reject."""
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        if image.width * image.height > max_pixels:
            raise Reject("too_many_pixels", f"{image.width} x {image.height}")
        image.load()
    except UnidentifiedImageError as error:
        raise _unidentified(data) from error
    except (Image.DecompressionBombError, MemoryError) as error:
        raise Reject("decode_bomb", str(error)) from error
    except BROKEN as error:
        reason = "truncated_image" if "truncated" in str(error).lower() else "decode_error"
        raise Reject(reason, f"{type(error).__name__}: {error}") from error
    return image


def _unidentified(data: bytes) -> Reject:
    """Tell an image too broken to open from something that never was one, by its first bytes."""
    from PIL import Image

    accepts = [Image.OPEN[name][1] for name in FORMATS if name in Image.OPEN]
    if any(accept is not None and accept(data[:16]) is True for accept in accepts):
        return Reject("decode_error", "the header is broken")
    return Reject("not_an_image", f"begins with {data[:16]!r}")


@_quiet()
def upright_rgb(image: Image) -> Image:
    """Return the picture as it is meant to be seen: turned as EXIF says, transparency on white, 8-bit RGB."""
    from PIL import Image

    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    turn = turns.get(_orientation(image))
    picture = _rgb(image)
    return picture if turn is None else picture.transpose(turn)


def _orientation(image: Image) -> int:
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except BROKEN:  # a sound picture with broken metadata is still a picture
        return 1


def _rgb(image: Image) -> Image:
    from PIL import Image

    if image.mode == "I" or image.mode.startswith("I;16"):  # Pillow would clip 16 bits to 8, to mere white
        return image.convert("I").point(lambda level: level * (1 / 257)).convert("L").convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")


def _resizes(size: tuple[int, int], config: DownloadConfig) -> bool:
    """Tell whether img2dataset's resizer would change an image of this size."""
    if config.image_size == 0 or config.resize_mode == "no":
        return False
    by_short_side = config.resize_mode in ("keep_ratio", "center_crop")
    side = min(size) if by_short_side else max(size)
    return side > config.image_size or not config.resize_only_if_bigger


@_quiet()
def _encode(picture: Image, config: DownloadConfig) -> bytes:
    bitmap = io.BytesIO()
    picture.save(bitmap, "BMP")
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # or importing it asks a server for its newest version
    from img2dataset.resizer import Resizer

    resizer = Resizer(
        image_size=config.image_size,
        resize_mode=config.resize_mode if config.image_size else "no",
        resize_only_if_bigger=config.resize_only_if_bigger,
        encode_format=config.encode_format,
        encode_quality=PNG_COMPRESSION if config.encode_format == "png" else config.encode_quality,
    )
    data, _, _, _, _, error = resizer(bitmap)
    if error is not None:
        raise Reject("decode_error", f"resizing: {error}")
    return bytes(data)
