"""Where a worker computes: its device, its precision, its place among the others."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from schemas.errors import FatalError

__all__ = ["Workplace", "find_workplace"]


@dataclass(frozen=True)
class Workplace:
    """One worker's device and precision, and its rank among ``workers``."""

    device: torch.device
    dtype: torch.dtype
    rank: int = 0
    workers: int = 1

    def precision(self) -> AbstractContextManager[object]:
        """Return the context arithmetic runs in."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def join(self, model: nn.Module) -> nn.Module:
        """Return the model such that gradients are averaged over the workers."""
        return model if self.workers == 1 else DistributedDataParallel(model)


def find_workplace(device: str, dtype: str) -> Workplace:
    """Resolve ``auto`` settings on this machine, and the rank in the process group, if there is one.

    Raises:
        FatalError: a GPU is asked for and there is none.
    """
    gpu = torch.cuda.is_available()
    if device == "cuda" and not gpu:
        raise FatalError("the connector's device is cuda, but this worker sees no GPU; give it gpus: 1")
    # LOCAL_RANK is set by whoever starts the process group (torchrun, Ray Train).
    local = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    chosen = torch.device(local if gpu and device != "cpu" else "cpu")
    fast = dtype == "bfloat16" or (dtype == "auto" and chosen.type == "cuda")
    grouped = distributed.is_available() and distributed.is_initialized()
    rank, workers = (distributed.get_rank(), distributed.get_world_size()) if grouped else (0, 1)
    return Workplace(chosen, torch.bfloat16 if fast else torch.float32, rank, workers)
