"""Errors, named for what the run does about them.

ShowtellError
├── ConfigError   the user's mistake: reported before any work starts, exit 2
├── FatalError    the run cannot go on (a model that does not load, a lost disk): exit 1
├── Paused        the run stops in good order, to be continued by the same command (the money is used up): exit 3
└── Reject        one sample goes no further: its row is marked with the reason, the run goes on
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["ConfigError", "FatalError", "Mistake", "Paused", "Reject", "ShowtellError", "nearest"]


class ShowtellError(Exception):
    """Base of every error Showtell raises on purpose."""


@dataclass(frozen=True)
class Mistake:
    """One thing wrong with a config or a command line.

    Attributes:
        key: dotted path of the setting, such as ``stages[2].keep``.
        value: what stands there now, shortened for display; empty where nothing does.
        problem: what is wrong and, where known, what would be right.
    """

    key: str
    value: str
    problem: str

    def __str__(self) -> str:
        shown = f" = {self.value}" if self.value else ""
        return re.sub(r"\s*\n\s*", " ", f"{self.key}{shown}: {self.problem}")


class ConfigError(ShowtellError):
    """Everything wrong with one file, one line a mistake."""

    def __init__(self, file: str, mistakes: Iterable[Mistake]) -> None:
        self.file = file
        self.mistakes = tuple(mistakes)
        super().__init__(file, self.mistakes)

    def __str__(self) -> str:
        return "\n".join(f"{self.file}: {mistake}" for mistake in self.mistakes)


class FatalError(ShowtellError):
    """The run cannot go on; the message is one clear line for the user."""


class Paused(ShowtellError):
    """The run stops in good order; the message is one clear line that says why and how to go on."""


class Reject(ShowtellError):
    """One sample goes no further.

    Args:
        reason: snake_case constant, one of the stage's ``reasons``.
        detail: what exactly happened, for a person.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(reason, detail)


def nearest(name: str, valid: Iterable[str]) -> str:
    """Return " (did you mean X?)" for the valid name nearest to ``name``, or the list of valid names."""
    names = sorted(valid)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f" (did you mean {close[0]}?)"
    return f" (valid: {', '.join(names)})" if names else ""
