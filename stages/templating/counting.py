"""How many there are, and where each of them is."""

from __future__ import annotations

import random

from stages.templating.exchange import Exchange
from stages.templating.points import NONE, PointFormat, points_text
from stages.templating.scene import Scene
from stages.wordings import COUNTING, POINT_COUNT, POINT_COUNTED, POINTING, plural

__all__ = ["counting", "point_count", "pointing"]


def counting(name: str, scene: Scene, rng: random.Random) -> Exchange:
    """Return how many there are."""
    return Exchange(rng.choice(COUNTING).format(plural=plural(name)), _number(name, len(scene.points(name))))


def pointing(name: str, scene: Scene, rng: random.Random, form: PointFormat) -> Exchange:
    """Return where each of them is."""
    return Exchange(rng.choice(POINTING).format(plural=plural(name)), _points(name, scene, form))


def point_count(name: str, scene: Scene, rng: random.Random, form: PointFormat) -> Exchange:
    """Return where each of them is and then, as PixMo counts, how many that makes."""
    question = rng.choice(POINT_COUNT).format(plural=plural(name))
    number = len(scene.points(name))
    if not number:
        return Exchange(question, NONE)
    answer = rng.choice(POINT_COUNTED).format(points=_points(name, scene, form), number=_number(name, number))
    return Exchange(question, answer)


def _number(name: str, number: int) -> str:
    return f"There is 1 {name}." if number == 1 else f"There are {number} {plural(name)}."


def _points(name: str, scene: Scene, form: PointFormat) -> str:
    points = scene.points(name)
    return points_text(name if len(points) == 1 else plural(name), points, form)
