"""Template conversations say what captions and boxes say, and nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa
import pytest

from stages.context import Box
from stages.templates import Kind, Templates, TemplatesConfig
from stages.wordings import BRIEF, plural

CONTEXTS = Path(__file__).resolve().parents[2] / "../shared/data/contexts.jsonl"
POINT = re.compile(r'x\d*="([\d.]+)" y\d*="([\d.]+)"')

ALL_KINDS = list(get_args(Kind))

Row = dict[str, Any]


def row(captions: list[str] | None = None, boxes: list[Box] | None = None, **more: Any) -> Row:
    return {"id": "sample", "captions": captions, "boxes": boxes, **more}


def box(label: str, *edges: float) -> Box:
    return Box(label=label, box=edges)


def run(rows: list[Row], seed: int = 0, **settings: Any) -> list[list[dict[str, Any]]]:
    stage = Templates(TemplatesConfig(use="templates", **settings))
    stage.seed = seed
    schema = pa.schema([("id", pa.string()), *stage.consumes, *stage.optional])
    result = stage.process(pa.Table.from_pylist(rows, schema=schema))
    assert result.select(stage.produces.names).schema == stage.produces
    assert result["_reason"].null_count == len(rows)
    return [list(conversations) for conversations in result["template_conversations"].to_pylist()]


def said(conversation: dict[str, Any]) -> tuple[str, str]:
    question, answer = conversation["messages"]
    assert (question["role"], answer["role"]) == ("user", "assistant")
    return question["content"], answer["content"]


def answers(sample: Row, **settings: Any) -> list[str]:
    [conversations] = run([sample], **settings)
    return [said(conversation)[1] for conversation in conversations]


@pytest.mark.parametrize(
    ("best", "answer"),
    [(None, "A boat."), (1, "Two houses!"), (7, "A boat."), (-1, "A boat."), (2, "A boat.")],
)
def test_brief_is_the_best_caption(best: int | None, answer: str) -> None:
    """The best caption, else the first, becomes a sentence."""
    sample = row(["a boat", "two houses!", " "], best_caption=best)
    [[conversation]] = run([sample], kinds=["brief"])
    question, said_answer = said(conversation)
    assert question in BRIEF
    assert (said_answer, conversation["kind"], conversation["provenance"]) == (
        answer, "brief", "templates:v2:brief",
    )


def test_markup_in_a_caption_is_not_passed_on() -> None:
    """A caption with an image token is passed over."""
    assert answers(row(["a <image> here", "a boat"]), kinds=["brief"]) == ["A boat."]
    assert answers(row(["a <image> here"]), kinds=["brief"]) == []


def test_unknown_boxes_are_not_asked_about() -> None:
    """Without annotation there is neither a count nor an absence; without anything there is no conversation."""
    unknown, nothing = run([row(["a boat"]), row()])
    assert [conversation["kind"] for conversation in unknown] == ["brief"]
    assert nothing == []


def test_image_without_objects_has_none() -> None:
    """An image known to be empty is asked about something absent."""
    found = answers(row([], []), kinds=["counting", "pointing"], absent_labels=["dog"])
    assert found == ["There are 0 dogs.", "There are none."]


@pytest.mark.parametrize(
    ("boxes", "count", "points"),
    [
        ([box("boat", 0.1, 0.2, 0.3, 0.4)], "There is 1 boat.", '<point x="20.0" y="30.0" alt="boat">boat</point>'),
        (
            [box("Boat", 0.5, 0, 0.7, 1), box("boat", 0.1, 0.2, 0.3, 0.4), box("boat", 0.1, 0, 0.3, 0.334)],
            "There are 3 boats.",
            '<points x1="20.0" y1="16.7" x2="20.0" y2="30.0" x3="60.0" y3="50.0" alt="boats">boats</points>',
        ),
    ],
)
def test_counts_and_points(boxes: list[Box], count: str, points: str) -> None:
    """A count is a digit, points are box centres in percent, sorted by x then y; capitals make no difference."""
    settings: dict[str, Any] = {"kinds": ["counting", "pointing"], "absent_labels": []}
    assert answers(row([], boxes), **settings) == [count, points]


def test_absent_labels_are_truly_absent() -> None:
    """No label is called absent that a box or a caption names, in either number."""
    sample = row(["dogs near a hot dog stand"], [box("Sports_Car", 0, 0, 1, 1)])
    for seed in range(30):
        found = answers(sample, seed=seed, kinds=["counting"], absent_labels=["dog", "car", "hot dog"])
        assert found == ["There is 1 sports car."]


def test_some_are_asked_about_absence() -> None:
    """Now and then a sample with objects is asked about one it does not hold, within the bound."""
    sample = row([], [box("boat", 0, 0, 1, 1), box("cat", 0, 0, 1, 1)])
    runs = [answers(sample, seed=seed, kinds=["counting"], absent_labels=["dog"]) for seed in range(60)]
    absent = sum("There are 0 dogs." in found for found in runs)
    assert all(len(found) == 2 for found in runs)
    assert 5 < absent < 30


def test_bound_and_odd_labels() -> None:
    """No more than max_per_kind, and no label that would break a sentence, a tag or the grammar."""
    odd = [box('a"b', 0, 0, 1, 1), box("<image>", 0, 0, 1, 1), box("", 0, 0, 1, 1), box("scissors", 0, 0, 1, 1)]
    assert answers(row([], odd), kinds=["counting"], absent_labels=[]) == []
    many = [box(f"thing {letter}", 0, 0, 1, 1) for letter in "abcdefgh"]
    assert len(answers(row([], many), kinds=["pointing"], max_per_kind=3, absent_labels=[])) == 3


def test_same_seed_same_words() -> None:
    """Wordings depend on seed, sample and kind, not on what else is in the batch, its order or what is asked for."""
    samples = [row(["a boat"], [box("boat", 0, 0, 1, 1)], id=str(number)) for number in range(40)]
    together = run(samples)
    assert together == [run([sample])[0] for sample in samples]
    assert together == run(samples[::-1])[::-1]
    assert together != run(samples, seed=1)
    pointing = [[each for each in made if each["kind"] == "pointing"] for made in together]
    assert pointing == run(samples, kinds=["pointing"])


def test_caption_that_fails_the_check_is_passed_over() -> None:
    """A caption that speaks of annotations, contradicts the boxes or is an essay is no short description."""
    boxes = [box("dog", 0, 0, 0.2, 0.2), box("cat", 0.8, 0, 1, 0.2)]
    bad = ["the bounding box of a dog", "a cat to the left of a dog", "a dog and a cat play. " * 12]
    assert answers(row([*bad, "a dog and a cat"], boxes), kinds=["brief"]) == ["A dog and a cat."]
    assert answers(row(bad, boxes), kinds=["brief"]) == []


def test_caption_in_another_language_is_kept() -> None:
    """The language is the dataset's affair."""
    german = "ein kleiner hund schl\u00e4ft neben einer katze auf dem alten sofa"
    assert answers(row([german], []), kinds=["brief"]) == [f"E{german[1:]}."]


