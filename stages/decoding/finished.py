"""What decoding gives, as plain values that the parent process can hold without any decoder's library."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Finished", "Sound"]


@dataclass(frozen=True)
class Finished:
    """An image as the dataset holds it.

    Attributes:
        data: the encoded image; the very bytes that came where nothing had to change.
        format: ``jpeg``, ``png`` or ``webp``.
        width: of the image as kept, upright, in pixels.
        height: of the image as kept, upright, in pixels.
        original_width: of the image as it came, upright, in pixels.
        original_height: of the image as it came, upright, in pixels.
        sha256: of the bytes that came, in hex.
        phash: perceptual hash (``imagehash.phash``, 64 bits in hex; now and then two bits differ from the library's) of
            the picture as kept, before encoding.
    """

    data: bytes
    format: str
    width: int
    height: int
    original_width: int
    original_height: int
    sha256: str
    phash: str


@dataclass(frozen=True)
class Sound:
    """What a recording says of its first audio stream.

    Attributes:
        duration_s: declared length, or the summed packets' where none is declared, in seconds.
        rate: samples a second.
        channels: number of channels.
        codec: FFmpeg's name of the codec (``flac``, ``mp3``, ``opus`` ...).
        sha256: of the bytes that came, in hex.
    """

    duration_s: float
    rate: int
    channels: int
    codec: str
    sha256: str
