"""Fixtures of the connector's tests."""

from __future__ import annotations

import random
from itertools import chain
from pathlib import Path

import pytest
import torch
from tiny_world import COLOURS, FinishedRun, rows_about, save_dataset, save_language, save_vision, sink

from pipeline.inline_runner import InlineRunner
from schemas.storage import Storage


@pytest.fixture(scope="session")
def vision(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tower that has learnt nothing."""
    return save_vision(tmp_path_factory.mktemp("vision"))


@pytest.fixture(scope="session")
def language(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A language model that has learnt nothing."""
    return save_language(tmp_path_factory.mktemp("language"))


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Conversations about 80 training and 24 held-out pictures."""
    chosen = random.Random(0)
    rows = [rows_about(f"s{number:03}", chosen.choice(sorted(COLOURS)), chosen.randint(1, 4)) for number in range(104)]
    train, validation = chain.from_iterable(rows[:80]), chain.from_iterable(rows[80:])
    return save_dataset(tmp_path_factory.mktemp("dataset"), train=list(train), validation=list(validation))


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, vision: str, language: str, dataset: str) -> Path:
    """The folder the sink wrote after training on the pictures."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("model")
    sink(vision, language).write(FinishedRun(dataset), Storage(str(folder)), InlineRunner())
    return folder


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Leave the machine's other cores to other tests, and add up in one order."""
    torch.set_num_threads(1)
