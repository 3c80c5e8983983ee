"""Questions whose answers can be marked right or wrong: counting and pointing."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.connector.data import Example, Split

__all__ = ["TASKS", "Question", "find_questions", "points", "stated_number"]

NUMBERS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
)
NUMBER = re.compile(rf"\d+|\b(?:{'|'.join(NUMBERS)})\b", re.IGNORECASE)
ABSENCE = re.compile(r"\b(?:no|none)\b", re.IGNORECASE)
POINT = re.compile(r'x(\d*)\s*=\s*"\s*([\d.\s]+?)\s*"\s*y\1\s*=\s*"\s*([\d.\s]+?)\s*"')
MOLMO2 = re.compile(r'coords\s*=\s*"\s*\d+\s((?:\s*\d+\s+\d+\s+\d+\b)*)')
ROUNDING = 0.051
"""Points are written with one decimal, in percent."""


@dataclass(frozen=True)
class Question:
    """One question with a known answer.

    Attributes:
        example: the conversation it is from.
        turn: which of its answers is wanted.
        asked: its text.
        wanted: the right answer.
        boxes: ``{label, box}`` of everything in the image, 0-1.
    """

    example: Example
    turn: int
    asked: str
    wanted: str
    boxes: Sequence[Mapping[str, Any]]


def find_questions(
    kind: str, examples: Sequence[Example], split: Split, most: int, random: np.random.Generator
) -> list[Question]:
    """Return up to ``most`` questions of a task that can be marked, from conversations drawn at random."""
    ours = [example for example in examples if example.kind == kind]
    found: list[Question] = []
    for index in random.permutation(len(ours)):
        if len(found) >= most:
            break
        row = split.rows.select_columns(["messages", "boxes"])[ours[index].row]
        exchanges = zip(row["messages"][::2], row["messages"][1::2], strict=True)
        found += [
            Question(ours[index], turn, ask["content"], reply["content"], row["boxes"] or [])
            for turn, (ask, reply) in enumerate(exchanges)
            if turn < ours[index].text.answers
        ]
    return [question for question in found[:most] if TASKS[kind](question, question.wanted) == 1]


def _count_is_right(question: Question, written: str) -> float:
    """1 where the answer states the right number, else 0."""
    number = stated_number(written)
    return float(number is not None and number == stated_number(question.wanted))


def stated_number(text: str) -> int | None:
    """Return the first number of a text, in digits or as a word up to twelve; else 0 for a "no" or "none"."""
    match = NUMBER.search(text)
    if match is None:
        return 0 if ABSENCE.search(text) else None
    word = match.group().lower()
    return NUMBERS.index(word) if word in NUMBERS else int(word)


def _points_inside(question: Question, written: str) -> float:
    """Share of the written points that lie in a box asked about; 0 where none is written.

    The boxes asked about are those whose centre the right answer points to.
    """
    wanted, given = points(question.wanted), points(written)
    boxes = [np.asarray(box["box"]) * 100 for box in question.boxes]
    asked = [box for box in boxes if any(_is_centre(point, box) for point in wanted)]
    inside = [any(x1 <= x <= x2 and y1 <= y <= y2 for x1, y1, x2, y2 in asked) for x, y in given]
    return float(np.mean(inside)) if inside else 0.0


def _is_centre(point: tuple[float, float], box: NDArray[np.float64]) -> bool:
    x1, y1, x2, y2 = box
    return bool(abs(point[0] - (x1 + x2) / 2) <= ROUNDING and abs(point[1] - (y1 + y2) / 2) <= ROUNDING)


def points(text: str) -> list[tuple[float, float]]:
    """Return the points of Molmo's ``<point x= y=>`` and ``<points x1= ...>``, and Molmo2's ``coords``, in percent."""
    found: list[tuple[float, float]] = []
    for coords in MOLMO2.findall(text):
        numbers = [int(number) for number in coords.split()]
        found += [(x / 10, y / 10) for x, y in zip(numbers[1::3], numbers[2::3], strict=True)]
    for _, x, y in POINT.findall(text):
        try:
            found.append((float("".join(x.split())), float("".join(y.split()))))
        except ValueError:  # two decimal points, say: the model wrote no point
            continue
    return found


TASKS: dict[str, Callable[[Question, str], float]] = {"counting": _count_is_right, "pointing": _points_inside}
"""Kind of conversation -> mark of an answer, from 0 to 1."""
