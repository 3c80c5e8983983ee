"""``parquet``: the layout of the Hugging Face hub, which ``datasets.load_dataset`` streams."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.export.card import write_configs
from pipeline.export.durable import committed, place
from pipeline.export.pieces import Finished, Format, Piece, PieceWriter
from stages.dataset.croissant import FILE as CROISSANT
from stages.dataset.croissant import croissant
from stages.dataset.files import shard_pattern
from stages.dataset.manifest import MANIFEST, DatasetFile, Manifest, describe_rejects
from stages.dataset.parquet import ParquetShard

__all__ = ["Parquet"]

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
        write_configs(self.folder, {split: shard_pattern("parquet", split) for split in self.dataset.splits}, card)
        with committed(self.folder / CROISSANT) as stream:
            stream.write(self._croissant())
        self._write_manifest(shards)
        return {**shards, **dict.fromkeys([*others, "README.md", CROISSANT, MANIFEST])}

    def _croissant(self) -> bytes:
        """Describe the folder; name, description and licence are those of the dataset."""
        file = self.dataset.folder / CROISSANT
        told = json.loads(file.read_bytes()) if file.is_file() else {}
        rows = sum(self.dataset.splits.values())
        return croissant(
            self.folder,
            told.get("name", self.dataset.folder.name),
            told.get("description", f"{rows} conversations."),
            told.get("license", ""),
            [split for split, rows in self.dataset.splits.items() if rows],
            self.dataset.schema,
            "parquet",
        )

    def _write_manifest(self, shards: Mapping[str, Piece]) -> None:
        splits: dict[str, list[DatasetFile]] = {split: [] for split in self.dataset.splits}
        for name, piece in shards.items():
            described = DatasetFile(file=name, rows=piece.rows, bytes=piece.bytes, sha256=piece.sha256)
            splits[piece.split].append(described)
        manifest = Manifest(format="parquet", splits=splits, rejects=describe_rejects(self.folder))
        with committed(self.folder / MANIFEST) as stream:
            stream.write(manifest.to_json())


class _ParquetWriter(PieceWriter):
    def __init__(self, stream: BinaryIO, schema: pa.Schema) -> None:
        super().__init__()
        self.shard = ParquetShard(stream, schema)

    def write(self, table: pa.Table, first: int) -> None:
        """Append rows, a row group when there are enough."""
        self.shard.write(table)
        self.rows += table.num_rows
        self.images += int(pc.sum(pc.list_value_length(table["images"])).as_py() or 0)

    def size(self) -> int:
        """Return the bytes written, and of the rows that wait."""
        return self.shard.size()

    def finish(self) -> None:
        """Write the last row group and the footer."""
        self.shard.finish()

    def close(self) -> None:
        """Close the shard, which would otherwise try to when the stream is gone."""
        self.shard.close()
