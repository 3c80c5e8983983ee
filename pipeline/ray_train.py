"""Starts a training function on Ray workers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ray

from pipeline.board import Board
from schemas.errors import FatalError
from schemas.storage import Storage

__all__ = ["launch"]

POLL_S = 1.0

Work = Callable[[dict[str, Any]], None]
Tell = Callable[[str], None]


def launch(
    work: Work, settings: dict[str, Any], *, workers: int, cpus: float, gpus: float, tell: Tell
) -> None:
    """Run ``work(settings)`` on every worker of a torch process group, or on one without a group, and wait.

    Args:
        work: called with the settings and ``tell``, a function whose lines come out here.
        settings: what can be pickled.
        workers: how many.
        cpus, gpus: of each.
        tell: gets the workers' lines, in another thread.

    Raises:
        FatalError: a worker failed; the message is the last line of its error.
    """
    with _relayed(tell) as pin:
        _launch(work, {**settings, "tell": pin}, workers, cpus, gpus)


def _launch(work: Work, settings: dict[str, Any], workers: int, cpus: float, gpus: float) -> None:
    use_gpu = gpus > 0 and ray.cluster_resources().get("GPU", 0) > 0
    try:
        if workers == 1:
            resources = {"num_gpus": gpus} if use_gpu else {"num_cpus": _fitting_cpus(cpus, 1)}
            ray.get(ray.remote(max_retries=0, **resources)(work).remote(settings))
        else:
            _train(work, settings, workers, {"GPU": gpus} if use_gpu else {"CPU": _fitting_cpus(cpus, workers)})
    except Exception as error:
        raise FatalError(f"training failed: {str(error).strip().splitlines()[-1]}") from error


def _train(work: Work, settings: dict[str, Any], workers: int, resources: dict[str, float]) -> None:
    """Run ``work`` on several workers by Ray Train, which takes some 10 s longer to start than one worker alone."""
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    notes = settings["into"] + "/.ray"
    trainer = TorchTrainer(
        work,
        train_loop_config=settings,
        scaling_config=ScalingConfig(num_workers=workers, use_gpu="GPU" in resources, resources_per_worker=resources),
        run_config=RunConfig(name="showtell", storage_path=notes),
    )
    try:
        trainer.fit()
    finally:
        Storage(notes).remove("")


@contextmanager
def _relayed(tell: Tell) -> Iterator[Tell]:
    """Give what workers on any machine can tell with; their lines come out here, a second later at most."""
    board = ray.remote(num_cpus=0)(Board).remote()
    over = threading.Event()

    def relay() -> None:
        while True:
            last = over.wait(POLL_S)
            try:
                for line in ray.get(board.take.remote()):
                    tell(line.decode())
            except ray.exceptions.RayError:  # what is wrong with the cluster, the work itself comes to know
                return
            if last:
                return

    relaying = threading.Thread(target=relay, daemon=True)
    relaying.start()
    try:
        yield _Pin(board)
    finally:
        over.set()
        relaying.join()


class _Pin:
    """Pins a line to a board, from any process of the cluster."""

    def __init__(self, board: Any) -> None:
        self.board = board

    def __call__(self, line: str) -> None:
        """Pin it, and wait a moment until it is there: the worker may be about to end."""
        ray.wait([self.board.pin.remote(line.encode())], timeout=POLL_S)


def _fitting_cpus(cpus: float, workers: int) -> float:
    """Return the CPUs a worker can have on a cluster that may be smaller than asked for."""
    available = float(ray.cluster_resources().get("CPU", 1.0))
    return min(cpus, available / workers)
