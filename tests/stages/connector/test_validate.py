from __future__ import annotations

import pytest
import torch
from tiny_world import config

from schemas.errors import FatalError
from stages.connector.data import load_splits, read_examples
from stages.connector.model import assemble
from stages.connector.validate import Exam, derange
from stages.connector.vision import Pictures
from stages.connector.workplace import find_workplace


@pytest.mark.parametrize("number", [2, 3, 10])
def test_derangement_never_pairs_a_sample_with_itself(number: int) -> None:
    """Each sample gets every other as a distractor, and as the k-th nobody gets the same one twice."""
    samples = [f"s{index % number}" for index in range(3 * number)]
    others = derange(samples, seed=0)
    for sample, distractors in others.items():
        assert sorted([sample, *distractors]) == sorted(set(samples))
    for place in range(number - 1):
        assert len({distractors[place] for distractors in others.values()}) == number
    assert derange(reversed(samples), seed=0) == others


def test_one_held_out_sample_is_not_enough() -> None:
    """With one image there is no other to mistake it for."""
    with pytest.raises(FatalError, match="two samples"):
        derange(["a", "a"], seed=0)


def test_model_that_cannot_see_gains_nothing(vision: str, language: str, dataset: str) -> None:
    """With a connector that says the same of every image, no image is worth more than another."""
    torch.manual_seed(0)
    model = assemble(vision, -2, language, "linear").eval()
    torch.nn.init.zeros_(model.connector.weight)
    _, held_out = load_splits(dataset)
    examples, _ = read_examples(held_out, model.chat, 100)
    pictures = Pictures(model.tower, held_out.image, 1)
    exam = Exam(held_out, examples, pictures, config(vision, language).eval, find_workplace("cpu", "auto"), 0)
    figures = exam.mark(model, None)
    for condition in ("other", "blank"):
        assert figures["loss"]["margin"][condition]["value"] == pytest.approx(0, abs=1e-6)
    assert figures["ranking"]["accuracy"]["value"] == figures["ranking"]["chance"] == 0.25
    assert figures["counting"]["margin"]["other"]["value"] == 0


def test_number_of_questions_is_bounded(vision: str, language: str, dataset: str) -> None:
    """The settings bound what is measured, so that a large validation split costs no more."""
    torch.manual_seed(0)
    model = assemble(vision, -2, language, "linear").eval()
    _, held_out = load_splits(dataset)
    examples, _ = read_examples(held_out, model.chat, 100)
    few = {"questions": 10, "ranking": 5, "candidates": 3, "generated": 4, "new_tokens": 2, "bootstrap": 10}
    settings = config(vision, language, eval=few).eval
    pictures = Pictures(model.tower, held_out.image, 1)
    figures = Exam(held_out, examples, pictures, settings, find_workplace("cpu", "auto"), 0).mark(model, None)
    assert 10 <= figures["loss"]["answers"] <= 11
    assert 5 <= figures["ranking"]["answers"] <= 6
    assert figures["ranking"]["chance"] == 1 / 3
    assert figures["counting"]["questions"] == 4
    assert "text_only" not in figures["loss"]["mean"]
