"""A finished dataset, read from its folder shard by shard."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from schemas.errors import ConfigError, Mistake
from stages.dataset.reading import count_rows, find_shards, read_batches, read_schema

__all__ = ["FinishedDataset", "nothing_there"]

SLICE_ROWS = 16
"""Rows in memory at once, beside the record batch they are cut from."""

TAIL_BYTES = 1 << 16
"""What is hashed of a shard to know it: its end, which holds a Parquet file's footer."""


class FinishedDataset:
    """The folder ``shards`` writes: Arrow (``datasets``' own layout) or Parquet (the hub's).

    Args:
        folder: the dataset's folder.

    Attributes:
        folder: the same, absolute.
        splits: rows of each split, in order.
        schema: the rows' schema, with ``datasets``' features in its metadata.
        identity: digest that other content changes.

    Raises:
        ConfigError: there is no dataset in the folder.
        FatalError: a shard is missing or damaged.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder).resolve()
        self._shards = find_shards(self.folder)
        if not self._shards:
            raise ConfigError("command line", [Mistake("DATASET_DIR", folder, nothing_there(folder, self.folder))])
        self._rows = {shard: count_rows(shard) for shards in self._shards.values() for shard in shards}
        self.splits = {split: sum(self._rows[shard] for shard in shards) for split, shards in self._shards.items()}
        self.schema = read_schema(next(shard for shards in self._shards.values() for shard in shards))
        self.identity = self._identity()
        missing = {"id", "images", "messages"} - set(self.schema.names)
        if missing:
            problem = f"has no column {', '.join(sorted(missing))}: not a dataset Showtell wrote"
            raise ConfigError("command line", [Mistake("DATASET_DIR", folder, problem)])

    def tables(self, split: str, start: int = 0) -> Iterator[pa.Table]:
        """Yield the split's rows from ``start`` on, a few at a time, always cut at the same places.

        Args:
            split: one of ``splits``.
            start: rows to leave out; a place where a table ended before.
        """
        for shard in self._shards[split]:
            if start >= self._rows[shard]:
                start -= self._rows[shard]
                continue
            for batch in read_batches(shard):
                for offset in range(0, batch.num_rows, SLICE_ROWS):
                    if start:
                        start -= min(SLICE_ROWS, batch.num_rows - offset)
                    else:
                        yield pa.Table.from_batches([batch.slice(offset, SLICE_ROWS)])

    def _identity(self) -> str:
        """Digest the small files, which tell what the shards hold, and each shard's name, size and end."""
        state = hashlib.sha256()
        small = [file for folder in ("", *self._shards) for file in sorted((self.folder / folder).glob("*.json"))]
        for file in [*small, self.folder / "README.md"]:
            if file.is_file():
                state.update(f"{file.relative_to(self.folder)}\0".encode() + file.read_bytes() + b"\0")
        for shard in self._rows:
            size = shard.stat().st_size
            state.update(f"{shard.relative_to(self.folder)}\0{size}\0".encode())
            with open(shard, "rb") as stream:
                stream.seek(max(0, size - TAIL_BYTES))
                state.update(stream.read())
        return state.hexdigest()


def nothing_there(given: str, folder: Path) -> str:
    """Return why there is no dataset in ``folder``, which the user called ``given``."""
    if "://" in given:
        return "must be a local folder; copy the dataset here first"
    if not folder.exists():
        return "does not exist"
    if (folder / "dataset").is_dir():
        return f"holds no dataset (did you mean {given.rstrip('/')}/dataset?)"
    return "holds no dataset (neither dataset_dict.json nor data/*.parquet)"
