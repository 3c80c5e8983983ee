"""Where each column of a run stands, and which rows it holds for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.run_dir import RunDirectory
from schemas.columns import BOOKKEEPING, LIVE, REASON
from stages.catalogue import plain_name

__all__ = ["Layout", "PartView", "StageLayout"]


@dataclass(frozen=True)
class StageLayout:
    """A stage's folder and the columns its files hold; none where it has not finished any part."""

    name: str
    folder: str
    schema: pa.Schema


@dataclass(frozen=True)
class Place:
    """The stage that has a column, by its index, and the column's name and type there."""

    stage: int
    column: str
    type: pa.DataType


class Layout:
    """The stages of a run and its columns, as they stand on the disk; needs neither plan nor models.

    Attributes:
        stages: the source and the stages, in order.
        columns: every column's full name -> where it is. Where two stages write the same column, the later one counts,
            as it does for what reads it.
    """

    def __init__(self, run: RunDirectory) -> None:
        self.run = run
        self._uses = {step["name"]: step["use"] for step in run.describe().get("steps", ())}
        self.stages = [StageLayout(name, folder, self._schema(folder)) for name, folder in run.stage_folders().items()]
        self.columns = self.columns_before(len(self.stages))

    def columns_before(self, stage: int) -> dict[str, Place]:
        """Return the columns there are when a stage begins."""
        columns: dict[str, Place] = {}
        for index, each in enumerate(self.stages[:stage]):
            prefix = "" if each.name == plain_name(self._uses.get(each.name, each.name)) else f"{each.name}."
            columns |= {f"{prefix}{field.name}": Place(index, field.name, field.type) for field in each.schema}
        return columns

    def of_type(self, type_: pa.DataType) -> list[str]:
        """Return the columns of a type, in the order of the stages."""
        return [name for name, place in self.columns.items() if place.type == type_]

    def part(self, number: int) -> PartView:
        """Open a part; raises OSError or pa.ArrowInvalid where a file is damaged."""
        return PartView(self, number)

    def _schema(self, folder: str) -> pa.Schema:
        first = self._first_part(folder)
        found = pa.schema([]) if first is None else self.run.read(folder, first).schema
        return pa.schema([field for field in found if field.name not in BOOKKEEPING.names])

    def _first_part(self, folder: str) -> int | None:
        """Return the first finished part; as a rule that is the first of all, and no folder need be listed."""
        if self.run.report(folder, 0) is not None:
            return 0
        names = self.run.storage.names(folder)
        return next((int(name[:5]) for name in names if name.endswith(".json") and name[:5].isdigit()), None)


class PartView:
    """One part: the files of all stages that have finished it, row beside row.

    Attributes:
        tables: one a stage, up to the first that has not finished the part; memory-mapped.
        rows: how many rows it has.
        entered: for each of ``tables`` which rows were live when the stage began.
        live: which rows are live after the last of them.
    """

    def __init__(self, layout: Layout, number: int) -> None:
        self.layout, self.number = layout, number
        self.tables = list(self._tables())
        self.rows = self.tables[0].num_rows if self.tables else 0
        lives = [table[LIVE].combine_chunks() for table in self.tables]
        self.entered = [pa.array([True] * self.rows, pa.bool_()), *lives][: len(self.tables)]
        self.live = lives[-1] if lives else pa.array([], pa.bool_())

    @property
    def is_finished(self) -> bool:
        """Whether every stage has finished the part."""
        return len(self.tables) == len(self.layout.stages)

    def column(self, name: str) -> pa.Array:
        """Return a column; null where the row never reached the stage, or the stage has not done the part."""
        return self.at(self.layout.columns[name])

    def at(self, place: Place) -> pa.Array:
        """Return the column at a place, likewise."""
        if place.stage >= len(self.tables):
            return pa.nulls(self.rows, place.type)
        array = self.tables[place.stage][place.column].combine_chunks()
        entered = self.entered[place.stage]
        if entered.true_count == self.rows:
            return array
        return array.take(pc.if_else(entered, pa.array(range(self.rows), pa.int64()), None))

    def has(self, name: str) -> pa.Array:
        """Return which rows have a value in a column, without reading the values; none where there is no column."""
        place = self.layout.columns.get(name)
        if place is None or place.stage >= len(self.tables):
            return pa.array([False] * self.rows, pa.bool_())
        valid = self.tables[place.stage][place.column].combine_chunks().is_valid()
        return pc.and_(self.entered[place.stage], valid)

    def value(self, name: str, row: int) -> Any:
        """Return one value of a column, as Python has it; None where there is no such column."""
        place = self.layout.columns.get(name)
        if place is None or place.stage >= len(self.tables) or not self.entered[place.stage][row].as_py():
            return None
        return self.tables[place.stage][place.column][row].as_py()

    def rejects(self) -> Iterator[tuple[str, pa.Array, pa.Array]]:
        """Yield each stage's name, which rows it rejected, and its reasons."""
        for stage, table, entered in zip(self.layout.stages, self.tables, self.entered, strict=False):
            reasons = table[REASON].combine_chunks()
            yield stage.name, pc.and_(entered, reasons.is_valid()), reasons

    def _tables(self) -> Iterator[pa.Table]:
        run = self.layout.run
        for stage in self.layout.stages:
            if run.report(stage.folder, self.number) is None:
                return
            yield run.read(stage.folder, self.number)
