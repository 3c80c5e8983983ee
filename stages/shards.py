"""``shards``: the finished dataset, one row per conversation, and its card."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
from pydantic import Field, field_validator

from schemas.columns import CONVERSATIONS, REJECTS
from schemas.config import ExistingPath, StageConfig
from schemas.errors import Reject
from schemas.storage import Storage
from stages.base import Launch, RunView, Sink, Stage, rows_to_table
from stages.dataset.files import FileFormat, SplitWriter, write_split_names
from stages.dataset.manifest import MANIFEST, REJECTS_FILE, Manifest, describe_rejects
from stages.dataset.rows import ROW_COLUMNS, conversation_columns, dataset_rows, features, has_conversation
from stages.dataset.truth import read_truth

__all__ = ["Shards", "ShardsConfig"]

TRAIN = "train"
CLUSTER = "duplicate_cluster"

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
    """No shard gets longer, unless its only row is."""
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

    def write(self, run: RunView, into: Storage, launch: Launch) -> Mapping[str, Any]:
        """Write the splits, ``rejects.parquet``, the card, and the manifest last."""
        from stages.dataset.card import write_card
        from stages.dataset.census import Census

        folder = Path(into.root)
        splits = [TRAIN, *self.config.splits]
        writers = {
            split: SplitWriter(folder, split, features(), self.config.format, self.config.max_shard_bytes)
            for split in splits
        }
        conversations = conversation_columns(run.columns())
        columns = [name for name in (*ROW_COLUMNS, *conversations, "split") if name in run.columns().names]
        census = Census()
        for part in run.parts():
            for sample in run.table(part, columns).to_pylist():
                rows = list(dataset_rows(sample, conversations))
                census.count(sample["split"], rows)
                for row in rows:
                    writers[sample["split"]].write(row)
        shards = {split: writer.close() for split, writer in writers.items()}
        rejects = _write_rejects(run, folder / REJECTS_FILE)
        summary = write_card(folder, run, census, rejects, self.config.truth, self.config.format)
        if self.config.format == "arrow":
            write_split_names(folder, splits)
        manifest = Manifest(format=self.config.format, splits=shards, rejects=describe_rejects(folder))
        (folder / MANIFEST).write_bytes(manifest.to_json())
        return summary


def _write_rejects(run: RunView, file: Path) -> pa.Table:
    import pyarrow.parquet as pq

    rejects = pa.concat_tables([REJECTS.empty_table(), *(run.rejects(part) for part in run.parts())])
    pq.write_table(rejects, file)
    return rejects
