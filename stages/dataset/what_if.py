"""How scores are spread, and how many rows ``filter`` would keep at other thresholds: from stored columns alone.

Parts are read twice, one at a time: for the columns' ends, then to count.
"""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages.base import StoredColumns
from stages.dataset.thresholds import PASSES, Threshold, thresholds

__all__ = ["BINS", "SCORE", "Score", "WhatIf", "read_scores"]

Values = NDArray[np.float64]

SCORE = "clip_score"
BINS = 40
BATCH_ROWS = 20_000
"""Rows of several parts are counted together: polars' start costs more than a part."""
EACH_SIDE = 3
"""Other thresholds on either side of the one that is set."""
SAMPLE = 64
"""Values of a part that are held, and less than twice as many: where most of them lie, other thresholds are tried."""


@dataclass(frozen=True)
class WhatIf:
    """One threshold of a ``filter`` step, and others in its place.

    Attributes:
        step: the step's name.
        operator: how the column is compared with the number. For ``keep_top`` it is ``>=``, and the number is the least
            value that was kept.
        number: the threshold that is set.
        entered: rows the step got.
        kept: threshold -> rows the step would keep, its other conditions as they are; in order.
    """

    step: str
    operator: str
    number: float
    entered: int
    kept: Mapping[float, int]


@dataclass(frozen=True)
class Score:
    """How the values of a column are spread.

    Attributes:
        column: its name.
        edges: ``BINS + 1`` numbers.
        measured: values between them, of all rows that have one: also of those a filter rejected.
        kept: the same of the rows that are live now.
        lines: the numbers filters compare it with, in order.
        what_ifs: what other thresholds would keep; none for ``=``.
    """

    column: str
    edges: Sequence[float]
    measured: Sequence[int]
    kept: Sequence[int]
    lines: Sequence[float]
    what_ifs: Sequence[WhatIf]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        told = asdict(self)
        for what_if in told["what_ifs"]:
            kept = what_if["kept"].items()
            what_if["kept"] = [{"threshold": threshold, "kept": count} for threshold, count in kept]
        return told


def read_scores(run: StoredColumns) -> list[Score]:
    """Read the CLIP score and every column of numbers that a filter compares with one; columns without values are
    left out."""
    types = {field.name: field.type for field in run.columns()}
    lines = [line for line in thresholds(run.steps()) if set(line.columns) <= types.keys()]
    compared = sorted({line.column for line in lines} - {SCORE})
    ranges = {name: _Range(types[name]) for name in (SCORE, *compared) if _is_number(types.get(name))}
    numbers = _find_ends(run, ranges, [line for line in lines if line.column in ranges])
    histograms = {name: _Histogram(range_) for name, range_ in ranges.items() if range_.low <= range_.high}
    tries = [_Tries(line, number, ranges[line.column].around(number)) for line, number in numbers.items()]
    _count(run, histograms, tries)
    return [_score(name, histogram, [each for each in tries if each.line.column == name])
            for name, histogram in histograms.items()]


def _find_ends(
    run: StoredColumns, ranges: Mapping[str, _Range], lines: Sequence[Threshold]
) -> dict[Threshold, float]:
    """Fill the ranges; return the number of each threshold, where its column has values. That of ``keep_top`` is the
    least value it kept, and none where it kept none."""
    numbers = {line: math.inf if line.number is None else line.number for line in lines}
    for part in run.parts() if ranges else ():
        table = run.table(part, list(ranges), live=False)
        for name, range_ in ranges.items():
            range_.add(_values(table[name]))
        for line in numbers:
            if line.number is None:
                rows, kept = run.judged(part, line.step, line.columns)
                numbers[line] = _values(rows[line.column].filter(kept)).min(initial=numbers[line])
    has_values = {name for name, range_ in ranges.items() if range_.low <= range_.high}
    return {line: number for line, number in numbers.items() if line.column in has_values and math.isfinite(number)}


def _count(run: StoredColumns, histograms: Mapping[str, _Histogram], tries: Sequence[_Tries]) -> None:
    for part in run.parts() if histograms else ():
        for live in (False, True):
            table = run.table(part, list(histograms), live=live)
            for name, histogram in histograms.items():
                histogram.add(_values(table[name]), live=live)
        for each in tries:
            each.add(*run.judged(part, each.line.step, each.line.columns))


def _score(name: str, histogram: _Histogram, tries: Sequence[_Tries]) -> Score:
    return Score(
        name, histogram.edges.tolist(), histogram.measured.tolist(), histogram.kept.tolist(),
        sorted({each.number for each in tries}), [each.what_if() for each in tries if each.line.is_bound],
    )


