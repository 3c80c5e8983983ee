"""Settings of decoding: limits, sizes, formats."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.config import SPEED, StageConfig

__all__ = ["ImageFormat", "ImageSettings"]

ImageFormat = Literal["jpeg", "png", "webp", "gif", "bmp", "tiff", "avif", "ppm", "psd"]


class ImageSettings(StageConfig):
    """What becomes of the bytes that came."""

    image_formats: list[ImageFormat] = ["jpeg", "png", "webp", "gif", "bmp", "tiff", "avif", "ppm", "psd"]
    """Formats that may be opened, known by their bytes; anything else is ``not_an_image``."""
    max_pixels: int = Field(89_000_000, ge=1, le=178_000_000)
    """Largest image, in pixels; an image is not decoded before its size is known."""
    image_size: int = Field(0, ge=0)
    """Side to resize to, in pixels; 0 keeps every image at its size."""
    resize_mode: Literal["no", "keep_ratio", "keep_ratio_largest", "center_crop", "border"] = "keep_ratio"
    """As in img2dataset: ``keep_ratio`` sets the shorter side, ``keep_ratio_largest`` the longer one,
    ``center_crop`` the shorter one and crops, ``border`` the longer one and pads with white."""
    resize_only_if_bigger: bool = True
    """Never enlarge."""
    encode_format: Literal["jpg", "png", "webp"] = "jpg"
    """Format of images that are resized or converted; all others stay byte for byte as fetched."""
    encode_quality: int = Field(95, ge=1, le=100)
    """Quality of jpg and webp; png is lossless."""
    decode_timeout_s: Annotated[float, SPEED] = Field(20.0, gt=0)
    """Seconds one file may take to decode, resize and encode, in its own process."""
    decode_memory_mb: Annotated[int, SPEED] = Field(1024, ge=64)
    """Memory, in MB, that one decoding process may use beyond what it needs to run at all."""
    decoders: Annotated[int, SPEED] = Field(0, ge=0)
    """Decoding processes of one actor; 0: one for each core of the machine."""
