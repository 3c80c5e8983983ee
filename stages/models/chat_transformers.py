"""A chat model in this process: a causal language model and its chat template, by transformers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from jinja2 import TemplateError
from transformers import AutoModelForCausalLM, AutoTokenizer

from schemas.errors import FatalError, Reject
from stages.models.chat import ChatConfig, ChatReply, ChatRequest, Message
from stages.models.identity import TRANSFORMERS_BATCH, identity

__all__ = ["TransformersChat"]


UNLIMITED = 2**31
"""The context of a model that names no bound."""


class TransformersChat:
    """Answers greedily, in left-padded batches of 16 consecutive requests, on the GPU where there is one.

    The padding can move the last bits of a sum, so a batch is always the same requests: what is asked, and
    in which order, decides it, not what has been answered before.
    """

    together = TRANSFORMERS_BATCH

    def __init__(self, config: ChatConfig) -> None:
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._max_tokens = config.max_tokens
        self._load(config.model)
        self.identity = identity(config)
        text_config = self._model.config.get_text_config()
        self._context: int = getattr(text_config, "max_position_embeddings", None) or UNLIMITED
        ends = self._model.generation_config.eos_token_id
        self._ends = {ends} if isinstance(ends, int) else set(ends or ())
        self._special: list[str] = self._tokenizer.all_special_tokens
        self._pad: int = self._tokenizer.pad_token_id or 0
        self._check_template(config.model)

    def complete(self, requests: Sequence[ChatRequest]) -> Iterator[tuple[int, ChatReply | Reject]]:
        """Yield the replies batch by batch; see ``ChatModel``."""
        for start in range(0, len(requests), self.together):
            batch = requests[start : start + self.together]
            yield from enumerate(self._answer(batch), start)

    def close(self) -> None:
        """Nothing to give back: the weights go with the object."""

    def _load(self, model: str) -> None:
        dtype: Any = torch.float32 if self._device.type == "cpu" else "auto"
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(model)
            loaded: Any = AutoModelForCausalLM.from_pretrained(model, dtype=dtype)
        except (OSError, ValueError) as error:
            raise FatalError(f"chat model {model} does not load: {_one_line(error)}") from error
        self._model: Any = loaded.to(self._device).eval()

    def _check_template(self, model: str) -> None:
        try:
            self._prompt((Message(role="system", content="a"), Message(role="user", content="b")))
        except (TemplateError, ValueError) as error:
            problem = "has no chat template with a system message"
            raise FatalError(f"chat model {model} {problem}: {_one_line(error)}") from error

    def _prompt(self, messages: Sequence[Message]) -> list[int]:
        """Return the token ids up to where the assistant begins to speak."""
        safe = [{**message, "content": self._defused(message["content"])} for message in messages]
        text = self._tokenizer.apply_chat_template(safe, add_generation_prompt=True, tokenize=False)
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _defused(self, text: str) -> str:
        """Split special tokens written out in a text: a caption must not be able to end the user's turn."""
        for token in self._special:
            text = text.replace(token, f"{token[0]} {token[1:]}")
        return text

    def _answer(self, requests: Sequence[ChatRequest]) -> list[ChatReply | Reject]:
        prompts = [self._prompt(request.messages) for request in requests]
        fitting = [prompt for prompt in prompts if len(prompt) < self._context]
        replies = iter(self._generate(fitting) if fitting else ())
        return [
            next(replies) if len(prompt) < self._context
            else Reject("prompt_too_long", f"{len(prompt)} tokens; the context holds {self._context}")
            for prompt in prompts
        ]

    @torch.inference_mode()
    def _generate(self, prompts: list[list[int]]) -> list[ChatReply]:
        longest = max(map(len, prompts))
        ids = [[self._pad] * (longest - len(prompt)) + prompt for prompt in prompts]
        mask = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
        written = self._model.generate(
            input_ids=torch.tensor(ids, device=self._device),
            attention_mask=torch.tensor(mask, device=self._device),
            max_new_tokens=min(self._max_tokens, self._context - longest),
            do_sample=False, temperature=None, top_p=None, top_k=None,
            pad_token_id=self._pad,
        )[:, longest:].tolist()
        return [self._reply(prompt, new) for prompt, new in zip(prompts, written, strict=True)]

    def _reply(self, prompt: list[int], ids: list[int]) -> ChatReply:
        end = next((index for index, token in enumerate(ids) if token in self._ends), None)
        text = self._tokenizer.decode(ids[:end], skip_special_tokens=True)
        spent = len(ids) if end is None else end + 1
        return ChatReply(text, "length" if end is None else "stop", len(prompt), spent)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
