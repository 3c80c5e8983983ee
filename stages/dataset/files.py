"""Writes a split as shards of bounded size, in either format."""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from stages.dataset.arrow import ArrowShard
from stages.dataset.manifest import DatasetFile, describe_file
from stages.dataset.parquet import ParquetShard

if TYPE_CHECKING:
    from datasets import Features

__all__ = ["FileFormat", "SplitWriter", "shard_pattern", "write_split_names"]

FileFormat = Literal["arrow", "parquet"]

BATCH_ROWS = 100
BATCH_BYTES = 32 << 20
"""A record batch is what a reader maps at once, and what must stay below Arrow's 2 GB of 32-bit offsets."""


def shard_pattern(format_: FileFormat, split: str) -> str:
    """Return the pattern of a split's shards, relative to the dataset's folder."""
    return f"{split}/*.arrow" if format_ == "arrow" else f"data/{split}-*.parquet"


class SplitWriter:
    """Writes the rows of one split.

    ``arrow`` is the layout of ``datasets.save_to_disk``, ``<split>/data-00000.arrow`` and the index that names them;
    ``parquet`` is the hub's, ``data/<split>-00000-of-00001.parquet``.

    Args:
        folder: the dataset's folder.
        split: the split's name.
        features: the rows' features.
        format_: the format of the shards.
        max_shard_bytes: no shard gets longer, unless its only row is.
    """

    def __init__(
        self, folder: Path, split: str, features: Features, format_: FileFormat, max_shard_bytes: int
    ) -> None:
        self.folder, self.split, self.features, self.format = folder, split, features, format_
        self.max_shard_bytes = max_shard_bytes
        self.schema = features.arrow_schema
        self.home = split if format_ == "arrow" else "data"
        self.files: list[Path] = []
        self.rows: list[int] = []
        self.waiting: list[Mapping[str, Any]] = []
        self.waiting_bytes = 0
        (folder / self.home).mkdir(parents=True, exist_ok=True)
        self._open()

    def write(self, row: Mapping[str, Any]) -> None:
        """Append a row."""
        self.waiting.append(row)
        self.waiting_bytes += sum(len(image["bytes"]) for image in row["images"])
        if len(self.waiting) == BATCH_ROWS or self.waiting_bytes >= BATCH_BYTES:
            self._write_batch()

    def close(self) -> list[DatasetFile]:
        """Finish the last shard and write the index: only now is there a split to load. Return the shards, in order."""
        self._write_batch()
        self._end_shard()
        if self.format == "parquet":
            self.files = [
                file.rename(file.with_name(f"{self.split}-{number:05d}-of-{len(self.files):05d}.parquet"))
                for number, file in enumerate(self.files)
            ]
        shards = [
            describe_file(self.folder, file.relative_to(self.folder).as_posix(), rows)
            for file, rows in zip(self.files, self.rows, strict=True)
        ]
        if self.format == "arrow":
            self._write_index(shards)
        return shards

    def _write_index(self, shards: Sequence[DatasetFile]) -> None:
        from datasets import DatasetInfo

        DatasetInfo(features=self.features).write_to_directory(str(self.folder / self.home))
        state: dict[str, Any] = {
            "_data_files": [{"filename": file.name} for file in self.files],
            "_fingerprint": _fingerprint(shards),
            "_format_columns": None,
            "_format_kwargs": {},
            "_format_type": None,
            "_output_all_columns": False,
            "_split": self.split,
        }
        (self.folder / self.home / "state.json").write_text(json.dumps(state, indent=1))

    def _write_batch(self) -> None:
        table = pa.Table.from_pylist(self.waiting, schema=self.schema)
        self.waiting, self.waiting_bytes = [], 0
        while table.num_rows:
            fitting = self._fitting(table)
            if not fitting and self.rows[-1]:
                self._end_shard()
                self._open()
                continue
            now = table.slice(0, max(1, fitting))
            self.shard.write(now)
            self.rows[-1] += now.num_rows
            table = table.slice(now.num_rows)

    def _fitting(self, table: pa.Table) -> int:
        """Return how many of the rows still go into the open shard."""
        if self.shard.size_with(table) <= self.max_shard_bytes:
            return int(table.num_rows)
        return bisect_right(
            range(1, table.num_rows + 1), self.max_shard_bytes,
            key=lambda count: self.shard.size_with(table.slice(0, count)),
        )

    def _open(self) -> None:
        number = len(self.files)
        # A Parquet shard's name tells how many there are: it gets it in the end.
        name = f"data-{number:05d}.arrow" if self.format == "arrow" else f"{self.split}-{number:05d}.tmp"
        self.files.append(self.folder / self.home / name)
        self.rows.append(0)
        self.stream = pa.OSFile(str(self.files[-1]), "wb")
        self.shard = (ArrowShard if self.format == "arrow" else ParquetShard)(self.stream, self.schema)

    def _end_shard(self) -> None:
        self.shard.finish()
        self.stream.close()


def write_split_names(folder: Path, splits: Sequence[str]) -> None:
    """Write the file that makes a folder of Arrow splits a ``DatasetDict``."""
    (folder / "dataset_dict.json").write_text(json.dumps({"splits": list(splits)}))


def _fingerprint(shards: Sequence[DatasetFile]) -> str:
    """Return what ``datasets`` keys its caches by: equal data must give an equal one, other data another."""
    return hashlib.sha256(b"".join(bytes.fromhex(shard.sha256) for shard in shards)).hexdigest()[:16]
