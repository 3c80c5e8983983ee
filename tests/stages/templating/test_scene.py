"""What an image settles: which numbers are certain, and what is surely not there."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from stages.checks import Context
from stages.context import Box
from stages.templating.scene import Scene


def box(label: str, *edges: float) -> Box:
    return Box(label=label, box=edges)


def scene(boxes: Sequence[Box], captions: Sequence[str] = (), absent: Sequence[str] = (), said: str = "") -> Scene:
    return Scene(Context(captions, boxes, said), absent)


def row_of(label: str, number: int) -> list[Box]:
    return [box(label, place / number, 0.4, (place + 0.5) / number, 0.6) for place in range(number)]


@pytest.mark.parametrize(
    ("boxes", "captions", "certain"),
    [
        (row_of("dog", 1), [], True),
        (row_of("dog", 9), [], True),
        (row_of("dog", 10), [], False),
        ([box("dog", 0.1, 0.1, 0.5, 0.5), box("dog", 0.4, 0.1, 0.8, 0.5)], [], True),
        ([box("dog", 0.1, 0.1, 0.5, 0.5), box("dog", 0.11, 0.1, 0.52, 0.49)], [], False),
        ([box("dog", 0.1, 0.1, 0.9, 0.9), box("dog", 0.4, 0.4, 0.5, 0.5)], [], False),
        (row_of("dog", 2), ["three dogs on a lawn"], False),
        (row_of("dog", 3), ["two dogs on a lawn"], True),
        (row_of("dog", 1), ["dogs on a lawn"], False),
        (row_of("dog", 2), ["a dog beside a mirror"], False),
        (row_of("person", 3), ["a player in front of a crowd"], False),
        (row_of("person", 3), ["a man and two women"], True),
        ([*row_of("dog", 1), box("animal", 0, 0, 0.1, 0.1)], [], False),
        ([*row_of("dog", 1), box("hunting dog", 0, 0, 0.1, 0.1)], [], False),
        ([*row_of("dog", 1), box("hot dog", 0, 0, 0.1, 0.1)], [], True),
    ],
)
def test_numbers_in_doubt(boxes: list[Box], captions: list[str], certain: bool) -> None:
    """Many boxes, boxes of one thing, kindred labels, mirrors, crowds and greater numbers in a text leave doubt."""
    assert scene(boxes, captions).is_counted("person" if boxes[0]["label"] == "person" else "dog") == certain


def test_several_needs_two_boxes_apart() -> None:
    """Two boxes of one thing are not several."""
    assert scene(row_of("dog", 2)).has_several("dog")
    assert not scene([box("dog", 0.1, 0.1, 0.5, 0.5), box("dog", 0.11, 0.1, 0.5, 0.5)]).has_several("dog")


@pytest.mark.parametrize(
    ("label", "caption"),
    [
        ("person", "a man on a bench"), ("person", "a skier on a slope"), ("couch", "a cat on a sofa"),
        ("dog", "a puppy in the grass"), ("dog", "an animal in the grass"), ("bicycle", "a cyclist on a road"),
        ("airplane", "a jet above the clouds"), ("tv", "a man watches television"), ("hot dog", "two hot dogs"),
        ("cell phone", "she talks on her phone"), ("surfboard", "a man surfing"), ("bench", "an empty seat"),
    ],
)
def test_nothing_is_absent_that_a_text_names(label: str, caption: str) -> None:
    """Not by another name, not by a kind of it, not by what it is a kind of or what implies it."""
    assert scene([], ["a zebra"], [label]).absent == [label]
    assert scene([], [caption], [label]).absent == []
    assert scene([], [], [label], said=caption).absent == []


@pytest.mark.parametrize("boxed", ["sofa", "Couch", "furniture", "corner sofa", "leather_couch"])
def test_nothing_is_absent_that_a_box_names(boxed: str) -> None:
    """Labels count as texts do."""
    assert scene([box(boxed, 0, 0, 1, 1)], [], ["couch", "zebra"]).absent == ["zebra"]


def test_names_that_can_be_asked_about() -> None:
    """Labels are names where they are plain words in the singular."""
    odd = ['a"b', "<image>", "", "dogs", "other", "the cat", "caption", "bounding box", "3d printer"]
    boxes = [box(label, 0, 0, 1, 1) for label in [*odd, "Sports_Car", "sheep", "bus", "T-shirt"]]
    assert scene(boxes).names == ["bus", "sheep", "sports car", "t-shirt"]
    assert scene([], [], [*odd, "Fire_Hydrant"]).absent == ["fire hydrant"]


def test_points_are_box_centres_in_order() -> None:
    """In percent with one decimal, by x then y."""
    boxes = [box("dog", 0.5, 0, 0.7, 1), box("Dog", 0.1, 0.2, 0.3, 0.4), box("dog", 0.1, 0, 0.3, 0.334)]
    assert scene(boxes).points("dog") == [(20.0, 16.7), (20.0, 30.0), (60.0, 50.0)]
    assert scene(boxes).points("cat") == []
