"""True text about a scene: captions, a spoken description and a detailed text, and, by way of this module,
conversations (`sample.dialogue`) and reasoning (`sample.reasoning`).

Everything is written from the scene itself, so every statement is true, and from one small vocabulary of
plain lower-case-able words, so that small models can learn it. Text never says where its knowledge comes
from. Colours are only named where every complete caption (the first two) names them too.
"""

import random
from collections.abc import Sequence

from sample.dialogue import Turn, conversation
from sample.grammar import (
    BACKGROUND_NAMES,
    NUMBERS,
    PLACES,
    as_sentence,
    describe,
    find_region,
    find_relations,
    is_or_are,
    join_list,
    noun_in_number,
    refer,
    tell_region,
)
from sample.reasoning import reasoning
from sample.scenes import Scene

__all__ = ["Turn", "captions", "conversation", "detail", "reasoning", "spoken_description"]


def captions(scene: Scene) -> list[str]:
    """Five different true captions of 4 to 20 words; the first two name every group with count and colour."""
    rng = random.Random(f"captions {scene.seed}")
    place = PLACES[scene.background]
    groups = rng.sample(scene.groups, len(scene.groups))
    everything = join_list([describe(group) for group in groups])
    backwards = join_list([describe(group) for group in reversed(groups)])
    with_sizes = join_list([describe(group, sized=True) for group in groups])
    main = max(groups, key=lambda group: (group.count, group.size == "large"))
    some = rng.choice(groups)
    templates = (
        ("{everything} {place}", "a picture of {everything} {place}", "{everything}, {place}"),
        (
            "{with_sizes} {place}",
            "a drawing of {backwards}",
            "a cartoon with {backwards}",
            "{backwards} in a picture",
        ),
        ("{main} {place}", "a picture with {main}", "a drawing of {main} {place}"),
        ("a scene {place} with {some}", "{some}, drawn {place}"),
        ("a small scene with {some}", "{large} in a simple picture", "a simple drawing with {large}"),
    )
    parts = {
        "everything": everything,
        "backwards": backwards,
        "with_sizes": with_sizes,
        "main": describe(main),
        "some": describe(some),
        "large": describe(some, sized=True),
        "place": place,
    }
    chosen = [rng.choice(wordings).format(**parts) for wordings in templates]
    chosen[3] = _positioned(scene, rng) or chosen[3]
    written: list[str] = []
    for caption in chosen:
        written.append(f"{caption}, simple style" if caption in written else caption)
    return [as_sentence(text) if rng.random() < 0.3 else text for text in written]


def _positioned(scene: Scene, rng: random.Random) -> str | None:
    relations = find_relations(scene)
    if relations and rng.random() < 0.7:
        a, relation, b = rng.choice(relations)
        return f"{describe(a)} {relation} {describe(b)}"
    placed = [(group, region) for group in scene.groups if (region := find_region(group))]
    if not placed:
        return None
    group, region = rng.choice(placed)
    return f"{describe(group)} {region} of the picture"


def spoken_description(scene: Scene) -> str:
    """A description of 35 to 60 words as someone would say it, about 13 to 26 seconds long.

    It goes from the first glance through objects, positions and sizes to background and style.
    """
    rng = random.Random(f"speech {scene.seed}")
    place = PLACES[scene.background]
    first = rng.choice(
        (
            f"at first I see a simple cartoon {place}",
            f"this is a simple drawing {place}",
            f"I am looking at a cartoon {place}",
        )
    )
    first = rng.choice(("", "", "um, ", "well, ", "let me see, ", "so, ")) + first
    start = rng.choice(("there {be}", "in it there {be}", "I can see")).format(
        be=is_or_are(scene.groups[0].count)
    )
    counted = f"{start} {join_list([describe(group) for group in scene.groups])}"
    last = rng.choice(
        (
            "the colours are bright and every line is dark",
            "the style is simple, with bright colours and dark lines",
            "it looks like a cartoon for children, with bright colours",
        )
    )
    where = [tell_region(group, scene) for group in scene.groups]
    relations = find_relations(scene)
    if relations:
        a, relation, b = rng.choice(relations)
        where.insert(0, f"{refer(a, scene)} {is_or_are(a.count)} {relation} {refer(b, scene)}")
    where[0] = rng.choice(("", "", "", "um, ", "now, ")) + where[0]
    sizes = [f"{refer(group, scene)} {is_or_are(group.count)} {group.size}" for group in scene.groups]
    behind = f"the background is {BACKGROUND_NAMES[scene.background]}"
    close = ["I do not see anything else in this picture", "that is all that I can see here"]
    by_importance = [where[0], sizes[0], behind, *where[1:], *sizes[1:], *close]
    kept = _fit([first, counted, last], by_importance, rng.randint(46, 58))
    middle = [text for text in (*where, *sizes, behind, *close) if text in kept]
    return " ".join(as_sentence(text) for text in (first, counted, *middle, last))


def _fit(fixed: Sequence[str], optional: Sequence[str], most_words: int) -> list[str]:
    """Those optional sentences, in order, that still fit beside the fixed ones."""
    room = most_words - sum(len(text.split()) for text in fixed)
    kept: list[str] = []
    for text in optional:
        if len(text.split()) <= room:
            kept.append(text)
            room -= len(text.split())
    return kept


def detail(scene: Scene, rng: random.Random) -> str:
    """One description of a scene, 40 to 90 words, every statement true."""
    groups = rng.sample(scene.groups, len(scene.groups))
    everything = join_list([describe(group) for group in groups])
    opening = rng.choice(
        (
            f"the picture shows {everything} {PLACES[scene.background]}",
            f"this picture is a simple cartoon with {everything}",
            f"in this drawing there {is_or_are(groups[0].count)} {everything}",
        )
    )
    sizes = [f"{refer(group, scene)} {is_or_are(group.count)} {group.size}" for group in groups]
    regions = [tell_region(group, scene) for group in groups]
    related = [
        f"{refer(a, scene)} {is_or_are(a.count)} {relation} {refer(b, scene)}"
        for a, relation, b in find_relations(scene)
        if groups.index(a) < groups.index(b)
    ]
    rng.shuffle(related)
    count = len(scene.things)
    ending = [
        f"there {is_or_are(count)} {NUMBERS[count]} {noun_in_number('thing', count)} in all",
        f"the background is {BACKGROUND_NAMES[scene.background]}",
        rng.choice(
            (
                "everything is drawn with bright colours and dark lines",
                "the style is simple, with bright colours and dark lines",
            )
        ),
        rng.choice(("nothing else can be seen in the picture", "there is nothing else in the picture")),
    ]
    rng.shuffle(ending)
    body = [regions[0], sizes[0], *related[:1], *regions[1:], *sizes[1:], *related[1:2]]
    kept = _fit([opening, *ending], body, 86)
    return " ".join(as_sentence(text) for text in (opening, *kept, *ending))
