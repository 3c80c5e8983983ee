"""Starts a training function on Ray Train workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ray
from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer

from schemas.errors import FatalError
from schemas.storage import Storage

__all__ = ["launch"]


def launch(
    work: Callable[[dict[str, Any]], None], settings: dict[str, Any], *, workers: int, cpus: float, gpus: float
) -> None:
    """Run ``work(settings)`` on every worker of a torch process group and wait.

    Raises:
        FatalError: a worker failed; the message is the last line of its error.
    """
    use_gpu = gpus > 0 and ray.cluster_resources().get("GPU", 0) > 0
    per_worker = {"GPU": gpus} if use_gpu else {"CPU": _fitting_cpus(cpus, workers)}
    notes = settings["into"] + "/.ray"
    trainer = TorchTrainer(
        work,
        train_loop_config=settings,
        scaling_config=ScalingConfig(num_workers=workers, use_gpu=use_gpu, resources_per_worker=per_worker),
        run_config=RunConfig(name="showtell", storage_path=notes),
    )
    try:
        trainer.fit()
    except Exception as error:
        raise FatalError(f"training failed: {str(error).strip().splitlines()[-1]}") from error
    finally:
        Storage(notes).remove("")


def _fitting_cpus(cpus: float, workers: int) -> float:
    """Return the CPUs a worker can have on a cluster that may be smaller than asked for."""
    available = float(ray.cluster_resources().get("CPU", 1.0))
    return min(cpus, available / workers)
