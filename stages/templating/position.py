"""Where one thing is, seen from another: in the plane of the image, as the viewer sees it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import combinations

from stages.templating.exchange import Exchange
from stages.templating.scene import Edges, Scene
from stages.wordings import HORIZONTAL, POSITIONED, RELATIVE, VERTICAL

__all__ = ["position", "relations"]

CLEAR = 0.05
"""Least distance between two boxes along an axis, as a share of the image: then nobody doubts which comes first."""


def position(names: Sequence[str], scene: Scene, most: int, rng: random.Random) -> list[Exchange]:
    """Return at most ``most`` questions about two things each, either of the two being asked for.

    Args:
        names: what may be asked about; only what has a single box is.
        scene: the image.
        most: how many.
        rng: draws pairs, order and wordings.
    """
    single = [name for name in names if len(scene.boxes[name]) == 1]
    pairs = [pair for pair in combinations(single, 2) if relations(*_boxes(scene, *pair))]
    chosen = [rng.sample(pair, 2) for pair in rng.sample(pairs, min(most, len(pairs)))]
    return [_exchange(scene, name, other, rng) for name, other in chosen]


def _exchange(scene: Scene, name: str, other: str, rng: random.Random) -> Exchange:
    """Return an open question where one relation alone is right, else one about an axis."""
    box, reference = _boxes(scene, name, other)
    where = rng.choice(relations(box, reference))
    wordings: tuple[str, ...] = HORIZONTAL if where in ("left", "right") else VERTICAL
    if _overlap(box[0::2], reference[0::2]) or _overlap(box[1::2], reference[1::2]):
        wordings += RELATIVE
    question = rng.choice(wordings).format(name=name, other=other)
    return Exchange(question, f"The {name} is {rng.choice(POSITIONED[where])} the {other}.")


def _boxes(scene: Scene, name: str, other: str) -> tuple[Edges, Edges]:
    return scene.boxes[name][0], scene.boxes[other][0]


def relations(box: Edges, other: Edges) -> list[str]:
    """Return where a box is, seen from another: left or right, above or below, where they lie ``CLEAR`` apart."""
    found = []
    for axis, (before, after) in enumerate((("left", "right"), ("above", "below"))):
        if other[axis] - box[axis + 2] >= CLEAR:
            found.append(before)
        elif box[axis] - other[axis + 2] >= CLEAR:
            found.append(after)
    return found


def _overlap(span: Sequence[float], other: Sequence[float]) -> bool:
    return span[0] < other[1] and other[0] < span[1]
