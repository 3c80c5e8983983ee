"""How the files of a dataset are called, and the index that names them, in either format."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import pyarrow as pa

from stages.dataset.manifest import DatasetFile
from stages.dataset.parquet import ParquetShard

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer
    from datasets import Features

__all__ = ["FileFormat", "shard_name", "shard_pattern", "write_index", "write_shard"]

FileFormat = Literal["arrow", "parquet"]


def shard_pattern(format_: FileFormat, split: str) -> str:
    """Return the pattern of a split's shards, relative to the dataset's folder."""
    return f"{split}/*.arrow" if format_ == "arrow" else f"data/{split}-*.parquet"


def shard_name(format_: FileFormat, split: str, number: int, shards: int) -> str:
    """Return where one of a split's shards is, relative to the dataset's folder.

    ``arrow`` is the layout of ``datasets.save_to_disk``, ``parquet`` the hub's.
    """
    if format_ == "arrow":
        return f"{split}/data-{number:05d}.arrow"
    return f"data/{split}-{number:05d}-of-{shards:05d}.parquet"


def write_shard(
    folder: Path, file: str, format_: FileFormat, schema: pa.Schema, batches: Iterable[pa.Table]
) -> DatasetFile:
    """Write a shard, each table as one record batch or row group, and return what the manifest tells of it.

    Args:
        folder: the dataset's.
        file: the shard's path in it; folders on the way are made.
        format_: Arrow's stream format, which ``datasets`` maps, or Parquet.
        schema: of the rows, with ``datasets``' features in its metadata.
        batches: the rows, each table with its columns in one chunk.
    """
    path, rows = folder / file, 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as opened:
        stream = HashedStream(opened)
        if format_ == "arrow":
            with pa.ipc.new_stream(stream, schema) as writer:
                for table in batches:
                    writer.write_table(table)
                    rows += table.num_rows
        else:
            shard = ParquetShard(stream, schema)
            for table in batches:
                shard.write(table)
                shard.write_group()
                rows += table.num_rows
            shard.finish()
    return DatasetFile(file=file, rows=rows, bytes=stream.bytes, sha256=stream.sha256.hexdigest())


class HashedStream(io.RawIOBase):
    """Hashes what is written.

    Attributes:
        bytes: written so far.
        sha256: of them.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.stream, self.bytes, self.sha256 = stream, 0, hashlib.sha256()

    def writable(self) -> bool:
        """Return that it can be written to."""
        return True

    def write(self, data: ReadableBuffer) -> int:
        """Write all of ``data``."""
        self.sha256.update(data)
        written = self.stream.write(data)
        self.bytes += written
        return written


def write_index(folder: Path, features: Features, splits: Mapping[str, Sequence[DatasetFile]]) -> None:
    """Make a folder of Arrow shards a ``DatasetDict`` that ``datasets.load_from_disk`` opens."""
    from datasets import DatasetInfo

    for split, shards in splits.items():
        DatasetInfo(features=features).write_to_directory(str(folder / split))
        state: dict[str, Any] = {
            "_data_files": [{"filename": Path(shard.file).name} for shard in shards],
            "_fingerprint": _fingerprint(shards),
            "_format_columns": None,
            "_format_kwargs": {},
            "_format_type": None,
            "_output_all_columns": False,
            "_split": split,
        }
        (folder / split / "state.json").write_text(json.dumps(state, indent=1))
    (folder / "dataset_dict.json").write_text(json.dumps({"splits": list(splits)}))


def _fingerprint(shards: Sequence[DatasetFile]) -> str:
    """Return what ``datasets`` keys its caches by: equal data must give an equal one, other data another."""
    return hashlib.sha256(b"".join(bytes.fromhex(shard.sha256) for shard in shards)).hexdigest()[:16]
