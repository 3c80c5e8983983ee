"""``parquet``: the layout of the Hugging Face hub, which ``datasets.load_dataset`` streams."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.export.card import write_configs
from pipeline.export.durable import committed, place
from pipeline.export.pieces import Finished, Format, Piece, PieceWriter
from stages.dataset.croissant import FILE as CROISSANT
from stages.dataset.croissant import croissant, file_set, record_set

__all__ = ["Parquet"]

GROUP_ROWS = 100
GROUP_BYTES = 32 << 20
"""A row group is what a reader holds in memory; these are the bounds of the dataset's own record batches."""

BESIDE_THE_CARD = ("rejects.parquet", "*.png", "examples/*.png")
"""What a dataset's card shows and names."""


class Parquet(Format):
    """``data/<split>-00000-of-0000N.parquet``, ``croissant.json``, and the card, its configs in the front matter."""

    suffix = ".parquet"

    def writer(self, stream: BinaryIO, split: str, number: int) -> PieceWriter:
        """Begin a shard."""
        return _ParquetWriter(stream, self.dataset.schema)

    def finish(self, pieces: Sequence[Piece]) -> Finished:
        """Name the shards, now that it is known how many there are; copy the card and what it shows."""
        counts = Counter(piece.split for piece in pieces)
        shards = {
            f"data/{piece.split}-{piece.number:05d}-of-{counts[piece.split]:05d}.parquet": piece for piece in pieces
        }
        for name, piece in shards.items():
            place(self.work / f"{piece.name}.parquet", self.folder / name)
        card = self.dataset.folder / "README.md"
        shown = sorted(file for pattern in BESIDE_THE_CARD for file in self.dataset.folder.glob(pattern))
        others = [file.relative_to(self.dataset.folder).as_posix() for file in shown]
        for name in others:
            with committed(self.folder / name) as stream, open(self.dataset.folder / name, "rb") as source:
                shutil.copyfileobj(source, stream)
        write_configs(self.folder, {split: f"data/{split}-*" for split in self.dataset.splits}, card)
        with committed(self.folder / CROISSANT) as stream:
            stream.write(json.dumps(self._croissant(), indent=1).encode())
        return {**shards, **dict.fromkeys(others), "README.md": None, CROISSANT: None}

    def _croissant(self) -> dict[str, Any]:
        """Describe the shards, the rows of each split as records; name and licence are those of the dataset."""
        file = self.dataset.folder / CROISSANT
        told = json.loads(file.read_bytes()) if file.is_file() else {}
        splits = [split for split, rows in self.dataset.splits.items() if rows]
        sets = [file_set(f"{split}-shards", f"data/{split}-*.parquet") for split in splits]
        schema = self.dataset.schema
        records = [record_set(split, {"fileSet": {"@id": f"{split}-shards"}}, schema) for split in splits]
        name, rows = told.get("name", self.dataset.folder.name), sum(self.dataset.splits.values())
        return croissant(
            name, told.get("description", f"{rows} conversations."), told.get("license", ""), sets, records
        )


class _ParquetWriter(PieceWriter):
    def __init__(self, stream: BinaryIO, schema: pa.Schema) -> None:
        super().__init__()
        self.stream = stream
        # As `datasets` writes for the hub: a page index for its viewer, and pages cut by content, so that the hub
        # stores what two versions of a dataset have in common once.
        self.writer = pq.ParquetWriter(self.stream, schema, write_page_index=True, use_content_defined_chunking=True)
        self.waiting: list[pa.Table] = []
        self._waiting_rows = self._waiting_bytes = 0

    def write(self, table: pa.Table, first: int) -> None:
        """Append rows, a row group when there are enough."""
        self.waiting.append(table)
        self.rows += table.num_rows
        self.images += int(pc.sum(pc.list_value_length(table["images"])).as_py() or 0)
        self._waiting_rows += table.num_rows
        self._waiting_bytes += table.nbytes
        if self._waiting_rows >= GROUP_ROWS or self._waiting_bytes >= GROUP_BYTES:
            self._write_group()

    def size(self) -> int:
        """Return the bytes written, and of the rows that wait."""
        return self.stream.tell() + self._waiting_bytes

    def finish(self) -> None:
        """Write the last row group and the footer."""
        if self.waiting:
            self._write_group()
        self.close()

    def close(self) -> None:
        """Close pyarrow's writer, which would otherwise try to when the stream is gone."""
        self.writer.close()

    def _write_group(self) -> None:
        table = pa.concat_tables(self.waiting).combine_chunks()
        self.writer.write_table(table, row_group_size=table.num_rows)
        self.waiting, self._waiting_rows, self._waiting_bytes = [], 0, 0
