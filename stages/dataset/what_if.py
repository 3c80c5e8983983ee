"""How scores are spread, and how many rows ``filter`` would keep at other thresholds: from stored columns alone.

Two passes are made: for the columns' ends, then to count.
"""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages.dataset.thresholds import PASSES, Threshold, thresholds
from stages.stored_columns import Judged, StoredColumns, StoredRows

__all__ = ["BINS", "SCORE", "Score", "WhatIf", "read_scores"]

Values = NDArray[np.float64]

SCORE = "clip_score"
BINS = 40
HELD_BYTES = 1 << 28
"""Columns up to this size are read once, and held until they are counted."""
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
    if not ranges:
        return []
    lines = [line for line in lines if line.column in ranges]
    batches = _Batches(run, list(ranges), {line.step: line.columns for line in lines})
    numbers = _find_ends(batches, ranges, lines)
    histograms = {name: _Histogram(range_) for name, range_ in ranges.items() if range_.low <= range_.high}
    tries = [_Tries(line, number, ranges[line.column].around(number)) for line, number in numbers.items()]
    _count(batches, histograms, tries)
    return [_score(name, histogram, [each for each in tries if each.line.column == name])
            for name, histogram in histograms.items()]


def _find_ends(
    batches: Iterable[StoredRows], ranges: Mapping[str, _Range], lines: Sequence[Threshold]
) -> dict[Threshold, float]:
    """Fill the ranges; return the number of each threshold, where its column has values. That of ``keep_top`` is the
    least value it kept, and none where it kept none."""
    numbers = {line: math.inf if line.number is None else line.number for line in lines}
    for batch in batches:
        for name, range_ in ranges.items():
            range_.add(batch.numbers[name], batch.part_rows)
        for line in numbers:
            if line.number is None and line.step in batch.judged:
                judged = batch.judged[line.step]
                kept = judged.columns[line.column].filter(judged.kept).cast(float).to_numpy()
                numbers[line] = _finite(kept).min(initial=numbers[line])
    has_values = {name for name, range_ in ranges.items() if range_.low <= range_.high}
    return {line: number for line, number in numbers.items() if line.column in has_values and math.isfinite(number)}


def _count(batches: Iterable[StoredRows], histograms: Mapping[str, _Histogram], tries: Sequence[_Tries]) -> None:
    for batch in batches if histograms else ():
        for name, histogram in histograms.items():
            histogram.add(batch.numbers[name], batch.live)
        for each in tries:
            if judged := batch.judged.get(each.line.step):
                each.add(judged)


def _score(name: str, histogram: _Histogram, tries: Sequence[_Tries]) -> Score:
    return Score(
        name, histogram.edges.tolist(), histogram.measured.tolist(), histogram.kept.tolist(),
        sorted({each.number for each in tries}), [each.what_if() for each in tries if each.line.is_bound],
    )


def _is_number(type_: pa.DataType | None) -> bool:
    return type_ is not None and (pa.types.is_integer(type_) or pa.types.is_floating(type_))


def _finite(numbers: Values) -> Values:
    return numbers[np.isfinite(numbers)]


class _Batches:
    """What is to be counted, which is read anew each time only where it would take too much memory to hold."""

    def __init__(self, run: StoredColumns, columns: Sequence[str], judged: Mapping[str, Sequence[str]]) -> None:
        self._read = partial(run.batches, columns, judged)
        self._held: list[StoredRows] | None = None

    def __iter__(self) -> Iterator[StoredRows]:
        if self._held is not None:
            yield from self._held
            return
        held, size = list[StoredRows](), 0
        for batch in self._read():
            size += sum(each.nbytes for each in batch.numbers.values())
            size += sum(int(each.columns.estimated_size()) for each in batch.judged.values())
            if size <= HELD_BYTES:
                held.append(batch)
            else:
                held.clear()
            yield batch
        if size <= HELD_BYTES:
            self._held = held


class _Range:
    """Where a column's values lie."""

    def __init__(self, type_: pa.DataType) -> None:
        self.low, self.high = math.inf, -math.inf
        self._is_whole = pa.types.is_integer(type_)
        self._sample: list[Values] = []

    def add(self, numbers: Values, part_rows: Sequence[int]) -> None:
        """Widen to hold some parts' values."""
        values = _finite(numbers)
        self.low, self.high = values.min(initial=self.low), values.max(initial=self.high)
        ends = np.cumsum(np.isfinite(numbers))[np.cumsum(part_rows) - 1]
        for part in np.split(values, ends[:-1]):
            self._sample.append(part[:: max(1, part.size // SAMPLE)])

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

    def add(self, numbers: Values, live: NDArray[np.bool_]) -> None:
        """Count values."""
        self.measured += np.histogram(_finite(numbers), self.edges)[0]
        self.kept += np.histogram(_finite(numbers[live]), self.edges)[0]


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

    def add(self, judged: Judged) -> None:
        """Count rows the step got, and whether it kept them."""
        entered = int(judged.entered.sum())
        self._entered += entered
        self._kept[self.number] += int(judged.kept.sum())
        if entered and self._others:
            self._try(judged)

    def what_if(self) -> WhatIf:
        """Return the counts."""
        return WhatIf(self.line.step, self.line.operator, self.number, self._entered, dict(sorted(self._kept.items())))

    def _try(self, judged: Judged) -> None:
        import polars as pl

        frame = judged.columns.filter(judged.entered)
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
