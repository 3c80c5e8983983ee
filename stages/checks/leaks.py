"""Questions that give away their answers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from stages.checks.words import FUNCTION_WORDS, lemmas, words

__all__ = ["leaks"]

LEAST_NEW = 0.35
"""The least share of an answer's words that the question must not have."""
LEAST_WORDS = 3

GIVES_REASON = re.compile(
    r"\b(?:because(?! of (?:what|which))|since (?:it|they|he|she|the|there)|due to the fact|as a result of)\b"
)
TAG = re.compile(r",\s*(?:isn't|aren't|doesn't|don't|wasn't|right|correct|won't|can't|didn't)\b[^,]*\?\s*$")


def leaks(question: str, answer: str) -> Iterator[tuple[int, int, str]]:
    """Yield the question's characters and a message where it gives away the answer."""
    lowered = question.lower()
    if found := GIVES_REASON.search(lowered) or TAG.search(lowered):
        yield found.start(), len(question), "the question tells the reason that the answer should find"
        return
    said = _content(answer)
    if len(said) >= LEAST_WORDS and len(said - _content(question)) < LEAST_NEW * len(said):
        yield 0, len(question), "the answer says hardly more than the question"


def _content(text: str) -> set[str]:
    return {
        lemmas(word.text)[-1] for word in words(text.lower())
        if not word.is_sign and word.text not in FUNCTION_WORDS and word.text != "'s"
    }
