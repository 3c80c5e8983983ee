"""Training, as LLaVA does it: first the connector learns from descriptions what the patches mean to the
language model, then both learn from every conversation to answer questions. The tower stays frozen."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from schemas.config import shown_model
from schemas.errors import FatalError
from schemas.storage import Storage
from stages.connector.config import ConnectorConfig
from stages.connector.data import Example, Split, alignment, load_splits, read_examples
from stages.connector.model import VisionLanguageModel, assemble, load_language
from stages.connector.optimise import Training
from stages.connector.report import model_card
from stages.connector.validate import Exam
from stages.connector.vision import Pictures
from stages.connector.workplace import Workplace, find_workplace

__all__ = ["train_worker"]


def train_worker(settings: dict[str, Any]) -> None:
    """Train and measure the model, as one of possibly several workers; the first of them writes the results.

    Args:
        settings: ``config`` (ConnectorConfig), ``seed``, ``name`` of the run, ``dataset`` (its local folder)
            and ``into`` (folder or URL to write to), ``tell`` (shows a line of progress).

    Raises:
        FatalError: a model does not load, or there is nothing to learn from or to measure on.
    """
    started = time.monotonic()
    config: ConnectorConfig = settings["config"]
    seed: int = settings["seed"]
    place = find_workplace(config.device, config.dtype)
    torch.manual_seed(seed)
    model = assemble(config.vision, config.vision_layer, config.language, config.connector).to(place.device)
    course = _read_course(settings["dataset"], model, config.max_tokens)
    exam_pictures = Pictures(model.tower, course.held_out.image, config.cache_gb)
    exam = Exam(course.held_out, course.questions, exam_pictures, config.eval, place, seed)
    alone, stages = _teach(model, course, config, place, seed, settings["tell"])
    if place.rank > 0:
        return
    taught = time.monotonic()
    settings["tell"](f"validation: {len(course.questions)} conversations")
    models = {"vision": shown_model(config.vision), "language": shown_model(config.language)}
    report = {
        "name": settings["name"],
        "seed": seed,
        "settings": config.model_dump(mode="json") | models,
        "rows": course.census(),
        "stages": stages,
        "validation": exam.mark(model, alone),
        "validation_seconds": round(time.monotonic() - taught, 2),
        "place": {"device": str(place.device), "dtype": str(place.dtype), "workers": place.workers},
        "seconds": round(time.monotonic() - started, 2),
    }
    _write(Storage(settings["into"]), model, report)


@dataclass(frozen=True)
class _Course:
    """What is taught and what is asked: examples of the two splits, and the rows that give none, by reason."""

    train: Split
    held_out: Split
    descriptions: list[Example]
    examples: list[Example]
    questions: list[Example]
    unused: Counter[str]
    unasked: Counter[str]

    def census(self) -> dict[str, Any]:
        """Return how much there is of what, for the report."""
        return {
            "align": _census(self.descriptions, Counter()),
            "train": _census(self.examples, self.unused),
            "validation": _census(self.questions, self.unasked),
        }


def _read_course(dataset: str, model: VisionLanguageModel, max_tokens: int) -> _Course:
    train, held_out = load_splits(dataset)
    context = getattr(model.language.config.get_text_config(), "max_position_embeddings", None) or max_tokens
    longest = min(max_tokens, int(context))
    examples, unused = read_examples(train, model.chat, longest)
    questions, unasked = read_examples(held_out, model.chat, longest)
    for name, found, left_out in (("train", examples, unused), ("validation", questions, unasked)):
        if not found:
            why = ", ".join(f"{reason} {count}" for reason, count in sorted(left_out.items()))
            raise FatalError(f"no row of the dataset's {name} split can be used by the connector: {why}")
    descriptions = alignment(train, examples, model.chat, longest)
    return _Course(train, held_out, descriptions, examples, questions, unused, unasked)


def _teach(
    model: VisionLanguageModel, course: _Course, config: ConnectorConfig, place: Workplace, seed: int,
    tell: Callable[[str], None],
) -> tuple[VisionLanguageModel | None, dict[str, Any]]:
    """Train the model, and the text-only one to compare it with; return that one and the stages' figures."""
    training = Training(config, place, Pictures(model.tower, course.train.image, config.cache_gb), seed, tell)
    model.language.requires_grad_(False)
    align = training.fit("align", model, course.descriptions, config.align)
    model.language.requires_grad_(True)
    instruct = training.fit("instruct", model, course.examples, config.instruct)
    stages = {"align": align, "instruct": instruct}
    if not config.baselines:
        return None, stages
    alone = _without_eyes(model, config.language).to(place.device)
    texts = [example.without_image() for example in course.examples]
    return alone, {**stages, "text_only": training.fit("text_only", alone, texts, config.instruct)}


def _without_eyes(model: VisionLanguageModel, language: str) -> VisionLanguageModel:
    """Return the language model as it was before training, with nothing to see through."""
    _, network = load_language(language)
    return VisionLanguageModel(model.tower, nn.Identity(), network, model.chat, "none")


def _census(examples: Sequence[Example], unused: Counter[str]) -> dict[str, Any]:
    return {
        "used": len(examples),
        "samples": len({example.sample for example in examples}),
        "kinds": dict(sorted(Counter(example.kind for example in examples).items())),
        "tokens": sum(len(example.text.tokens) for example in examples),
        "answer_tokens": sum(example.text.answer_tokens for example in examples),
        "unused": dict(sorted(unused.items())),
    }


def _write(into: Storage, model: VisionLanguageModel, report: dict[str, Any]) -> None:
    """Write the model, its card and last its report; to an object store by way of a local folder."""
    local: AbstractContextManager[str] = nullcontext(into.root) if into.is_local else tempfile.TemporaryDirectory()
    with local as folder:
        model.save(folder)
        if not into.is_local:
            into.fs.put(f"{folder}/", f"{into.root}/", recursive=True)
    into.write("README.md", model_card(report).encode())
    into.write_json("report.json", report)
