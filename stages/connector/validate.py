"""Does the model look at the picture? Its answers to held-out questions, measured with and without it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from schemas.errors import FatalError
from stages.connector.bootstrap import Resampler
from stages.connector.chat_format import IGNORED
from stages.connector.config import EvalConfig
from stages.connector.data import Example, Split, collate
from stages.connector.model import VisionLanguageModel
from stages.connector.tasks import TASKS, Question, find_questions
from stages.connector.vision import Pictures
from stages.connector.workplace import Workplace

__all__ = ["Exam", "derange"]

ROWS = 32
"""Conversations in one forward pass."""
SHOWN = 3
"""Written answers of each task quoted in the report."""
TIE = 1e-6
"""Losses, in nats, that differ by less are equal: a model that sees nothing gains nothing from rounding."""

Losses = NDArray[np.float64]
Look = Callable[[Sequence[str]], Tensor]
"""Sample ids -> the features the model is shown for them."""


def derange(samples: Sequence[str], seed: int) -> dict[str, list[str]]:
    """Return for each sample all others, such that the k-th of the others differs from sample to sample.

    Raises:
        FatalError: there are fewer than two samples.
    """
    ring = sorted(set(samples))
    if len(ring) < 2:
        raise FatalError("the validation split needs images of two samples at least, to tell them apart")
    np.random.default_rng(seed).shuffle(ring)
    return {sample: ring[place + 1 :] + ring[:place] for place, sample in enumerate(ring)}


@dataclass(frozen=True)
class _Answers:
    """Answers whose losses are measured: tokens and sample of each, in the order losses come in."""

    examples: list[Example]
    tokens: NDArray[np.float64]
    samples: list[str]


class Exam:
    """The questions of the validation split, put to models.

    Args:
        split: the validation split.
        examples: its conversations.
        pictures: features of its images.
        config: how many questions.
        place: where to compute.
        seed: decides which questions, and which other images.
    """

    def __init__(
        self, split: Split, examples: Sequence[Example], pictures: Pictures, config: EvalConfig,
        place: Workplace, seed: int,
    ) -> None:
        random = np.random.default_rng(seed)
        shuffled = [examples[index] for index in random.permutation(len(examples))]
        self.pictures = pictures
        self.config = config
        self.place = place
        self.seed = seed
        self.others = derange([example.sample for example in examples], seed)
        self.asked = _first_answers(shuffled, config.questions)
        self.ranked = _first_answers(shuffled, config.ranking)
        self.questions = {kind: find_questions(kind, examples, split, config.generated, random) for kind in TASKS}

    def mark(self, model: VisionLanguageModel, alone: VisionLanguageModel | None) -> dict[str, Any]:
        """Return every figure of the validation report.

        Args:
            model: the trained model.
            alone: a language model trained on the same text without images, to compare with.
        """
        figures = {"loss": self._losses(model, alone), "ranking": self._ranking(model)}
        for kind, questions in self.questions.items():
            if questions:
                figures[kind] = self._task(kind, questions, model, alone)
        return figures

    def _right(self, samples: Sequence[str]) -> Tensor:
        return self.pictures.features(samples)

    def _other(self, number: int) -> Look:
        return lambda samples: self.pictures.features([self.others[sample][number] for sample in samples])

    def _blank(self, samples: Sequence[str]) -> Tensor:
        return self.pictures.blank().expand(len(samples), -1, -1)

    def _losses(self, model: VisionLanguageModel, alone: VisionLanguageModel | None) -> dict[str, Any]:
        """Mean loss per answer token under each condition, and how much more than with the right image."""
        asked = self.asked
        looks = {"right": self._right, "other": self._other(0), "blank": self._blank, "none": None}
        losses = {name: self._answer_losses(model, asked, look) for name, look in looks.items()}
        if alone is not None:
            losses["text_only"] = self._answer_losses(alone, asked, None)
        resampler = Resampler(asked.samples, self.config.bootstrap, self.seed)
        means = {name: resampler.mean(values, asked.tokens) for name, values in losses.items()}
        right = losses.pop("right")
        return {
            "answers": len(asked.tokens),
            "tokens": int(asked.tokens.sum()),
            "samples": len(set(asked.samples)),
            "mean": means,
            "margin": {name: resampler.mean(values - right, asked.tokens) for name, values in losses.items()},
            "better": {name: resampler.mean((values > right).astype(float)) for name, values in losses.items()},
        }

    def _ranking(self, model: VisionLanguageModel) -> dict[str, Any]:
        """How often the right image makes an answer likelier than each of the other candidates."""
        candidates = min(self.config.candidates, len(self.others))
        looks = [self._right, *map(self._other, range(candidates - 1))]
        losses = np.stack([self._answer_losses(model, self.ranked, look) for look in looks])
        best = losses <= losses.min(axis=0) + TIE
        resampler = Resampler(self.ranked.samples, self.config.bootstrap, self.seed)
        return {
            "answers": losses.shape[1],
            "chance": 1 / candidates,
            "accuracy": resampler.mean(best[0] / best.sum(axis=0)),
        }

    def _task(
        self, kind: str, questions: Sequence[Question], model: VisionLanguageModel,
        alone: VisionLanguageModel | None,
    ) -> dict[str, Any]:
        """Marks of greedy answers with the right image, with another, and without any image by ``alone``."""
        written = {
            "right": self._write(model, questions, self._right),
            "other": self._write(model, questions, self._other(0)),
        }
        if alone is not None:
            written["text_only"] = self._write(alone, questions, None)
        marks = {name: np.array(list(map(TASKS[kind], questions, texts))) for name, texts in written.items()}
        resampler = Resampler([question.example.sample for question in questions], self.config.bootstrap, self.seed)
        right = marks["right"]
        return {
            "questions": len(questions),
            "score": {name: resampler.mean(values) for name, values in marks.items()},
            "margin": {name: resampler.mean(right - values) for name, values in marks.items() if name != "right"},
            "shown": [
                {"question": question.asked, "wanted": question.wanted}
                | {name: texts[index] for name, texts in written.items()}
                for index, question in enumerate(questions[:SHOWN])
            ],
        }

    @torch.inference_mode()
    def _answer_losses(self, model: VisionLanguageModel, asked: _Answers, look: Look | None) -> Losses:
        """Return the summed loss of each answer, in nats; without images where ``look`` is None."""
        examples = asked.examples if look else [example.without_image() for example in asked.examples]
        sums: list[Losses] = [np.zeros(0)] * len(examples)
        for rows in _by_length([len(example.text.tokens) for example in examples]):
            padded = collate([examples[row] for row in rows])
            with self.place.precision():
                losses = model(padded.tokens, padded.labels, look(padded.samples) if look else None)
            learnt = padded.labels[:, 1:] != IGNORED
            places = learnt.nonzero()[:, 0].numpy()
            turns, values = padded.turns[:, 1:][learnt].numpy(), losses.double().cpu().numpy()
            for place, row in enumerate(rows):
                ours = places == place
                sums[row] = np.bincount(turns[ours], values[ours], examples[row].text.answers).astype(float)
        return np.concatenate(sums)

    def _write(self, model: VisionLanguageModel, questions: Sequence[Question], look: Look | None) -> list[str]:
        examples = [question.example if look else question.example.without_image() for question in questions]
        prompts = [example.text.prompt(question.turn) for example, question in zip(examples, questions, strict=True)]
        written = [""] * len(prompts)
        for rows in _by_length(list(map(len, prompts))):
            features = look([examples[row].sample for row in rows]) if look else None
            with self.place.precision():
                texts = model.write([prompts[row] for row in rows], features, self.config.new_tokens)
            for row, text in zip(rows, texts, strict=True):
                written[row] = text
        return written


def _first_answers(examples: Sequence[Example], most: int) -> _Answers:
    """Take conversations until they hold ``most`` answers, or all of them."""
    taken: list[Example] = []
    tokens: list[float] = []
    samples: list[str] = []
    for example in examples:
        if len(tokens) >= most:
            break
        turns = example.text.turns
        taken.append(example)
        tokens += np.bincount(turns[turns >= 0], minlength=example.text.answers).tolist()
        samples += [example.sample] * example.text.answers
    return _Answers(taken, np.array(tokens, dtype=float), samples)


def _by_length(lengths: Sequence[int]) -> list[list[int]]:
    """Return indices in groups of similar length, longest first."""
    order = np.argsort(-np.asarray(lengths), kind="stable").tolist()
    return [order[start : start + ROWS] for start in range(0, len(order), ROWS)]
