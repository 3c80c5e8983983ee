"""A look at the source without writing anything: how many samples, and some of them."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import islice
from typing import Any

import pyarrow as pa

from pipeline.plan import SOURCE_OWNER, PlannedStep
from pipeline.run_dir import SOURCE_FOLDER, RunDirectory
from pipeline.sources import read_source
from schemas.columns import SOURCE
from schemas.config import SourceConfig

__all__ = ["Peek", "columns_of", "peek"]

SAMPLE_ROWS = 100
MOST_ROWS = 200_000
"""A source that has not been written yet is read so far and no further."""


@dataclass(frozen=True)
class Peek:
    """What was seen.

    Attributes:
        rows: samples of the source.
        is_more: there are more than that.
        sample: some of them, drawn evenly from all that were seen.
    """

    rows: int
    is_more: bool
    sample: pa.Table


def peek(run: RunDirectory, config: SourceConfig) -> Peek:
    """Look at the source as the run has written it, or at the source itself."""
    if rows := run.source().get("rows", 0):
        parts = random.Random(0).sample(run.parts(), min(len(run.parts()), SAMPLE_ROWS))
        drawn = [_some(run.read(SOURCE_FOLDER, part, SOURCE.names), -(-SAMPLE_ROWS // len(parts))) for part in parts]
        return Peek(rows, False, pa.concat_tables(drawn))
    seen = 0
    sample: list[dict[str, Any]] = []
    draw = random.Random(0)
    for row in islice(read_source(config), MOST_ROWS + 1):
        place = seen if seen < SAMPLE_ROWS else draw.randrange(seen + 1)
        if place < SAMPLE_ROWS:
            sample[place : place + 1] = [dict(row.values) | {"id": str(row.values.get("id") or seen)}]
        seen += 1
    return Peek(min(seen, MOST_ROWS), seen > MOST_ROWS, pa.Table.from_pylist(sample, schema=SOURCE))


def _some(table: pa.Table, rows: int) -> pa.Table:
    places = sorted(random.Random(0).sample(range(table.num_rows), min(rows, table.num_rows)))
    return table.take(pa.array(places, pa.int64()))


def columns_of(planned: PlannedStep, sample: pa.Table) -> pa.Table:
    """Return what a step would see of a sample of the source; null where another step makes the column."""
    step = planned.step
    columns = {"id": sample["id"]}
    for field in (*step.consumes, *step.optional):
        origin = planned.reads.get(field.name)
        is_there = origin is not None and origin.owner == SOURCE_OWNER
        columns[field.name] = sample[field.name] if is_there else pa.nulls(sample.num_rows, field.type)
    return pa.table(columns)
