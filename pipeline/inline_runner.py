"""Runs every stage in this process, one after the other: for debuggers, tests and small jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pipeline.plan import Plan, PlannedStep
from pipeline.run_dir import RunDirectory
from pipeline.worker import Outcome, StageWorker

__all__ = ["InlineRunner"]


class InlineRunner:
    """Stage by stage, part by part; only one stage's model is in memory at a time."""

    def run_parts(
        self, plan: Plan, segment: Sequence[PlannedStep], run: RunDirectory, parts: Sequence[int]
    ) -> Iterator[Outcome]:
        """Bring the parts up to date at every stage of the segment, yielding each outcome as it happens."""
        for planned in segment:
            worker = StageWorker(plan, planned, run)
            done = []
            for part in parts:
                outcome = worker(part)
                yield outcome
                if outcome.report is not None:
                    done.append(part)
            parts = done

    def launch(
        self, work: Callable[[dict[str, Any]], None], settings: dict[str, Any], *, workers: int, cpus: float,
        gpus: float,
    ) -> None:
        """Run ``work`` here, as the only worker."""
        work(settings)

    def close(self) -> None:
        """Nothing to give back."""
