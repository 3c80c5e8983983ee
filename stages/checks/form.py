"""The form of a conversation: roles, turns, and how long they are."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from typing import Any

from stages.checks.finding import Messages
from stages.checks.words import sentences
from stages.context import MARKUP

__all__ = ["length_faults", "schema_faults"]

REPEATS = 3
"""A sentence said so often is a loop."""
LEAST_REPEATED_WORDS = 4


def schema_faults(messages: Messages) -> Iterator[tuple[int, int, int, str]]:
    """Yield turn, start, end and message for what is no conversation of user and assistant in turns."""
    if not messages:
        yield 0, 0, 0, "there are no messages"
        return
    turns = list(messages)
    first = 1 if turns[0].get("role") == "system" else 0
    for turn, message in enumerate(turns):
        content = message.get("content")
        if turn >= first:
            expected = "user" if (turn - first) % 2 == 0 else "assistant"
            if message.get("role") != expected:
                yield turn, 0, _length(content), f"the role is {message.get('role')!r}, not {expected!r}"
        yield from ((turn, start, end, fault) for start, end, fault in _content_faults(content))
    if turns[-1].get("role") != "assistant":
        yield len(turns) - 1, 0, _length(turns[-1].get("content")), "the last turn is not the assistant's"


def _length(content: Any) -> int:
    return len(content) if isinstance(content, str) else 0


def _content_faults(content: Any) -> Iterator[tuple[int, int, str]]:
    if not isinstance(content, str):
        yield 0, 0, "the content is not text"
    elif not content.strip():
        yield 0, len(content), "it is empty"
    elif markup := MARKUP.search(content):
        yield *markup.span(), f"it holds markup: {markup[0]!r}"
    else:
        for place, sign in enumerate(content):
            if unicodedata.category(sign) == "Cc" and sign not in "\n\t":
                yield place, place + 1, "it holds a control character"
                return


def length_faults(content: str, least_words: int, most_words: int) -> Iterator[tuple[int, int, str]]:
    """Yield the characters and a message where a text is too short, too long, or repeats itself."""
    number = len(re.findall(r"\w+", content))
    if number < least_words:
        yield 0, len(content), f"{number} words, fewer than {least_words}"
    if number > most_words:
        yield 0, len(content), f"{number} words, more than {most_words}"
    said = Counter(text.strip().lower() for _, text in sentences(content) if text.count(" ") >= LEAST_REPEATED_WORDS)
    for text, times in said.most_common(1):
        if times >= REPEATS:
            start = content.lower().find(text)
            yield start, start + len(text), f"it says the same sentence {times} times"
