"""``shards``: the finished dataset, one row per conversation, and its card."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
from pydantic import Field, field_validator

from schemas.columns import CONVERSATIONS, REJECTS
from schemas.config import ExistingPath, StageConfig
from schemas.errors import Reject
from schemas.storage import Storage
from stages.base import Map, RunView, Sink, Stage, Workers, rows_to_table
from stages.dataset.files import FileFormat, write_index
from stages.dataset.manifest import MANIFEST, REJECTS_FILE, Manifest, describe_rejects
from stages.dataset.rows import conversation_columns, features, has_conversation
from stages.dataset.sizes import arrow_overhead, parquet_overhead
from stages.dataset.truth import read_truth

__all__ = ["Shards", "ShardsConfig"]

TRAIN = "train"
CLUSTER = "duplicate_cluster"
SURVEYED_AT_ONCE = 16
"""Parts."""

SplitName = Annotated[str, Field(pattern=r"^\w+$")]


class ShardsConfig(StageConfig):
    """How the dataset is cut."""

    splits: dict[SplitName, Annotated[float, Field(gt=0, lt=1)]] = {"validation": 0.05}
    """Split -> share of the samples; the rest is ``train``. Duplicates that ``dedupe`` has left (``duplicate_cluster``)
    come into one split together. A sample keeps its split when others come or go; every kind of conversation has the
    same chance, so that each split holds about its share of each."""
    format: FileFormat = "arrow"
    """``arrow``: what ``datasets.load_from_disk`` maps; ``parquet``: what ``datasets.load_dataset`` and the hub
    stream."""
    max_shard_bytes: int = Field(500_000_000, ge=1)
    """No shard gets longer, unless its only row is. Sizes are told before anything is written, as an upper bound:
    Arrow shards come within 5% of it, Parquet shards are shorter by what compression saves."""
    shuffle: bool = False
    """Bring the rows of each split into an order drawn from the run's ``seed``: the whole split, not a window of it.
    A row's place depends on its sample's id alone: rows that come or go leave the order of the others. Takes room for
    the rows once more on the disk while they are written, and no more memory."""
    truth: ExistingPath | None = None
    """JSON lines of ``{id, trouble}`` where trouble was planted: the card then shows what the stages did about it."""

    @field_validator("splits")
    @classmethod
    def _leave_some_for_training(cls, splits: dict[str, float]) -> dict[str, float]:
        if TRAIN in splits:
            raise ValueError("train is what the other splits leave; name only those")
        if sum(splits.values()) >= 1:
            raise ValueError(f"the shares add up to {sum(splits.values()):g}: nothing is left for train")
        return splits

    @field_validator("truth")
    @classmethod
    def _readable(cls, truth: str | None) -> str | None:
        if truth is not None:
            read_truth(truth)
        return truth


class Shards(Stage[ShardsConfig], Sink[ShardsConfig]):
    """Gives every sample its split, then writes ``dataset/``."""

    name = "shards"
    version = 2
    Config = ShardsConfig
    consumes_every = CONVERSATIONS
    optional = pa.schema([(CLUSTER, pa.string())])
    produces = pa.schema([("split", pa.string())])
    output = "dataset"
    reasons = {"no_conversation": "no stage wrote a conversation about the sample"}

    def model_files(self) -> Sequence[str]:
        """Return the truth: the card depends on what is in it."""
        return [self.config.truth] if self.config.truth else []

    def process(self, batch: pa.Table) -> pa.Table:
        """Draw each sample's split from the seed and its cluster (its id where it has none); reject samples nobody has
        said anything about."""
        columns = conversation_columns(batch.schema)
        return rows_to_table([self._split(sample, columns) for sample in batch.to_pylist()], self.produces)

    def _split(self, sample: dict[str, Any], columns: list[str]) -> dict[str, str] | Reject:
        if not has_conversation(sample, columns):
            return Reject("no_conversation")
        together = sample.get(CLUSTER) or sample["id"]
        draw = int.from_bytes(hashlib.blake2b(f"{self.seed}:{together}".encode(), digest_size=8).digest())
        position = draw / 2**64
        for split, share in self.config.splits.items():
            position -= share
            if position < 0:
                return {"split": split}
        return {"split": TRAIN}

    def write(self, run: RunView, into: Storage, workers: Workers) -> Mapping[str, Any]:
        """Write the splits, ``rejects.parquet``, the card, and the index and the manifest last."""
        from stages.dataset.card import write_card
        from stages.dataset.census import Census
        from stages.dataset.survey import RunRows, count, survey, total
        from stages.dataset.writing import Layout, write_splits

        folder, format_ = Path(into.root), self.config.format
        splits = [TRAIN, *self.config.splits]
        schema = features().arrow_schema
        overhead = arrow_overhead(schema) if format_ == "arrow" else parquet_overhead(schema)
        rows = RunRows(run, schema)
        parts = run.parts()
        starts = range(0, max(1, len(parts)), SURVEYED_AT_ONCE)
        groups = [parts[start : start + SURVEYED_AT_ONCE] for start in starts]
        # What one worker reads at once is not worth starting others.
        apply: Map = partial(workers.map, cpus=self.config.cpus) if len(groups) > 1 else map
        seed = self.seed if self.config.shuffle else None
        known = total([*apply(partial(survey, rows, splits, overhead, seed), groups)])
        layout = Layout(folder, splits, format_, self.config.max_shard_bytes, overhead, self.config.shuffle)
        shards = write_splits(rows, known, layout, apply)
        census = Census()
        for counted in apply(partial(count, rows), groups):
            census.add(counted)
        rejects = _write_rejects(run, folder / REJECTS_FILE)
        summary = write_card(folder, run, census, rejects, self.config.truth, format_)
        if format_ == "arrow":
            write_index(folder, features(), shards)
        manifest = Manifest(format=format_, splits=shards, rejects=describe_rejects(folder))
        (folder / MANIFEST).write_bytes(manifest.to_json())
        return summary


def _write_rejects(run: RunView, file: Path) -> pa.Table:
    import pyarrow.parquet as pq

    rejects = pa.concat_tables([REJECTS.empty_table(), *(run.rejects(part) for part in run.parts())])
    pq.write_table(rejects, file)
    return rejects
