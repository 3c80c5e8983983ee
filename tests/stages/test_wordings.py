"""Wordings and plurals."""

from __future__ import annotations

import subprocess
import sys

import pytest

from stages.wordings import (
    BRIEF,
    COUNTING,
    DETAIL,
    POINT_COUNT,
    POINTING,
    PRESENCE,
    RELATIVE,
    drawn,
    generator,
    is_countable,
    plural,
    with_article,
)


@pytest.mark.parametrize(
    ("one", "many"),
    [
        ("boat", "boats"), ("person", "people"), ("dining table", "dining tables"), ("wine glass", "wine glasses"),
        ("bus", "buses"), ("knife", "knives"), ("sheep", "sheep"), ("mouse", "mice"), ("couch", "couches"),
        ("toothbrush", "toothbrushes"), ("teddy bear", "teddy bears"), ("baby", "babies"), ("toy", "toys"),
        ("fireman", "firemen"), ("human", "humans"), ("scissors", "scissors"), ("hair drier", "hair driers"),
        ("tv", "tvs"), ("box", "boxes"), ("fish", "fish"),
    ],
)
def test_plural(one: str, many: str) -> None:
    """Common names of objects have their English plural."""
    assert plural(one) == many


@pytest.mark.parametrize(
    "name",
    ["a boat", "an apple", "an umbrella", "a unicycle", "a urinal", "an urn", "a utensil", "an hourglass", "a tv",
     "an suv", "a ledge", "a used car", "an old tv", "a house", "a one-way sign"],
)
def test_article(name: str) -> None:
    """The article goes by the sound of the first word."""
    assert with_article(name.partition(" ")[2]) == name


def test_countable() -> None:
    """What cannot follow a number as it is, is known."""
    assert is_countable("boat")
    assert not is_countable("scissors")
    assert not is_countable("beach sand")


@pytest.mark.parametrize("wordings", [BRIEF, DETAIL, COUNTING, POINTING, POINT_COUNT, PRESENCE, RELATIVE])
def test_wordings_differ(wordings: tuple[str, ...]) -> None:
    """No wording stands twice, and every one is drawn sooner or later."""
    assert len(set(wordings)) == len(wordings)
    assert {drawn(wordings, 0, number) for number in range(300)} == set(wordings)


def test_draws_are_the_same_in_every_process() -> None:
    """What is drawn depends on the parts alone, not on Python's hash seed."""
    code = "from stages.wordings import generator; print(generator(0, 'id').random())"
    runs = [
        subprocess.run([sys.executable, "-c", code], env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
                       capture_output=True, text=True, check=True).stdout
        for seed in "12"
    ]
    assert runs == [f"{generator(0, 'id').random()}\n"] * 2
    assert generator(0, "id").random() != generator(1, "id").random()
