"""Writes a split in the layout of ``datasets.save_to_disk``: Arrow streams, then the index that names them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from datasets import Features

__all__ = ["SplitWriter", "write_split_names"]

BATCH_ROWS = 100
BATCH_BYTES = 32 << 20
"""A record batch is what a reader maps at once, and what must stay below Arrow's 2 GB of 32-bit offsets."""


class SplitWriter:
    """Writes the rows of one split.

    Args:
        folder: the split's folder; made here.
        split: its name.
        features: the rows' features.
        max_shard_bytes: a shard that has reached this size is closed and the next begun.
    """

    def __init__(self, folder: Path, split: str, features: Features, max_shard_bytes: int) -> None:
        self.folder, self.split, self.features, self.max_shard_bytes = folder, split, features, max_shard_bytes
        self.schema = features.arrow_schema
        self.rows = 0
        self.files: list[str] = []
        self.waiting: list[Mapping[str, Any]] = []
        self.waiting_bytes = 0
        folder.mkdir(parents=True)
        self._open()

    def write(self, row: Mapping[str, Any]) -> None:
        """Append a row."""
        self.waiting.append(row)
        self.waiting_bytes += sum(len(image["bytes"]) for image in row["images"])
        self.rows += 1
        if len(self.waiting) == BATCH_ROWS or self.waiting_bytes >= BATCH_BYTES:
            self._write_batch()

    def close(self) -> None:
        """Finish the last shard and write the index: only now is there a split to load."""
        from datasets import DatasetInfo

        self._write_batch()
        self._end_shard()
        DatasetInfo(features=self.features).write_to_directory(str(self.folder))
        state: dict[str, Any] = {
            "_data_files": [{"filename": name} for name in self.files],
            "_fingerprint": self._fingerprint(),
            "_format_columns": None,
            "_format_kwargs": {},
            "_format_type": None,
            "_output_all_columns": False,
            "_split": self.split,
        }
        (self.folder / "state.json").write_text(json.dumps(state, indent=1))

    def _write_batch(self) -> None:
        if self.waiting:
            if self.writer.stats.num_record_batches and self.stream.tell() >= self.max_shard_bytes:
                self._end_shard()
                self._open()
            self.writer.write_table(pa.Table.from_pylist(self.waiting, schema=self.schema))
        self.waiting, self.waiting_bytes = [], 0

    def _open(self) -> None:
        name = f"data-{len(self.files):05d}.arrow"
        self.files.append(name)
        self.stream = pa.OSFile(str(self.folder / name), "wb")
        self.writer = pa.ipc.new_stream(self.stream, self.schema)

    def _end_shard(self) -> None:
        self.writer.close()
        self.stream.close()

    def _fingerprint(self) -> str:
        """Return what ``datasets`` keys its caches by: equal data must give an equal one, other data another."""
        content = hashlib.sha256()
        for name in self.files:
            with open(self.folder / name, "rb") as shard:
                content.update(hashlib.file_digest(shard, "sha256").digest())
        return content.hexdigest()[:16]


def write_split_names(folder: Path, splits: list[str]) -> None:
    """Write the file that makes a folder of splits a ``DatasetDict``; the last of all."""
    (folder / "dataset_dict.json").write_text(json.dumps({"splits": splits}))
