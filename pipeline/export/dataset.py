"""A finished dataset, read from its folder shard by shard."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.errors import ConfigError, FatalError, Mistake

__all__ = ["FinishedDataset"]

SLICE_ROWS = 16
"""Rows in memory at once, beside the record batch they are cut from."""

HUB_SHARD = re.compile(r"(?P<split>\w+(?:\.\w+)*)-\d{5}-of-\d{5}\.parquet")

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
        self._shards = _arrow_shards(self.folder) or _parquet_shards(self.folder)
        if not self._shards:
            raise ConfigError("command line", [Mistake("DATASET_DIR", folder, _nothing_there(folder, self.folder))])
        self._rows = {shard: _rows(shard) for shards in self._shards.values() for shard in shards}
        self.splits = {split: sum(self._rows[shard] for shard in shards) for split, shards in self._shards.items()}
        self.schema = _schema(next(shard for shards in self._shards.values() for shard in shards))
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
            for batch in _batches(shard):
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


def _arrow_shards(folder: Path) -> dict[str, list[Path]]:
    """Return the shards of each split of ``datasets.save_to_disk``'s layout; none where there is no such dataset."""
    names = _json(folder / "dataset_dict.json")
    if names is None:
        return {}
    shards = {}
    for split in names["splits"]:
        state = _json(folder / split / "state.json")
        if state is None:
            raise FatalError(f"{folder / split / 'state.json'}: missing; the dataset is not whole")
        shards[split] = [folder / split / file["filename"] for file in state["_data_files"]]
    return shards


def _parquet_shards(folder: Path) -> dict[str, list[Path]]:
    """Return the shards of each split of the hub's layout, train first."""
    shards: dict[str, list[Path]] = {}
    for file in sorted((folder / "data").glob("*.parquet")):
        if name := HUB_SHARD.fullmatch(file.name):
            shards.setdefault(name["split"], []).append(file)
    return dict(sorted(shards.items(), key=lambda item: item[0] != "train"))


def _nothing_there(given: str, folder: Path) -> str:
    if "://" in given:
        return "must be a local folder; copy the dataset here first"
    if not folder.exists():
        return "does not exist"
    if (folder / "dataset").is_dir():
        return f"holds no dataset (did you mean {given.rstrip('/')}/dataset?)"
    return "holds no dataset (neither dataset_dict.json nor data/*.parquet)"


def _json(file: Path) -> Mapping[str, Any] | None:
    try:
        value: Mapping[str, Any] = json.loads(file.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise FatalError(f"{file}: is no JSON: {error}") from error
    return value


def _rows(shard: Path) -> int:
    """Count a shard's rows, reading only where its batches begin."""
    with _damage(shard):
        if shard.suffix == ".parquet":
            return int(pq.read_metadata(shard).num_rows)
        with pa.memory_map(str(shard)) as stream, pa.ipc.open_stream(stream) as reader:
            return sum(batch.num_rows for batch in reader)


def _schema(shard: Path) -> pa.Schema:
    with _damage(shard):
        if shard.suffix == ".parquet":
            return pq.read_schema(shard)
        with pa.OSFile(str(shard)) as stream, pa.ipc.open_stream(stream) as reader:
            return reader.schema


def _batches(shard: Path) -> Iterator[pa.RecordBatch]:
    """Yield a shard's record batches. They are read, not mapped: mapped pages stay in memory while there is room."""
    with _damage(shard):
        if shard.suffix == ".parquet":
            with pq.ParquetFile(shard, pre_buffer=False) as file:
                for group in range(file.num_row_groups):
                    yield from file.iter_batches(SLICE_ROWS, row_groups=[group], use_threads=False)
        else:
            with pa.OSFile(str(shard)) as stream, pa.ipc.open_stream(stream) as reader:
                yield from reader


@contextmanager
def _damage(shard: Path) -> Iterator[None]:
    """Turn Arrow's complaint about a file into one that names it."""
    if not shard.is_file():
        raise FatalError(f"{shard}: missing; the dataset is not whole")
    try:
        yield
    except (pa.ArrowInvalid, OSError) as error:
        raise FatalError(f"{shard}: damaged: {str(error).splitlines()[0]}") from error
