"""Where actors pin up outcomes for the driver to see before their part is through; a Ray actor.

It holds packed outcomes and a module of its own, so that its process imports nothing and is there at once.
"""

from __future__ import annotations

__all__ = ["Board"]


class Board:
    """Packed lists of outcomes, in the order they came."""

    def __init__(self) -> None:
        self.pinned: list[bytes] = []

    def pin(self, outcomes: bytes) -> None:
        """Add a packed list of outcomes."""
        self.pinned.append(outcomes)

    def take(self) -> list[bytes]:
        """Return what was pinned since the last call."""
        taken, self.pinned = self.pinned, []
        return taken
