"""Pairs of vectors whose cosine is at least a threshold, found inside cells and not by comparing all pairs.

The recipe is SemDeDup's (Abbas et al. 2023, arXiv 2303.09540): k-means cuts the vectors into cells, and only vectors
of one cell are compared. Here each vector also stands in the next nearest cells, since of two duplicates near a
border one could be on either side.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stages.duplicates.hamming import Rows

__all__ = ["Vectors", "similar_pairs"]

Vectors = NDArray[np.float16]
Matrix = NDArray[np.float32]

SEED: Final = 0
"""Draws the vectors that k-means sees and its first centres."""
CELL: Final = 4096
"""Vectors a cell should have."""
CELLS_EACH: Final = 3
"""Cells each vector stands in."""
LARGE: Final = 4 * CELL * CELLS_EACH
"""A larger cell is cut again; what cannot be cut is compared in stretches of so many."""
SAMPLED: Final = 64
"""Vectors a cell that k-means sees."""
ROUNDS: Final = 8
BLOCK: Final = 1024
"""Rows of a matrix product."""
WIDE: Final = 1 << 23
"""Most cosines in memory at a time."""


def similar_pairs(vectors: Vectors, places: Rows, threshold: float) -> Iterator[tuple[Rows, Rows]]:
    """Yield pairs of places of vectors with a cosine of at least ``threshold``.

    Args:
        vectors: vectors of length 1, (n, size); may be a file mapped into memory.
        places: which of them to compare, (m,). Up to ``LARGE`` are all compared with one another; of more, pairs
            that no cell holds together are missed.
        threshold: the least cosine.
    """
    for cell in _cells(vectors, places, np.random.default_rng(SEED)):
        yield from ((cell[left], cell[right]) for left, right in _compared(vectors, cell, threshold))


def _cells(vectors: Vectors, places: Rows, random: np.random.Generator) -> Iterator[Rows]:
    """Yield the places of the vectors of each cell, at most ``LARGE``."""
    if len(places) <= LARGE:
        yield places
        return
    centres = _centres(vectors, places, -(-len(places) // CELL), random)
    cells = np.concatenate([_nearest(block, centres, CELLS_EACH) for block in _blocks(vectors, places, len(centres))])
    owners = np.repeat(places, cells.shape[1])
    order = np.argsort(cells, axis=None, kind="stable")
    ends = np.searchsorted(cells.ravel()[order], np.arange(len(centres) + 1))
    for start, end in pairwise(ends.tolist()):
        inside = owners[order[start:end]]
        if len(inside) < len(places) // 2:
            yield from _cells(vectors, inside, random)
        else:  # vectors this much alike do not come apart
            yield from (inside[first : first + LARGE] for first in range(0, len(inside), LARGE))


def _centres(vectors: Vectors, places: Rows, count: int, random: np.random.Generator) -> Matrix:
    """Return the centres of spherical k-means over a sample of the vectors, (count, size)."""
    sample = np.sort(random.choice(places, min(len(places), count * SAMPLED), replace=False))
    centres = np.asarray(vectors[np.sort(random.choice(sample, count, replace=False))], np.float32)
    for _ in range(ROUNDS):
        sums = np.zeros_like(centres)
        for block in _blocks(vectors, sample, count):
            np.add.at(sums, _nearest(block, centres, 1)[:, 0], block)
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = np.where(lengths > 0, sums / np.maximum(lengths, 1e-12), centres)
    return centres


def _nearest(block: Matrix, centres: Matrix, count: int) -> NDArray[np.int32]:
    """Return the nearest centres of each vector, (rows, count), in no order."""
    count = min(count, len(centres))
    return np.argpartition(block @ centres.T, -count, axis=1)[:, -count:].astype(np.int32)


def _blocks(vectors: Vectors, places: Rows, columns: int) -> Iterator[Matrix]:
    """Yield the vectors at some places, as many at a time as a product with ``columns`` others allows."""
    rows = max(BLOCK, WIDE // columns)
    for start in range(0, len(places), rows):
        yield np.asarray(vectors[places[start : start + rows]], np.float32)


def _compared(vectors: Vectors, places: Rows, threshold: float) -> Iterator[tuple[Rows, Rows]]:
    """Yield pairs of positions in ``places``, each once."""
    inside = np.asarray(vectors[places], np.float32)
    for start in range(0, len(inside), BLOCK):
        for other in range(start, len(inside), WIDE // BLOCK):
            cosines = inside[start : start + BLOCK] @ inside[other : other + WIDE // BLOCK].T
            left, right = np.nonzero(cosines >= threshold)
            left, right = left + start, right + other
            later = right > left
            if later.any():
                yield left[later], right[later]
