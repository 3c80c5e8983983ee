"""Training, as LLaVA does it: first the connector learns from descriptions what the patches mean to the
language model, then both learn from every conversation to answer questions. The tower stays frozen."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

from schemas.errors import FatalError
from schemas.storage import Storage
from stages.connector.config import ConnectorConfig
from stages.connector.data import Example, alignment, load_splits, read_examples
from stages.connector.model import VisionLanguageModel, assemble, load_language
from stages.connector.optimise import Training
from stages.connector.report import model_card
from stages.connector.validate import Exam
from stages.connector.vision import Pictures
from stages.connector.workplace import find_workplace

__all__ = ["train_worker"]


def train_worker(settings: dict[str, Any]) -> None:
    """Train and measure the model, as one of possibly several workers; the first of them writes the results.

    Args:
        settings: ``config`` (ConnectorConfig), ``seed``, ``name`` of the run, ``dataset`` (its local folder)
            and ``into`` (folder or URL to write to).

    Raises:
        FatalError: a model does not load, or there is nothing to learn from or to measure on.
    """
    started = time.monotonic()
    config: ConnectorConfig = settings["config"]
    seed: int = settings["seed"]
    place = find_workplace(config.device, config.dtype)
    torch.manual_seed(seed)

    model = assemble(config.vision, config.vision_layer, config.language, config.connector).to(place.device)
    longest = min(config.max_tokens, _context(model))
    train, held_out = load_splits(settings["dataset"])
    examples, unused = read_examples(train, model.chat, longest)
    questions, unasked = read_examples(held_out, model.chat, longest)
    _check_usable({"train": (examples, unused), "validation": (questions, unasked)})
    descriptions = alignment(train, examples, model.chat, longest)
    exam = Exam(held_out, questions, Pictures(model.tower, held_out.image, config.cache_gb), config.eval, place, seed)

    training = Training(config, place, Pictures(model.tower, train.image, config.cache_gb), seed)
    model.language.requires_grad_(False)
    align = training.fit("align", model, descriptions, config.align)
    model.language.requires_grad_(True)
    instruct = training.fit("instruct", model, examples, config.instruct)
    stages = {"align": align, "instruct": instruct}
    alone = None
    if config.baselines:
        alone = _without_eyes(model, config.language).to(place.device)
        texts = [example.without_image() for example in examples]
        stages["text_only"] = training.fit("text_only", alone, texts, config.instruct)

    if place.rank > 0:
        return
    measured = time.monotonic()
    report = {
        "name": settings["name"],
        "seed": seed,
        "settings": config.model_dump(mode="json"),
        "rows": {
            "align": _census(descriptions, Counter()),
            "train": _census(examples, unused),
            "validation": _census(questions, unasked),
        },
        "stages": stages,
        "validation": exam.mark(model, alone),
        "validation_seconds": round(time.monotonic() - measured, 2),
        "place": {"device": str(place.device), "dtype": str(place.dtype), "workers": place.workers},
        "seconds": round(time.monotonic() - started, 2),
    }
    _write(Storage(settings["into"]), model, report)


def _context(model: VisionLanguageModel) -> int:
    """Return the longest sequence the language model takes; without bound where it names none."""
    bound = getattr(model.language.config.get_text_config(), "max_position_embeddings", None)
    return int(bound or 2**31)


def _check_usable(splits: dict[str, tuple[list[Example], Counter[str]]]) -> None:
    for name, (examples, unused) in splits.items():
        if not examples:
            why = ", ".join(f"{reason} {count}" for reason, count in sorted(unused.items()))
            raise FatalError(f"no row of the dataset's {name} split can be used by the connector: {why}")


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
