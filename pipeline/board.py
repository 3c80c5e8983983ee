"""Where workers pin up what the driver is to see before they are through; a Ray actor.

It holds bytes (packed outcomes, lines of progress) and has a module of its own, so that its process imports nothing and
is there at once.
"""

from __future__ import annotations

__all__ = ["Board"]


class Board:
    """What was pinned up, in the order it came."""

    def __init__(self) -> None:
        self.pinned: list[bytes] = []

    def pin(self, note: bytes) -> None:
        """Add something."""
        self.pinned.append(note)

    def take(self) -> list[bytes]:
        """Return what was pinned since the last call."""
        taken, self.pinned = self.pinned, []
        return taken
