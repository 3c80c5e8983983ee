"""One stage over one part: take the live rows, reuse what is known, process the rest, commit."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.digest import digest, row_digests
from pipeline.plan import SOURCE_OWNER, Plan, PlannedStep
from pipeline.run_dir import RunDirectory
from schemas.columns import BOOKKEEPING, DIGEST, INPUT, LIVE, REASON, REJECTED
from schemas.errors import FatalError, Paused
from schemas.report import PartReport
from stages.base import Stage, rejected

__all__ = ["Inputs", "inputs_of", "work_part"]


@dataclass(frozen=True)
class Inputs:
    """What a step gets of one part.

    Attributes:
        columns: the columns it reads and ``id``, all rows.
        live: whether each row is still live.
        keys: digest of each row's inputs; null digests of dead rows count as empty.
    """

    columns: pa.Table
    live: list[bool]
    keys: list[bytes]

    @cached_property
    def digest(self) -> str:
        """Digest of the part's inputs: which rows are live, and what they hold."""
        live = (key if alive else b"" for key, alive in zip(self.keys, self.live, strict=True))
        return digest(live).hex()

    def live_rows(self) -> pa.Table:
        """Return the columns of the live rows."""
        return self.columns.filter(pa.array(self.live, pa.bool_()))


def inputs_of(run: RunDirectory, plan: Plan, planned: PlannedStep, part: int, surveyed: str = "") -> Inputs:
    """Read what a step gets of a part.

    Args:
        surveyed: digest of the survey the step's results also depend on.
    """
    previous = plan.previous_stage(planned)
    before = previous.index if previous else SOURCE_OWNER
    origins = {**planned.reads, "id": plan.columns["id"]}
    read_owners = sorted({origin.owner for origin in planned.reads.values()})
    tables = {
        owner: run.read(plan.folder(owner), part) for owner in {*read_owners, before, SOURCE_OWNER}
    }
    columns = pa.table({name: tables[origin.owner][origin.column] for name, origin in origins.items()})
    for field in planned.step.optional:
        if field.name not in columns.column_names:
            columns = columns.append_column(field, pa.nulls(columns.num_rows, field.type))
    digests = [tables[owner][DIGEST].to_pylist() for owner in read_owners]
    keys = [
        digest([surveyed.encode(), row_id.encode(), *(known or b"" for known in row)])
        for row_id, *row in zip(columns["id"].to_pylist(), *digests, strict=True)
    ]
    return Inputs(columns, tables[before][LIVE].to_pylist(), keys)


def work_part(
    run: RunDirectory, plan: Plan, planned: PlannedStep, part: int, surveyed: str, open_stage: Callable[[], None]
) -> PartReport:
    """Bring one stage's part up to date and return its report.

    A committed part whose inputs are the same is left as it is. Of a part whose inputs changed, only rows whose
    own inputs changed are processed, wherever in the part they stand.

    Args:
        run: the run directory.
        plan: the run's plan.
        planned: the stage.
        part: the part's number.
        surveyed: digest of the survey the stage's results also depend on.
        open_stage: opens the stage; called before it has to process rows.
    """
    stage = planned.stage
    inputs = inputs_of(run, plan, planned, part, surveyed)
    committed = run.report(planned.folder, part)
    if committed is not None and committed.inputs == inputs.digest:
        return committed
    schema = pa.schema([*stage.produces, *BOOKKEEPING])
    known = run.read(planned.folder, part) if committed is not None else schema.empty_table()
    places = _places(inputs, known)
    to_do = [row for row, place in enumerate(places) if place is None and inputs.live[row]]
    if to_do:
        open_stage()
    stage.counts.clear()
    started = time.perf_counter()
    fresh = _process(stage, inputs.columns.take(pa.array(to_do, pa.int64())))
    seconds = time.perf_counter() - started
    table = _merge(inputs, known, places, to_do, fresh).select(schema.names)
    report = _report(inputs, table, len(to_do), seconds, dict(stage.counts))
    run.commit(planned.folder, part, table, report, replaces=committed is not None)
    return report


def _places(inputs: Inputs, known: pa.Table) -> list[int | None]:
    """Return for each row where its outcome stands in the committed part; None where it is not known."""
    places = {key: place for place, key in enumerate(known[INPUT].to_pylist()) if key is not None}
    return [places.get(key) for key in inputs.keys]


def _process(stage: Stage[Any], rows: pa.Table) -> pa.Table:
    """Return the produced columns and the rejects of ``rows``, batch by batch."""
    schema = pa.schema([*stage.produces, *REJECTED])
    size = stage.config.batch_rows
    batches = (rows.slice(start, size) for start in range(0, rows.num_rows, size))
    return pa.concat_tables([schema.empty_table(), *(_process_batch(stage, batch, schema) for batch in batches)])


def _process_batch(stage: Stage[Any], batch: pa.Table, schema: pa.Schema) -> pa.Table:
    """Process a batch; if it raises, row by row, so that only the row that raises is lost."""
    try:
        return _complete(stage, stage.process(batch), batch.num_rows, schema)
    except (FatalError, Paused):
        raise
    except Exception as error:
        if batch.num_rows > 1:
            rows = (batch.slice(row, 1) for row in range(batch.num_rows))
            return pa.concat_tables([_process_batch(stage, row, schema) for row in rows])
        return pa.Table.from_pylist([rejected(error)], schema=schema)


def _complete(stage: Stage[Any], result: pa.Table, rows: int, schema: pa.Schema) -> pa.Table:
    """Check and cast what a stage returned; the reject columns may be missing where nothing is rejected."""
    if result.num_rows != rows:
        raise FatalError(f"{stage.name}: process() returned {result.num_rows} rows for {rows}")
    for field in REJECTED:
        if field.name not in result.column_names:
            result = result.append_column(field, pa.nulls(rows, field.type))
    missing = [name for name in schema.names if name not in result.column_names]
    if missing:
        raise FatalError(f"{stage.name}: process() returned no column {', '.join(missing)}")
    return result.select(schema.names).cast(schema)


def _merge(
    inputs: Inputs, known: pa.Table, places: Sequence[int | None], to_do: Sequence[int], fresh: pa.Table
) -> pa.Table:
    """Return the part: fresh values where rows were processed, known ones elsewhere, with the bookkeeping."""
    keys = pa.array([inputs.keys[row] for row in to_do], pa.binary(16))
    fresh = fresh.append_column(INPUT, keys)
    fresh = fresh.append_column(DIGEST, pa.array(row_digests(fresh.drop_columns([INPUT])), pa.binary(16)))
    if len(to_do) == len(inputs.live):
        merged = fresh
    else:
        order = list(places)
        for position, row in enumerate(to_do):
            order[row] = known.num_rows + position
        merged = pa.concat_tables([known.select(fresh.column_names), fresh]).take(pa.array(order, pa.int64()))
    alive = pc.and_(pa.array(inputs.live, pa.bool_()), merged[REASON].is_null())
    return merged.append_column(LIVE, alive)


def _report(inputs: Inputs, table: pa.Table, computed: int, seconds: float, metrics: dict[str, float]) -> PartReport:
    reasons = table.filter(pa.array(inputs.live, pa.bool_()))[REASON].drop_null()
    rejected = {count["values"]: count["counts"] for count in reasons.value_counts().to_pylist()}
    return PartReport(
        rows=len(inputs.live),
        entered=sum(inputs.live),
        kept=sum(inputs.live) - len(reasons),
        rejected=rejected,
        computed=computed,
        seconds=round(seconds, 3),
        metrics=metrics,
        inputs=inputs.digest,
    )


