"""Counting the most frequent of any number of names in bounded memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

__all__ = ["CappedCounter"]

LONGEST_NAME = 400
"""Characters by which names are told apart."""


class CappedCounter(Counter[str]):
    """A counter that holds at most ``2 * cap`` names (Misra and Gries 1982, in blocks).

    Where there are more, all counts are lowered by that of the name after the ``cap`` most frequent, and what falls to
    nothing is forgotten. So a name's count is too low by at most ``error``, and none that occurs more often than
    ``error`` is missed. Up to ``2 * cap`` names every count is exact.

    Attributes:
        cap: names that are sure to be held.
        error: how much too low a count may be; 0 where every name has been held.
    """

    def __init__(self, cap: int = 10_000) -> None:
        super().__init__()
        self.cap, self.error = cap, 0

    def __reduce__(self) -> tuple[Any, ...]:
        return CappedCounter, (self.cap,), {"error": self.error}, None, iter(self.items())

    def add(self, names: Iterable[str]) -> None:
        """Count each of the names once more."""
        for name in names:
            self[name[:LONGEST_NAME]] += 1
            if len(self) > 2 * self.cap:
                self._lower()

    def merge(self, other: CappedCounter) -> None:
        """Add what another of the same cap has counted."""
        self.update(other)
        self.error += other.error
        if len(self) > 2 * self.cap:
            self._lower()

    def _lower(self) -> None:
        by = sorted(self.values(), reverse=True)[self.cap]
        self.error += by
        for name in [name for name, count in self.items() if count <= by]:
            del self[name]
        for name in self:
            self[name] -= by
