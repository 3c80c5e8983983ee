"""The check finds what is wrong with a conversation, says where, and leaves alone what is right."""

from __future__ import annotations

import pickle
import random
import subprocess
import sys
from typing import Any

import pytest

from stages.checks import CheckConfig, Context, Finding, check
from stages.checks.nouns import vocabulary
from stages.context import Box

COCO = """
person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign,
parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella, handbag,
tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard, surfboard,
tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, broccoli, carrot,
hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv, laptop, mouse, remote,
keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase, scissors, teddy bear,
hair drier, toothbrush
"""


def box(label: str, x: float, y: float, size: float = 0.1) -> Box:
    """A box around a centre."""
    return Box(label=label, box=[x - size / 2, y - size / 2, x + size / 2, y + size / 2])


BEACH = Context(
    ["A woman in a red dress walks two dogs on the beach.", 'A sign that says "No Swimming" at 10:30.'],
    [box("person", 0.5, 0.4), box("dog", 0.2, 0.7), box("dog", 0.3, 0.7), box("umbrella", 0.9, 0.2)],
)


def said(answer: str, question: str = "What do you see?", kind: str = "conversation") -> dict[str, Any]:
    """A conversation of one turn."""
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"kind": kind, "messages": messages}


def types(answer: str, question: str = "What do you see?", context: Context = BEACH) -> set[str]:
    """The types of what is wrong with an answer."""
    return {finding.type for finding in check(said(answer, question), context)}


@pytest.mark.parametrize(
    ("answer", "kind", "where"),
    [
        ("She throws a frisbee to them.", "object", "frisbee"),
        ("There are three dogs.", "count", "three dogs"),
        ("The umbrella is to the left of the dogs.", "position", "to the left of the dogs"),
        ("At the top left there is an umbrella.", "position", "At the top left"),
        ("The dress is green.", "colour", "green"),
        ("The sign reads \u201cBeach Club\u201d.", "text", "Beach Club"),
        ("It is a quarter past four.", "text", "quarter past four"),
        ("The caption says that a woman walks.", "mention", "The caption"),
        ("Die Frau geht mit zwei Hunden am Strand spazieren.", "language", None),
    ],
)
def test_finding_has_type_and_place(answer: str, kind: str, where: str | None) -> None:
    """Each finding names its type, the turn, and the words it is about."""
    (finding,) = check(said(answer), BEACH)
    assert (finding.type, finding.turn) == (kind, 1)
    assert answer[finding.start : finding.end] == (where or answer)
    assert finding.message


@pytest.mark.parametrize(
    "answer",
    [
        "A lady with a pair of dogs strolls by the sea.",
        "There is no cat, and nobody throws a frisbee.",
        "She might later buy an ice cream, perhaps with a friend.",
        "If a wave came, the dogs would run.",
        "Dogs are animals that often chase cats.",
        "The animals are on the left, the umbrella is at the top right.",
        "She looks like a queen and is dressed for a party.",
        "One of the dogs is to the left of her.",
        "The sign forbids something: \u2018No Swimming\u2019.",
        "It is half past ten.",
        "The dogs' owner wears a red dress.",
        "Both dogs are lower in the picture than the umbrella.",
        "The sky and the ground take up much of the background.",
        "A sign, \u201cNo Swimming\u201d, is there as well.",
    ],
)
def test_what_is_supported_passes(answer: str) -> None:
    """Synonyms, hedges, negations, general truths and likenesses are no findings."""
    assert check(said(answer), BEACH) == []


@pytest.mark.parametrize(
    ("question", "answer", "found"),
    [
        ("How many dogs are there?", "Four.", {"count"}),
        ("How many dogs are there?", "Two.", set()),
        ("Is there a cat?", "Yes, on the left.", {"object"}),
        ("Is there a cat?", "No, there is none.", set()),
        ("Is there a dog?", "No.", {"count"}),
        ("How many dogs are there?", "There are 0 dogs.", {"count"}),
        ("How many cats are there?", "There are 0 cats.", set()),
        ("What colour is her dress?", "It is red.", set()),
        ("What colour is her dress?", "It is blue.", {"colour"}),
        ("Where is the umbrella?", "It is on the left side of the image.", {"position"}),
        ("Is there a cat or a horse?", "I cannot see either of them.", set()),
        ("What do cats eat?", "Cats eat mice and birds.", set()),
    ],
)
def test_answers_are_read_with_their_question(question: str, answer: str, found: set[str]) -> None:
    """Bare numbers, yes and no, and pronouns mean what the question names."""
    assert types(answer, question) == found


