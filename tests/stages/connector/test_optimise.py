from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tiny_world import config

from schemas.errors import FatalError
from stages.connector.config import RecipeConfig
from stages.connector.data import load_splits, read_examples
from stages.connector.model import VisionLanguageModel, assemble
from stages.connector.optimise import Training, schedule
from stages.connector.vision import Pictures
from stages.connector.workplace import find_workplace

RECIPE = RecipeConfig(epochs=1, learning_rate=1e-2, batch=16)


def fit(
    vision: str, language: str, dataset: str, recipe: RecipeConfig, aligning: bool = False,
    tell: Callable[[str], None] = print, **changes: Any,
) -> tuple[VisionLanguageModel, dict[str, Any]]:
    settings = config(vision, language, **changes)
    torch.manual_seed(0)
    model = assemble(vision, -2, language, "mlp2x_gelu")
    model.language.requires_grad_(not aligning)
    train, _ = load_splits(dataset)
    examples = read_examples(train, model.chat, 100)[0][:64]
    pictures = Pictures(model.tower, train.image, 1)
    training = Training(settings, find_workplace("cpu", "auto"), pictures, seed=0, tell=tell)
    return model, training.fit("test", model, examples, recipe)


def losses(result: dict[str, Any]) -> list[float]:
    return [point["loss"] for point in result["curve"]]


def test_schedule_rises_then_falls_along_a_cosine() -> None:
    """Linear warm-up to the peak, half of it half-way down, nearly nothing at the end."""
    rates = [schedule(step, 100, 0.1) for step in range(100)]
    assert rates[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert rates[10] == 1
    assert rates[55] == pytest.approx(0.5)
    assert 0 < rates[99] < 0.001
    assert schedule(0, 1, 0.03) == 1


def test_two_runs_give_equal_losses(vision: str, language: str, dataset: str) -> None:
    """The same seed gives the same losses to the last bit, and each says in a line how it ended."""
    told: list[str] = []
    first, second = (fit(vision, language, dataset, RECIPE, tell=told.append)[1] for _ in range(2))
    assert losses(first) == losses(second)
    assert first["steps"] == 4
    assert first["samples"] == 64
    assert len(told) == 2
    assert all(re.fullmatch(r"test: step 4 of 4, loss \d\.\d{3}, [\d.]+ samples/s", line) for line in told)


def test_small_forward_passes_give_the_same_step(vision: str, language: str, dataset: str) -> None:
    """A batch spread over forward passes is still one mean over its answer tokens."""
    whole, _ = fit(vision, language, dataset, RECIPE, forward_rows=16)
    parts, _ = fit(vision, language, dataset, RECIPE, forward_rows=3)
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-4)


def test_alignment_trains_the_connector_only(vision: str, language: str, dataset: str) -> None:
    """With the language model frozen, the connector moves and nothing else does."""
    untouched, _ = fit(vision, language, dataset, RecipeConfig(epochs=0, learning_rate=1e-2, batch=16))
    aligned, _ = fit(vision, language, dataset, RECIPE, aligning=True)
    before, after = untouched.state_dict(), aligned.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {name for name in before if name.startswith("connector.")}


def test_diverging_training_is_fatal(vision: str, language: str, dataset: str) -> None:
    """A loss that is no number ends the run and says what to change."""
    wild = RecipeConfig(epochs=5, learning_rate=1e30, batch=16)
    with pytest.raises(FatalError, match="lower its learning_rate"):
        fit(vision, language, dataset, wild)
