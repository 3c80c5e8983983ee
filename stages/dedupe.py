"""``dedupe``: find samples whose images are the same, nearly the same or much alike, and keep the best of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, field_validator, model_validator

from schemas.columns import DETAIL, REASON, SOURCE
from schemas.config import SPEED, StageConfig
from stages.base import ANY, Stage, rows_to_table
from stages.id_lookup import find_ids, sorted_by_id

if TYPE_CHECKING:
    from stages.duplicates.clusters import Labels
    from stages.duplicates.columns import HexColumn, VectorColumn
    from stages.duplicates.search import Kind

__all__ = ["Dedupe", "DedupeConfig"]

SHA256_WORDS = 2
"""64-bit words of a SHA-256 that are compared: 128 bits."""
SIDES = ("original_width", "original_height", "width", "height")
SCORE = pa.field("clip_score", pa.float32())

FOUND = pa.schema([
    ("id", pa.large_string()), ("cluster", pa.large_string()), ("kept", pa.large_string()), ("reason", pa.string()),
])
"""What the survey finds of a row that has duplicates; a kept row has no reason."""


class DedupeConfig(StageConfig):
    """Settings of ``dedupe``."""

    batch_rows: Annotated[int, SPEED] = Field(1024, ge=1)
    """Rows handed to the stage at once."""
    exact: bool = True
    """Find images with the same file (``sha256``)."""
    near: int | None = Field(6, ge=0, le=12)
    """Find images whose perceptual hashes (``phash``) differ in at most so many of their 64 bits; null: do not. Above 8
    chance alone makes duplicates among millions, and the search takes long."""
    semantic: float | None = Field(None, gt=0, le=1)
    """Find images whose embeddings have at least this cosine, such as 0.95; null: do not."""
    embedding: str = "image_embedding"
    """The column of embeddings that ``semantic`` compares."""
    reject: Literal["exact", "near", "semantic", "nothing"] = "semantic"
    """The loosest kind whose duplicates are rejected. Looser ones only share a ``duplicate_cluster``, so that no split
    of the dataset holds one and another split another."""
    keep_best: list[Literal["resolution", "score", "license"]] = ["resolution", "score", "license"]
    """What makes a duplicate the best, most important first: pixels of the image as it came; the value of ``score``; a
    stated license before none, in the order of ``licenses``. Equals: the smallest id."""
    score: str = SCORE.name
    """A column of numbers; more is better. By default ``clip_score`` where it is there."""
    licenses: list[str] = []
    """Licenses from the best on; others come after them, and samples that state none last."""

    @field_validator("keep_best")
    @classmethod
    def _each_once(cls, keep_best: list[str]) -> list[str]:
        if len(set(keep_best)) < len(keep_best):
            raise ValueError("names a criterion twice")
        return keep_best

    @model_validator(mode="after")
    def _compares_something(self) -> DedupeConfig:
        if not self.exact and self.near is None and self.semantic is None:
            raise ValueError("compares nothing: set exact, near or semantic")
        return self


class Dedupe(Stage[DedupeConfig]):
    """Finds samples with the same image and keeps the best of each cluster.

    Duplicates of duplicates are one cluster. ``duplicate_cluster`` is the id of the cluster's first sample in the
    source, which is the sample's own where it has no duplicate, and ``duplicate_of`` the id of the sample that was kept
    instead, null in one that was kept.
    """

    name = "dedupe"
    Config = DedupeConfig
    seeded = False
    surveys = True
    produces = pa.schema([("duplicate_cluster", pa.string()), ("duplicate_of", pa.string())])
    reasons: ClassVar[Mapping[str, str]] = {
        "duplicate_exact": "a better sample has the same image file",
        "duplicate_near": "a better sample has nearly the same image, by perceptual hash",
        "duplicate_semantic": "a better sample has an image much like it, by embedding",
    }

    def __init__(self, config: DedupeConfig) -> None:
        """Read only the columns that the settings compare."""
        super().__init__(config)
        compared = [("sha256", pa.string(), config.exact), ("phash", pa.string(), config.near is not None),
                    (config.embedding, ANY, config.semantic is not None)]
        ranked = [(config.score, ANY)] if "score" in config.keep_best and config.score != SCORE.name else []
        self.consumes = pa.schema([*((name, type_) for name, type_, is_read in compared if is_read), *ranked])
        known = {
            "resolution": [(side, pa.int32()) for side in SIDES], "score": [] if ranked else [SCORE],
            "license": [SOURCE.field("license")],
        }
        self.optional = pa.schema([field for criterion in config.keep_best for field in known[criterion]])

    def survey(self, parts: Iterator[pa.Table]) -> pa.Table:
        """Find every cluster and its best row."""
        from stages.duplicates.columns import HexColumn, VectorColumn
        from stages.duplicates.search import find_clusters

        config = self.config
        exact = HexColumn("sha256", SHA256_WORDS) if config.exact else None
        near = (HexColumn("phash", 1), config.near) if config.near is not None else None
        semantic = (VectorColumn(config.embedding, self._scratch()), config.semantic) if config.semantic else None
        columns = [column for column in (exact, near and near[0], semantic and semantic[0]) if column]
        ranked = self._gather(parts, columns)
        return self._found(ranked, find_clusters(ranked.num_rows, exact, near, semantic))

    def _scratch(self) -> str | None:
        """Return where a large temporary file may be: beside the run, as /tmp may be memory."""
        from pathlib import Path

        if not self.folder.is_local:
            return None
        Path(self.folder.root).mkdir(parents=True, exist_ok=True)
        return self.folder.root

    def _gather(self, parts: Iterator[pa.Table], columns: Sequence[HexColumn | VectorColumn]) -> pa.Table:
        """Fill the columns; return id and ranks of all rows."""
        ranked, rows = [], 0
        for part in parts:
            for column in columns:
                column.add(part[column.name], rows)
            rows += part.num_rows
            ranked.append(self._ranked(part))
        return pa.concat_tables(ranked).combine_chunks()

    def _ranked(self, part: pa.Table) -> pa.Table:
        from stages.duplicates.best import license_rank, resolution, score_rank

        config, ranks = self.config, {"id": part["id"].cast(pa.large_string())}
        for criterion in config.keep_best:
            match criterion:
                case "resolution":
                    ranks[criterion] = resolution(part)
                case "score":
                    ranks[criterion] = score_rank(part, config.score)
                case "license":
                    ranks[criterion] = license_rank(part, config.licenses)
        return pa.table(ranks)

    def _found(self, ranked: pa.Table, labels: Mapping[Kind, Labels]) -> pa.Table:
        """Return what ``process`` needs to know of each row that is not alone in its cluster."""
        from stages.duplicates.best import best_rows, duplicated, reasons

        ids, loosest = ranked["id"].combine_chunks(), labels["semantic"]
        kept = np.arange(len(loosest), dtype=np.int32)
        if self.config.reject != "nothing":
            ranks = [ranked[criterion].combine_chunks() for criterion in self.config.keep_best]
            kept = best_rows(labels[self.config.reject], ranks, ids)
        rows = duplicated(loosest)
        why = reasons(rows, kept[rows], labels)
        columns = [ids.take(pa.array(chosen)) for chosen in (rows, loosest[rows], kept[rows])]
        return sorted_by_id(pa.table([*columns, pa.array(why, pa.string())], schema=FOUND))

    def process(self, batch: pa.Table) -> pa.Table:
        """Give each row its cluster; reject it where a better one is kept."""
        places = find_ids(self.surveyed, batch["id"])
        found = self.surveyed.take(pa.array(places, mask=places < 0)).to_pylist()
        rows = zip(batch["id"].to_pylist(), found, strict=True)
        return rows_to_table([_outcome(row_id, known) for row_id, known in rows], self.produces)


def _outcome(row_id: str, found: Mapping[str, str | None]) -> dict[str, str | None]:
    values: dict[str, str | None] = {"duplicate_cluster": found["cluster"] or row_id}
    if found["reason"] is None:
        return values
    return {**values, "duplicate_of": found["kept"], REASON: found["reason"], DETAIL: f"of {found['kept']}"}
