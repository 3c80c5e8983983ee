"""Many drawn scenes at the size a vision tower sees them, rendered once and kept in a file."""

from __future__ import annotations

import io
import random
from collections.abc import Sequence
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from PIL import Image

from sample.scenes import draw, make_scene

__all__ = ["PICTURE_PX", "render", "render_all"]

PICTURE_PX = 96
JPEG_SHARE = 0.7
JPEG_QUALITIES = (70, 95)


def render(seed: int) -> np.ndarray:
    """One scene as uint8 [PICTURE_PX, PICTURE_PX, 3]: drawn in full, mostly JPEG-coded, squashed to a square.

    The same resampling as the exported image processor's, so training sees what the pipeline will see.
    """
    rng = random.Random(f"coding {seed}")
    image = draw(make_scene(seed))
    if rng.random() < JPEG_SHARE:
        coded = io.BytesIO()
        image.save(coded, "JPEG", quality=rng.randint(*JPEG_QUALITIES))
        image = Image.open(coded)
    return np.asarray(image.resize((PICTURE_PX, PICTURE_PX), Image.Resampling.BICUBIC))


def render_all(seeds: Sequence[int], cache: Path, processes: int = 1) -> np.ndarray:
    """All scenes as a read-only uint8 memmap [seeds, PICTURE_PX, PICTURE_PX, 3], rendered unless in `cache`.

    The file takes 27 kB a scene. An unfinished one has another name, so it is never taken for a whole one.
    """
    path = cache / f"scenes-{seeds[0]}-{seeds[-1]}-{PICTURE_PX}px.npy"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".partial")
        shape = (len(seeds), PICTURE_PX, PICTURE_PX, 3)
        pictures = np.lib.format.open_memmap(unfinished, mode="w+", dtype=np.uint8, shape=shape)
        with Pool(processes) as pool:
            for index, picture in enumerate(pool.imap(render, seeds, chunksize=64)):
                pictures[index] = picture
        pictures.flush()
        unfinished.rename(path)
    rendered: np.ndarray = np.load(path, mmap_mode="r")
    return rendered