def test_questions_assert_nothing() -> None:
    """A user may ask about what is not there."""
    assert types("There is none.", "Point to the green elephants on the left.") == set()


@pytest.mark.parametrize("answer", ["There are nine dogs.", "The umbrella is on the left.", "There is no dog."])
def test_unknown_boxes_settle_no_number_and_no_place(answer: str) -> None:
    """Without boxes nothing is known of numbers that no text tells, nor of places."""
    assert types(answer) != set()
    assert types(answer, context=Context(["A woman with dogs and an umbrella."])) == set()


def test_without_any_context_only_form_is_checked() -> None:
    """Where nothing is known, nothing is unsupported."""
    assert types("Seven purple elephants are on the left.", context=Context()) == set()
    assert types("As an AI, I see seven elephants.", context=Context()) == {"mention"}


def test_transcript_counts_as_caption() -> None:
    """What somebody said about the image supports an answer."""
    assert types("A kite is in the air.") == {"object"}
    assert types("A kite is in the air.", context=Context([], None, "um there is a kite")) == set()


def test_labels_beyond_the_vocabulary_are_counted() -> None:
    """An annotator's label that no list has is known by its name."""
    context = Context([], [box("zorp", 0.2, 0.5), box("zorp", 0.3, 0.5)])
    assert types("There are two zorps, both on the left.", context=context) == set()
    assert types("There are three zorps.", context=context) == {"count"}
    assert types("A zorp is on the right side of the image.", context=context) == {"position"}


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("A man walks the dogs.", {"object"}),
        ("A girl plays with the dogs.", {"object"}),
        ("A person walks the dogs.", set()),
    ],
)
def test_persons_are_what_texts_say(words: str, found: set[str]) -> None:
    """A box of a person supports any, but not against a text that says who it is."""
    assert types(words) == found
    assert types(words, context=Context([], [box("person", 0.5, 0.5), box("dog", 0.2, 0.2)])) == set()


def test_reasoning_must_not_give_the_answer_away() -> None:
    """The finding is about the question; other kinds may ask like that."""
    talk = said("Yes, because the sea is dangerous.", "Does she stay away because the sea is dangerous?", "reasoning")
    (finding,) = check(talk, BEACH)
    assert (finding.type, finding.turn) == ("leak", 0)
    assert check({**talk, "kind": "conversation"}, BEACH) == []


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [{"role": "assistant", "content": "A dog."}],
        [{"role": "user", "content": "What?"}],
        [{"role": "user", "content": "What?"}, {"role": "assistant", "content": " "}],
        [{"role": "user", "content": "What?"}, {"role": "assistant", "content": None}],
        [{"role": "user", "content": "<image>\nWhat?"}, {"role": "assistant", "content": "A dog."}],
        [{"role": "human", "content": "What?"}, {"role": "gpt", "content": "A dog."}],
    ],
)
def test_what_is_no_conversation(messages: list[dict[str, Any]]) -> None:
    """Turns alternate, begin with the user and end with the assistant, and hold text."""
    assert {finding.type for finding in check({"kind": "brief", "messages": messages}, BEACH)} == {"schema"}


def test_system_turn_is_allowed_and_not_checked() -> None:
    """A system prompt may say what a caption is."""
    messages = [{"role": "system", "content": "Never mention the caption."}, *said("A woman walks.")["messages"]]
    assert check({"kind": "conversation", "messages": messages}, BEACH) == []


def test_length_depends_on_the_kind() -> None:
    """A description of two words is too short; so is nothing else; a loop is found."""
    config = CheckConfig(min_words={"detail": 5}, max_words=40)
    assert {each.type for each in check(said("Two dogs.", kind="detail"), BEACH, config)} == {"length"}
    assert check(said("Two dogs."), BEACH, config) == []
    assert {each.type for each in check(said("Two dogs walk on the beach. " * 4), BEACH, config)} == {"length"}
    assert {each.type for each in check(said("dog " * 41), BEACH, config)} == {"length"}


