"""What the checks read and what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from stages.context import Box

__all__ = ["FINDING_TYPES", "Context", "Finding", "FindingType", "Messages"]

FindingType = Literal[
    "schema", "mention", "leak", "language", "length", "object", "count", "position", "colour", "text"
]

FINDING_TYPES: tuple[FindingType, ...] = get_args(FindingType)

Messages = Sequence[Mapping[str, Any]]
"""The turns of a conversation: ``{role, content}``."""


@dataclass(frozen=True)
class Context:
    """What is known of an image."""

    captions: Sequence[str] = ()
    boxes: Sequence[Box] | None = None
    """None where nobody annotated the image: then nothing is known of numbers and places."""
    transcript: str | None = None


@dataclass(frozen=True)
class Finding:
    """One thing wrong with a conversation."""

    type: FindingType
    turn: int
    """Which message, from 0."""
    start: int
    """Where in its content it begins, in characters."""
    end: int
    message: str
    """One short sentence in English."""
