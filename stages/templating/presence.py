"""Whether something is there: as often yes as no, so that guessing one of them gains nothing."""

from __future__ import annotations

import random
from collections.abc import Sequence

from stages.templating.exchange import Exchange
from stages.templating.scene import Scene
from stages.wordings import ABSENT, PRESENCE, PRESENT, PRESENT_MANY, plural, with_article

__all__ = ["presence"]


def presence(
    present: Sequence[str], absent: Sequence[str], scene: Scene, most: int, rng: random.Random
) -> list[Exchange]:
    """Return at most ``most`` questions, half of them about what is there; a single one about either.

    Args:
        present: names with boxes.
        absent: names of what is not there.
        scene: the image.
        most: how many.
        rng: draws names and wordings.

    An image that cannot be asked about in both ways is not asked about at all: its answers would all be the same.
    """
    pairs = min(most // 2, len(present), len(absent))
    if not (present and absent):
        return []
    if most == 1:
        return [_present(rng.choice(present), scene, rng) if rng.random() < 0.5 else _absent(rng.choice(absent), rng)]
    found = [_present(name, scene, rng) for name in rng.sample(present, pairs)]
    found += [_absent(name, rng) for name in rng.sample(absent, pairs)]
    rng.shuffle(found)
    return found


def _present(name: str, scene: Scene, rng: random.Random) -> Exchange:
    wordings = PRESENT_MANY if scene.has_several(name) else PRESENT
    return Exchange(_question(name, rng), rng.choice(wordings).format(one=with_article(name), plural=plural(name)))


def _absent(name: str, rng: random.Random) -> Exchange:
    return Exchange(_question(name, rng), rng.choice(ABSENT).format(name=name, plural=plural(name)))


def _question(name: str, rng: random.Random) -> str:
    return rng.choice(PRESENCE).format(one=with_article(name), plural=plural(name))
