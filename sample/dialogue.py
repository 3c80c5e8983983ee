"""Questions and answers about a scene, as a person and an assistant would exchange them."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from sample.grammar import (
    BACKGROUND_NAMES,
    NUMBERS,
    as_sentence,
    find_region,
    find_relations,
    groups_of_kind,
    is_or_are,
    join_list,
    noun_in_number,
    plural,
    refer,
    totals_by_kind,
    with_count,
)
from sample.scenes import COLOURS, KINDS, Scene

__all__ = ["Turn", "conversation"]


@dataclass(frozen=True)
class Turn:
    """One question and its answer."""

    question: str
    answer: str


def _ask_kinds(scene: Scene, rng: random.Random) -> Turn:
    named = join_list(
        [with_count(noun_in_number(kind, count), count) for kind, count in totals_by_kind(scene).items()]
    )
    question = rng.choice(
        ("What is in the picture?", "What can you see in this picture?", "Which things are shown?")
    )
    return Turn(
        question,
        as_sentence(rng.choice(("the picture shows {}", "I can see {}", "you can see {}")).format(named)),
    )


def _ask_count(scene: Scene, rng: random.Random) -> Turn:
    kind, count = rng.choice(list(totals_by_kind(scene).items()))
    groups = groups_of_kind(scene, kind)
    if len(groups) > 1 and rng.random() < 0.5:
        group = rng.choice(groups)
        return _count_turn(
            f"{group.colour} {noun_in_number(kind, group.count)}",
            f"{group.colour} {plural(kind)}",
            group.count,
            rng,
        )
    if len(groups) == 1 and rng.random() < 0.7:
        colour = groups[0].colour
        return _count_turn(f"{colour} {noun_in_number(kind, count)}", plural(kind), count, rng)
    return _count_turn(noun_in_number(kind, count), plural(kind), count, rng)


def _count_turn(answered: str, asked: str, count: int, rng: random.Random) -> Turn:
    question = rng.choice(
        ("How many {} are there?", "How many {} are in the picture?", "How many {} can you see?")
    )
    answer = f"There {is_or_are(count)} {NUMBERS[count]} {answered}." if count else "There are none."
    return Turn(question.format(asked), answer)


def _ask_total(scene: Scene, rng: random.Random) -> Turn:
    count = len(scene.things)
    question = rng.choice(("How many things are there in all?", "How many things does the picture show?"))
    return Turn(
        question, f"There {is_or_are(count)} {NUMBERS[count]} {noun_in_number('thing', count)} in all."
    )


def _ask_colour(scene: Scene, rng: random.Random) -> Turn:
    kind, count = rng.choice(list(totals_by_kind(scene).items()))
    groups = groups_of_kind(scene, kind)
    noun = noun_in_number(kind, count)
    if len(groups) > 1:
        parts = [f"{NUMBERS[group.count]} {is_or_are(group.count)} {group.colour}" for group in groups]
        return Turn(f"What colours are the {noun}?", as_sentence(join_list(parts)))
    question = rng.choice(
        (f"What colour {is_or_are(count)} the {noun}?", f"Which colour {_do(count)} the {noun} have?")
    )
    return Turn(question, f"The {noun} {is_or_are(count)} {groups[0].colour}.")


def _do(count: int) -> str:
    return "does" if count == 1 else "do"


def _ask_relation(scene: Scene, rng: random.Random) -> Turn | None:
    relations = find_relations(scene)
    if not relations:
        return None
    a, relation, b = rng.choice(relations)
    here, there = refer(a, scene, coloured=False), refer(b, scene, coloured=False)
    answer = f"{here} {is_or_are(a.count)} {relation} {there}"
    opposite = {"to the left of": "to the right of", "above": "below"}
    opposite |= {second: first for first, second in opposite.items()}
    if rng.random() < 0.5:
        return Turn(f"Where {is_or_are(a.count)} {here}, seen from {there}?", as_sentence(answer))
    if rng.random() < 0.5:
        return Turn(_question(f"{is_or_are(a.count)} {here} {relation} {there}"), f"Yes, {answer}.")
    return Turn(_question(f"{is_or_are(a.count)} {here} {opposite[relation]} {there}"), f"No, {answer}.")


def _question(text: str) -> str:
    return text[0].upper() + text[1:] + "?"


def _ask_region(scene: Scene, rng: random.Random) -> Turn | None:
    placed = [(group, region) for group in scene.groups if (region := find_region(group))]
    if not placed:
        return None
    group, region = rng.choice(placed)
    name = refer(group, scene, coloured=False)
    end = "" if region == "near the middle" else " of the picture"
    question = rng.choice(
        (
            f"Where {is_or_are(group.count)} {name}?",
            f"In which part of the picture {is_or_are(group.count)} {name}?",
        )
    )
    return Turn(question, as_sentence(f"{name} {is_or_are(group.count)} {region}{end}"))


def _ask_size(scene: Scene, rng: random.Random) -> Turn:
    group = rng.choice(scene.groups)
    name = refer(group, scene, coloured=False)
    answer = f"{name} {is_or_are(group.count)} {group.size}"
    if rng.random() < 0.5:
        return Turn(f"How big {is_or_are(group.count)} {name}?", as_sentence(answer))
    return Turn(f"{is_or_are(group.count).capitalize()} {name} large or small?", as_sentence(answer))


def _ask_background(scene: Scene, rng: random.Random) -> Turn:
    question = rng.choice(
        ("What is in the background?", "What is behind everything?", "What kind of background is it?")
    )
    return Turn(question, f"The background is {BACKGROUND_NAMES[scene.background]}.")


def _ask_absent(scene: Scene, rng: random.Random) -> Turn:
    kind = rng.choice([kind for kind in KINDS if kind not in totals_by_kind(scene)])
    if rng.random() < 0.4:
        return _count_turn("", plural(kind), 0, rng)
    named = with_count(kind, 1)
    question = rng.choice((f"Is there {named} in the picture?", f"Can you see {named}?"))
    return Turn(question, f"No, there is no {kind} in the picture.")


def _ask_wrong_colour(scene: Scene, rng: random.Random) -> Turn:
    kind, count = rng.choice(list(totals_by_kind(scene).items()))
    seen = [group.colour for group in groups_of_kind(scene, kind)]
    colour = rng.choice([colour for colour in COLOURS if colour not in seen])
    noun = noun_in_number(kind, count)
    return Turn(
        f"{is_or_are(count).capitalize()} the {noun} {colour}?",
        f"No, the {noun} {is_or_are(count)} {join_list(seen)}.",
    )


def _ask_present(scene: Scene, rng: random.Random) -> Turn:
    kind, count = rng.choice(list(totals_by_kind(scene).items()))
    question = rng.choice(
        (f"Is there {with_count(kind, 1)} in the picture?", f"Can you see {with_count(kind, 1)}?")
    )
    return Turn(
        question,
        f"Yes, there {is_or_are(count)} {with_count(noun_in_number(kind, count), count)} in the picture.",
    )


# Kinds of question that come more often are listed more than once.
QUESTIONS: tuple[Callable[[Scene, random.Random], Turn | None], ...] = (
    _ask_kinds,
    _ask_total,
    _ask_region,
    _ask_size,
    _ask_background,
    _ask_wrong_colour,
    _ask_present,
    *(2 * (_ask_count, _ask_colour, _ask_relation, _ask_absent)),
)


def conversation(scene: Scene, rng: random.Random) -> list[Turn]:
    """Three to five different questions about a scene with their true answers, none asked twice."""
    wanted = rng.randint(3, 5)
    turns: list[Turn] = []
    asked: set[str] = set()
    answered: set[str] = set()
    for ask in rng.sample(QUESTIONS, len(QUESTIONS)):
        turn = ask(scene, rng)
        if turn is None or turn.question in asked or turn.answer in answered:
            continue
        asked.add(turn.question)
        answered.add(turn.answer)
        turns.append(turn)
        if len(turns) == wanted:
            break
    return turns
