"""Rows that are joined pair by pair into clusters."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from stages.duplicates.hamming import Rows

__all__ = ["Clusters", "Labels"]

Labels = NDArray[np.int32]
WAITING: Final = 1 << 22
"""Pairs kept before they are worked in: 64 MB."""


class Clusters:
    """The connected components of pairs of rows, in memory bounded by the rows and not by the pairs.

    Args:
        rows: how many rows there are; each is a cluster of its own at first.
    """

    def __init__(self, rows: int) -> None:
        self._labels: Labels = np.arange(rows, dtype=np.int32)
        self._pairs: list[tuple[Labels, Labels]] = []
        self._waiting = 0

    def join(self, left: Rows, right: Rows) -> None:
        """Join ``left[i]`` with ``right[i]``, for every i."""
        one, other = self._labels[left], self._labels[right]
        apart = one != other
        self._pairs.append((one[apart], other[apart]))
        self._waiting += len(self._pairs[-1][0])
        if self._waiting > WAITING:
            self.labels()

    def labels(self) -> Labels:
        """Return for each row the first row of its cluster, (rows,)."""
        if self._waiting:
            left, right = (np.concatenate(side) for side in zip(*self._pairs, strict=True))
            count = len(self._labels)
            graph = coo_array((np.ones(len(left), bool), (left, right)), (count, count))
            found = connected_components(graph, directed=False)[1]
            first = np.empty(count, np.int32)
            backwards = np.arange(count - 1, -1, -1, dtype=np.int32)
            first[found[backwards]] = backwards  # of several values for one place the last, the first row, stays
            self._labels = first[found[self._labels]]
        self._pairs, self._waiting = [], 0
        return self._labels
