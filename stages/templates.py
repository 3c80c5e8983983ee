"""Conversations about a sample made from its captions and boxes alone: brief, counting, pointing.

Points are written as in PixMo (Deitke et al. 2024, allenai/molmo): 0-100, one decimal, sorted by x then y.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pyarrow as pa
from pydantic import Field

from schemas.columns import BOXES, CONVERSATIONS
from schemas.config import StageConfig
from stages.base import Stage, rows_to_table
from stages.context import MARKUP, one_line
from stages.wordings import BRIEF, COUNTING, POINTING, generator, is_countable, plural

__all__ = ["Templates", "TemplatesConfig", "points_text"]

Kind = Literal["brief", "counting", "pointing"]
Point = tuple[float, float]
Exchange = tuple[str, str]

COCO_SUBJECTS = [
    "airplane", "banana", "bear", "bench", "bicycle", "bird", "boat", "bus", "cat", "clock", "cow", "dog",
    "elephant", "fire hydrant", "giraffe", "horse", "kite", "laptop", "motorcycle", "pizza", "sheep",
    "skateboard", "snowboard", "stop sign", "suitcase", "surfboard", "teddy bear", "toilet", "train",
    "umbrella", "zebra",
]

ABSENT_SHARE = 0.25
"""How often a sample with objects is also asked about one it does not hold."""

PLAIN_NAME = re.compile(r"\w[\w' -]*")
"""Labels that can stand in a sentence and in an ``alt`` attribute as they are."""


class TemplatesConfig(StageConfig):
    """Settings of ``templates``."""

    kinds: list[Kind] = Field(["brief", "counting", "pointing"], min_length=1)
    """Kinds of conversation to make of each sample."""
    max_per_kind: int = Field(2, ge=1)
    """Most conversations of one kind about a sample; ``brief`` makes at most one."""
    absent_labels: list[str] = COCO_SUBJECTS
    """Objects a sample may be asked about though it holds none. Name only what the annotators looked for:
    where there is no box of it, the answer says that there is none. The default suits COCO's boxes."""


class Templates(Stage[TemplatesConfig]):
    """Fills sentences of our own with what captions and boxes say. A sample that says nothing gets none."""

    name = "templates"
    Config = TemplatesConfig
    consumes = pa.schema([("captions", pa.list_(pa.string())), ("boxes", BOXES)])
    optional = pa.schema([("best_caption", pa.int32())])
    produces = pa.schema([("template_conversations", CONVERSATIONS)])

    def process(self, batch: pa.Table) -> pa.Table:
        """Return ``template_conversations``: an empty list where neither captions nor boxes say anything."""
        rows = [{"template_conversations": self._conversations(row)} for row in batch.to_pylist()]
        return rows_to_table(rows, self.produces)

    def _conversations(self, row: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [
            self._conversation(kind, question, answer)
            for kind in dict.fromkeys(self.config.kinds)
            for question, answer in self._exchanges(kind, row, generator(self.seed, row["id"], kind))
        ]

    def _conversation(self, kind: Kind, question: str, answer: str) -> dict[str, Any]:
        messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        return {"kind": kind, "messages": messages, "provenance": f"templates:v{self.version}:{kind}"}

    def _exchanges(self, kind: Kind, row: Mapping[str, Any], rng: random.Random) -> list[Exchange]:
        captions = [one_line(caption or "") for caption in row["captions"] or []]
        if kind == "brief":
            return _brief(captions, row["best_caption"], rng)
        if row["boxes"] is None:  # nobody annotated it: neither a number nor an absence is known
            return []
        points = _points_by_label(row["boxes"])
        asked = self._labels(kind, points, captions, rng)
        if kind == "counting":
            return [_counting(label, len(points.get(label, ())), rng) for label in asked]
        return [_pointing(label, points.get(label, []), rng) for label in asked]

    def _labels(
        self, kind: Kind, points: Mapping[str, Sequence[Point]], captions: Sequence[str], rng: random.Random
    ) -> list[str]:
        """Choose what to ask about: labels there are, and now and then one there is not."""
        present = [label for label in sorted(points) if PLAIN_NAME.fullmatch(label)]
        absent = _absent(self.config.absent_labels, [*points, *captions])
        if kind == "counting":
            present, absent = [list(filter(is_countable, labels)) for labels in (present, absent)]
        most = self.config.max_per_kind
        chosen = rng.sample(present, min(most, len(present)))
        if absent and (not chosen or rng.random() < ABSENT_SHARE):
            chosen = [*chosen[: most - 1], rng.choice(absent)]
        return chosen


def _brief(captions: Sequence[str], best: int | None, rng: random.Random) -> list[Exchange]:
    preferred = [captions[best]] if best is not None and 0 <= best < len(captions) else []
    usable = [caption for caption in [*preferred, *captions] if caption and not MARKUP.search(caption)]
    return [(rng.choice(BRIEF), _sentence(usable[0]))] if usable else []


def _sentence(caption: str) -> str:
    """Return the caption with a capital letter and a full stop."""
    ended = caption if caption[-1] in ".!?…\"'" else f"{caption}."
    return ended[0].upper() + ended[1:]


def _points_by_label(boxes: Sequence[Mapping[str, Any]]) -> dict[str, list[Point]]:
    """Return the centre of each box, in percent of width and height, sorted by x then y."""
    points = defaultdict(list)
    for box in boxes:
        x1, y1, x2, y2 = box["box"]
        points[_name(box["label"])].append((round(50 * (x1 + x2), 1), round(50 * (y1 + y2), 1)))
    return {label: sorted(centres) for label, centres in points.items()}


def _name(label: str) -> str:
    return one_line(label.replace("_", " ")).lower()


def _absent(labels: Sequence[str], mentions: Sequence[str]) -> list[str]:
    """Return the labels that neither a box nor a caption names, as a word of its own, singular or plural."""
    said = " ".join(mentions).lower()
    forms = {name: rf"\b({re.escape(name)}|{re.escape(plural(name))})\b" for name in map(_name, labels)}
    return [name for name, form in forms.items() if not re.search(form, said)]


def _counting(label: str, number: int, rng: random.Random) -> Exchange:
    question = rng.choice(COUNTING).format(plural=plural(label))
    answer = f"There is 1 {label}." if number == 1 else f"There are {number} {plural(label)}."
    return question, answer


def _pointing(label: str, points: Sequence[Point], rng: random.Random) -> Exchange:
    question = rng.choice(POINTING).format(plural=plural(label))
    return question, points_text(label if len(points) == 1 else plural(label), points)


def points_text(name: str, points: Sequence[Point]) -> str:
    """Return the answer that points at ``name``: PixMo's tag with the points in the order given, 0-100.

    Args:
        name: what is pointed at; free of quotes and angle brackets.
    """
    if not points:
        return "There are none."
    if len(points) == 1:
        x, y = points[0]
        return f'<point x="{x:.1f}" y="{y:.1f}" alt="{name}">{name}</point>'
    places = " ".join(f'x{place}="{x:.1f}" y{place}="{y:.1f}"' for place, (x, y) in enumerate(points, 1))
    return f'<points {places} alt="{name}">{name}</points>'