def test_point_count_points_and_then_counts() -> None:
    """The number follows the points; where there is nothing to point to, that is said as in pointing."""
    sample = row([], [box("cat", 0.1, 0.2, 0.3, 0.4), box("cat", 0.5, 0.2, 0.7, 0.4)])
    [answer] = answers(sample, kinds=["point_count"], absent_labels=[])
    assert '<points x1="20.0" y1="30.0" x2="60.0" y2="30.0" alt="cats">cats</points>. There are 2 cats.' in answer
    assert answers(row([], []), kinds=["point_count"], absent_labels=["dog"]) == ["There are none."]


def test_points_in_the_form_of_molmo2() -> None:
    """The setting concerns every kind that points."""
    sample = row([], [box("cat", 0.1, 0.2, 0.3, 0.4)])
    for answer in answers(sample, kinds=["pointing", "point_count"], point_format="molmo2", absent_labels=[]):
        assert '<points coords="1 1 200 300">cat</points>' in answer


def test_cap_over_all_kinds() -> None:
    """A sample has no more than `max_per_sample`, drawn from all that could be said of it, in the kinds' order."""
    many = [box(name, place / 10, 0, place / 10 + 0.04, 0.5) for place, name in enumerate(["cat", "bus", "kite"])]
    samples = [row(["a cat"], many, id=str(number)) for number in range(30)]
    everything = run(samples, kinds=ALL_KINDS, max_per_kind=3, max_per_sample=99)
    capped = run(samples, kinds=ALL_KINDS, max_per_kind=3, max_per_sample=4)
    assert {len(made) for made in capped} == {4}
    for most, kept in zip(everything, capped, strict=True):
        places = [most.index(one) for one in kept]
        assert places == sorted(places)
    assert {made["kind"] for kept in capped for made in kept} == set(ALL_KINDS)


