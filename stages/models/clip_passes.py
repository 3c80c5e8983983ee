"""Forward passes whose results do not depend on what shares them, on as many cores as there are.

A matrix product's last bits depend on its shape and, where several threads share one product, on the row's place in it.
So a pass always has the same shape, filled up with copies of its last row, and on a CPU one thread computes it, while
others prepare and compute the passes beside it: none waits for another, and how many there are changes no bit. On a GPU
the threads prepare rows while it computes.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import torch

from stages.models.clip_images import Inputs

__all__ = ["ONE_ROW", "ON_CPU", "ON_GPU", "Passes", "filled", "places_matter", "start_workers"]


@dataclass(frozen=True)
class Passes:
    """How many rows a pass has.

    Attributes:
        images: images of one pass.
        tokens: tokens of one pass of texts, at most, where one text has no more.
    """

    images: int
    tokens: int

    def texts(self, length: int) -> int:
        """Return the texts of a pass, each of so many tokens."""
        return max(1, self.tokens // length)


ON_CPU: Final = Passes(images=8, tokens=256)
"""More make a ViT-B/32 no faster on one core: 4 to 32 images take 130 to 150 ms each, a token 1.1 to 1.6."""
ON_GPU: Final = Passes(images=64, tokens=8192)
ONE_ROW: Final = Passes(images=1, tokens=1)


def filled(rows: Sequence[Inputs], count: int) -> Inputs:
    """Return rows as one batch of ``count``, the last row repeated where there are fewer."""
    full = [*rows, *[rows[-1]] * (count - len(rows))]
    return {name: torch.stack([row[name] for row in full]) for name in rows[0]}


def start_workers(count: int) -> ThreadPoolExecutor:
    """Start threads that compute with one core each; torch elsewhere in the process keeps its threads."""
    others = torch.get_num_threads()
    started = threading.Barrier(count)
    workers = ThreadPoolExecutor(count, "clip", initializer=_use_one_core)
    list(workers.map(lambda _: started.wait(), range(count)))
    torch.set_num_threads(others)  # or threads that start later would have one
    return workers


def _use_one_core() -> None:
    torch.get_num_threads()  # the first call takes over the process's number, also after the thread's own was set
    torch.set_num_threads(1)


@torch.inference_mode()
def places_matter(network: torch.nn.Module, heights: Collection[int]) -> bool:
    """Tell whether this machine's matrix products give a row other bits in another place.

    A matrix of each shape in the model multiplies copies of one row, which takes some milliseconds. Measured with MKL
    on AVX2, in one thread: they never do, in float32 and bfloat16.

    Args:
        heights: how many rows the products of a pass have.
    """
    shapes = {
        (module.in_features, module.out_features): module
        for module in network.modules() if isinstance(module, torch.nn.Linear)
    }
    for linear in shapes.values():
        row = torch.linspace(-1, 1, linear.in_features).to(linear.weight)
        for height in heights:
            products = linear(row.expand(height, -1).contiguous())
            if not torch.equal(products, products[:1].expand_as(products)):
                return True
    return False
