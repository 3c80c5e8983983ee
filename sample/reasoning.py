"""Questions that need a step of thought, with an answer worked out from what a scene shows."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from sample.dialogue import Turn
from sample.grammar import (
    NUMBERS,
    as_sentence,
    describe,
    is_or_are,
    join_list,
    noun_in_number,
    refer,
    totals_by_kind,
    with_count,
)
from sample.scenes import Scene

__all__ = ["reasoning"]

PLACE_REASONS: dict[str, tuple[str, str]] = {
    "grass field": ("there is grass on the ground and open sky above it", "it is outside, far from a city"),
    "beach": ("there is sand in front and sea behind it", "it is at the sea"),
    "night sky": ("the sky is dark and full of small lights", "it is outside at night"),
    "snow": ("there is snow on the ground and in the air", "it is outside in winter"),
    "city street": ("there is a road with tall buildings behind it", "it is in a city"),
    "room": ("there is a wall and a floor", "it is inside a house"),
    "desert": ("there are hills of sand and no water", "it is in a hot and dry place"),
    "under water": ("there is water everywhere, with small bubbles", "it is under the sea"),
    "brick wall": ("there is a wall of bricks behind everything", "it is close to a building"),
    "plain": ("the background is plain and empty", "nobody can tell the place"),
}
DAYLIGHT = ("grass field", "beach", "city street", "desert")


@dataclass(frozen=True)
class Family:
    """Kinds that belong together for a reason, and how to ask for them. `{be}` is "is" or "are"."""

    kinds: tuple[str, ...]
    questions: tuple[str, ...]
    rule: str
    some: str
    none: str


FAMILIES = (
    Family(
        ("cup", "key", "balloon", "umbrella", "flower", "mushroom"),
        ("Which things could a person hold in one hand?", "What could you hold in your hand here, and why?"),
        "A thing must be light and small to be held.",
        "could be held in one hand",
        "nothing here could be held in one hand",
    ),
    Family(
        ("person", "cat", "dog", "fish", "bird", "tree", "flower", "mushroom"),
        ("Is anything in the picture alive? Explain.", "Which things here are alive, and how do you know?"),
        "Plants, animals and people are alive, and other things are not.",
        "{be} alive",
        "nothing here is alive",
    ),
    Family(
        ("circle", "square", "triangle", "star", "heart"),
        ("Which things are simple shapes?", "Does the picture show simple shapes? Explain."),
        "A simple shape is only made of plain lines, corners or curves.",
        "{be} made like that",
        "there are no simple shapes here",
    ),
    Family(
        ("car", "boat"),
        ("How could someone travel far in this scene?", "Is there a way to travel here? Explain."),
        "To travel far, people need something that moves on a road or on water.",
        "can be used to travel",
        "there is no good way to travel here",
    ),
)


def reasoning(scene: Scene, rng: random.Random) -> Turn:
    """A question that does not give the content away and a worked answer of two to four sentences."""
    turns = [ask(scene, rng) for ask in REASONING] + [_belonging(scene, rng, family) for family in FAMILIES]
    return rng.choice([turn for turn in turns if turn is not None])


def _everything(scene: Scene) -> str:
    return join_list([describe(group) for group in scene.groups])


def _most(scene: Scene, rng: random.Random) -> Turn | None:
    ordered = sorted(scene.groups, key=lambda group: -group.count)
    if len(ordered) < 2 or ordered[0].count == ordered[1].count:
        return None
    first, second = ordered[:2]
    question = rng.choice(
        (
            "Which group of things is the largest, and how do you know?",
            "What does the picture show most of? Explain.",
        )
    )
    return Turn(
        question,
        f"There are {join_list([describe(group) for group in ordered])}. "
        f"{NUMBERS[first.count].capitalize()} is more than {NUMBERS[second.count]}. "
        f"So {refer(first, scene)} make the largest group.",
    )


def _sum(scene: Scene, rng: random.Random) -> Turn | None:
    if len(scene.groups) < 2:
        return None
    question = rng.choice(
        (
            "How many things are there in all? Work it out step by step.",
            "Count all the things, group by group. What do you get?",
        )
    )
    numbers = join_list([NUMBERS[group.count] for group in scene.groups])
    total = NUMBERS[len(scene.things)]
    return Turn(
        question,
        f"There {is_or_are(scene.groups[0].count)} {_everything(scene)}. "
        f"Together {numbers} make {total}. So there are {total} things in all.",
    )


def _place(scene: Scene, rng: random.Random) -> Turn:
    question = rng.choice(
        (
            "Where could this scene be, and why?",
            "In what kind of place is this? Explain.",
            "What place does the picture show, and how do you know?",
        )
    )
    clue, meaning = PLACE_REASONS[scene.background]
    ending = rng.choice((f"This tells us that {meaning}", f"So {meaning}"))
    seen = as_sentence(f"{_everything(scene)} can be seen there")
    return Turn(question, f"{as_sentence('in the picture ' + clue)} {ending}. {seen}")


def _time(scene: Scene, rng: random.Random) -> Turn | None:
    question = rng.choice(
        ("What time of day could it be, and why?", "Is it day or night in this scene? Explain.")
    )
    if scene.background == "night sky":
        clue = "The sky in the background is dark and full of small lights."
        return Turn(question, f"{clue} The sky is dark only after the sun goes down. So it is night.")
    if scene.background in DAYLIGHT:
        sun = " There is also a sun in the picture." if "sun" in totals_by_kind(scene) else ""
        clue = f"The sky in the background is bright.{sun}"
        return Turn(question, f"{clue} The sky is bright only when it is day. So it is day.")
    return None


def _weather(scene: Scene, rng: random.Random) -> Turn | None:
    question = rng.choice(
        ("What could the weather be like, and why?", "What would you wear in this scene? Explain.")
    )
    if scene.background == "snow":
        clue = "There is snow on the ground and in the air. Snow falls only when it is cold."
        return Turn(question, f"{clue} So the weather is cold, and a warm coat is needed.")
    if scene.background == "desert":
        clue = "The background is a desert with hills of sand. A desert is dry and often hot."
        return Turn(question, f"{clue} So the weather is likely hot, and light clothes are best.")
    count = totals_by_kind(scene).get("umbrella", 0)
    if count and scene.background not in ("under water", "room"):
        clue = f"I can see {with_count(noun_in_number('umbrella', count), count)}."
        rule = "People use an umbrella when it rains."
        return Turn(question, f"{clue} {rule} So it could rain soon, and a coat would help.")
    return None


def _belonging(scene: Scene, rng: random.Random, family: Family) -> Turn | None:
    totals = totals_by_kind(scene)
    fitting = {kind: count for kind, count in totals.items() if kind in family.kinds}
    if not fitting and rng.random() < 0.6:
        return None  # or answers that find nothing would be the most common ones
    named = join_list([with_count(noun_in_number(kind, count), count) for kind, count in totals.items()])
    conclusion = family.none
    if fitting:
        found = join_list([f"the {noun_in_number(kind, count)}" for kind, count in fitting.items()])
        conclusion = f"{found} {family.some.format(be=is_or_are(sum(fitting.values())))}"
    return Turn(rng.choice(family.questions), f"The picture shows {named}. {family.rule} So {conclusion}.")


REASONING: tuple[Callable[[Scene, random.Random], Turn | None], ...] = (_most, _sum, _place, _time, _weather)