def test_every_kind_has_words_enough() -> None:
    """Each kind asks the same thing in several ways, and another seed in another way."""
    sample = row(["a cat"], [box("cat", 0.1, 0.2, 0.3, 0.4), box("bus", 0.6, 0.2, 0.8, 0.4)])
    asked: dict[str, set[str]] = {}
    for seed in range(60):
        for made in run([sample], seed=seed, kinds=ALL_KINDS, max_per_sample=99, absent_labels=["dog"])[0]:
            asked.setdefault(made["kind"], set()).add(said(made)[0])
    assert {kind: len(questions) >= 5 for kind, questions in asked.items()} == dict.fromkeys(ALL_KINDS, True)


@pytest.mark.skipif(not CONTEXTS.exists(), reason="the real contexts are not here")
def test_every_statement_about_real_contexts_is_true() -> None:
    """Over LLaVA's contexts, each count, point and absence agrees with the boxes."""
    contexts = [json.loads(line) for line in CONTEXTS.read_text().splitlines()]
    samples = [
        row(context["captions"], [box(each["category"], *each["bbox"]) for each in context["instances"]],
            id=context["id"])
        for context in contexts
    ]
    checked = 0
    for sample, conversations in zip(samples, run(samples, max_per_kind=5), strict=True):
        for conversation in conversations:
            question, answer = said(conversation)
            CHECKS[conversation["kind"]](sample, question, answer)
            checked += 1
    assert checked > 3 * len(contexts)


def centres(sample: Row, name: str) -> list[tuple[float, float]]:
    """Return the centres of the boxes whose label is ``name`` in either number, in percent."""
    edges = [each["box"] for each in sample["boxes"] if name in (each["label"], plural(each["label"]))]
    return sorted((round(50 * (x1 + x2), 1), round(50 * (y1 + y2), 1)) for x1, y1, x2, y2 in edges)


def check_brief(sample: Row, question: str, answer: str) -> None:
    assert answer.rstrip(".").lower() == sample["captions"][0].strip().rstrip(".").lower()


def check_counting(sample: Row, question: str, answer: str) -> None:
    found = re.fullmatch(r"There (is|are) (\d+) (.+)\.", answer)
    assert found
    assert found[3] in question or plural(found[3]) in question
    assert int(found[2]) == len(centres(sample, found[3]))
    assert (found[1] == "is") == (found[2] == "1")


def check_pointing(sample: Row, question: str, answer: str) -> None:
    if answer == "There are none.":
        assert not [each for each in sample["boxes"] if f" {plural(each['label'])}" in question]
        return
    found = re.fullmatch(r'<points? .* alt="(.+)">(.+)</points?>', answer)
    assert found
    assert found[1] == found[2]
    assert [(float(x), float(y)) for x, y in POINT.findall(answer)] == centres(sample, found[1])


CHECKS = {"brief": check_brief, "counting": check_counting, "pointing": check_pointing}
