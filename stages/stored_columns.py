"""What a run has stored, as it is counted: many parts at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Judged", "StoredColumns", "StoredRows"]


@dataclass(frozen=True)
class Judged:
    """What a step saw of some rows, and how it decided.

    Attributes:
        columns: columns of all rows, as the step saw them.
        entered: which rows it got, ``[rows]``.
        kept: which of them it kept, likewise.
    """

    columns: pl.DataFrame
    entered: NDArray[np.bool_]
    kept: NDArray[np.bool_]


@dataclass(frozen=True)
class StoredRows:
    """Rows of several parts.

    Attributes:
        part_rows: rows of each part; they stand one part after the other.
        numbers: the values of columns of numbers, ``[rows]``. Not a number is what is null, or of a row that never
            reached the column's stage, whatever the stage once stored for it.
        live: which rows are still live, ``[rows]``.
        judged: step -> what it saw and decided; a step that has not done these parts is not in it.
    """

    part_rows: Sequence[int]
    numbers: Mapping[str, NDArray[np.float64]]
    live: NDArray[np.bool_]
    judged: Mapping[str, Judged]


class StoredColumns(Protocol):
    """What the parts of a run hold."""

    def columns(self) -> pa.Schema:
        """Return every column, of source and stages."""

    def steps(self) -> Sequence[Mapping[str, Any]]:
        """Return at least ``name``, ``use`` and ``settings`` of each step, in order."""

    def batches(self, numbers: Sequence[str], judged: Mapping[str, Sequence[str]]) -> Iterator[StoredRows]:
        """Yield all rows, some parts at a time, in an order that is the same each time.

        Args:
            numbers: columns of numbers.
            judged: step -> columns that it reads.
        """
