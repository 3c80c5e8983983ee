"""The text written about scenes."""

import random
import re

import pytest

from sample.dialogue import Turn
from sample.grammar import NUMBERS, describe, find_relations, noun_in_number, totals_by_kind
from sample.scenes import COLOURS, KINDS, Group, Scene, Thing, make_scene
from sample.wording import captions, conversation, detail, reasoning, spoken_description

SEEDS = range(20_000, 20_400)
SCENES = [make_scene(seed) for seed in SEEDS]
KIND_OF_NOUN = {noun_in_number(kind, count): kind for kind in KINDS for count in (1, 2)}
COUNTED = re.compile(rf"\b(an?|{'|'.join(NUMBERS[1:])}) (?:(?:small|large) )?({'|'.join(COLOURS)}) (\w+)")
NAMED = rf"the ({'|'.join(COLOURS)}) (\w+)"
RELATED = re.compile(rf"^{NAMED} (?:is|are) (to the left of|to the right of|above|below) {NAMED}$")


def _all_text(scene: Scene) -> list[str]:
    rng = random.Random(scene.seed)
    turns = [*conversation(scene, rng), reasoning(scene, rng)]
    told = [part for turn in turns for part in (turn.question, turn.answer)]
    return [*captions(scene), spoken_description(scene), detail(scene, rng), *told]


def _counts(text: str) -> set[tuple[str, str, int]]:
    found = COUNTED.findall(text.lower())
    return {
        (KIND_OF_NOUN[noun], colour, NUMBERS.index(number) if number in NUMBERS else 1)
        for number, colour, noun in found
    }


def _truth(scene: Scene) -> set[tuple[str, str, int]]:
    return {(group.kind, group.colour, group.count) for group in scene.groups}


def _is_so(a: Group, relation: str, b: Group) -> bool:
    pairs = [(first.centre, second.centre) for first in a.things for second in b.things]
    checks = {
        "to the left of": all(p[0] < q[0] for p, q in pairs),
        "to the right of": all(p[0] > q[0] for p, q in pairs),
        "above": all(p[1] < q[1] for p, q in pairs),
        "below": all(p[1] > q[1] for p, q in pairs),
    }
    return checks[relation]


def test_a_scene_always_gets_the_same_text() -> None:
    """All text depends on the scene and the given generator only."""
    assert _all_text(make_scene(20_001)) == _all_text(make_scene(20_001))


def test_five_captions_differ_and_keep_to_their_length() -> None:
    """Every scene has five different captions of 4 to 20 words."""
    for scene in SCENES:
        five = captions(scene)
        assert len({caption.lower().rstrip(".") for caption in five}) == 5
        assert all(4 <= len(caption.split()) <= 20 for caption in five)


def test_captions_count_truly() -> None:
    """Each caption names a coloured group with its true count, and the first two name all of them."""
    for scene in SCENES:
        five = [_counts(caption) for caption in captions(scene)]
        assert all(counts and counts <= _truth(scene) for counts in five)
        assert five[0] == five[1] == _truth(scene)


def test_longer_text_counts_truly_and_keeps_to_its_length() -> None:
    """Descriptions name every group truly; speech has 35 to 60 words and detailed text 40 to 90."""
    for scene in SCENES:
        speech, text = spoken_description(scene), detail(scene, random.Random(scene.seed))
        assert _counts(speech) == _counts(text) == _truth(scene)
        assert 35 <= len(speech.split()) <= 60
        assert 40 <= len(text.split()) <= 90


def test_positions_told_are_true() -> None:
    """Every "left of", "above" and so on in descriptions and relations holds for all middles of the boxes."""
    checked = 0
    for scene in SCENES:
        by_name = {(group.colour, noun_in_number(group.kind, group.count)): group for group in scene.groups}
        assert all(_is_so(*found) for found in find_relations(scene))
        for sentence in detail(scene, random.Random(scene.seed)).lower().rstrip(".").split(". "):
            if found := RELATED.match(sentence):
                assert _is_so(by_name[found[1], found[2]], found[3], by_name[found[4], found[5]])
                checked += 1
    assert checked > 50


def test_the_vocabulary_is_small_and_plain() -> None:
    """All text together uses at most 450 words, made of letters and a few marks only."""
    texts = [text for scene in SCENES for text in _all_text(scene)]
    assert len({word for text in texts for word in re.findall(r"\w+", text.lower())}) <= 450
    assert all(re.fullmatch(r"[A-Za-z ,.?]+", text) for text in texts)


def test_text_never_tells_its_source() -> None:
    """Nothing mentions captions, boxes or coordinates."""
    texts = [text for scene in SCENES for text in _all_text(scene)]
    assert not any(re.search(r"caption|\bbox|coordinate", text.lower()) for text in texts)


def _check_turn(turn: Turn, scene: Scene) -> None:
    totals = totals_by_kind(scene)
    assert _counts(turn.answer) <= _truth(scene)
    if absent := re.fullmatch(r"No, there is no (\w+) in the picture\.", turn.answer):
        assert absent[1] not in totals
    asked = re.match(rf"How many (?:({'|'.join(COLOURS)}) )?(\w+) ", turn.question)
    if asked and asked[2] in KIND_OF_NOUN:
        colours = (asked[1],) if asked[1] else COLOURS
        kind = KIND_OF_NOUN[asked[2]]
        count = sum(thing.kind == kind and thing.colour in colours for thing in scene.things)
        assert turn.answer == "There are none." if not count else f" {NUMBERS[count]} " in turn.answer


def test_conversations_are_true_and_varied() -> None:
    """Three to five different questions; counts and absences are true, and some answer is a no."""
    refused = 0
    for scene in SCENES:
        turns = conversation(scene, random.Random(scene.seed))
        assert 3 <= len(turns) <= 5
        assert len({turn.question for turn in turns}) == len(turns)
        for turn in turns:
            _check_turn(turn, scene)
        refused += any(turn.answer.startswith("No, ") or "none" in turn.answer for turn in turns)
    assert refused > len(SCENES) / 3


def test_reasoning_does_not_give_the_content_away() -> None:
    """The question names nothing that the scene shows; the answer has two to four true sentences."""
    for scene in SCENES:
        turn = reasoning(scene, random.Random(scene.seed))
        assert not set(re.findall(r"\w+", turn.question.lower())) & set(KIND_OF_NOUN) - {"person"}
        assert 2 <= len(re.findall(r"[.]", turn.answer)) <= 4
        assert _counts(turn.answer) <= _truth(scene)


@pytest.mark.parametrize(
    ("kind", "colour", "count", "expected"),
    [
        ("umbrella", "red", 1, "a red umbrella"),
        ("umbrella", "orange", 1, "an orange umbrella"),
        ("person", "blue", 2, "two blue people"),
        ("fish", "green", 3, "three green fish"),
        ("boat", "pink", 4, "four pink boats"),
    ],
)
def test_articles_and_plurals_are_right(kind: str, colour: str, count: int, expected: str) -> None:
    """A group is named with the right article or number and the right plural."""
    thing = Thing(kind, colour, "small", (0.1, 0.1, 0.3, 0.3))
    assert describe(Group(kind, colour, "small", (thing,) * count)) == expected
