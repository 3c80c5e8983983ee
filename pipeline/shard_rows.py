"""Where in the finished dataset a sample stands, whatever the shards' format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.run_dir import RunDirectory
from schemas.storage import Storage

__all__ = ["shard_rows"]

DATASET = "dataset"
REJECTS_FILE = "rejects.parquet"


def shard_rows(run: RunDirectory, sample_id: str, split: str | None) -> list[dict[str, Any]]:
    """Return the rows of the dataset about a sample: ``file`` (below ``dataset/``), ``row`` in it, ``kind``.

    Args:
        run: the run.
        sample_id: the sample's id.
        split: its split; only files of that split are read.
    """
    dataset = run.storage.folder(DATASET)
    if not split or not dataset.exists():
        return []
    found = []
    for file in _shards(dataset, split):
        first = 0
        for batch in _batches(dataset, file):
            places = pc.indices_nonzero(pc.equal(batch["id"], sample_id)).to_pylist()
            found += [{"file": file, "row": first + row, "kind": batch["kind"][row].as_py()} for row in places]
            first += batch.num_rows
    return found


def _shards(dataset: Storage, split: str) -> list[str]:
    names = (str(path).removeprefix(f"{dataset.root}/") for path in dataset.fs.find(dataset.root))
    return sorted(
        name for name in names
        if name.endswith((".arrow", ".parquet")) and name != REJECTS_FILE
        and any(word.split("-")[0] == split for word in name.split("/"))
    )


def _batches(dataset: Storage, file: str) -> Iterator[pa.RecordBatch]:
    """Yield the ids and kinds of a shard, batch by batch; of an Arrow file only the pages that hold them are read."""
    if file.endswith(".parquet"):
        with dataset.open(file) as opened:
            yield from pq.ParquetFile(opened).iter_batches(columns=["id", "kind"])
        return
    source = pa.memory_map(dataset.path(file)) if dataset.is_local else dataset.open(file)
    with source, pa.ipc.open_stream(source) as reader:
        yield from reader
