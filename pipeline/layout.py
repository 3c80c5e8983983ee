"""Where each column of a run stands."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from pipeline.run_dir import RunDirectory
from schemas.columns import BOOKKEEPING
from stages.catalogue import plain_name

__all__ = ["Layout", "Place", "StageLayout"]


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
        described = run.describe()
        steps = zip(described.get("steps", ()), described.get("config", {}).get("stages", ()), strict=False)
        self._renamed = {step["name"] for step, given in steps
                         if given.get("name") and step["name"] != plain_name(step["use"])}
        self.stages = [StageLayout(name, folder, self._schema(folder)) for name, folder in run.stage_folders().items()]
        self.columns = self.columns_before(len(self.stages))

    def columns_before(self, stage: int) -> dict[str, Place]:
        """Return the columns there are when a stage begins."""
        columns: dict[str, Place] = {}
        for index, each in enumerate(self.stages[:stage]):
            prefix = f"{each.name}." if each.name in self._renamed else ""
            columns |= {f"{prefix}{field.name}": Place(index, field.name, field.type) for field in each.schema}
        return columns

    def of_type(self, type_: pa.DataType) -> list[str]:
        """Return the columns of a type, in the order of the stages."""
        return [name for name, place in self.columns.items() if place.type == type_]

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
