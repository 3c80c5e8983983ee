"""The stored columns of a run, finished or not: what ``status`` counts from, without plan or models."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.layout import Layout, Place
from pipeline.run_dir import RunDirectory
from schemas.columns import LIVE
from schemas.errors import FatalError
from schemas.report import PartReport
from stages.stored_columns import Judged, StoredRows

__all__ = ["StoredRun"]

BATCH_ROWS, BATCH_PARTS = 65_536, 512
"""Rows and parts that are read together, at most; a part at least."""
DAMAGED = (OSError, ValueError, KeyError)
"""What reading a damaged file may raise."""


class StoredRun:
    """Reads what the stages have committed (``stages.stored_columns``), and of each file only what is asked for.

    A part that a stage has not finished has nulls in the stage's columns.

    Args:
        run: its directory.
        reports: as ``RunDirectory.all_reports`` gives them.
        parts: the parts to read; all of the source's by default.
    """

    def __init__(
        self, run: RunDirectory, reports: Mapping[str, Mapping[int, PartReport]], parts: Sequence[int] | None = None
    ) -> None:
        self.run = run
        self.layout = Layout(run)
        self._reports = [reports[stage.folder] for stage in self.layout.stages]
        self._parts = self._reports[0].keys() if parts is None else parts

    def columns(self) -> pa.Schema:
        """Return every column, of source and stages."""
        return pa.schema([(name, place.type) for name, place in self.layout.columns.items()])

    def steps(self) -> Sequence[Mapping[str, Any]]:
        """Return ``name``, ``use`` and ``settings`` of each step, in order."""
        return self.run.steps()

    def batches(self, numbers: Sequence[str], judged: Mapping[str, Sequence[str]]) -> Iterator[StoredRows]:
        """Yield all rows, some parts at a time: parts that the same stages have finished."""
        stages = {each.name: stage for stage, each in enumerate(self.layout.stages)}
        asked = {name: self.layout.columns[name] for name in numbers}
        steps = {stages[step]: step for step in judged}
        seen = {stage: {name: self.layout.columns_before(stage)[name] for name in judged[step]}
                for stage, step in steps.items()}
        for last, parts in self._alike():
            done = [stage for stage in steps if stage <= last]
            places = [place for place in asked.values() if place.stage <= last]
            needed = _needed(last, places, {stage: seen[stage].values() for stage in done})
            for stage in needed:
                if all(self._reports[stage][part].kept == self._reports[stage][part].rows for part in parts):
                    needed[stage].discard(LIVE)
            part_rows = [self._reports[0][part].rows for part in parts]
            tables = {stage: self._read(stage, parts, sorted(columns)) for stage, columns in needed.items() if columns}
            files = _Files(tables, sum(part_rows))
            yield StoredRows(
                part_rows=part_rows,
                numbers={name: files.numbers(place) for name, place in asked.items()},
                live=files.live(last),
                judged={steps[stage]: files.judged(stage, seen[stage]) for stage in done},
            )

    def _alike(self) -> Iterator[tuple[int, list[int]]]:
        """Yield the last stage that has finished some parts, and these parts."""
        left, progress = set(self._parts), list[set[int]]()
        for reports in self._reports:
            progress.append(left - reports.keys())
            left = left & reports.keys()
        rows = sum(report.rows for report in self._reports[0].values())
        size = max(1, min(BATCH_PARTS, BATCH_ROWS * len(self._reports[0]) // max(1, rows)))
        for last, parts in enumerate([*progress[1:], left]):
            yield from ((last, sorted(parts)[start : start + size]) for start in range(0, len(parts), size))

    def _read(self, stage: int, parts: Sequence[int], columns: list[str]) -> pa.Table:
        """Return columns of a stage's files, a chunk each."""
        folder = self.layout.stages[stage].folder
        try:
            return self.run.read_parts(folder, parts, columns)
        except DAMAGED:
            for part in parts:
                try:
                    self.run.read(folder, part, columns)
                except DAMAGED as error:
                    raise FatalError(f"{folder}: part {part} cannot be read: {error}") from error
            raise


def _needed(last: int, places: Sequence[Place], seen: Mapping[int, Iterable[Place]]) -> dict[int, set[str]]:
    """Return the columns to be read of each stage's files.

    Args:
        last: the last stage that has finished the parts.
        places: columns of all rows.
        seen: stage -> columns of the rows that it got.
    """
    needed = defaultdict[int, set[str]](set)
    for place in chain(places, *seen.values()):
        needed[place.stage].add(place.column)
    for stage in {last, *seen, *(stage - 1 for stage in seen), *(place.stage - 1 for place in places)} - {-1}:
        needed[stage].add(LIVE)
    return needed


class _Files:
    """Columns of some parts, by stage.

    Args:
        tables: what was read; without ``LIVE`` where every row is live.
        rows: how many rows there are.
    """

    def __init__(self, tables: Mapping[int, pa.Table], rows: int) -> None:
        import polars as pl

        self._frames = {stage: pl.DataFrame(table.combine_chunks()) for stage, table in tables.items()}
        self._rows = rows

    def live(self, stage: int) -> NDArray[np.bool_]:
        """Return which rows are live after a stage."""
        frame = self._frames.get(stage)
        return np.full(self._rows, True) if frame is None or LIVE not in frame.columns else frame[LIVE].to_numpy()

    def numbers(self, place: Place) -> NDArray[np.float64]:
        """Return a column of all rows, not a number where a row never reached the stage."""
        frame = self._frames.get(place.stage)
        if frame is None:
            return np.full(self._rows, np.nan)
        values = frame[place.column].cast(float).to_numpy()
        return np.where(self.live(place.stage - 1), values, np.nan) if place.stage else values

    def judged(self, stage: int, seen: Mapping[str, Place]) -> Judged:
        """Return columns that a stage reads, and how it decided."""
        import polars as pl

        columns = [self._frames[place.stage][place.column].alias(name) for name, place in seen.items()]
        return Judged(pl.DataFrame(columns), self.live(stage - 1), self.live(stage))
