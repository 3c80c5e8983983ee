"""Formats of JSON and a folder of images: what their pieces and their finished files have in common."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import pyarrow as pa

from pipeline.export.dataset import FinishedDataset
from pipeline.export.durable import committed
from pipeline.export.images import ImageFolder
from pipeline.export.pieces import Finished, Format, Piece, PieceWriter
from pipeline.export.rows import Row, read_rows

__all__ = ["LinesFormat", "json_line"]

PIECE_BYTES = 64 << 20
"""A piece is only where an export goes on after a kill; its lines are joined in the end."""


def json_line(value: Any) -> bytes:
    """Return a value as JSON on one line, with its line end."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode() + b"\n"


class LinesFormat(Format):
    """A file of JSON a split, ``images/`` beside it.

    A subclass says what a row looks like (``entry``), which file a split's lines become and whether they become one
    JSON array in it.
    """

    suffix = ".jsonl"
    array: ClassVar[bool]

    def __init__(self, dataset: FinishedDataset, folder: Path, work: Path, max_shard_bytes: int) -> None:
        super().__init__(dataset, folder, work, min(max_shard_bytes, PIECE_BYTES))

    def writer(self, stream: BinaryIO, split: str, number: int) -> PieceWriter:
        """Begin a piece of lines."""
        return _LinesWriter(stream, split, self, ImageFolder(self.split_file(split).parent / "images", self.work))

    @abstractmethod
    def entry(self, row: Row, images: Sequence[str]) -> Mapping[str, Any]:
        """Return a row as its line has it; ``images`` are relative to the split's file."""

    @abstractmethod
    def split_file(self, split: str) -> Path:
        """Return the file of a split."""

    def finish(self, pieces: Sequence[Piece]) -> Finished:
        """Join each split's lines."""
        names = []
        for split in self.dataset.splits:
            file = self.split_file(split)
            self._join([self.work / (piece.name + self.suffix) for piece in pieces if piece.split == split], file)
            names.append(file.relative_to(self.folder).as_posix())
        return dict.fromkeys(names)

    def _join(self, pieces: Sequence[Path], file: Path) -> None:
        lines = _lines(pieces)
        with committed(file) as stream:
            if not self.array:
                stream.writelines(lines)
                return
            stream.write(b"[")
            for number, line in enumerate(lines):
                stream.write((b",\n" if number else b"\n") + line.rstrip(b"\n"))
            stream.write(b"\n]\n")


def _lines(pieces: Sequence[Path]) -> Iterator[bytes]:
    for piece in pieces:
        with open(piece, "rb") as stream:
            yield from stream


class _LinesWriter(PieceWriter):
    def __init__(self, stream: BinaryIO, split: str, format_: LinesFormat, images: ImageFolder) -> None:
        super().__init__()
        self.stream, self.split, self.format, self.folder = stream, split, format_, images
        self._bytes = 0

    def write(self, table: pa.Table, first: int) -> None:
        """Append the rows' lines and write their images."""
        for row in read_rows(table, self.split, first):
            images = [f"images/{self.folder.add(picture)}" for picture in row.pictures]
            self._bytes += self.stream.write(json_line(self.format.entry(row, images)))
            self._bytes += sum(len(picture.content) for picture in row.pictures)
            self.rows, self.images, self.changed = self.rows + 1, self.images + len(images), self.changed + row.changed

    def size(self) -> int:
        """Return the bytes of lines and images."""
        return self._bytes

    def finish(self) -> None:
        """Bring the images to the disk."""
        self.folder.to_disk()
