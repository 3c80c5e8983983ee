"""The stored columns of a run, finished or not: what ``status`` counts from, without plan or models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.layout import Layout, Place
from pipeline.run_dir import RunDirectory
from schemas.columns import LIVE
from schemas.errors import FatalError

__all__ = ["StoredRun"]


class StoredRun:
    """Reads what the stages have committed (``stages.base.StoredColumns``), and of each file only what is asked for.

    A part that a stage has not finished has nulls in the stage's columns.
    """

    def __init__(self, run: RunDirectory) -> None:
        self.run = run
        self.layout = Layout(run)
        self._finished = self._finished_parts()
        self._places = [self.layout.columns_before(stage) for stage in range(len(self.layout.stages))]
        self._part, self._known = -1, dict[tuple[int, str], pa.ChunkedArray]()

    def parts(self) -> Sequence[int]:
        """Return the numbers of the source's parts."""
        return sorted(self._finished[0])

    def columns(self) -> pa.Schema:
        """Return every column, of source and stages."""
        return pa.schema([(name, place.type) for name, place in self.layout.columns.items()])

    def steps(self) -> Sequence[Mapping[str, Any]]:
        """Return ``name``, ``use`` and ``settings`` of each step, in order."""
        return self.run.steps()

    def table(self, part: int, columns: Sequence[str], live: bool = True) -> pa.Table:
        """Return columns of a part, of the rows still live or of all."""
        table = pa.table({name: self._column(part, self.layout.columns[name]) for name in columns})
        last = max(stage for stage, parts in enumerate(self._finished) if part in parts)
        return table.filter(self._live(part, last)) if live else table

    def judged(self, part: int, step: str, columns: Sequence[str]) -> tuple[pa.Table, pa.Array]:
        """Return columns of the rows that a step got, as it saw them, and which of them it kept; none before it has
        done the part."""
        stage = next(index for index, each in enumerate(self.layout.stages) if each.name == step)
        table = pa.table({name: self._column(part, self._places[stage][name]) for name in columns})
        if part not in self._finished[stage]:
            return table.slice(0, 0), pa.array([], pa.bool_())
        entered = self._live(part, stage - 1)
        return table.filter(entered), self._live(part, stage).filter(entered)

    def _column(self, part: int, place: Place) -> pa.ChunkedArray:
        if part not in self._finished[place.stage]:
            return pa.chunked_array([pa.nulls(len(self._read(part, 0, LIVE)), place.type)])
        array = self._read(part, place.stage, place.column)
        entered = self._live(part, place.stage - 1) if place.stage else None
        if entered is None or entered.true_count == len(entered):
            return array
        return array.take(pc.if_else(entered, pa.array(range(len(entered)), pa.int64()), None))

    def _live(self, part: int, stage: int) -> pa.Array:
        """Return which rows are live after a stage."""
        return self._read(part, stage, LIVE).combine_chunks()

    def _read(self, part: int, stage: int, column: str) -> pa.ChunkedArray:
        """Return a column of a stage's file; those of one part are kept, as opening files is what takes time."""
        if part != self._part:
            self._part, self._known = part, {}
        if (stage, column) not in self._known:
            folder = self.layout.stages[stage].folder
            try:
                self._known[stage, column] = self.run.read(folder, part, [column])[column]
            except (pa.ArrowInvalid, KeyError) as error:
                raise FatalError(f"{folder}: part {part} cannot be read: {error}") from error
        return self._known[stage, column]

    def _finished_parts(self) -> list[set[int]]:
        """Return the parts that each stage, and all before it, have finished."""
        finished: list[set[int]] = []
        before = set(self.run.parts())
        for stage in self.layout.stages:
            numbers = (name.removesuffix(".json") for name in self.run.storage.names(stage.folder))
            before = before & {int(number) for number in numbers if number.isdigit()}
            finished.append(before)
        return finished
