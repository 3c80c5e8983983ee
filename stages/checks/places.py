"""Where box centres lie: of one another, and in the image."""

from __future__ import annotations

from collections.abc import Callable, Iterable

__all__ = ["COMPARISONS", "HALVES", "Point", "in_halves"]

Point = tuple[float, float]
"""x from the left and y from the top, 0-1."""

MARGIN = 0.02
"""How far a centre may lie on the wrong side of another, as a share of the image."""
HALF_MARGIN = 0.06
"""How far a centre may lie beyond the middle of the image, as a share of it; not at all for its corners and edges."""


def _beside(axis: int, sign: int) -> Callable[[Point, Point], bool]:
    return lambda centre, other: sign * (centre[axis] - other[axis]) > -MARGIN


COMPARISONS: dict[str, Callable[[Point, Point], bool]] = {
    "left": _beside(0, -1), "right": _beside(0, 1),
    **dict.fromkeys(["above", "higher"], _beside(1, -1)),
    **dict.fromkeys(["below", "beneath", "underneath", "under", "lower"], _beside(1, 1)),
}
"""Whether the first of two centres lies there, seen from the second."""

HALVES: dict[str, tuple[int, int]] = {
    "left": (0, -1), "left-hand": (0, -1), "right": (0, 1), "right-hand": (0, 1),
    "top": (1, -1), "upper": (1, -1), "bottom": (1, 1), "lower": (1, 1),
}
"""Axis and direction of the halves of an image."""


def in_halves(centre: Point, names: Iterable[str], *, at_edge: bool) -> bool:
    """Tell whether a centre lies in all of these halves; ``at_edge``: of an edge or corner, so not in the middle."""
    margin = 0.0 if at_edge else HALF_MARGIN
    return all(sign * (centre[axis] - 0.5) > -margin for axis, sign in (HALVES[name] for name in names))
