"""A run whose downloads, CLIP evaluations and chat requests are counted where they arrive."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

from tests.stages.chat_server import ChatServer

__all__ = ["Log", "embeddings", "questions"]


class Log:
    """What CLIP embedded since the last look."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def taken(self) -> Counter[str]:
        """Return the lines, and forget them."""
        lines = Counter(self.file.read_text().splitlines()) if self.file.exists() else Counter()
        self.file.write_text("")
        return lines


def embeddings(pictures: dict[int, bytes]) -> Counter[str]:
    """Return the log lines of CLIP evaluations of these rows, once each."""
    images = (f"image {hashlib.sha256(picture).hexdigest()}" for picture in pictures.values())
    return Counter([*images, *(f"text caption {row}" for row in pictures)])


def questions(server: ChatServer, since: int) -> Counter[str]:
    """Return which rows the LLM was asked about, and how often."""
    asked = (sent["messages"][1]["content"] for sent in server.bodies[since:])
    return Counter(next(line for line in text.splitlines() if "caption " in line).split()[-1] for text in asked)
