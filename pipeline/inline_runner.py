"""Runs every stage in this process, one after the other: for debuggers, tests and small jobs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from pipeline.plan import Plan, PlannedStep
from pipeline.run_dir import RunDirectory
from pipeline.worker import Outcome, StageWorker

__all__ = ["InlineRunner"]

TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")


class InlineRunner:
    """Stage by stage, part by part; only one stage's model is in memory at a time."""

    def run_parts(
        self, plan: Plan, segment: Sequence[PlannedStep], run: RunDirectory, parts: Sequence[int]
    ) -> Iterator[Outcome]:
        """Bring the parts up to date at every stage of the segment, yielding each outcome as it happens."""
        for planned in segment:
            worker = StageWorker(plan, planned, run)
            done = []
            for outcome in _in_order(worker, parts, planned.stage.parts_at_once):
                yield outcome
                if outcome.report is not None:
                    done.append(outcome.part)
            worker.close()
            parts = done

    def launch(
        self, work: Callable[[dict[str, Any]], None], settings: dict[str, Any], *, workers: int, cpus: float,
        gpus: float, tell: Callable[[str], None] = print,
    ) -> None:
        """Run ``work`` here, as the only worker."""
        work({**settings, "tell": tell})

    def map(self, work: Callable[[TaskT], ResultT], tasks: Sequence[TaskT], *, cpus: float) -> Iterator[ResultT]:
        """Do one task after the other."""
        return map(work, tasks)

    def close(self) -> None:
        """Nothing to give back."""


def _in_order(worker: StageWorker, parts: Sequence[int], at_once: int) -> Iterator[Outcome]:
    """Yield the parts' outcomes in order, working on several parts ahead where the stage takes them."""
    if at_once == 1:
        yield from map(worker, parts)
        return
    with ThreadPoolExecutor(at_once) as threads:
        running: deque[Future[Outcome]] = deque()
        for part in parts:
            running.append(threads.submit(worker, part))
            if len(running) == at_once:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
