"""Pieces of an export: the files that are written whole, one after the other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import pyarrow as pa

from pipeline.export.dataset import FinishedDataset

__all__ = ["Finished", "Format", "Piece", "PieceWriter"]


Finished = Mapping[str, "Piece | None"]
"""Finished files but the images, by name relative to the folder: the piece a file is, or None for another file."""


@dataclass(frozen=True)
class Piece:
    """One piece, as its record tells.

    Attributes:
        split: the split its rows are from.
        number: its place among the split's pieces, from 0.
        rows: rows in it.
        images: images in its rows.
        changed: texts in which a literal placeholder was taken apart.
        bytes, sha256: of its file.
    """

    split: str
    number: int
    rows: int
    images: int
    changed: int
    bytes: int
    sha256: str

    def record(self) -> Mapping[str, Any]:
        """Return the piece as JSON."""
        return asdict(self)

    @staticmethod
    def named(split: str, number: int) -> str:
        """Return the name of a piece's file, without a suffix."""
        return f"{split}-{number:06d}"

    @property
    def name(self) -> str:
        """The name of its file, without a suffix."""
        return self.named(self.split, self.number)


class PieceWriter(ABC):
    """Writes one piece.

    Attributes:
        rows, images, changed: counted so far.
    """

    def __init__(self) -> None:
        self.rows = self.images = self.changed = 0

    @abstractmethod
    def write(self, table: pa.Table, first: int) -> None:
        """Append rows; ``first`` is the first one's number in the split."""

    @abstractmethod
    def size(self) -> int:
        """Return the bytes written so far, of images beside the piece too."""

    @abstractmethod
    def finish(self) -> None:
        """Write what is left, and bring what is beside the stream to the disk."""

    def close(self) -> None:  # noqa: B027 - most have nothing to give back
        """Give back what the writer holds, finished or not, while the stream is still open."""


class Format(ABC):
    """What a trainer reads.

    Args:
        dataset: the dataset to be exported.
        folder: where the finished files go.
        work: where the pieces are, ``Piece.name`` with ``suffix``.
        max_shard_bytes: a shard is closed once it is this long.
    """

    suffix: ClassVar[str]
    max_rows: ClassVar[int] = 1_000_000
    """A piece is closed once it has so many rows."""

    def __init__(self, dataset: FinishedDataset, folder: Path, work: Path, max_shard_bytes: int) -> None:
        self.dataset, self.folder, self.work, self.max_bytes = dataset, folder, work, max_shard_bytes

    @abstractmethod
    def writer(self, stream: BinaryIO, split: str, number: int) -> PieceWriter:
        """Begin a piece; what it writes beside its stream must come out the same when it is begun anew."""

    @abstractmethod
    def finish(self, pieces: Sequence[Piece]) -> Finished:
        """Put the pieces in place and write what stands beside them; done again after a kill, with the same result."""
