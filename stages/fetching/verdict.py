"""What one rule of consent says about one URL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["Rule", "Verdict", "shortened"]

Rule = Literal["robots_txt", "x_robots_tag", "tdmrep"]

MAX_QUOTE: Final = 200
"""Characters of a host's own words that a source quotes."""


@dataclass(frozen=True)
class Verdict:
    """Whether a rule lets us use a URL, and who says so.

    Attributes:
        source: where that stands and what it says, such as ``http://a.example/robots.txt: Disallow: /private/``.
            The same answers of a host give the same text.
    """

    rule: Rule
    allowed: bool
    source: str


def shortened(text: str) -> str:
    """Return a host's words as a source may quote them: one line of valid Unicode, not too long."""
    line = " ".join(text.encode(errors="replace").decode().split())
    return line if len(line) <= MAX_QUOTE else f"{line[: MAX_QUOTE - 3]}..."
