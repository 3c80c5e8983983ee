"""Histograms of scores, and what filters would keep at other thresholds, against filtering anew."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from stages.dataset.thresholds import thresholds
from stages.dataset.what_if import BINS, read_scores
from stages.filter import Filter, FilterConfig
from stages.stored_columns import Judged, StoredRows

RANDOM = np.random.default_rng(0)


def with_gaps(values: np.ndarray, every: int, type_: pa.DataType) -> pa.Array:
    """Return values, some of them null."""
    return pa.array(values, type_, mask=np.arange(values.size) % every == 0)


ROWS = pa.table({
    "id": [f"{row:03}" for row in range(300)],
    "clip_score": with_gaps(RANDOM.normal(0.25, 0.1, 300).astype(np.float32), 11, pa.float32()),
    "width": with_gaps(RANDOM.integers(20, 900, 300, np.int32), 13, pa.int32()),
    "big.length": RANDOM.integers(0, 5, 300),
    "text": ["it's" if row % 2 else None for row in range(300)],
})
TOP = {"keep_top": {"column": "clip_score", "fraction": 0.5}}


class Columns:
    """Rows as a run stores them, in parts, judged by its ``filter`` steps one after the other."""

    def __init__(self, rows: pa.Table, *settings: Mapping[str, Any], part_rows: int = 37) -> None:
        self.rows, self.size = rows, part_rows
        self._steps = [
            {"name": f"filter{place}", "use": "filter", "settings": each} for place, each in enumerate(settings)
        ]
        self.live = [pa.array([True] * rows.num_rows, pa.bool_())]
        for each in settings:
            self.live.append(judged(rows, self.live[-1], each))

    def columns(self) -> pa.Schema:
        """Return the schema."""
        return self.rows.schema

    def steps(self) -> Sequence[Mapping[str, Any]]:
        """Return the filters."""
        return self._steps

    def batches(self, numbers: Sequence[str], judged: Mapping[str, Sequence[str]]) -> Iterator[StoredRows]:
        """Yield the parts, three at a time."""
        parts = [min(self.size, self.rows.num_rows - start) for start in range(0, self.rows.num_rows, self.size)]
        for first in range(0, len(parts), 3):
            some = slice(first * self.size, (first + 3) * self.size)
            rows, live = pl.DataFrame(self.rows)[some], [np.array(each)[some] for each in self.live]
            values = {name: rows[name].cast(float).to_numpy() for name in numbers}
            seen = {step: Judged(rows.select(columns), *live[int(step[-1]) :][:2]) for step, columns in judged.items()}
            yield StoredRows(parts[first : first + 3], values, live[-1], seen)


def judged(rows: pa.Table, live: pa.Array, settings: Mapping[str, Any]) -> pa.Array:
    """Return which rows are live after a filter."""
    stage = Filter(FilterConfig.model_validate({"use": "filter", **settings}))
    entered = rows.filter(live)
    stage.surveyed = stage.survey(iter([entered])) if stage.surveys else pa.table({})
    reasons = stage.process(entered.select(sorted({"id", *stage.consumes.names})))["_reason"].to_pylist()
    kept = {row for row, reason in zip(entered["id"].to_pylist(), reasons, strict=True) if reason is None}
    return pa.array([row in kept for row in rows["id"].to_pylist()], pa.bool_())


EXPRESSIONS = [
    "clip_score >= {} and width >= 100",
    "clip_score >= {} or text = 'it''s'",
    "not (clip_score < {}) or clip_score is null",
    "{} < clip_score",
    "coalesce(clip_score > {}, width > 300)",
    "case when width > 200 then clip_score > {} else clip_score >= 0.1 end",
    "clip_score between 0.1 and {}",
]


@pytest.mark.parametrize("keep", EXPRESSIONS)
def test_counts_are_those_of_filtering_anew(keep: str) -> None:
    """For every other threshold that is shown, the count is what `filter` keeps with that number in the expression."""
    score = read_scores(Columns(ROWS, {"keep": keep.format(0.2)}))[0]
    tried = next(what_if for what_if in score.what_ifs if what_if.number == 0.2)
    assert (score.column, tried.step, tried.entered) == ("clip_score", "filter0", 300)
    assert len(tried.kept) == 7
    for number, count in tried.kept.items():
        assert count == judged(ROWS, pa.array([True] * 300), {"keep": keep.format(number)}).true_count, number
    assert len(set(tried.kept.values())) == 7, "a test of different counts"


def test_histogram_holds_what_was_rejected() -> None:
    """All rows with a value are measured, those still live are kept, and the bins are numpy's."""
    run = Columns(ROWS, {"keep": "clip_score >= 0.2 and width >= 300"})
    scores = read_scores(run)
    assert [score.column for score in scores] == ["clip_score", "width"]
    for score in scores:
        every = [value for value in ROWS[score.column].to_pylist() if value is not None]
        live = [value for value in ROWS.filter(run.live[-1])[score.column].to_pylist() if value is not None]
        counts, edges = np.histogram(every, BINS)
        assert (list(score.measured), sum(score.kept)) == (counts.tolist(), len(live))
        assert score.edges == pytest.approx(edges)
        assert list(score.kept) == np.histogram(live, edges)[0].tolist()
    assert [score.lines for score in scores] == [[0.2], [300.0]]


