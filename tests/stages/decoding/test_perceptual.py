from __future__ import annotations

import cv2
import imagehash
import numpy as np
import pytest
from pictures import DATA, needs_data
from PIL import Image

from stages.decoding.perceptual import phash


def library_hash(pixels: np.ndarray) -> imagehash.ImageHash:
    return imagehash.phash(Image.fromarray(np.ascontiguousarray(pixels[:, :, ::-1])))


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (32, 32), (31, 33), (60, 40), (640, 480), (5000, 40)])
def test_hash_of_any_size_is_the_librarys(size: tuple[int, int]) -> None:
    """Pictures smaller and larger than what is hashed have imagehash's hash, but for two bits."""
    random = np.random.default_rng(0)
    pixels = cv2.resize(random.integers(0, 256, (7, 9, 3), dtype=np.uint8), size)
    assert imagehash.hex_to_hash(phash(np.asarray(pixels, np.uint8))) - library_hash(pixels) <= 2


def test_plain_colour_has_one_frequency() -> None:
    """Pictures of one colour have one hash, whatever their size and colour: rounding errors do not count."""
    for size, level in (((60, 40), 0), ((448, 336), 7), ((336, 500), 200), ((33, 3000), 255)):
        pixels = np.full((*size, 3), level, np.uint8)
        assert phash(pixels) == str(library_hash(pixels)) == ("8" if level else "0") + "0" * 15


@needs_data
def test_hash_of_photographs_is_the_librarys() -> None:
    """Of the photographs hardly one has another hash than imagehash's, and that by two bits."""
    pictures = [cv2.imread(str(path)) for path in sorted((DATA / "photos").glob("*.jpg"))]
    assert pictures
    apart = [imagehash.hex_to_hash(phash(pixels)) - library_hash(pixels) for pixels in pictures]
    assert max(apart) <= 2
    assert sum(bits > 0 for bits in apart) <= 2
