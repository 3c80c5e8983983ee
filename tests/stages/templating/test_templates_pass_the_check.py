"""Whatever ``templates`` says passes the check, and agrees with the boxes."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, get_args

import pyarrow as pa
import pytest

from bench.check import read_contexts
from stages.checks import Context, check
from stages.checks.nouns import vocabulary
from stages.connector.tasks import points
from stages.context import Box
from stages.templates import Kind, Templates, TemplatesConfig
from tests.integration.real_data import DATA, needs_real_data

KINDS = list(get_args(Kind))
ODD_LABELS = [
    "Human face", "sports_car", "red car", "black dog", "Boy", "girl", "dogs", "people", "caption", "bounding box",
    'a"b', "<image>", "", "scissors", "orange", "cream", "dollar", "one", "no", "two dogs", "dog's bowl", "the cat",
    "other", "unknown", "as an ai", "caf\u00e9", "Hund", "\u9ce5", "1", "3d printer", "skis", "crowd", "mirror",
]
CAPTIONS = [
    "a {0} and a {1}", "two {0}s near the {1}", "a red {0} to the left of a {1}", "there is no {0}, only a {1}",
    "several {0}s and a crowd beside a {1}", "a man with a {1}", "a woman holding a {0}", "three {1}s below a {0}",
    "{0} reflected in a mirror",
]


def random_contexts(seed: int, number: int) -> Iterator[tuple[str, Context]]:
    """Yield images with labels of the vocabulary and odd ones, random boxes, and captions that tell other things."""
    rng = random.Random(seed)
    names = sorted(vocabulary().senses)
    for place in range(number):
        labels = [
            label for _ in range(rng.randint(1, 7)) for label in
            [rng.choice(ODD_LABELS if rng.random() < 0.25 else names)] * rng.choice([1, 1, 1, 2, 3, 12])
        ]
        told = [(rng.choice(names + labels), rng.choice(names)) for _ in range(rng.randint(0, 3))]
        captions = [rng.choice(CAPTIONS).format(*pair) for pair in told]
        boxes = [Box(label=label, box=random_edges(rng)) for label in labels]
        yield str(place), Context(captions, boxes if rng.random() > 0.05 else None)


def random_edges(rng: random.Random) -> list[float]:
    (x1, x2), (y1, y2) = (sorted(round(rng.random(), 3) for _ in range(2)) for _ in range(2))
    return [x1, y1, x2, y2]


def made(contexts: dict[str, Context], seed: int, **settings: Any) -> Iterator[tuple[Context, dict[str, Any]]]:
    stage = Templates(TemplatesConfig(use="templates", kinds=KINDS, max_per_kind=6, max_per_sample=99, **settings))
    stage.seed = seed
    rows = [{"id": name, "captions": known.captions, "boxes": known.boxes} for name, known in contexts.items()]
    schema = pa.schema([("id", pa.string()), *stage.consumes, *stage.optional])
    result = stage.process(pa.Table.from_pylist(rows, schema=schema))
    assert result["_reason"].null_count == len(rows)
    for talks, known in zip(result["template_conversations"].to_pylist(), contexts.values(), strict=True):
        yield from ((known, talk) for talk in talks)


def centres(context: Context, name: str) -> list[tuple[float, float]]:
    edges = [box["box"] for box in context.boxes or () if box["label"].replace("_", " ").lower() == name]
    return sorted((round(50 * (x1 + x2), 1), round(50 * (y1 + y2), 1)) for x1, y1, x2, y2 in edges)


@pytest.mark.parametrize(("seed", "form"), [(0, "pixmo"), (1, "molmo2")])
def test_random_images(seed: int, form: str) -> None:
    """Over hundreds of images with odd labels and contrary captions, the check finds nothing."""
    rng = random.Random(seed)
    absent = [*rng.sample(sorted(vocabulary().senses), 60), *ODD_LABELS]
    contexts = dict(random_contexts(seed, 250))
    talks = list(made(contexts, seed, point_format=form, absent_labels=absent))
    assert [(talk["messages"], found) for known, talk in talks if (found := check(talk, known))] == []
    kinds = Counter(talk["kind"] for _, talk in talks)
    assert set(kinds) == set(KINDS)
    assert min(kinds.values()) > 80


@needs_real_data
@pytest.mark.parametrize(("seed", "form"), [(0, "pixmo"), (1, "molmo2"), (2, "pixmo")])
def test_real_images(seed: int, form: str) -> None:
    """Over the real contexts of LLaVA and COCO, the check finds nothing."""
    contexts = read_contexts(DATA / "contexts.jsonl", DATA / "photos.jsonl")
    talks = list(made(contexts, seed, point_format=form))
    assert [(talk["messages"], found) for known, talk in talks if (found := check(talk, known))] == []
    kinds = Counter(talk["kind"] for _, talk in talks)
    assert set(kinds) == set(KINDS)
    assert kinds["position"] > 20
    assert min(number for kind, number in kinds.items() if kind != "position") > 90


def test_numbers_and_points_are_those_of_the_boxes() -> None:
    """Counts are numbers of boxes and points are their centres, whatever the image."""
    checked = 0
    for known, talk in made(dict(random_contexts(7, 120)), 0):
        answer = talk["messages"][1]["content"]
        number = re.search(r"There (?:is|are) (\d+) (.+)\.$", answer)
        if talk["kind"] == "point_count" and number:
            assert len(points(answer)) == int(number[1])
        if talk["kind"] in ("counting", "point_count") and number and number[1] == "1":
            assert len(centres(known, number[2])) == 1
        if talk["kind"] in ("pointing", "point_count") and (found := points(answer)):
            assert found in [centres(known, box["label"].replace("_", " ").lower()) for box in known.boxes or ()]
            checked += 1
    assert checked > 100
