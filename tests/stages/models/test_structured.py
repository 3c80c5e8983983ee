"""JSON out of replies that are not quite JSON."""

from __future__ import annotations

import json

import pytest

from stages.models.structured import json_in

BOAT = {"description": "A boat."}
TURNS = '{"turns": [{"question": "a", "answer": "b"}, {"question": "c", "answer": "d"}]}'


@pytest.mark.parametrize(
    "reply",
    [
        '{"description": "A boat."}', ' {"description": "A boat."}\n',
        '```json\n{"description": "A boat."}\n```', 'Here it is:\n{"description": "A boat."}\nI hope it helps!',
        "<think>\nThey want {json}.\n</think>\n\n{\"description\": \"A boat.\"}",
        "{'description': 'A boat.'}", '{"description": "A boat.",}', '{description: "A boat."}',
        '{"description": "A boat." // a comment\n}',
    ],
)
def test_small_faults_are_forgiven(reply: str) -> None:
    """Fences, prose, thoughts, quotes, commas and comments do not hide the object."""
    assert json.loads(json_in(reply)) == BOAT


def test_quotes_and_breaks_inside_a_sentence_are_kept() -> None:
    """Unescaped quotes and line breaks stay part of the text."""
    assert json.loads(json_in('{"description": "He says "ahoy" to us."}')) == {"description": 'He says "ahoy" to us.'}
    assert json.loads(json_in('{"description": "One.\nTwo."}')) == {"description": "One.\nTwo."}


@pytest.mark.parametrize("end", range(1, len(TURNS)))
def test_what_was_cut_is_not_repaired(end: int) -> None:
    """Wherever a reply breaks off, it does not become a shorter one that looks whole."""
    assert json_in(TURNS[:end]) == TURNS[:end]


@pytest.mark.parametrize(
    "reply", ["", "no JSON", '{"description": "A"} {"description": "B"}', "[1, 2]", "{" * 5000, "}{", "{}" * 3000]
)
def test_what_is_no_single_object_comes_back_as_it_is(reply: str) -> None:
    """Nothing is made up, and no choice is made between two answers."""
    assert json_in(reply) == reply
