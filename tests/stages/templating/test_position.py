"""Relative positions are said only where nobody can doubt them."""

from __future__ import annotations

import random

import pytest

from stages.checks import Context
from stages.context import Box
from stages.templating.position import position, relations
from stages.templating.scene import Edges, Scene

LEFT_TOP, RIGHT_TOP, RIGHT_BOTTOM = [0.0, 0.0, 0.3, 0.3], [0.6, 0.1, 0.9, 0.4], [0.6, 0.6, 0.9, 0.9]


@pytest.mark.parametrize(
    ("box", "other", "found"),
    [
        (LEFT_TOP, RIGHT_TOP, ["left"]), (RIGHT_TOP, LEFT_TOP, ["right"]),
        (RIGHT_TOP, RIGHT_BOTTOM, ["above"]), (RIGHT_BOTTOM, RIGHT_TOP, ["below"]),
        (LEFT_TOP, RIGHT_BOTTOM, ["left", "above"]), (RIGHT_BOTTOM, LEFT_TOP, ["right", "below"]),
        (LEFT_TOP, LEFT_TOP, []), (LEFT_TOP, [0.29, 0.0, 0.6, 0.3], []), (LEFT_TOP, [0.34, 0.0, 0.6, 0.3], []),
        (LEFT_TOP, [0.36, 0.0, 0.6, 0.3], ["left"]),
    ],
)
def test_relations_need_a_clear_distance(box: Edges, other: Edges, found: list[str]) -> None:
    """Boxes that overlap or nearly touch along an axis have no order on it."""
    assert relations(box, other) == found


def asked(boxes: list[Box], seed: int = 0) -> list[tuple[str, str]]:
    scene = Scene(Context([], boxes), [])
    return [tuple(found) for found in position(scene.names, scene, 9, random.Random(seed))]


def test_only_what_there_is_one_of() -> None:
    """Of two cats, "the cat" would be either."""
    dog, cat = Box(label="dog", box=LEFT_TOP), Box(label="cat", box=RIGHT_TOP)
    assert len(asked([dog, cat])) == 1
    assert asked([dog, cat, Box(label="cat", box=RIGHT_BOTTOM)]) == []


def test_open_question_only_where_one_answer_is_right() -> None:
    """What is left of and above another is asked for along one axis."""
    diagonal = [Box(label="dog", box=LEFT_TOP), Box(label="cat", box=RIGHT_BOTTOM)]
    for seed in range(60):
        [(question, answer)] = asked(diagonal, seed)
        words = {"left", "right", "side"} if "left" in answer or "right" in answer else {"above", "higher"}
        assert words & set(question.replace("?", "").split()), (question, answer)


def test_both_orders_and_all_four_relations() -> None:
    """Either of the two is asked for, and what is said is true of the boxes."""
    boxes = {"dog": LEFT_TOP, "cat": RIGHT_TOP, "bus": RIGHT_BOTTOM}
    words = {"left": "left", "right": "right", "above": "above", "higher": "above", "below": "below", "lower": "below"}
    said = set()
    for seed in range(40):
        for _, answer in asked([Box(label=name, box=edges) for name, edges in boxes.items()], seed):
            name, other = answer.split()[1], answer.rstrip(".").split()[-1]
            relation = next(words[word] for word in answer.split() if word in words)
            assert relation in relations(boxes[name], boxes[other])
            said.add((name, other, relation))
    assert {relation for _, _, relation in said} == {"left", "right", "above", "below"}
    assert {("dog", "cat", "left"), ("cat", "dog", "right")} <= said
