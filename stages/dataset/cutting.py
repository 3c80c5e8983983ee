"""Where one shard ends and the next begins, known before the first is written, so that all can be written at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stages.dataset.sizes import Overhead

__all__ = ["BATCH_BYTES", "BATCH_ROWS", "Cut", "cut"]

BATCH_ROWS: Final = 100
BATCH_BYTES: Final = 32 << 20
"""A record batch or row group is what a reader maps at once, and must stay below Arrow's 2 GB of 32-bit offsets."""


@dataclass(frozen=True)
class Cut:
    """The rows of one shard.

    Attributes:
        start: its first row.
        batches: rows of each of its record batches or row groups.
        batch_bytes: what these rows take at most.
    """

    start: int
    batches: Sequence[int]
    batch_bytes: Sequence[int]

    @property
    def rows(self) -> slice:
        """The shard's rows among those that were cut."""
        return slice(self.start, self.start + sum(self.batches))


def cut(sizes: NDArray[np.int64], max_shard_bytes: int, overhead: Overhead) -> list[Cut]:
    """Divide rows among shards, each as full as it may be; where there are no rows, one shard holds none.

    Args:
        sizes: the bytes of each row, in order.
        max_shard_bytes: no shard gets longer, unless its only row is.
        overhead: what a shard holds beside.
    """
    ends = np.concatenate([[0], np.cumsum(sizes)])
    cuts, row = list[Cut](), 0
    while row < len(sizes) or not cuts:
        start, batches, room = row, list[int](), max_shard_bytes - overhead.head
        while row < len(sizes):
            room -= overhead.batch
            fitting = int(np.searchsorted(ends, ends[row] + min(room, BATCH_BYTES), "right")) - 1 - row
            if fitting < 1:
                if batches and ends[row + 1] - ends[row] > room:
                    break
                fitting = 1
            batches.append(min(fitting, BATCH_ROWS))
            room -= int(ends[row + batches[-1]] - ends[row])
            row += batches[-1]
        cuts.append(Cut(start, batches, np.diff(ends[np.cumsum([start, *batches])]).tolist()))
    return cuts
