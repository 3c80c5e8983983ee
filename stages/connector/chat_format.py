"""Conversations as token sequences: the tokenizer's chat template, the image's place, and what is learnt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jinja2 import TemplateError
from numpy.typing import NDArray

from schemas.errors import FatalError

__all__ = ["CONTEXT", "IGNORED", "IMAGE", "ChatFormat", "Encoded"]

IMAGE = -200
"""Stands for one image feature among token ids (as in LLaVA, llava/constants.py)."""
IGNORED = -100
"""Label of a position nothing is learnt from; what PyTorch's cross entropy leaves out."""
CONTEXT = -1
"""Turn of a position that belongs to no answer."""

PLACEHOLDER = "<image>"

Message = Mapping[str, str]
Ids = NDArray[np.int32]


@dataclass(frozen=True)
class Encoded:
    """A conversation in tokens.

    Attributes:
        tokens: token ids, ``IMAGE`` where an image feature goes, (length,).
        turns: number of the answer a position belongs to, or ``CONTEXT``, (length,).
    """

    tokens: Ids
    turns: Ids

    @property
    def labels(self) -> Ids:
        """What to learn: the tokens of the answers and their ends, ``IGNORED`` elsewhere, (length,)."""
        return np.where(self.turns == CONTEXT, IGNORED, self.tokens).astype(np.int32)

    @property
    def answers(self) -> int:
        """Number of answers."""
        return int(self.turns.max(initial=CONTEXT)) + 1

    @property
    def answer_tokens(self) -> int:
        """Number of labelled positions."""
        return int(np.count_nonzero(self.turns != CONTEXT))

    def prompt(self, turn: int) -> Ids:
        """Return the tokens before an answer."""
        return self.tokens[: int(np.argmax(self.turns == turn))]

    def without_image(self) -> Encoded:
        """Return the same text with no image in it."""
        text = self.tokens != IMAGE
        return Encoded(self.tokens[text], self.turns[text])

    def cut(self, max_tokens: int) -> Encoded:
        """Keep the whole answers that end within ``max_tokens``, and what leads up to them."""
        if len(self.tokens) <= max_tokens:
            return self
        cut_answer = self.turns[max_tokens]
        kept = self.turns[:max_tokens]
        ends = np.flatnonzero((kept != CONTEXT) & (kept != cut_answer))
        length = int(ends[-1]) + 1 if len(ends) else 0
        return Encoded(self.tokens[:length], self.turns[:length])


class ChatFormat:
    """Writes conversations the way a language model was taught to read them.

    Args:
        tokenizer: a transformers tokenizer with a chat template.
        patches: features of an image, each of which takes one position.

    Attributes:
        stop: id of the token an answer ends with.

    Raises:
        FatalError: there is no chat template, or one whose answers cannot be told from the rest.
    """

    def __init__(self, tokenizer: Any, patches: int) -> None:
        self.tokenizer = tokenizer
        self.patches = patches
        self.ending = self._find_ending()
        self.stop: int = self._ids(self.ending)[0]

    def encode(self, messages: Sequence[Message]) -> Encoded:
        """Return a conversation with its image first in the first question.

        Context and answers are tokenised apart, as they are when the model writes an answer itself.
        """
        pieces: list[Ids] = []
        turns: list[Ids] = []
        for turn, text in self._spans(_with_placeholder(messages)):
            before, image, after = text.partition(PLACEHOLDER) if not pieces else (text, "", "")
            features = [IMAGE] * self.patches if image else []
            pieces.append(np.array([*self._ids(before), *features, *self._ids(after)], np.int32))
            turns.append(np.full(len(pieces[-1]), turn, np.int32))
        return Encoded(np.concatenate(pieces), np.concatenate(turns))

    def question(self, text: str) -> Ids:
        """Return the tokens of a question about an image, up to where the answer begins."""
        prompt = self._render(_with_placeholder([{"role": "user", "content": text}]), prompt=True)
        before, _, after = prompt.partition(PLACEHOLDER)
        return np.array([*self._ids(before), *[IMAGE] * self.patches, *self._ids(after)], np.int32)

    def imitates(self, messages: Sequence[Message]) -> bool:
        """Tell whether a text holds one of the tokenizer's control tokens and so could pass for a turn."""
        tokens = [token for token in self.tokenizer.all_special_tokens if token.strip()]
        return any(token in message["content"] for message in messages for token in tokens)

    def decode(self, ids: Ids) -> str:
        """Return the text of token ids."""
        text: str = self.tokenizer.decode(ids, skip_special_tokens=True)
        return text.strip()

    def _spans(self, messages: Sequence[Message]) -> list[tuple[int, str]]:
        """Cut the rendered conversation into contexts (``CONTEXT``, text) and answers (turn, text)."""
        spans, done, turn = [], "", 0
        for index, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            prompt = self._render(messages[:index], prompt=True)
            through = self._render(messages[: index + 1])
            if not (prompt.startswith(done) and through.startswith(prompt) and self.ending in through):
                raise FatalError("the language model's chat template rewrites earlier turns; it cannot be used")
            done_now = through[: through.rindex(self.ending) + len(self.ending)]
            spans += [(CONTEXT, prompt[len(done) :]), (turn, done_now[len(prompt) :])]
            done, turn = done_now, turn + 1
        return spans

    def _find_ending(self) -> str:
        """Return what the template writes after an answer, without the white space around it."""
        if not getattr(self.tokenizer, "chat_template", None):
            raise FatalError("the language model's tokenizer has no chat template")
        messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
        try:
            prompt, through = self._render(messages[:1], prompt=True), self._render(messages)
        except (TemplateError, ValueError, TypeError) as error:
            raise FatalError(f"the language model's chat template fails: {error}") from error
        ending = through[len(prompt) :].strip().removeprefix("b").strip()
        if not through.startswith(prompt) or not ending:
            raise FatalError("the language model's chat template does not mark where an answer ends")
        return ending

    def _render(self, messages: Sequence[Message], prompt: bool = False) -> str:
        text: str = self.tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=prompt
        )
        return text

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return ids


def _with_placeholder(messages: Sequence[Message]) -> list[Message]:
    first, *rest = messages
    return [{"role": first["role"], "content": PLACEHOLDER + first["content"]}, *rest]
