from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_world import make_tokenizer, rows_about, save_dataset, turns

from stages.connector.chat_format import ChatFormat
from stages.connector.data import load_splits, read_examples
from stages.connector.tasks import TASKS, find_questions, points, stated_number

BOXES = [{"label": "boat", "box": [0.1, 0.2, 0.3, 0.4]}, {"label": "dog", "box": [0.6, 0.6, 0.8, 1.0]}]
POINT_AT_BOAT = '<point x="20.0" y="30.0" alt="boat">boat</point>'
CHAT = ChatFormat(make_tokenizer(), patches=1)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("There are 12 boats.", 12), ("There is one boat, not two.", 1), ("There are no boats.", 0),
        ("None.", 0), ("No, there are 3.", 3), ("Nothing to count here, I know.", None), ("", None),
    ],
)
def test_stated_number(text: str, number: int | None) -> None:
    """The first number counts, in digits or words, and a word that only holds one does not."""
    assert stated_number(text) == number


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (POINT_AT_BOAT, [(20.0, 30.0)]),
        ('<points x1="1.5" y1="2.0" x2="30.0" y2="4.0" alt="cats">cats</points>', [(1.5, 2.0), (30.0, 4.0)]),
        ('< point x = " 20 . 0 " y = " 30 . 0 " >', [(20.0, 30.0)]),
        ('<points coords="1 1 015 020 2 300 1000">cats</points>', [(1.5, 2.0), (30.0, 100.0)]),
        ('< points coords = " 1 1 200 300 " >', [(20.0, 30.0)]), ('<points coords="1 1 200">cat</points>', []),
        ('<point x="1.2.3" y="4.0">', []),
        ("There are none.", []),
    ],
)
def test_points(text: str, found: list[tuple[float, float]]) -> None:
    """Molmo's and Molmo2's points are read, even as a word tokenizer spaces them; others are not points."""
    assert points(text) == found


def test_questions_come_with_their_answers(tmp_path: Path) -> None:
    """Every turn of a counting conversation that can be marked is asked, and its own answer is right."""
    row = {**rows_about("a", "red", 2)[1], "boxes": BOXES}
    row["messages"] = turns("How many dots are there?", "There are 2 dots.", "What colour is it?", "It is red.")
    split, _ = load_splits(save_dataset(tmp_path, train=[row], validation=[row]))
    examples, _ = read_examples(split, CHAT, 100)
    (question,) = find_questions("counting", examples, split, 10, np.random.default_rng(0))
    assert (question.turn, question.asked, question.wanted) == (0, "How many dots are there?", "There are 2 dots.")
    assert TASKS["counting"](question, "2") == 1
    assert TASKS["counting"](question, "There are 3 dots.") == 0
    assert TASKS["counting"](question, "I cannot say.") == 0


def test_points_count_inside_the_box_asked_about(tmp_path: Path) -> None:
    """The box is the one whose centre the right answer names; the share of points inside it is the mark."""
    row = {**rows_about("a", "red", 2)[1], "kind": "pointing", "boxes": BOXES}
    row["messages"] = turns("Point to the boats.", POINT_AT_BOAT)
    split, _ = load_splits(save_dataset(tmp_path, train=[row], validation=[row]))
    examples, _ = read_examples(split, CHAT, 100)
    (question,) = find_questions("pointing", examples, split, 10, np.random.default_rng(0))
    mark = TASKS["pointing"]
    assert mark(question, '<point x="12.0" y="39.0">boat</point>') == 1
    assert mark(question, '<point x="70.0" y="80.0">boat</point>') == 0
    assert mark(question, '<points x1="12.0" y1="39.0" x2="70.0" y2="80.0">boats</points>') == 0.5
    assert mark(question, "There are none.") == 0
