"""Captions for contrastive training: mirrored with the picture, or made false by one small change."""

from __future__ import annotations

import random
import re

from sample.grammar import NUMBERS, PLACES, plural, with_count
from sample.scenes import COLOURS, KINDS, Scene

__all__ = ["falsify", "mirror"]

MOST = 4  # of one group
SINGULARS = {form: kind for kind in KINDS for form in (kind, plural(kind))}
COUNTS = {"a": 1, "an": 1} | {NUMBERS[count]: count for count in range(2, MOST + 1)}
GROUP = re.compile(
    rf"\b({'|'.join(COUNTS)}) (small |large )?({'|'.join(COLOURS)}) "
    rf"({'|'.join(sorted(SINGULARS, key=len, reverse=True))})\b",
    re.IGNORECASE,
)
OPPOSITES = {"left": "right", "above": "below"}
OPPOSITES |= {second: first for first, second in OPPOSITES.items()}
POSITION = re.compile(r"\b(left|right|above|below)\b")
PLACE = re.compile("|".join(PLACES.values()), re.IGNORECASE)


def mirror(caption: str) -> str:
    """What is true of the picture flipped left to right."""
    return re.sub(r"\b(left|right)\b", lambda match: OPPOSITES[match[0]], caption)


def falsify(caption: str, scene: Scene, rng: random.Random) -> str:
    """The caption with one count, colour, kind, position or place changed, so that it is not true any more."""
    position, place = POSITION.search(caption), PLACE.search(caption)
    if position and rng.random() < 0.3:
        return _replace(caption, position, OPPOSITES[position[0]])
    groups = list(GROUP.finditer(caption))
    if place and (not groups or rng.random() < 0.15):
        return _replace(caption, place, rng.choice([p for p in PLACES.values() if p != PLACES[scene.background]]))
    if not groups:
        raise ValueError(f"no group of things in the caption {caption!r}")
    match = rng.choice(groups)
    return _replace(caption, match, _another_group(match, scene, rng))


def _another_group(match: re.Match[str], scene: Scene, rng: random.Random) -> str:
    size = (match[2] or "").lower()
    true = {(group.count, group.colour, group.kind) for group in scene.groups}
    while True:
        count, colour, kind = COUNTS[match[1].lower()], match[3].lower(), SINGULARS[match[4].lower()]
        change = rng.choice(("count", "colour", "kind"))
        if change == "count":
            count = rng.randint(1, MOST)
        elif change == "colour":
            colour = rng.choice(COLOURS)
        else:
            kind = rng.choice(KINDS)
        if (count, colour, kind) not in true:
            return with_count(f"{size}{colour} {kind if count == 1 else plural(kind)}", count)


def _replace(caption: str, match: re.Match[str], text: str) -> str:
    return caption[: match.start()] + text + caption[match.end() :]
