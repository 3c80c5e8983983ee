from __future__ import annotations

import io
import itertools
import os
import warnings

import cv2
import numpy as np
import pytest
from pictures import DATA, Array, needs_data, psnr, settings

from stages.decoding.resize import final_size, fit, reduction, scale, scaled_size

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
MODES = ("no", "keep_ratio", "keep_ratio_largest", "center_crop", "border")
SIZES = ((1, 1), (3, 50), (40, 30), (30, 40), (64, 64), (65, 64), (100, 37), (201, 133), (133, 201), (127, 128))
SIDES = (1, 32, 37, 64, 130)


def noise(width: int, height: int) -> Array:
    """Draw a picture with detail of all sizes."""
    random = np.random.default_rng(width * 1000 + height)
    coarse = random.integers(0, 256, (max(2, height // 4), max(2, width // 4), 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height)), np.uint8)


@pytest.mark.parametrize("mode", MODES)
def test_sizes_and_pixels_are_those_of_img2dataset(mode: str) -> None:
    """Over a grid of sizes, each mode gives img2dataset's own Resizer's picture, to one level of rounding."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its dependencies', about themselves
        from img2dataset.resizer import Resizer

        for size, side, only in itertools.product(SIZES, SIDES, (True, False)):
            pixels = noise(*size)
            resizer = Resizer(side, mode, only, encode_format="png", encode_quality=1)
            data, *reported, error = resizer(io.BytesIO(cv2.imencode(".bmp", pixels)[1].tobytes()))
            assert error is None
            theirs = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
            wanted = settings(image_size=side, resize_mode=mode, resize_only_if_bigger=only)
            ours = fit(scale(pixels, size, wanted), final_size(size, wanted))
            assert ours.shape == theirs.shape, (size, side, only)
            assert final_size(size, wanted) == tuple(reported[:2])
            assert np.abs(ours.astype(int) - theirs).max() <= 1, (size, side, only)


def test_no_size_means_no_change() -> None:
    """With image_size 0 every mode leaves an image as it is."""
    for mode in MODES:
        assert final_size((640, 480), settings(image_size=0, resize_mode=mode)) == (640, 480)


@pytest.mark.parametrize(
    ("size", "side", "times"),
    [((4000, 3000), 336, 2), ((4000, 3000), 224, 4), ((4000, 3000), 512, 1), ((4000, 3000), 100, 8),
     ((640, 480), 336, 1), ((640, 480), 64, 2), ((640, 480), 0, 1), ((100, 100), 336, 1)],
)
def test_reduction_leaves_a_margin(size: tuple[int, int], side: int, times: int) -> None:
    """A JPEG is decoded smaller only where even that is several times larger than what is wanted."""
    assert reduction(size, settings(image_size=side)) == times


def test_reduced_picture_is_not_shifted() -> None:
    """Where the reduction does not divide a side, the last column stands for only a part of one."""
    across = np.linspace(0, 255, 4001).round().astype(np.uint8)
    full = np.repeat(np.repeat(across[None, :, None], 3001, axis=0), 3, axis=2)
    wanted = settings(image_size=100)
    blocks = full[:3000, :4000].reshape(375, 8, 500, 8, 3).mean(axis=(1, 3))
    reduced = np.pad(blocks.round().astype(np.uint8), ((0, 1), (0, 1), (0, 0)), mode="edge")
    ours = scale(reduced, (4001, 3001), wanted, 8)
    assert ours.shape == (*scaled_size((4001, 3001), wanted)[::-1], 3)
    assert np.abs(ours.astype(int) - scale(full, (4001, 3001), wanted)).max() <= 1


FLAGS = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}


def lowest_psnr(data: bytes, sides: tuple[int, ...]) -> tuple[float, int]:
    """Return the lowest PSNR of reduced to full decoding over the sides, and how many sides reduce at all."""
    coded = np.frombuffer(data, np.uint8)
    full = cv2.imdecode(coded, cv2.IMREAD_COLOR)
    assert full is not None
    size = (full.shape[1], full.shape[0])
    found = []
    for side in sides:
        wanted = settings(image_size=side)
        times = reduction(size, wanted)
        if times > 1:
            reduced = cv2.imdecode(coded, FLAGS[times])
            assert reduced is not None
            ours = scale(np.asarray(reduced, np.uint8), size, wanted, times)
            found.append(psnr(ours, scale(np.asarray(full, np.uint8), size, wanted)))
    return min(found, default=np.inf), len(found)


@needs_data
def test_reduced_decoding_of_photographs_stays_within_40_db() -> None:
    """All photographs, at all the sizes at which they may be reduced, differ little from the full decode."""
    results = [lowest_psnr(path.read_bytes(), (32, 40, 48, 56, 60, 64)) for path in (DATA / "photos").glob("*.jpg")]
    assert sum(count for _, count in results) > 100
    assert min(lowest for lowest, _ in results) >= 40


@needs_data
def test_reduced_decoding_of_large_photographs_stays_within_40_db() -> None:
    """Photographs blown up to 12 megapixels do so at the sizes that models take."""
    for path in sorted((DATA / "photos").glob("*.jpg"))[:3]:
        pixels = cv2.imread(str(path))
        assert pixels is not None
        times = (12e6 / (pixels.shape[0] * pixels.shape[1])) ** 0.5
        large = cv2.resize(pixels, None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC)
        lowest, count = lowest_psnr(cv2.imencode(".jpg", large)[1].tobytes(), (224, 256, 336))
        assert count == 3
        assert lowest >= 40
