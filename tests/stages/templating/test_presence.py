"""Yes and no questions are balanced."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from stages.checks import Context
from stages.context import Box
from stages.templating.presence import presence
from stages.templating.scene import Scene

BOXES = [
    Box(label=name, box=[place / 5, 0.1, place / 5 + 0.1, 0.3])
    for place, name in enumerate(["dog", "cat", "bus", "bus"])
]
ABSENT = ["zebra", "kite", "pizza", "umbrella"]


def verdicts(boxes: list[Box], absent: list[str], most: int, seed: int = 0) -> Counter[str]:
    scene = Scene(Context([], boxes), absent)
    found = presence(scene.names, scene.absent, scene, most, random.Random(seed))
    return Counter(answer.split(",")[0] for _, answer in found)


@pytest.mark.parametrize(("most", "each"), [(2, 1), (3, 1), (6, 3), (20, 3)])
def test_as_often_yes_as_no(most: int, each: int) -> None:
    """Of every sample half the answers are yes, as far as there is enough of both."""
    assert verdicts(BOXES, ABSENT, most) == {"Yes": each, "No": each}


def test_single_question_is_either() -> None:
    """With room for one, chance decides which."""
    drawn = sum((verdicts(BOXES, ABSENT, 1, seed) for seed in range(200)), Counter())
    assert drawn.total() == 200
    assert 70 < drawn["Yes"] < 130


@pytest.mark.parametrize(("boxes", "absent"), [([], ABSENT), (BOXES, []), (BOXES, ["dog", "cat"])])
def test_one_sided_image_is_not_asked_about(boxes: list[Box], absent: list[str]) -> None:
    """Where all answers would be the same there are none."""
    assert verdicts(boxes, absent, 4) == {}
