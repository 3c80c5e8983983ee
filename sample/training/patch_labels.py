"""What each patch of a picture shows: for the vision tower's auxiliary loss, and in words."""

from __future__ import annotations

import numpy as np

from sample.scenes import COLOURS, KINDS, Scene

__all__ = ["LABEL_COLUMNS", "label_patches", "name_patches"]

LABEL_COLUMNS = ("kind", "colour", "holds_middle", "to_middle_x", "to_middle_y")


def label_patches(scene: Scene, grid: int) -> np.ndarray:
    """Labels of the `grid` x `grid` patches, row by row: float32 [grid * grid, 5], columns `LABEL_COLUMNS`.

    Kind and colour are those of the thing whose box covers the patch's middle, counted from 1 (0: nothing);
    then whether some thing's middle lies in the patch, and the way from the patch's middle to that of
    its thing, as a share of the picture.
    """
    labels = np.zeros((grid, grid, 5), dtype=np.float32)
    middles = (np.arange(grid) + 0.5) / grid
    for thing in scene.things:
        (x1, y1, x2, y2), (x, y) = thing.box, thing.centre
        holds = int(min(y, 0.9999) * grid), int(min(x, 0.9999) * grid)
        covered = np.outer((middles >= y1) & (middles <= y2), (middles >= x1) & (middles <= x2))
        covered[holds] = True
        labels[covered, 0] = 1 + KINDS.index(thing.kind)
        labels[covered, 1] = 1 + COLOURS.index(thing.colour)
        labels[..., 3][covered] = (x - np.broadcast_to(middles[None, :], (grid, grid)))[covered]
        labels[..., 4][covered] = (y - np.broadcast_to(middles[:, None], (grid, grid)))[covered]
        labels[(*holds, 2)] = 1
    return labels.reshape(grid * grid, 5)


def name_patches(scene: Scene, grid: int) -> list[tuple[str, str]]:
    """Two words for each patch, row by row: what has its middle there (or "."), and the colour or background."""
    place = scene.background.split()[0]
    named = []
    for kind, colour, holds_middle, _, _ in label_patches(scene, grid).tolist():
        what = f" {KINDS[int(kind) - 1]}" if holds_middle else "."
        named.append((what, f" {COLOURS[int(colour) - 1] if colour else place}"))
    return named
