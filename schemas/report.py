"""What a stage did to a part, in numbers. ``total`` adds reports."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TypeVar

from pydantic import BaseModel, ConfigDict

__all__ = ["PartReport", "total"]

NumberT = TypeVar("NumberT", int, float)


class PartReport(BaseModel):
    """Account of one stage over one part, or over several once added.

    Attributes:
        rows: rows of the part.
        entered: rows that were live when the stage began.
        kept: rows that went on.
        rejected: rows that did not, by reason; ``entered == kept + sum(rejected.values())``.
        computed: rows worked on this time; the others of ``entered`` were reused from an earlier commit.
        seconds: time spent in ``process``, summed over actors.
        metrics: what else the stage counted (calls, tokens, bytes, usd ...).
        inputs: digest of what the part was computed from; a committed part is reused while it matches.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int = 0
    entered: int = 0
    kept: int = 0
    rejected: dict[str, int] = {}
    computed: int = 0
    seconds: float = 0.0
    metrics: dict[str, float] = {}
    inputs: str = ""


def total(reports: Collection[PartReport]) -> PartReport:
    """Add the reports of many parts."""
    return PartReport(
        rows=sum(report.rows for report in reports),
        entered=sum(report.entered for report in reports),
        kept=sum(report.kept for report in reports),
        rejected=_sum(report.rejected for report in reports),
        computed=sum(report.computed for report in reports),
        seconds=sum(report.seconds for report in reports),
        metrics=_sum(report.metrics for report in reports),
    )


def _sum(counts: Iterable[Mapping[str, NumberT]]) -> dict[str, NumberT]:
    summed: dict[str, NumberT] = {}
    for each in counts:
        for name, count in each.items():
            summed[name] = summed.get(name, 0) + count
    return summed
