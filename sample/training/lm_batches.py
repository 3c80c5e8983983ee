"""Chats as batches of token ids, with the weight that each token has in the loss."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from sample.training.chats import Chat

__all__ = ["encode", "stream_batches"]

ASSISTANT_WEIGHT = 1.0
# Predicting what captions repeat of each other teaches copying sooner than replies alone would.
OTHER_WEIGHT = 0.2
POOL = 1_500

Encoded = tuple[list[int], list[float]]


def encode(chat: Chat, tokenizer: PreTrainedTokenizerFast) -> Encoded:
    """Token ids as the chat template renders them, and for each its weight in the loss.

    What the assistant writes, its closing `<|end|>` included, weighs most.
    """
    ids = [tokenizer.bos_token_id]
    weights = [0.0]
    for message in chat:
        said = tokenizer(message["content"], add_special_tokens=False)["input_ids"]
        role = tokenizer.convert_tokens_to_ids(f"<|{message['role']}|>")
        ids += [role, *said, tokenizer.eos_token_id]
        weight = ASSISTANT_WEIGHT if message["role"] == "assistant" else OTHER_WEIGHT
        weights += [0.0, *[weight] * len(said), weight]
    return ids, weights


def stream_batches(
    chats: Iterator[Chat], tokenizer: PreTrainedTokenizerFast, batch_tokens: int, longest: int, rng: random.Random
) -> Iterator[tuple[Tensor, Tensor]]:
    """Ids and weights [chats, tokens] of at most `batch_tokens` with padding, chats of like length together."""
    while True:
        pool = [encode(chat, tokenizer) for chat in islice(chats, POOL)]
        pool = sorted((pair for pair in pool if len(pair[0]) <= longest), key=lambda pair: len(pair[0]))
        batches: list[list[Encoded]] = [[]]
        for pair in pool:
            if (len(batches[-1]) + 1) * len(pair[0]) > batch_tokens:
                batches.append([])
            batches[-1].append(pair)
        rng.shuffle(batches)
        for batch in batches:
            yield _pad(batch, tokenizer.pad_token_id)


def _pad(batch: list[Encoded], pad_id: int) -> tuple[Tensor, Tensor]:
    longest = max(len(ids) for ids, _ in batch)
    ids = torch.tensor([ids + [pad_id] * (longest - len(ids)) for ids, _ in batch])
    weights = torch.tensor([weights + [0.0] * (longest - len(weights)) for _, weights in batch])
    return ids, weights
