"""What a stage did to a part, in numbers. Reports add up with ``+``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import reduce
from operator import add

from pydantic import BaseModel, ConfigDict

__all__ = ["PartReport", "total"]


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

    def __add__(self, other: PartReport) -> PartReport:
        return PartReport(
            rows=self.rows + other.rows,
            entered=self.entered + other.entered,
            kept=self.kept + other.kept,
            rejected=dict(Counter(self.rejected) + Counter(other.rejected)),
            computed=self.computed + other.computed,
            seconds=self.seconds + other.seconds,
            metrics=_sum(self.metrics, other.metrics),
        )


def _sum(left: dict[str, float], right: dict[str, float]) -> dict[str, float]:
    return {key: left.get(key, 0) + right.get(key, 0) for key in {**left, **right}}


def total(reports: Iterable[PartReport]) -> PartReport:
    """Add the reports of many parts."""
    return reduce(add, reports, PartReport())
