"""``filter``: keep rows for which an expression over stored columns holds, or the top fraction of a column."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator, model_validator

from schemas.columns import DETAIL, REASON
from schemas.config import Frozen, StageConfig
from schemas.errors import FatalError
from stages.base import ANY, Stage
from stages.expression import expression_of, first_line
from stages.id_lookup import find_ids, sorted_by_id

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Filter", "FilterConfig"]


class KeepTop(Frozen):
    """The share of the rows with the highest values."""

    column: str
    """A column of numbers."""
    fraction: float = Field(gt=0, le=1)
    """The share of the live rows to keep, 0-1, rounded up to whole rows; ties go to the smaller id."""


class FilterConfig(StageConfig):
    """Exactly one of ``keep`` and ``keep_top``."""

    keep: str | None = None
    """SQL boolean expression over columns, such as ``clip_score >= 0.25 and width >= 64``. A row for which it is
    null (a score that is missing) is not kept. A column with a dot in its name stands in double quotes."""
    keep_top: KeepTop | None = None
    """Keep the best rows of the whole run."""

    @field_validator("keep")
    @classmethod
    def _parses(cls, keep: str | None) -> str | None:
        if keep is None:
            return keep
        expression = expression_of(keep)
        if not expression.meta.root_names():
            raise ValueError("names no column")
        if _aggregates(expression) or _has_window(expression):
            raise ValueError(
                "an aggregate or window would see a batch and not the whole run: keep_top compares with all rows"
            )
        return keep

    @model_validator(mode="after")
    def _one_rule(self) -> FilterConfig:
        if (self.keep is None) == (self.keep_top is None):
            raise ValueError("give exactly one of keep and keep_top")
        return self


class Filter(Stage[FilterConfig]):
    """Adds no column; only verdicts. Scores stay stored, so a new threshold scores nothing again."""

    name = "filter"
    Config = FilterConfig
    seeded = False
    reasons = {
        "filtered": "the expression of `keep` does not hold",
        "not_in_top": "the value is below the top fraction of `keep_top`, or missing",
    }

    def __init__(self, config: FilterConfig) -> None:
        super().__init__(config)
        self.surveys = config.keep_top is not None
        self.columns_setting = "keep_top" if self.surveys else "keep"
        self.consumes = pa.schema([(column, ANY) for column in self._columns()])

    def _columns(self) -> list[str]:
        if self.config.keep_top is not None:
            return [self.config.keep_top.column]
        return sorted(set(expression_of(str(self.config.keep)).meta.root_names()))

    def survey(self, parts: Iterator[pa.Table]) -> pa.Table:
        """Return the ids of the rows to keep: the highest values first, then the smallest ids."""
        top = self.config.keep_top
        if top is None:
            raise ValueError("keep surveys nothing")
        ranked = pa.concat_tables([part.select([top.column, "id"]) for part in parts])
        type_ = ranked.schema.field(top.column).type
        if not (pa.types.is_integer(type_) or pa.types.is_floating(type_)):
            raise FatalError(f"keep_top.column = {top.column}: holds {type_}, not numbers")
        count = math.ceil(ranked.num_rows * Fraction(str(top.fraction)))
        ranked = ranked.filter(ranked[top.column].is_valid())
        order = pc.sort_indices(ranked, sort_keys=[(top.column, "descending"), ("id", "ascending")])
        return sorted_by_id(ranked.take(order[:count]).select(["id"]))

    def process(self, batch: pa.Table) -> pa.Table:
        """Reject every row that is not to be kept; the detail shows its values."""
        kept = self._in_top(batch) if self.surveys else self._holds(batch)
        reason = "not_in_top" if self.surveys else "filtered"
        values = batch.select(self.consumes.names).to_pylist()
        return pa.table(
            {
                REASON: pa.array([None if keep else reason for keep in kept], pa.string()),
                DETAIL: pa.array([None if keep else _shown(row) for keep, row in zip(kept, values, strict=True)],
                                 pa.string()),
            }
        )

    def _in_top(self, batch: pa.Table) -> list[bool]:
        return [place >= 0 for place in find_ids(self.surveyed, batch["id"]).tolist()]

    def _holds(self, batch: pa.Table) -> list[bool]:
        import polars as pl

        frame = pl.DataFrame(batch.select(self.consumes.names))
        expression = expression_of(str(self.config.keep)).alias("keep")
        try:
            type_ = frame.clear().select(expression)["keep"].dtype  # no rows: what fails here is in the types
        except pl.exceptions.PolarsError as error:
            raise FatalError(f"keep = {self.config.keep}: {first_line(error)}") from error
        if type_ not in (pl.Boolean, pl.Null):
            raise FatalError(f"keep = {self.config.keep}: gives {type_}, not true or false")
        return [bool(keep) for keep in frame.select(expression)["keep"]]


def _aggregates(expression: pl.Expr) -> bool:
    """Tell whether an expression makes one value of many rows somewhere, as avg(column) or count(*) does."""
    import polars as pl

    inputs = expression.meta.pop()
    try:
        is_one_value = expression.meta.is_scalar() and not expression.meta.is_literal()
    except pl.exceptions.ColumnNotFoundError:  # a comparison whose columns' types are not known yet
        is_one_value = False
    if is_one_value and (expression.meta.root_names() or not inputs):
        return True
    return any(_aggregates(inner) for inner in inputs)


def _has_window(expression: pl.Expr) -> bool:
    """Tell whether an expression looks at other rows, as lag(column) over (...) does."""

    def found(node: Any) -> bool:
        if isinstance(node, dict):
            return "Over" in node or any(map(found, node.values()))
        return isinstance(node, list) and any(map(found, node))

    return found(json.loads(expression.meta.serialize(format="json")))


def _shown(row: dict[str, Any]) -> str:
    return ", ".join(f"{name} = {value:.4g}" if isinstance(value, float) else f"{name} = {value}"
                     for name, value in row.items())
