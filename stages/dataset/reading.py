"""A finished dataset's folder and its shards, in either format."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.errors import FatalError

if TYPE_CHECKING:
    from datasets import DatasetDict

__all__ = ["SPLITS", "DamagedShard", "count_rows", "find_shards", "open_dataset", "read_batches", "read_schema"]

SPLITS: Final = "dataset_dict.json"
"""Names the splits of the Arrow layout."""

BATCH_ROWS: Final = 16
"""Rows of a Parquet file in memory at once."""

HUB_SHARD: Final = re.compile(r"(?P<split>\w+(?:\.\w+)*)-\d{5}-of-\d{5}\.parquet")


class DamagedShard(FatalError):
    """A shard is missing or cannot be read."""


def find_shards(folder: Path) -> dict[str, list[Path]]:
    """Return the shards of each split, as the index names them: Arrow, or else Parquet; none where there is no dataset.

    Raises:
        FatalError: an index is missing or damaged.
    """
    return _arrow_shards(folder) or _parquet_shards(folder)


def open_dataset(folder: str) -> DatasetDict:
    """Open a dataset as ``datasets`` does.

    It maps Arrow files only: of Parquet it makes a copy, in the temporary folder, whose room is free again when nobody
    uses what this returns, and which no other process can open.

    Raises:
        OSError, ValueError: there is none.
    """
    import datasets

    shards = {} if (Path(folder) / SPLITS).is_file() else _parquet_shards(Path(folder))
    if not shards:
        loaded: DatasetDict = datasets.load_from_disk(folder)
        return loaded
    data_files = {name: [*map(str, files)] for name, files in shards.items()}
    with tempfile.TemporaryDirectory(prefix="showtell-") as cache:  # a mapped file is there until it is unmapped
        return datasets.load_dataset("parquet", data_files=data_files, cache_dir=cache)


def _arrow_shards(folder: Path) -> dict[str, list[Path]]:
    """Return the shards of each split of ``datasets.save_to_disk``'s layout; none where there is no such dataset."""
    names = _json(folder / SPLITS)
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


def _json(file: Path) -> Mapping[str, Any] | None:
    try:
        value: Mapping[str, Any] = json.loads(file.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise FatalError(f"{file}: is no JSON: {error}") from error
    return value


def count_rows(shard: Path) -> int:
    """Count a shard's rows, reading only where its batches begin. Raises DamagedShard."""
    with _damage(shard):
        if shard.suffix == ".parquet":
            return int(pq.read_metadata(shard).num_rows)
        with pa.memory_map(str(shard)) as stream, pa.ipc.open_stream(stream) as reader:
            return sum(batch.num_rows for batch in reader)


def read_schema(shard: Path) -> pa.Schema:
    """Return the schema, ``datasets``' features in its metadata. Raises DamagedShard."""
    with _damage(shard):
        if shard.suffix == ".parquet":
            return pq.read_schema(shard)
        with pa.OSFile(str(shard)) as stream, pa.ipc.open_stream(stream) as reader:
            return reader.schema


def read_batches(shard: Path) -> Iterator[pa.RecordBatch]:
    """Yield a shard's record batches. Raises DamagedShard.

    They are read, not mapped: mapped pages stay in memory while there is room.
    """
    with _damage(shard):
        if shard.suffix == ".parquet":
            with pq.ParquetFile(shard, pre_buffer=False) as file:
                for group in range(file.num_row_groups):
                    yield from file.iter_batches(BATCH_ROWS, row_groups=[group], use_threads=False)
        else:
            with pa.OSFile(str(shard)) as stream, pa.ipc.open_stream(stream) as reader:
                yield from reader


@contextmanager
def _damage(shard: Path) -> Iterator[None]:
    """Turn Arrow's complaint about a file into one that names it."""
    if not shard.is_file():
        raise DamagedShard(f"{shard}: missing; the dataset is not whole")
    try:
        yield
    except (pa.ArrowInvalid, OSError) as error:
        raise DamagedShard(f"{shard}: damaged: {str(error).splitlines()[0]}") from error
