"""Patterns of URL paths as robots.txt (RFC 9309, 2.2.2 and 2.2.3) and TDMRep have them."""

from __future__ import annotations

import re
import string
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from yarl import URL

__all__ = ["PathPattern", "path_of"]

ESCAPE: Final = re.compile("%([0-9A-Fa-f]{2})")
UNRESERVED: Final = frozenset(string.ascii_letters + string.digits + "-._~")
"""RFC 3986, 2.3: an escape of one of these means the character itself."""
KEPT: Final = "%/?#[]@!&'()+,;=:"
"""Reserved characters that mean something else when escaped. ``$`` and ``*`` are not among them: a pattern can
only name them by their escapes, and a URL has them either way."""


@dataclass(frozen=True, slots=True)
class PathPattern:
    """A prefix of paths; ``*`` stands for any characters, a ``$`` at the end for the end of the path.

    Case counts. Matching takes time in proportion to the path, whatever the pattern.

    Attributes:
        text: the pattern as its host wrote it.
        pieces: what stands between the stars, escapes spelled in one way.
        to_end: the pattern must match the whole path.
    """

    text: str
    pieces: tuple[str, ...]
    to_end: bool

    @classmethod
    def parse(cls, text: str) -> PathPattern:
        """Read a pattern; one that starts with neither ``/`` nor ``*`` matches nothing."""
        to_end = text.endswith("$")
        pieces = text.removesuffix("$").split("*")
        return cls(text, tuple(_spelled(piece) for piece in pieces), to_end)

    def __len__(self) -> int:
        """Return how specific the pattern is: its length in octets (RFC 9309, 2.2.2)."""
        return sum(map(len, self.pieces)) + len(self.pieces) - 1 + self.to_end

    def matches(self, path: str) -> bool:
        """Tell whether the pattern holds for a path, as ``path_of`` gives it."""
        first, *rest = self.pieces
        if not rest:
            return path == first if self.to_end else path.startswith(first)
        if not path.startswith(first):
            return False
        at = len(first)
        for piece in rest[:-1]:
            found = path.find(piece, at)
            if found < 0:
                return False
            at = found + len(piece)
        last = rest[-1]
        return path.endswith(last, at) if self.to_end else path.find(last, at) >= 0


def path_of(url: URL) -> str:
    """Return the path and query of a URL, spelled as patterns are."""
    return _spelled(url.raw_path_qs)


def _spelled(text: str) -> str:
    """Return the one spelling of all those that mean the same path."""
    return quote(ESCAPE.sub(_unescaped, text), safe=KEPT, errors="replace")


def _unescaped(escape: re.Match[str]) -> str:
    character = chr(int(escape[1], 16))
    return character if character in UNRESERVED else escape[0].upper()
