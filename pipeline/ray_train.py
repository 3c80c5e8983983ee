"""Starts a training function on Ray workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ray

from schemas.errors import FatalError
from schemas.storage import Storage

__all__ = ["launch"]

Work = Callable[[dict[str, Any]], None]


def launch(work: Work, settings: dict[str, Any], *, workers: int, cpus: float, gpus: float) -> None:
    """Run ``work(settings)`` on every worker of a torch process group, or on one without a group, and wait.

    Raises:
        FatalError: a worker failed; the message is the last line of its error.
    """
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


def _fitting_cpus(cpus: float, workers: int) -> float:
    """Return the CPUs a worker can have on a cluster that may be smaller than asked for."""
    available = float(ray.cluster_resources().get("CPU", 1.0))
    return min(cpus, available / workers)
