"""Chats as batches of token ids, with the weight that each token has in the loss."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from sample.training.chats import Chat

__all__ = ["NOTHING", "Batch", "encode", "stream_batches"]

ASSISTANT_WEIGHT = 1.0
# Predicting what captions repeat of each other teaches copying sooner than replies alone would.
OTHER_WEIGHT = 0.2
POOL = 1_500

NOTHING = -1


@dataclass(frozen=True)
class Encoded:
    """A chat in tokens.

    Attributes:
        ids: token ids.
        seconds: of a patch, the token whose embedding is added to that of its id; else `NOTHING`.
        weights: weight of each token in the loss.
    """

    ids: list[int]
    seconds: list[int]
    weights: list[float]


class Batch(NamedTuple):
    """What `Encoded` has, as tensors [chats, tokens], padded on the right."""

    ids: Tensor
    seconds: Tensor
    weights: Tensor


def encode(chat: Chat, tokenizer: PreTrainedTokenizerFast) -> Encoded:
    """Token ids as the chat template renders them, and for each its weight in the loss.

    What the assistant writes, its closing `<|end|>` included, weighs most. A patch takes one position, as a
    visual token does, and nothing is learnt from guessing it.
    """
    ids, seconds, weights = [tokenizer.bos_token_id], [NOTHING], [0.0]
    for message in chat:
        patches = message.get("patches", [])
        said = tokenizer(message["content"], add_special_tokens=False)["input_ids"]
        weight = ASSISTANT_WEIGHT if message["role"] == "assistant" else OTHER_WEIGHT
        ids += [
            tokenizer.convert_tokens_to_ids(f"<|{message['role']}|>"),
            *(_id_of_word(what, tokenizer) for what, _ in patches),
            *said,
            tokenizer.eos_token_id,
        ]
        seconds += [NOTHING, *(_id_of_word(look, tokenizer) for _, look in patches), *[NOTHING] * (len(said) + 1)]
        weights += [0.0, *[0.0] * len(patches), *[weight] * (len(said) + 1)]
    return Encoded(ids, seconds, weights)


def _id_of_word(word: str, tokenizer: PreTrainedTokenizerFast) -> int:
    (token,) = tokenizer(word, add_special_tokens=False)["input_ids"]
    return int(token)


def stream_batches(
    chats: Iterator[Chat], tokenizer: PreTrainedTokenizerFast, batch_tokens: int, longest: int, rng: random.Random
) -> Iterator[Batch]:
    """Batches of at most `batch_tokens` with padding, chats of like length together."""
    while True:
        pool = [encode(chat, tokenizer) for chat in islice(chats, POOL)]
        pool = sorted((chat for chat in pool if len(chat.ids) <= longest), key=lambda chat: len(chat.ids))
        batches: list[list[Encoded]] = [[]]
        for chat in pool:
            if (len(batches[-1]) + 1) * len(chat.ids) > batch_tokens:
                batches.append([])
            batches[-1].append(chat)
        rng.shuffle(batches)
        for batch in batches:
            yield Batch(
                _pad([chat.ids for chat in batch], tokenizer.pad_token_id),
                _pad([chat.seconds for chat in batch], NOTHING),
                _pad([chat.weights for chat in batch], 0.0),
            )


def _pad(rows: Sequence[Sequence[float]], filler: float) -> Tensor:
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[filler] * (longest - len(row))] for row in rows])
