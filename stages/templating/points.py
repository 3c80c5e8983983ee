"""Points in an answer, as Molmo's models write them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

__all__ = ["NONE", "Point", "PointFormat", "points_text"]

PointFormat = Literal["pixmo", "molmo2"]
"""``pixmo`` (Deitke et al. 2024, allenai/molmo): ``<point x="12.3" y="45.6" alt="dog">dog</point>``, for several
``<points x1= y1= x2= ...>``; 0-100 with one decimal. ``molmo2`` (allenai/molmo2):
``<points coords="1 1 123 456 2 234 567">dogs</points>``: the image's number, then number, x and y of each point; 0-1000
in three digits at least."""

Point = tuple[float, float]
"""x and y in percent of width and height, with one decimal."""

NONE = "There are none."
"""The answer where there is nothing to point to, in both formats."""


def points_text(name: str, points: Sequence[Point], form: PointFormat = "pixmo") -> str:
    """Return the tag that points at ``name``, the points in the order given; ``NONE`` where there are none.

    Args:
        name: what is pointed at; free of quotes and angle brackets.
        points: where, sorted by x then y as in PixMo.
        form: how they are written.
    """
    if not points:
        return NONE
    if form == "molmo2":
        places = " ".join(f"{place} {10 * x:03.0f} {10 * y:03.0f}" for place, (x, y) in enumerate(points, 1))
        return f'<points coords="1 {places}">{name}</points>'
    if len(points) == 1:
        x, y = points[0]
        return f'<point x="{x:.1f}" y="{y:.1f}" alt="{name}">{name}</point>'
    places = " ".join(f'x{place}="{x:.1f}" y{place}="{y:.1f}"' for place, (x, y) in enumerate(points, 1))
    return f'<points {places} alt="{name}">{name}</points>'
