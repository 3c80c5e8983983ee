"""One question with its answer."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Exchange"]


class Exchange(NamedTuple):
    """What the user asks and the assistant answers."""

    question: str
    answer: str

    def messages(self) -> list[dict[str, str]]:
        """Return it as two messages."""
        return [{"role": "user", "content": self.question}, {"role": "assistant", "content": self.answer}]
