"""Streams part numbers through one Ray Data actor pool per stage. Only here and in ray_train.py is Ray imported.

The data itself stays in the run directory: each actor maps the part, works, commits, and passes the number on.
So resume and determinism do not depend on how Ray lays out its blocks.
"""

from __future__ import annotations

import logging
import os
import pickle
import queue
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")
# Ray's C++ core otherwise prints internal notices between the progress lines.
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")

import numpy as np
import ray
from ray.data import ActorPoolStrategy, DataContext

from pipeline.board import Board
from pipeline.plan import Plan, PlannedStep
from pipeline.run_dir import RunDirectory
from pipeline.worker import Outcome, StageWorker
from schemas.config import RayConfig
from schemas.errors import FatalError

__all__ = ["RayRunner"]

POLL_S = 0.1
OBJECT_STORE_BYTES = 256 << 20
BLOCKS_PER_ACTOR = 32
"""Blocks each actor gets at least, where there are so many parts: Ray takes some 10 ms for each."""
TASK_RETRIES = 2
"""How often Ray tries a block again after its actor died."""

Batch = dict[str, Any]
TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")


class RayRunner:
    """All stages of a segment at once, each in its own actors.

    Args:
        config: which cluster.
    """

    def __init__(self, config: RayConfig) -> None:
        local = config.address == "local"
        options: dict[str, Any] = {"num_cpus": config.num_cpus, "object_store_memory": OBJECT_STORE_BYTES}
        try:
            with _stderr_closed():
                ray.init(
                    address=config.address,
                    include_dashboard=False if local else None,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    **(options if local else {}),
                )
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise FatalError(f"ray.address = {config.address}: cannot join or start Ray: {error}") from error
        _quiet(DataContext.get_current())
        # Made here and not with the first stage, so that it starts while the source is being written.
        self.board = ray.remote(num_cpus=0, max_restarts=-1)(Board).remote()

    def run_parts(
        self, plan: Plan, segment: Sequence[PlannedStep], run: RunDirectory, parts: Sequence[int]
    ) -> Iterator[Outcome]:
        """Bring the parts up to date at every stage of the segment, yielding each outcome as it happens."""
        if not parts:
            return
        missing = {planned.name: set(parts) for planned in segment}
        together = max(1, len(parts) // (BLOCKS_PER_ACTOR * max(planned.config.actors[1] for planned in segment)))
        yield from self._stream(plan, segment, run, parts, missing, together)
        yield from self._alone(plan, segment, run, missing)

    def _stream(
        self, plan: Plan, segment: Sequence[PlannedStep], run: RunDirectory, parts: Sequence[int],
        missing: dict[str, set[int]], together: int,
    ) -> Iterator[Outcome]:
        """Send parts through the stages, so many in a block, and yield the outcomes that are still missing."""
        items = [{"part": part, "outcomes": pickle.dumps([])} for part in parts]
        stream = ray.data.from_items(items, override_num_blocks=-(-len(parts) // together))
        share = _share(segment)
        for planned in segment:
            stream = stream.map_batches(
                RayStage,
                batch_size=None,
                fn_constructor_args=(plan, planned.index, run, self.board, _machines(planned)),
                compute=_actors(planned),
                max_task_retries=TASK_RETRIES,
                **_resources(planned, share),
            )
        yield from _watch(stream, self.board, missing)

    def _alone(
        self, plan: Plan, segment: Sequence[PlannedStep], run: RunDirectory, missing: dict[str, set[int]]
    ) -> Iterator[Outcome]:
        """Give each part that was lost with a worker one to itself; a worker takes with it what waits for it too.

        The workers reserve no CPU: one that Ray Data is still restarting may hold it, and for ever.
        """
        for planned in segment:
            worker = None
            for part in sorted(missing[planned.name]):
                worker = worker or ray.remote(num_cpus=0, num_gpus=_gpus(planned))(StageWorker).remote(
                    plan, plan.steps[planned.index], run, _machines(planned)
                )
                try:
                    outcome = ray.get(worker.__call__.remote(part))
                except ray.exceptions.RayActorError:
                    worker = None
                    outcome = Outcome(planned.name, part, None, f"part {part}: its worker died each time")
                if outcome.report is None:
                    _forget(missing, part)
                yield outcome

    def launch(
        self, work: Callable[[dict[str, Any]], None], settings: dict[str, Any], *, workers: int, cpus: float,
        gpus: float, tell: Callable[[str], None] = print,
    ) -> None:
        """Run ``work`` on several Ray Train workers."""
        from pipeline.ray_train import launch

        launch(work, settings, workers=workers, cpus=cpus, gpus=gpus, tell=tell)

    def map(self, work: Callable[[TaskT], ResultT], tasks: Sequence[TaskT], *, cpus: float) -> Iterator[ResultT]:
        """Yield ``work(task)`` for every task, in order; Ray does several at once."""
        most = ray.cluster_resources().get("CPU", 1.0)
        remote = ray.remote(num_cpus=min(cpus, most), max_retries=TASK_RETRIES)(lambda task: work(task))
        begun = [remote.remote(task) for task in tasks]
        for result in begun:
            try:
                yield ray.get(result)
            except ray.exceptions.RayTaskError as error:
                raise error.cause from error
            except ray.exceptions.RayError as error:
                raise FatalError(f"Ray stopped: {str(error).strip().splitlines()[0]}") from error

    def close(self) -> None:
        """Leave the cluster, or stop the local one."""
        ray.shutdown()


class RayStage:
    """A stage worker as Ray Data calls it: a batch is some part numbers, and what became of each so far."""

    def __init__(self, plan: Plan, index: int, run: RunDirectory, board: Any, machines: int) -> None:
        self.worker = StageWorker(plan, plan.steps[index], run, machines)
        self.board = board
        self.unpinned: list[Outcome] = []
        self.pinned_at = 0.0

    def __call__(self, batch: Batch) -> Batch:
        """Process the parts, except those that an earlier stage gave up, and pass them on with their outcomes."""
        outcomes = [self._extended(*pair) for pair in zip(batch["part"], batch["outcomes"], strict=True)]
        return {"part": batch["part"], "outcomes": np.array(outcomes, dtype=object)}

    def _extended(self, part: int, packed: bytes) -> bytes:
        outcomes: list[Outcome] = pickle.loads(packed)
        if outcomes and outcomes[-1].report is None:
            return packed
        outcomes.append(self.worker(int(part)))
        self._pin(outcomes[-1])
        return pickle.dumps(outcomes)

    def _pin(self, outcome: Outcome) -> None:
        """Show outcomes as they come, but not with a message each: fast stages finish hundreds of parts a second."""
        self.unpinned.append(outcome)
        if time.monotonic() - self.pinned_at > POLL_S:
            self.board.pin.remote(pickle.dumps(self.unpinned))
            self.unpinned, self.pinned_at = [], time.monotonic()


def _watch(stream: Any, board: Any, missing: dict[str, set[int]]) -> Iterator[Outcome]:
    """Drive the stream in a thread and yield each missing outcome once."""
    through: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
    errors: list[BaseException] = []

    def drive() -> None:
        try:
            for batch in stream.iter_batches(batch_size=None):
                for packed in batch["outcomes"]:
                    for outcome in pickle.loads(packed):
                        through.put(outcome)
        except BaseException as error:
            errors.append(error)

    driver = threading.Thread(target=drive, daemon=True)
    driver.start()
    running = True
    while running:
        driver.join(POLL_S)
        running = driver.is_alive()
        # A part that never gets through, since a worker died, may have been pinned up by earlier stages.
        for outcome in (*_take(board), *_drain(through)):
            if outcome.part not in missing[outcome.stage]:
                continue
            missing[outcome.stage].discard(outcome.part)
            if outcome.report is None:
                _forget(missing, outcome.part)
            yield outcome
    if errors:
        raise FatalError(f"Ray stopped: {str(errors[0]).strip().splitlines()[-1]}")


def _drain(through: queue.SimpleQueue[Outcome]) -> Iterator[Outcome]:
    while not through.empty():
        yield through.get()


def _take(board: Any) -> list[Outcome]:
    try:
        return [outcome for packed in ray.get(board.take.remote()) for outcome in pickle.loads(packed)]
    except ray.exceptions.RayError as error:
        raise FatalError(f"Ray stopped: {str(error).strip().splitlines()[0]}") from error


def _forget(missing: dict[str, set[int]], part: int) -> None:
    for waiting in missing.values():
        waiting.discard(part)


def _actors(planned: PlannedStep) -> ActorPoolStrategy:
    least, most = planned.config.actors
    threads = planned.stage.parts_at_once
    return ActorPoolStrategy(
        min_size=least, max_size=most,
        max_concurrent_calls_per_actor=threads if threads > 1 else None, enable_true_multi_threading=threads > 1,
    )


def _machines(planned: PlannedStep) -> int:
    """Return how many machines may come to share what the stage asks of others."""
    nodes: int = sum(node["Alive"] for node in ray.nodes())
    return max(1, min(nodes, planned.config.actors[1]))


def _share(segment: Sequence[PlannedStep]) -> float:
    """Return the factor by which CPU requests shrink so that every stage's first actors fit at once."""
    wanted = sum(planned.config.cpus * planned.config.actors[0] for planned in segment)
    available = ray.cluster_resources().get("CPU", 1.0)
    return min(1.0, available / wanted) if wanted else 1.0


def _gpus(planned: PlannedStep) -> float:
    return planned.config.gpus if ray.cluster_resources().get("GPU") else 0


def _resources(planned: PlannedStep, share: float) -> dict[str, float]:
    """Return what Ray reserves for one actor. Ray Data takes CPUs or GPUs, not both."""
    if gpus := _gpus(planned):
        return {"num_gpus": gpus}
    return {"num_cpus": int(planned.config.cpus * share * 1000) / 1000}


@contextmanager
def _stderr_closed() -> Iterator[None]:
    """Hide what Ray's C++ core writes while it starts, by its own account of a log level. Errors are raised."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _quiet(context: DataContext) -> None:
    """Silence Ray Data's own bars and notices: the run has its own."""
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.max_errored_blocks = -1
    context.execution_options.preserve_order = False
    for name in ("ray", "ray.data", "ray.train", "ray.tune"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # Ray 2.60 has no other way yet to bound the retries of a part whose actor dies.
    warnings.filterwarnings("ignore", message=".*ray_remote_args.*")
