"""Reports add up."""

from __future__ import annotations

from schemas.report import PartReport, total

ONE = PartReport(
    rows=4, entered=3, kept=2, rejected={"a": 1}, computed=3, seconds=0.5, metrics={"usd": 0.25}, inputs="x"
)
TWO = PartReport(rows=4, entered=4, kept=1, rejected={"a": 1, "b": 2}, seconds=1, metrics={"usd": 0.5, "calls": 2})


def test_sum() -> None:
    """Rows, reasons, seconds and whatever else was counted are added; the digest belongs to one part alone."""
    both = total([ONE, TWO])
    assert (both.rows, both.entered, both.kept, both.computed, both.seconds) == (8, 7, 3, 3, 1.5)
    assert both.rejected == {"a": 2, "b": 2}
    assert both.metrics == {"usd": 0.75, "calls": 2}
    assert both.inputs == ""
    assert both.entered == both.kept + sum(both.rejected.values())


def test_order_does_not_matter() -> None:
    """Parts may finish in any order."""
    assert total([ONE, TWO]) == total([TWO, ONE])
    assert total([ONE, TWO, ONE]) == total([ONE, ONE, TWO])


def test_sum_of_nothing() -> None:
    """No parts make an empty report."""
    assert total([]) == PartReport()
    assert total([PartReport(), PartReport()]) == PartReport()


def test_survives_the_disk() -> None:
    """A report is the same after a round trip through JSON."""
    assert PartReport.model_validate_json(ONE.model_dump_json()) == ONE