def test_what_is_too_large_to_hold_is_read_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scores are the same whether columns are held between the passes or read again."""
    run = Columns(ROWS, {"keep": "clip_score >= 0.2 and width >= 300"}, TOP)
    held = read_scores(run)
    monkeypatch.setattr("stages.dataset.what_if.HELD_BYTES", 2_000)
    assert read_scores(run) == held


def test_keep_top() -> None:
    """Its threshold is the least value that it kept; the counts are of rows with at least a value, of those it got."""
    run = Columns(ROWS, {"keep": "width >= 300"}, {"keep_top": {"column": "clip_score", "fraction": 0.3}})
    score = read_scores(run)[0]
    [top] = score.what_ifs
    got, kept = (ROWS.filter(live)["clip_score"].drop_null().to_numpy() for live in run.live[1:])
    assert (top.step, top.operator, top.number) == ("filter1", ">=", pytest.approx(kept.min()))
    assert top.entered == run.live[1].true_count
    assert top.kept[top.number] == len(kept) == math.ceil(0.3 * top.entered)
    others = {number: count for number, count in top.kept.items() if number != top.number}
    assert others == {number: int((got >= np.float32(number)).sum()) for number in others}


def test_whole_numbers_and_names() -> None:
    """A column of whole numbers gets whole thresholds, and one of another stage's is named in full."""
    [length] = read_scores(Columns(ROWS.drop_columns(["clip_score"]), {"keep": '"big.length" > 2'}))
    assert length.column == "big.length"
    assert list(length.what_ifs[0].kept) == [0.0, 1.0, 2.0, 3.0, 4.0]


STRANGE = {
    "nothing": pa.nulls(4, pa.float32()),
    "one value": pa.array([0.5] * 4, pa.float32()),
    "no numbers": pa.array([math.nan, math.inf, -math.inf, None], pa.float32()),
    "an outlier": pa.array([0.1, 0.2, 0.3, 1e30], pa.float32()),
}


@pytest.mark.parametrize("values", STRANGE.values(), ids=STRANGE)
@pytest.mark.parametrize("settings", [{"keep": "clip_score >= 0.4"}, TOP], ids=["keep", "keep_top"])
def test_strange_values(values: pa.Array, settings: Mapping[str, Any]) -> None:
    """What is no finite number is not drawn; one value or a far one has a histogram and counts all the same."""
    scores = read_scores(Columns(pa.table({"id": ["a", "b", "c", "d"], "clip_score": values}), settings))
    finite = sum(value is not None and math.isfinite(value) for value in values.to_pylist())
    assert [sum(score.measured) for score in scores] == ([finite] if finite else [])
    for score in scores:
        assert all(0 <= count <= what_if.entered == 4 for what_if in score.what_ifs for count in what_if.kept.values())


def test_no_rows_and_no_filter() -> None:
    """Without values there is nothing; without a filter the CLIP score alone is drawn, without a threshold."""
    assert read_scores(Columns(ROWS.slice(0, 0), {"keep": "clip_score > 0"})) == []
    [score] = read_scores(Columns(ROWS))
    assert (score.column, score.lines, score.what_ifs) == ("clip_score", [], [])


@pytest.mark.parametrize(("keep", "found"), [
    ("clip_score >= 0.25 and width >= 64", [("clip_score", ">=", 0.25), ("width", ">=", 64.0)]),
    ('0.5 > x or "a.b" < -3', [("x", "<", 0.5), ("a.b", "<", -3.0)]),
    ("x between 1 and 2.5", [("x", ">=", 1.0), ("x", "<=", 2.5)]),
    ("not (x = 4) and y <> 1e-3", [("x", "=", 4.0), ("y", "=", 0.001)]),
    ("abs(x) > 1 and name = '5' and flag", []),
    ("x + 1 > 2 and x > y", []),
])
def test_thresholds(keep: str, found: list[tuple[str, str, float]]) -> None:
    """A threshold is a number that a column itself is compared with, wherever it stands in the expression."""
    lines = thresholds([{"name": "filter", "use": "filter", "settings": {"keep": keep}}])
    assert [(line.column, line.operator, line.number) for line in lines] == found
