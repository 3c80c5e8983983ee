"""The funnel: what came in, what was kept, what was rejected where and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.run_dir import RunDirectory
from schemas.report import PartReport, total
from schemas.storage import Storage

__all__ = ["Funnel", "FunnelStage", "read_funnel"]


@dataclass(frozen=True)
class FunnelStage:
    """One line of the funnel.

    Attributes:
        stage: its name; ``source`` for the first.
        parts: parts committed.
        entered, kept: rows that came in and went on.
        rejected: rows that did not go on, by reason.
        seconds: working time, over all actors.
        metrics: calls, tokens, bytes, usd ...
        given_up: parts that could not be processed, with the error.
    """

    stage: str
    parts: int
    entered: int
    kept: int
    rejected: Mapping[str, int]
    seconds: float
    metrics: Mapping[str, float]
    given_up: Mapping[int, str]


@dataclass(frozen=True)
class Funnel:
    """A run's account: rows in = rows kept + rows rejected, by reason.

    Attributes:
        rows: rows of the source.
        parts: parts of the source.
        stages: the source and each stage, in order.
        sinks: what each finished sink says of what it made.
        paid: what each stage has ever paid for in this run directory, whether its parts are finished or not:
            ``replies``, ``input_tokens``, ``output_tokens``, ``usd``.
        paused: why the run stopped before its end; empty where it did not.
    """

    rows: int
    parts: int
    stages: list[FunnelStage]
    sinks: Mapping[str, Mapping[str, Any]]
    paid: Mapping[str, Mapping[str, float]]
    paused: str

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def read_funnel(run: RunDirectory, reports: Mapping[str, Mapping[int, PartReport]] | None = None) -> Funnel:
    """Read the account of a run, finished or not.

    Args:
        reports: as ``RunDirectory.all_reports`` gives them, where that is known.
    """
    reports = run.all_reports() if reports is None else reports
    stages = [_line(run, name, folder, reports[folder].values()) for name, folder in run.stage_folders().items()]
    names = [step["name"] for step in run.describe().get("steps", ())]
    records = {name: run.storage.read_json(f"sinks/{name}.json") for name in names}
    sinks = {name: record["summary"] for name, record in records.items() if record}
    source = run.source()
    asked = set(run.storage.names("responses")).intersection(names)
    found = {name: _paid(run.storage.folder(f"responses/{name}")) for name in names if name in asked}
    paid = {name: amounts for name, amounts in found.items() if amounts}
    return Funnel(source.get("rows", 0), source.get("parts", 0), stages, sinks, paid, run.paused())


def _paid(responses: Storage) -> dict[str, float]:
    """Add up a stage's replies; empty where there are none."""
    from stages.models.response_log import read_entries

    paid: Counter[str] = Counter()
    for entry in read_entries(responses):
        paid["replies"] += 1
        paid["input_tokens"] += entry.reply.input_tokens
        paid["output_tokens"] += entry.reply.output_tokens
        paid["usd"] += entry.usd  # type: ignore[assignment]  # a Counter adds fractions as well
    return dict(paid)


def _line(run: RunDirectory, name: str, folder: str, reports: Collection[PartReport]) -> FunnelStage:
    summed = total(reports)
    return FunnelStage(
        name, len(reports), summed.entered, summed.kept, summed.rejected, summed.seconds, summed.metrics,
        run.given_up(folder),
    )
