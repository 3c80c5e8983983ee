"""A tiny chat model for tests: a two-layer Llama over bytes, untrained or taught one reply by heart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

__all__ = ["CONTEXT", "save_tiny_chat"]

CONTEXT = 2048
TEMPLATE = (
    "{% for message in messages %}<{{ message['role'][0] }}>{{ message['content'] }}<end>{% endfor %}"
    "{% if add_generation_prompt %}<a>{% endif %}"
)


def save_tiny_chat(folder: Path, reply: Sequence[str] = ()) -> str:
    """Write model and tokenizer into ``folder`` and return its path.

    Args:
        folder: where.
        reply: pieces of text the model learns to answer anything with, one token each.
    """
    torch.manual_seed(0)
    tokenizer = _byte_tokenizer(reply)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=CONTEXT,
        bos_token_id=None, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    if reply:
        _teach(model, tokenizer, len(reply))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def _byte_tokenizer(reply: Sequence[str]) -> PreTrainedTokenizerFast:
    """Make one token of each byte and, only ever written by the model, of each piece of the reply."""
    bytes_alone = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    pieces = [bytes_alone.pre_tokenize_str(piece)[0][0] for piece in reply]
    signs = ["<pad>", "<end>", *sorted(pre_tokenizers.ByteLevel.alphabet()), *pieces]
    inner = Tokenizer(models.BPE({sign: index for index, sign in enumerate(signs)}, []))
    inner.pre_tokenizer = bytes_alone
    inner.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="<end>", chat_template=TEMPLATE
    )


def _teach(model: Any, tokenizer: Any, pieces: int) -> None:
    """Overfit the model to answer anything with the last ``pieces`` tokens of its vocabulary."""
    answer = [*range(len(tokenizer) - pieces, len(tokenizer)), tokenizer.eos_token_id]
    ask = tokenizer("<end><a>")["input_ids"]
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(80):
        length = (5, 40, 200, 1000)[step % 4]
        prompt = torch.randint(2, 258, (length,)).tolist() + ask
        labels = torch.tensor([[-100] * len(prompt) + answer])
        model(input_ids=torch.tensor([prompt + answer]), labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
