"""A finished run, or what there is of it, as sinks and reports read it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.digest import digest
from pipeline.plan import SOURCE_OWNER, Plan
from pipeline.run_dir import SOURCE_FOLDER, RunDirectory
from pipeline.stored import StoredRun
from schemas.columns import DETAIL, DIGEST, LIVE, REASON, REJECTS
from schemas.config import shown_model
from schemas.report import PartReport
from stages.stored_columns import StoredRows

__all__ = ["FinishedRun"]


class FinishedRun:
    """Reads the parts that every stage has committed (``stages.base.RunView``).

    Args:
        plan: the run's plan.
        run: its directory.
        parts: the finished parts, in order.
    """

    def __init__(self, plan: Plan, run: RunDirectory, parts: Sequence[int]) -> None:
        self.plan, self.run, self._parts = plan, run, tuple(parts)
        self.name, self.seed = plan.config.name, plan.config.seed
        self.owners = [SOURCE_OWNER, *(planned.index for planned in plan.stages())]

    def parts(self) -> Sequence[int]:
        """Return the numbers of the finished parts."""
        return self._parts

    def columns(self) -> pa.Schema:
        """Return every column, of source and stages."""
        return pa.schema([(name, origin.type) for name, origin in self.plan.columns.items()])

    def dataset(self) -> str:
        """Return the path of the finished dataset."""
        return self.run.storage.path("dataset")

    def table(self, part: int, columns: Sequence[str], live: bool = True) -> pa.Table:
        """Return columns of a part, of the rows still live or of all.

        A row that had been rejected before a stage has nulls in the stage's columns.
        """
        if live:
            stored, alive = self.stored(part, columns)
            batch = stored if len(alive) == len(stored) else stored.take(pa.array(alive))
            return pa.Table.from_batches([batch])
        arrays = dict[str, pa.ChunkedArray]()
        for owner in sorted({self.plan.columns[name].owner for name in columns}):
            entered = np.array(self._entered(part, owner), bool)
            found = self._columns(part, owner, [name for name in columns if self.plan.columns[name].owner == owner])
            if not entered.all():
                found = found.take(pa.array(np.arange(len(entered)), mask=~entered))
            arrays |= dict(zip(found.column_names, found.columns, strict=True))
        return pa.table({name: arrays[name] for name in columns})

    def stored(self, part: int, columns: Sequence[str]) -> tuple[pa.RecordBatch, NDArray[np.int64]]:
        """Return columns of all rows of a part, mapped where they are local, and the places of the live rows.

        What a rejected row holds may be anything; a row still live has entered every stage.
        """
        arrays = dict[str, pa.Array]()
        for owner in sorted({self.plan.columns[name].owner for name in columns}):
            found = self._columns(part, owner, [name for name in columns if self.plan.columns[name].owner == owner])
            arrays |= {name: _whole(found[name]) for name in found.column_names}
        batch = pa.RecordBatch.from_arrays([arrays[name] for name in columns], names=list(columns))
        return batch, np.flatnonzero(self._live(part, self.owners[-1]))

    def batches(self, numbers: Sequence[str], judged: Mapping[str, Sequence[str]]) -> Iterator[StoredRows]:
        """Yield the rows of the finished parts, some parts at a time."""
        return StoredRun(self.run, self.run.all_reports(), self._parts).batches(numbers, judged)

    def _columns(self, part: int, owner: int, names: list[str]) -> pa.Table:
        """Return columns of one step, under the names they have in the run."""
        read = self.run.read(self.plan.folder(owner), part, [self.plan.columns[name].column for name in names])
        return read.rename_columns(names)

    def rejects(self, part: int) -> pa.Table:
        """Return the rejected rows of a part: ``id, url, stage, reason, detail``."""
        source = self.run.read(SOURCE_FOLDER, part, ["id", "image_url", "audio_url"]).to_pylist()
        rows = []
        for owner in self.owners:
            stage = "source" if owner == SOURCE_OWNER else self.plan.steps[owner].name
            verdicts = self.run.read(self.plan.folder(owner), part, [REASON, DETAIL]).to_pylist()
            for row, (entered, verdict) in enumerate(zip(self._entered(part, owner), verdicts, strict=True)):
                if entered and verdict[REASON] is not None:
                    url = source[row]["image_url"] or source[row]["audio_url"]
                    rows.append((row, source[row]["id"], url, stage, verdict[REASON], verdict[DETAIL]))
        return pa.Table.from_pylist(
            [dict(zip(REJECTS.names, row[1:], strict=True)) for row in sorted(rows)], schema=REJECTS
        )

    def reports(self) -> Mapping[str, PartReport]:
        """Return the summed report of the source and of each stage, in order."""
        stages = {planned.name: self.run.total(planned.folder) for planned in self.plan.stages()}
        return {"source": self.run.total(SOURCE_FOLDER), **stages}

    def steps(self) -> Sequence[Mapping[str, Any]]:
        """Return name, use, what it does, version, fingerprint, settings (as the config has them) and models of each
        step."""
        return [
            {
                "name": planned.name,
                "use": planned.config.use,
                "does": inspect.cleandoc(planned.step.__doc__ or "").partition("\n\n")[0].replace("``", ""),
                "version": planned.step.version,
                "fingerprint": planned.fingerprint,
                "settings": {key: value for key, value in settings.items() if key not in {"use", "name"}},
                "models": {shown_model(path): content for path, content in planned.models.items()},
            }
            for planned, settings in zip(self.plan.steps, self.plan.raw["stages"], strict=False)
        ]

    def config(self) -> Mapping[str, Any]:
        """Return the config as written, without secrets, and without where it ran."""
        return {key: value for key, value in self.plan.raw.items() if key not in {"run_dir", "ray"}}

    def digest(self) -> str:
        """Return the digest of everything a sink may read: equal runs give equal digests."""
        return digest(self._all_digests()).hex()

    def _all_digests(self) -> Iterator[bytes]:
        for part in self._parts:
            for owner in self.owners:
                known = self.run.read(self.plan.folder(owner), part, [DIGEST])[DIGEST].to_pylist()
                yield from (
                    value if entered and value else b""
                    for value, entered in zip(known, self._entered(part, owner), strict=True)
                )

    def _live(self, part: int, owner: int) -> list[bool]:
        return self.run.read(self.plan.folder(owner), part, [LIVE])[LIVE].to_pylist()  # type: ignore[no-any-return]

    def _entered(self, part: int, owner: int) -> list[bool]:
        """Return which rows were live when a step began; all of them for the source."""
        if owner == SOURCE_OWNER:
            return [True] * self.run.read(SOURCE_FOLDER, part, [LIVE]).num_rows
        return self._live(part, self.owners[self.owners.index(owner) - 1])


def _whole(column: pa.ChunkedArray) -> pa.Array:
    """Return a part's column, which is one record batch, or none where there are no rows, without copying it."""
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)