def test_only_the_wanted_types_are_returned() -> None:
    """Types that are not asked for are not reported."""
    config = CheckConfig(types=["count", "schema"])
    talk = said("A cat sits beside three dogs.")
    assert {finding.type for finding in check(talk, BEACH)} == {"object", "count"}
    assert {finding.type for finding in check(talk, BEACH, config)} == {"count"}


def test_other_languages_are_not_checked_for_grounding() -> None:
    """The rules of grounding are of English: another language is only recognised."""
    config = CheckConfig(language="de")
    asked = "Was ist auf dem Bild zu sehen?"
    assert check(said("Drei Katzen sitzen neben einem roten Auto.", asked), BEACH, config) == []
    assert {each.type for each in check(said("Two dogs walk on the beach.", asked), BEACH, config)} == {"language"}


def test_points_are_not_coordinates() -> None:
    """PixMo's points are wanted; other numbers of that kind are not."""
    points = '<points x1="20.0" y1="70.0" x2="30.0" y2="70.0" alt="dogs">dogs</points>'
    assert types(points, "Point to the dogs.") == set()
    assert types("The dogs are at [0.2, 0.7].") == {"mention"}


def test_places_lie_within_their_turn() -> None:
    """Whatever is written, a finding's place is one in the text, and nothing raises."""
    rng = random.Random(0)
    words = "the a two of left right above is are no not dogs cat people and or there in image on to its red half dozen"
    more = "pair how many 12:45 quarter past one none nobody , . ; : ( ) \" ' 's \u00a70\u00a7 \u201c \U0001f642 \u7f8a"
    pieces = [*words.split(), *more.split(), "orange", "\n"]
    contexts = [BEACH, Context([""], [box("", 0.5, 0.5), box("\u00a70\u00a7", 0.5, 0.5)], "two"), Context()]
    for _ in range(1500):
        talk = said(*(" ".join(rng.choices(pieces, k=rng.randint(1, 14))) for _ in range(2)), kind="reasoning")
        for finding in check(talk, rng.choice(contexts)):
            assert 0 <= finding.start <= finding.end <= len(talk["messages"][finding.turn]["content"])


@pytest.mark.parametrize("piece", ["left of the dog ", "on the left ", "Aa of ", "no dog ", '"', "(", "x", "0.1, "])
def test_a_reply_without_end_is_read_to_the_end(piece: str) -> None:
    """A model that writes on without a full stop does not hold the check up for minutes."""
    found = check(said(piece * (12_000 // len(piece)), kind="reasoning"), BEACH, CheckConfig(max_words=1))
    assert "length" in {finding.type for finding in found}


def test_findings_settings_and_contexts_travel() -> None:
    """All of it can be sent to another process, and the same question gets the same answer."""
    travelled = pickle.loads(pickle.dumps((check, said("A cat and three dogs."), BEACH, CheckConfig())))
    again: list[Finding] = travelled[0](*travelled[1:])
    assert again == check(said("A cat and three dogs."), BEACH)
    assert [finding.type for finding in again] == ["object", "count"]


@pytest.mark.parametrize("label", [" ".join(label.split()) for label in COCO.split(",")])
def test_vocabulary_has_the_labels_of_coco(label: str) -> None:
    """Each of COCO's 80 categories is known, in both numbers."""
    known = vocabulary()
    assert known.find(label)
    context = Context([], [box(label, 0.2, 0.5), box(label, 0.3, 0.5)])
    assert types(f"There is a {label} on the left.", context=context) <= {"count"}


def test_vocabulary_is_a_tree_of_names() -> None:
    """No line repeats a name, and what implies a thing is something else."""
    known = vocabulary()
    assert len(known.senses) > 2000
    assert all(len(set(things)) == len(things) for things in known.senses.values())
    assert all(thing.name not in thing.implied_by for thing in known.things)


def test_check_needs_no_heavy_library() -> None:
    """The check can be imported and run without torch, transformers, datasets or Ray."""
    script = (
        "import sys\nfrom stages.checks import Context, check\n"
        "check({'kind': 'brief', 'messages': [{'role': 'user', 'content': 'What?'}, "
        "{'role': 'assistant', 'content': 'A dog.'}]}, Context(['A cat.']))\n"
        "print(*{'torch', 'transformers', 'datasets', 'ray'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