def _is_number(type_: pa.DataType | None) -> bool:
    return type_ is not None and (pa.types.is_integer(type_) or pa.types.is_floating(type_))


def _values(column: pa.ChunkedArray) -> Values:
    values: Values = column.drop_null().to_numpy().astype(np.float64)
    return values[np.isfinite(values)]


class _Range:
    """Where a column's values lie."""

    def __init__(self, type_: pa.DataType) -> None:
        self.low, self.high = math.inf, -math.inf
        self._is_whole = pa.types.is_integer(type_)
        self._sample: list[Values] = []

    def add(self, values: Values) -> None:
        """Widen to hold some values."""
        self.low, self.high = values.min(initial=self.low), values.max(initial=self.high)
        self._sample.append(values[:: max(1, values.size // SAMPLE)])

    def around(self, number: float) -> list[float]:
        """Return round numbers on both sides of a threshold, as far apart as the bulk of the values suggests."""
        least, most = np.quantile(np.concatenate(self._sample), (0.05, 0.95))
        spread = most - least or self.high - self.low or 1.0
        step = max(_round_number(spread / 8), 1.0 if self._is_whole else 0.0)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        below, above = min(last, math.ceil(number / step) - 1), max(first, math.floor(number / step) + 1)
        places = [*range(max(first, below - EACH_SIDE + 1), below + 1),
                  *range(above, min(last, above + EACH_SIDE - 1) + 1)]
        others = (float(f"{place * step:.10g}") for place in places)
        return [other for other in others if f"{other:.6g}" != f"{number:.6g}"]


def _round_number(size: float) -> float:
    """Return the largest of 1, 2 and 5 times a power of ten that is not above a size."""
    power = 10.0 ** math.floor(math.log10(size))
    return power * max(factor for factor in (1, 2, 5) if factor == 1 or factor * power <= size)


class _Histogram:
    """Counts of a column's values, of all rows and of those still live."""

    def __init__(self, range_: _Range) -> None:
        self.edges = np.histogram_bin_edges(np.array([range_.low, range_.high]), BINS)
        self.measured, self.kept = np.zeros(BINS, np.int64), np.zeros(BINS, np.int64)

    def add(self, values: Values, *, live: bool) -> None:
        """Count values."""
        (self.kept if live else self.measured)[:] += np.histogram(values, self.edges)[0]


class _Tries:
    """Counts what a step would keep with other numbers in a threshold's place.

    A row passes as the comparison's outcome (true, false or unknown) has it: so the rest of the expression is evaluated
    with each of the three, and only the comparison itself with each number.
    """

    def __init__(self, line: Threshold, number: float, others: Sequence[float]) -> None:
        self.line, self.number = line, number
        self._others = others if line.is_bound else ()
        self._kept = Counter({number: 0, **dict.fromkeys(self._others, 0)})
        self._entered = 0
        self._waiting: list[pa.Table] = []
        self._rows_waiting = 0

    def add(self, rows: pa.Table, kept: pa.Array) -> None:
        """Count rows the step got, and whether it kept them."""
        self._entered += rows.num_rows
        self._kept[self.number] += kept.true_count
        if rows.num_rows and self._others:
            self._waiting.append(rows)
            self._rows_waiting += rows.num_rows
        if self._rows_waiting >= BATCH_ROWS:
            self._count()

    def what_if(self) -> WhatIf:
        """Return the counts."""
        if self._waiting:
            self._count()
        return WhatIf(self.line.step, self.line.operator, self.number, self._entered, dict(sorted(self._kept.items())))

    def _count(self) -> None:
        import polars as pl

        frame = pl.DataFrame(pa.concat_tables(self._waiting))
        self._waiting, self._rows_waiting = [], 0
        rest = pl.Expr.deserialize(io.StringIO(self.line.rest), format="json") if self.line.rest else pl.col(PASSES)
        passed, failed, unknown = (
            frame.with_columns(pl.lit(value, pl.Boolean).alias(PASSES)).select(keep=rest)["keep"].fill_null(value=False)
            for value in (True, False, None)
        )
        column = '"' + self.line.column.replace('"', '""') + '"'
        for other in self._others:
            outcome = frame.select(passes=pl.sql_expr(f"{column} {self.line.operator} {other:.12g}"))["passes"]
            keep = pl.when(outcome).then(passed).when(~outcome).then(failed).otherwise(unknown)
            self._kept[other] += pl.select(keep.sum()).item()
