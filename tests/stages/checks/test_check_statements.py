"""The check on statements about real contexts."""

from __future__ import annotations

from collections import Counter

import pytest

from bench.check import SETS, captioned, read_contexts, read_statements, score
from stages.checks import Context
from tests.integration.real_data import DATA, needs_real_data

LEAST_RECALL, MOST_FALSE_ALARMS = 0.9, 0.05

pytestmark = needs_real_data


@pytest.fixture(scope="module")
def contexts() -> dict[str, Context]:
    """The real contexts by id."""
    return read_contexts(DATA / "contexts.jsonl", DATA / "photos.jsonl")


def test_statements_are_many_and_half_of_them_wrong() -> None:
    """At least 300, with every type of error among them."""
    errors = Counter(statement["error"] for statement in read_statements())
    assert errors.total() >= 300
    assert 0.45 < errors[None] / errors.total() < 0.55
    assert len(errors) == 11


@pytest.mark.parametrize("name", SETS)
def test_recall_and_false_alarms(contexts: dict[str, Context], name: str) -> None:
    """Nine planted errors of ten are found as what they are, and hardly a true statement is reported."""
    result = score([each for each in read_statements() if each["set"] == name], contexts)
    assert result.recall >= LEAST_RECALL
    assert {kind for kind, number in result.planted.items() if result.caught[kind] < LEAST_RECALL * number} == set()
    assert result.false_alarm_rate < MOST_FALSE_ALARMS


def test_captions_of_people(contexts: dict[str, Context]) -> None:
    """Captions agree with themselves, and those of other images are found out."""
    flagged = {name: found / number for name, found, number in captioned(contexts)}
    assert flagged["all that is known"] < 0.01
    assert flagged["another image"] > 0.9
