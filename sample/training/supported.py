"""Conversations about a scene that say nothing but what a context tells."""

from __future__ import annotations

import random
import re
from dataclasses import replace

from sample.grammar import PLACES, noun_in_number
from sample.scenes import COLOURS, Group, Scene
from sample.training.contexts import Context
from sample.wording import Turn, conversation, detail, reasoning

__all__ = ["write_detail", "write_reasoning", "write_turns"]

TRIES = 12
COLOUR = re.compile(rf"\b({'|'.join(COLOURS)})\b|[Cc]olou?r ", re.IGNORECASE)
SIZE = re.compile(r"\b(small|large|big)\b")
POSITION = re.compile(
    r"\b(left|right|above|below|middle of|near the middle|at the top|at the bottom|top|bottom|places|corner)\b"
)
PLACE = re.compile(r"background|behind everything|place|time of day|day or night|weather|would you wear|scene be")
WHOLE = re.compile(r"\b(in all|nothing|no|none|largest|most of|all the things|anything else)\b", re.IGNORECASE)
ONE_COLOUR = "red"


def write_turns(context: Context, rng: random.Random) -> list[Turn]:
    """Three or four turns; fewer where little is told, maybe none."""
    wanted = rng.choice((3, 3, 4))
    scene = _as_known(context)
    turns: dict[str, Turn] = {}
    answers: set[str] = set()
    for _ in range(TRIES if scene.things else 0):
        for turn in conversation(scene, rng):
            turn = Turn(_without_colour(turn.question, context), _without_colour(turn.answer, context))
            if turn.answer not in answers and _supported(f"{turn.question} {turn.answer}", context):
                turns.setdefault(turn.question, turn)
                answers.add(turn.answer)
            if len(turns) == wanted:
                return list(turns.values())
    return list(turns.values())


def write_detail(context: Context, rng: random.Random) -> str | None:
    """A description; None where nothing is told."""
    scene = _as_known(context)
    if not scene.things:
        return None
    text = detail(scene, rng)
    if not context.tells_place:
        text = text.replace(f" {PLACES[scene.background]}", "", 1)
    sentences = _without_colour(text, context).split(". ")
    kept = [sentences[0], *(sentence for sentence in sentences[1:] if _supported(sentence, context))]
    return ". ".join(kept).rstrip(".") + "."


def write_reasoning(context: Context, rng: random.Random) -> Turn | None:
    """A question that takes thought; None where too little is told."""
    scene = _as_known(context)
    for _ in range(TRIES if scene.things else 0):
        turn = reasoning(scene, rng)
        turn = Turn(_without_colour(turn.question, context), _without_colour(turn.answer, context))
        if _supported(f"{turn.question} {turn.answer}", context):
            return turn
    return None


def _as_known(context: Context) -> Scene:
    if context.complete or not context.with_boxes:
        return context.known_scene()
    # Boxes tell kinds and counts only: with one colour for all, a kind is one group, and the colour is cut out.
    things = tuple(replace(thing, colour=ONE_COLOUR) for thing in context.scene.things)
    return replace(context.scene, things=things)


def _without_colour(text: str, context: Context) -> str:
    if context.complete or not context.with_boxes:
        return text
    text = re.sub(rf"\b{ONE_COLOUR} ", "", text)
    return re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", text)


def _supported(text: str, context: Context) -> bool:
    return (
        (context.complete or not context.with_boxes or not COLOUR.search(text))
        and (context.with_boxes or not POSITION.search(text))
        and (context.tells_place or not PLACE.search(text))
        and (context.complete or context.with_boxes or not WHOLE.search(text))
        and (not SIZE.search(text) or all(map(context.tells_size, _named(text, context.scene))))
    )


def _named(text: str, scene: Scene) -> list[Group]:
    """The groups that a text names, all of a kind where it names no colour."""
    text = text.lower()
    return [
        group
        for group in scene.groups
        if re.search(rf"\b{noun_in_number(group.kind, group.count)}\b", text)
        or re.search(rf"\b{noun_in_number(group.kind, 2)}\b", text)
    ]
