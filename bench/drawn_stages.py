"""Stages that draw numbers, for runs of many rows. ``status`` imports this to learn their names."""

from __future__ import annotations

import random

import pyarrow as pa

from schemas.config import StageConfig
from schemas.errors import Reject
from stages.base import Stage, rows_to_table

__all__ = ["Scored", "Sized"]


class Sized(Stage[StageConfig]):
    """Adds a width, as ``download`` would, and has a reject now and then."""

    name = "sized"
    consumes = pa.schema([("id", pa.string())])
    produces = pa.schema([("width", pa.int32())])
    reasons = {"not_found": "every thirtieth"}
    seeded = False

    def process(self, batch: pa.Table) -> pa.Table:
        """Draw a width for each row, or a reject."""
        drawn = [random.Random(f"width {name}").randrange(1000) for name in batch["id"].to_pylist()]
        return rows_to_table([{"width": width} if width % 30 else Reject("not_found", "") for width in drawn],
                             self.produces)


class Scored(Stage[StageConfig]):
    """Adds what ``clip_score`` would."""

    name = "scored"
    consumes = pa.schema([("id", pa.string())])
    produces = pa.schema([("clip_score", pa.float32())])
    seeded = False

    def process(self, batch: pa.Table) -> pa.Table:
        """Draw a score for each row."""
        scores = [random.Random(f"score {name}").random() for name in batch["id"].to_pylist()]
        return pa.table({"clip_score": pa.array(scores, pa.float32())})
