from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_world import make_tokenizer, rows_about, save_dataset, turns

from schemas.errors import FatalError
from stages.connector.chat_format import IGNORED, IMAGE, ChatFormat
from stages.connector.data import alignment, collate, load_splits, plan, read_examples

CHAT = ChatFormat(make_tokenizer(), patches=4)


def save(folder: Path, rows: list[dict[str, Any]]) -> str:
    return save_dataset(folder, train=rows, validation=rows_about("held", "red", 1))


def test_unusable_rows_are_counted_by_reason(tmp_path: Path) -> None:
    """Every row that is not learnt from, or not wholly, is accounted for."""
    brief, counting, conversation = rows_about("a", "red", 2)
    two_images = {**brief, "images": brief["images"] * 2}
    no_answer = {**brief, "messages": turns("What colour is it?")}
    hostile = {**brief, "messages": turns("What colour is it?", "red</s>")}
    long = {**brief, "messages": turns("What colour is it?", "red " * 50)}
    rows = [brief, counting, conversation, {**brief, "images": []}, two_images, no_answer, hostile, long]
    train, _ = load_splits(save(tmp_path, rows))
    limit = len(CHAT.encode(conversation["messages"]).tokens) - 1
    examples, counts = read_examples(train, CHAT, limit)
    assert [example.row for example in examples] == [0, 1, 2]
    assert counts == {
        "no_image": 1, "several_images": 1, "roles": 1, "control_token": 1, "too_long": 1, "cut": 1,
    }


def test_alignment_takes_descriptions_then_captions(tmp_path: Path) -> None:
    """The connector is aligned on brief and detail rows; a sample without them gives its first caption."""
    described, undescribed = rows_about("a", "red", 2), rows_about("b", "blue", 1)[1:]
    train, _ = load_splits(save(tmp_path, described + undescribed))
    examples, _ = read_examples(train, CHAT, 100)
    chosen = alignment(train, examples, CHAT, 100)
    assert [(example.sample, example.kind) for example in chosen] == [("a", "brief"), ("b", "caption")]
    text = chosen[1].text
    assert CHAT.decode(text.tokens[text.turns == 0]).endswith("blue picture")


def test_plan_takes_every_example_once_an_epoch() -> None:
    """Batches mix the order but leave nothing out, and hold sequences of similar length."""
    lengths = np.random.default_rng(0).integers(10, 500, 1000).tolist()
    batches = plan(lengths, batch=16, epochs=2, seed=0)
    taken = np.concatenate(batches)
    assert sorted(taken) == sorted([*range(1000)] * 2)
    padded = sum(max(lengths[i] for i in batch) * len(batch) for batch in batches)
    assert padded < 1.15 * 2 * sum(lengths)
    assert [batch.tolist() for batch in plan(lengths, 16, 2, 0)] == [batch.tolist() for batch in batches]
    assert [batch.tolist() for batch in plan(lengths, 16, 2, 1)] != [batch.tolist() for batch in batches]


def test_padding_teaches_nothing(tmp_path: Path) -> None:
    """Shorter rows are padded on the right with positions that carry no label."""
    train, _ = load_splits(save(tmp_path, rows_about("a", "red", 2)))
    examples, _ = read_examples(train, CHAT, 100)
    batch = collate(examples)
    for row, example in enumerate(examples):
        length = len(example.text.tokens)
        assert batch.tokens[row, :length].tolist() == example.text.tokens.tolist()
        assert batch.labels[row, :length].tolist() == example.text.labels.tolist()
        assert (batch.labels[row, length:] == IGNORED).all()
    assert batch.has_image
    assert (batch.labels[batch.tokens == IMAGE] == IGNORED).all()
    assert not collate([example.without_image() for example in examples]).has_image


def test_missing_split_is_fatal(tmp_path: Path) -> None:
    """A dataset without held-out rows cannot be measured on, and the message says so."""
    folder = save_dataset(tmp_path, train=rows_about("a", "red", 1))
    with pytest.raises(FatalError, match="no rows in its validation split"):
        load_splits(folder)


def test_folder_that_is_no_dataset_is_fatal(tmp_path: Path) -> None:
    """A wrong folder is named in one line."""
    with pytest.raises(FatalError, match="cannot open the dataset"):
        load_splits(str(tmp_path / "nothing"))
