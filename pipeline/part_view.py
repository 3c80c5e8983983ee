"""One part of a run: its columns, and which rows they hold for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.layout import Layout, Place
from schemas.columns import LIVE, REASON

__all__ = ["PartView"]


class PartView:
    """One part: the files of all stages that have finished it, row beside row.

    Raises OSError or pa.ArrowInvalid where a file is damaged.

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
