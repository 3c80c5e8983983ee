"""filter: verdicts from stored columns, by an expression or by rank."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from schemas.errors import FatalError
from stages.filter import Filter, FilterConfig
from tests.pipeline.runs import PROBES, run_inline, write_config, write_source

ROWS = pa.table({
    "id": ["a", "b", "c", "d"],
    "score": pa.array([0.25, 0.123456, None, 0.9], pa.float32()),
    "width": [64, 300, 300, None],
    "text": ["x", "it's", "y", None],
    "words": [["dog"], [], ["cat", "dog"], None],
    "nothing": pa.nulls(4),
})


def kept(keep: str, rows: pa.Table = ROWS) -> list[str]:
    """Return the ids of the rows an expression keeps."""
    return [row_id for row_id, reason in verdicts(keep, rows) if reason is None]


def verdicts(keep: str, rows: pa.Table = ROWS) -> list[tuple[str, str | None]]:
    """Return id and reason of every row."""
    stage = Filter(FilterConfig(use="filter", keep=keep))
    result = stage.process(rows.select(sorted({"id", *stage.consumes.names})))
    return list(zip(rows["id"].to_pylist(), result["_reason"].to_pylist(), strict=True))


def top(fraction: float, rows: pa.Table = ROWS, column: str = "score") -> list[str]:
    """Return the ids that keep_top keeps, each part a row long."""
    stage = Filter(FilterConfig.model_validate({"use": "filter", "keep_top": {"column": column, "fraction": fraction}}))
    stage.surveyed = stage.survey(rows.slice(row, 1) for row in range(rows.num_rows))
    reasons = stage.process(rows)["_reason"].to_pylist()
    assert set(reasons) <= {None, "not_in_top"}
    return [row_id for row_id, reason in zip(rows["id"].to_pylist(), reasons, strict=True) if reason is None]


def ranked(*values: float | None) -> pa.Table:
    """Return rows with these scores, ids in order."""
    return pa.table({"id": [f"{row:03d}" for row in range(len(values))], "score": pa.array(values, pa.float64())})


EXPRESSIONS = {
    "score >= 0.2": ["a", "d"],
    "score > 0.2 and score < 0.5": ["a"],
    "score between 0.1 and 0.3": ["a", "b"],
    "not (score >= 0.2)": ["b"],
    "score is null": ["c"],
    "score is null or width is null": ["c", "d"],
    "score >= 0.1 and width >= 100": ["b"],
    "width / 100 > 2.5": ["b", "c"],
    "text = 'it''s'": ["b"],
    "text like '%t%'": ["b"],
    "text in ('x', 'y')": ["a", "c"],
    "width not in (64)": ["b", "c"],
    "round(score, 1) = 0.1": ["b"],
    "array_length(words) >= 1": ["a", "c"],
    "array_contains(words, 'dog')": ["a", "c"],
    "id <> 'a' and id <> 'b'": ["c", "d"],
    "coalesce(score, 1) > 0.5": ["c", "d"],
    "case when width > 100 then score > 0.1 else true end": ["a", "b", "d"],
    "nothing > 3": [],
    "width > 3": ["a", "b", "c"],
}


@pytest.mark.parametrize(("keep", "ids"), EXPRESSIONS.items(), ids=EXPRESSIONS)
def test_expression(keep: str, ids: list[str]) -> None:
    """SQL over the columns decides; where it is null, as for a missing score, the row is not kept."""
    assert kept(keep) == ids


def test_reads_each_column_once() -> None:
    """A column that stands twice in the expression is read once, and no other is."""
    stage = Filter(FilterConfig(use="filter", keep='score > 0.2 and score < 0.9 or "big.length" = 1'))
    assert stage.consumes.names == ["big.length", "score"]


def test_detail_shows_the_values() -> None:
    """A rejected row tells the values it was judged by; a kept one nothing."""
    result = Filter(FilterConfig(use="filter", keep="score > 0.2 and width > 1")).process(ROWS)
    assert result["_reason"].to_pylist() == [None, "filtered", "filtered", "filtered"]
    assert result["_detail"].to_pylist() == [
        None, "score = 0.1235, width = 300", "score = None, width = 300", "score = 0.9, width = None",
    ]


def test_no_rows() -> None:
    """A batch without rows has no verdicts."""
    assert verdicts("score > 1", ROWS.slice(0, 0)) == []


WRONG = {
    "": "not an expression",
    "score >": "not an expression",
    "score > 1; drop table x": "not an expression",
    "select 1": "not an expression",
    "nosuchfunction(score) > 1": "not an expression",
    "*": "not an expression",
    "true": "names no column",
    "1 = 1": "names no column",
    "count(*) > 1": "names no column",
    "score > avg(score)": "would see a batch",
    "avg(score) > 0.2": "would see a batch",
    "score > 0.2 and width < max(width)": "would see a batch",
    "row_number() over (order by score) > 1": "would see a batch",
    "score > lag(score) over (order by width)": "would see a batch",
    "text in (select text)": "not an expression",
}


@pytest.mark.parametrize(("keep", "said"), WRONG.items(), ids=WRONG)
def test_expression_that_cannot_be(keep: str, said: str) -> None:
    """What is no expression over rows is refused with the config, in one line."""
    with pytest.raises(ValidationError, match=said) as raised:
        FilterConfig(use="filter", keep=keep)
    assert "\n" not in raised.value.errors()[0]["msg"]


@pytest.mark.parametrize(
    ("keep", "said"),
    [
        ("score", "gives Float32, not true or false"),
        ("width + 1", "gives Int64, not true or false"),
        ("text > 1", "cannot compare string with numeric type"),
        ("score + text = 1", "arithmetic on dtypes"),
        ("words.length > 1", "length"),
    ],
)
def test_expression_of_wrong_types(keep: str, said: str) -> None:
    """An expression that does not fit the columns' types stops the run; it does not reject every row."""
    with pytest.raises(FatalError, match=said) as raised:
        kept(keep)
    assert str(raised.value).startswith(f"keep = {keep}: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("settings", [{}, {"keep": "a > 1", "keep_top": {"column": "a", "fraction": 0.5}}])
def test_exactly_one_rule(settings: dict[str, Any]) -> None:
    """Neither rule, or both, is a mistake."""
    with pytest.raises(ValidationError, match="exactly one of keep and keep_top"):
        FilterConfig.model_validate({"use": "filter", **settings})


def test_top_ties_go_to_the_smaller_id() -> None:
    """Equal values are told apart by id, so that the count is exact."""
    assert top(0.5, ranked(1, 2, 2, 2)) == ["001", "002"]
    assert top(0.25, ranked(5, 5, 5, 5)) == ["000"]


def test_top_without_values() -> None:
    """A missing score is never in the top, but its row counts as one of all."""
    assert top(0.5, ranked(None, 1, None, 3, 2)) == ["001", "003", "004"]
    assert top(1, ranked(None, 1)) == ["001"]
    assert top(1, ranked(None, None)) == []


@pytest.mark.parametrize(
    ("rows", "fraction", "count"), [(100, 0.07, 7), (10, 0.3, 3), (10, 0.31, 4), (3, 0.01, 1), (7, 1, 7)]
)
def test_top_counts_exactly(rows: int, fraction: float, count: int) -> None:
    """The share is that of whole rows, rounded up, and 7% of 100 are 7, whatever binary fractions say."""
    assert len(top(fraction, ranked(*range(rows)))) == count


def test_top_of_what_cannot_be_ranked() -> None:
    """Only numbers have a top."""
    with pytest.raises(FatalError, match=r"keep_top\.column = words: holds list<.*>, not numbers"):
        top(0.5, column="words")


@pytest.mark.parametrize("fraction", [0, -0.1, 1.1])
def test_top_fraction_in_range(fraction: float) -> None:
    """A share is above 0 and at most 1."""
    with pytest.raises(ValidationError):
        top(fraction)


def test_column_of_a_stage_with_a_name(tmp_path: Path) -> None:
    """A column of a stage used under another name is written in double quotes, for either rule."""
    write_source(tmp_path, ["a", "bb", "ccc", "dddd"])
    stages = [
        {"use": f"{PROBES}Length", "name": "big", "scale": 10},
        {"use": "filter", "keep": '"big.length" >= 20'},
        {"use": "filter", "name": "best", "keep_top": {"column": "big.length", "fraction": 0.5}},
    ]
    result, _ = run_inline(write_config(tmp_path, stages))
    reports = result.view.reports()
    assert (reports["filter"].kept, reports["best"].kept) == (3, 2)
    rejects = result.view.rejects(0).to_pylist()
    assert [(row["id"], row["stage"], row["reason"], row["detail"]) for row in rejects] == [
        ("s0", "filter", "filtered", "big.length = 10"), ("s1", "best", "not_in_top", "big.length = 20"),
    ]
