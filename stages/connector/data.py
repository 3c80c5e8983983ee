"""The finished dataset as training examples, and examples as batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from schemas.errors import FatalError
from stages.connector.chat_format import CONTEXT, IGNORED, IMAGE, ChatFormat, Encoded
from stages.dataset.reading import open_dataset
from stages.wordings import BRIEF, drawn

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["Batch", "Example", "Split", "alignment", "collate", "load_splits", "plan", "read_examples"]

DESCRIPTIONS = ("brief", "detail")
"""Kinds of conversation the connector is aligned on."""
CHUNK_BATCHES = 8
"""Batches whose conversations are sorted by length together: little padding, still well mixed."""


@dataclass(frozen=True)
class Example:
    """A conversation about an image.

    Attributes:
        sample: id of the sample, and so of the image.
        kind: what the conversation does (``counting``, ``detail`` ...).
        row: its row in the split.
        text: its tokens.
    """

    sample: str
    kind: str
    row: int
    text: Encoded

    def without_image(self) -> Example:
        """Return the example as a text-only model sees it."""
        return replace(self, text=self.text.without_image())


class Split:
    """One split of the dataset: its rows, and the image of a sample."""

    def __init__(self, rows: Dataset) -> None:
        self.rows = rows
        self._row_of: dict[str, int] = {}
        for row, sample in enumerate(rows["id"]):
            self._row_of.setdefault(sample, row)

    def image(self, sample: str) -> Image.Image:
        """Return a sample's image, decoded."""
        image: Image.Image = self.rows[self._row_of[sample]]["images"][0]
        return image

    def texts(self) -> Iterator[dict[str, Any]]:
        """Yield id, kind, messages and captions of each row, and its number of ``images``."""
        table = self.rows.data.table
        images = pc.fill_null(pc.list_value_length(table["images"]), 0)
        narrow = table.select(["id", "kind", "messages", "captions"]).append_column("images", images)
        for batch in narrow.to_batches():
            yield from batch.to_pylist()


def load_splits(folder: str) -> tuple[Split, Split]:
    """Open the train and validation splits of a dataset folder.

    Raises:
        FatalError: it is no such dataset, or a split is missing.
    """
    try:
        splits = open_dataset(folder)
    except (OSError, ValueError) as error:
        raise FatalError(f"cannot open the dataset {folder}: {error}") from error
    for name in ("train", "validation"):
        if name not in splits or not len(splits[name]):
            raise FatalError(f"the dataset has no rows in its {name} split; the connector needs some in both")
    return Split(splits["train"]), Split(splits["validation"])


def read_examples(split: Split, chat: ChatFormat, max_tokens: int) -> tuple[list[Example], Counter[str]]:
    """Return the conversations of a split that can be learnt from, and how many rows were cut or left out, why.

    ``no_image``, ``several_images``; ``roles``: not user and assistant in turn; ``control_token``: its text
    could pass for a turn; ``too_long``: not one whole answer fits; ``cut``: later answers left out.
    """
    examples, counts = [], Counter[str]()
    for row, texts in enumerate(split.texts()):
        problem = _problem(texts, chat)
        whole = None if problem else chat.encode(texts["messages"])
        text = whole.cut(max_tokens) if whole else None
        if whole and text and text.answers:
            examples.append(Example(texts["id"], texts["kind"], row, text))
            counts["cut"] += text.answers < whole.answers
        else:
            counts[problem or "too_long"] += 1
    return examples, +counts


def _problem(row: Mapping[str, Any], chat: ChatFormat) -> str:
    if row["images"] != 1:
        return "several_images" if row["images"] else "no_image"
    roles = [message["role"] for message in row["messages"]]
    if not roles or roles != ["user", "assistant"] * (len(roles) // 2):
        return "roles"
    return "control_token" if chat.imitates(row["messages"]) else ""


def alignment(split: Split, examples: Sequence[Example], chat: ChatFormat, max_tokens: int) -> list[Example]:
    """Return what the connector is aligned on: descriptions, or a caption where a sample has none of them."""
    described = [example for example in examples if example.kind in DESCRIPTIONS]
    missing = {example.sample for example in examples} - {example.sample for example in described}
    for row, texts in enumerate(split.texts()):
        if texts["id"] in missing and texts["captions"]:
            missing.discard(texts["id"])
            messages = _caption_messages(texts["id"], texts["captions"][0])
            text = chat.encode(messages)
            if len(text.tokens) <= max_tokens and not chat.imitates(messages):
                described.append(Example(texts["id"], "caption", row, text))
    return described


def _caption_messages(sample: str, caption: str) -> list[dict[str, str]]:
    question = drawn(BRIEF, "align", sample)
    return [{"role": "user", "content": question}, {"role": "assistant", "content": caption}]


def plan(lengths: Sequence[int], batch: int, epochs: int, seed: int) -> list[NDArray[np.int64]]:
    """Return the batches of all epochs, as indices; each holds sequences of similar length, longest first."""
    random = np.random.default_rng(seed)
    batches = []
    for _ in range(epochs):
        order = random.permutation(len(lengths))
        epoch = []
        for start in range(0, len(order), batch * CHUNK_BATCHES):
            chunk = order[start : start + batch * CHUNK_BATCHES]
            by_length = chunk[np.argsort(-np.asarray(lengths)[chunk], kind="stable")]
            epoch += [by_length[at : at + batch] for at in range(0, len(chunk), batch)]
        batches += [epoch[index] for index in random.permutation(len(epoch))]
    return batches


@dataclass(frozen=True)
class Batch:
    """Examples side by side, padded on the right.

    Attributes:
        tokens: token ids, ``IMAGE`` where features go, 0 as padding, (rows, length).
        labels: what to learn, ``IGNORED`` elsewhere, (rows, length).
        turns: number of the answer a label belongs to, (rows, length).
        samples: ids of the rows' samples.
        has_image: whether the rows hold places for image features.
    """

    tokens: Tensor
    labels: Tensor
    turns: Tensor
    samples: list[str]
    has_image: bool


def collate(examples: Sequence[Example]) -> Batch:
    """Put examples, all with an image or all without, side by side."""
    texts = [example.text for example in examples]
    tokens = _pad([text.tokens for text in texts], 0)
    return Batch(
        tokens,
        _pad([text.labels for text in texts], IGNORED),
        _pad([text.turns for text in texts], CONTEXT),
        [example.sample for example in examples],
        bool((tokens == IMAGE).any()),
    )


def _pad(rows: Sequence[NDArray[np.int32]], filler: int) -> Tensor:
    padded = np.full((len(rows), max(map(len, rows))), filler, np.int64)
    for index, row in enumerate(rows):
        padded[index, : len(row)] = row
    return torch.from_numpy(padded)
