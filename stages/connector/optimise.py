"""The training loop: one stage of the recipe over a list of examples."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from schemas.errors import FatalError
from stages.connector.config import ConnectorConfig, RecipeConfig
from stages.connector.data import Example, collate, plan
from stages.connector.model import VisionLanguageModel
from stages.connector.vision import Pictures
from stages.connector.workplace import Workplace

__all__ = ["Training"]

CURVE_POINTS = 50
"""Points of a loss curve in the report, at most about so many."""

TELL_EVERY_S = 10.0


class Training:
    """What all stages of a training share.

    Args:
        config: recipe and limits.
        place: this worker; every worker must train on the same examples with the same seed, and takes its
            share of each batch.
        pictures: features of the examples' images.
        seed: decides the order of the examples.
        tell: shows a line of progress; only the first worker uses it.
    """

    def __init__(
        self, config: ConnectorConfig, place: Workplace, pictures: Pictures, seed: int, tell: Callable[[str], None]
    ) -> None:
        self.config = config
        self.place = place
        self.pictures = pictures
        self.seed = seed
        self.tell = tell

    def fit(
        self, name: str, model: VisionLanguageModel, examples: Sequence[Example], recipe: RecipeConfig
    ) -> dict[str, Any]:
        """Train what requires gradients; return the stage's loss curve, counts and speed.

        The loss of a step is the mean over all answer tokens of its batch, whatever the forward passes and
        workers it is spread over.

        Raises:
            FatalError: the loss is not finite any more.
        """
        torch.manual_seed(self.seed)
        started = time.monotonic()
        batches = plan([len(example.text.tokens) for example in examples], recipe.batch, recipe.epochs, self.seed)
        batches = [batch for batch in batches if len(batch) >= self.place.workers]
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        optimiser = torch.optim.AdamW(weights, weight_decay=self.config.weight_decay, fused=True)
        network = self.place.join(model.train())
        curve, progress = _Curve(name, len(batches)), _Progress(name, len(batches), self.tell)
        for step, batch in enumerate(batches):
            rate = recipe.learning_rate * schedule(step, len(batches), self.config.warmup)
            for group in optimiser.param_groups:
                group["lr"] = rate
            loss = self._gradients(network, [examples[index] for index in batch])
            nn.utils.clip_grad_norm_(weights, self.config.clip_norm)
            optimiser.step()
            optimiser.zero_grad()
            curve.add(step, loss, rate)
            if self.place.rank == 0:
                progress.add(step, loss, len(batch))
        optimiser.zero_grad()
        model.eval()
        return curve.summary(sum(map(len, batches)), time.monotonic() - started)

    def _gradients(self, network: nn.Module, batch: Sequence[Example]) -> float:
        """Add up the gradients of a batch's mean loss; return this worker's mean loss."""
        answer_tokens = sum(example.text.answer_tokens for example in batch)
        mine = batch[self.place.rank :: self.place.workers]
        lost, tokens = 0.0, 0
        for rows, is_last in _forward_passes(mine, self.config.forward_rows):
            padded = collate(rows)
            features = self.pictures.features(padded.samples) if padded.has_image else None
            with self._exchange(network, is_last):
                with self.place.precision():
                    losses: Tensor = network(padded.tokens, padded.labels, features)
                # DistributedDataParallel averages over workers, and this is a sum over them.
                torch.autograd.backward(losses.sum() * (self.place.workers / answer_tokens))
            lost, tokens = lost + float(losses.detach().sum()), tokens + len(losses)
        return lost / tokens

    def _exchange(self, network: nn.Module, is_last: bool) -> AbstractContextManager[Any]:
        """Let workers exchange gradients in the last forward pass of a batch only."""
        if isinstance(network, DistributedDataParallel) and not is_last:
            waiting: AbstractContextManager[Any] = network.no_sync()
            return waiting
        return nullcontext()


def _forward_passes(batch: Sequence[Example], rows: int) -> Iterator[tuple[Sequence[Example], bool]]:
    for start in range(0, len(batch), rows):
        yield batch[start : start + rows], start + rows >= len(batch)


def schedule(step: int, steps: int, warmup: float) -> float:
    """Return the share of the peak learning rate: up linearly, then along a cosine to 0 (LLaVA's recipe)."""
    rising = math.ceil(warmup * steps)
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


class _Curve:
    """Loss over steps, averaged between the points that are kept."""

    def __init__(self, name: str, steps: int) -> None:
        self.name = name
        self.steps = steps
        self.points: list[dict[str, float]] = []
        self._losses: list[float] = []

    def add(self, step: int, loss: float, rate: float) -> None:
        if not math.isfinite(loss):
            raise FatalError(f"connector, {self.name}: the loss is {loss} at step {step}; lower its learning_rate")
        self._losses.append(loss)
        if (step + 1) % math.ceil(self.steps / CURVE_POINTS) == 0 or step + 1 == self.steps:
            mean = sum(self._losses) / len(self._losses)
            self.points.append({"step": step + 1, "loss": mean, "learning_rate": rate})
            self._losses.clear()

    def summary(self, samples: int, seconds: float) -> dict[str, Any]:
        speed = round(samples / seconds, 2) if samples else 0.0
        return {
            "steps": self.steps, "samples": samples, "seconds": round(seconds, 2),
            "samples_per_second": speed, "curve": self.points,
        }


class _Progress:
    """Tells every few seconds, and at the end, how far a stage is: the means since it told last."""

    def __init__(self, name: str, steps: int, tell: Callable[[str], None]) -> None:
        self.name, self.steps, self.tell = name, steps, tell
        self._since = time.monotonic()
        self._losses: list[float] = []
        self._samples = 0

    def add(self, step: int, loss: float, samples: int) -> None:
        self._losses.append(loss)
        self._samples += samples
        seconds = time.monotonic() - self._since
        if seconds < TELL_EVERY_S and step + 1 < self.steps:
            return
        mean, rate = sum(self._losses) / len(self._losses), self._samples / max(seconds, 1e-9)
        self.tell(f"{self.name}: step {step + 1} of {self.steps}, loss {mean:.3f}, {rate:.1f} samples/s")
        self._since, self._losses, self._samples = time.monotonic(), [], 0
