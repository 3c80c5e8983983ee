"""Things that an answer names as present though nothing says that they are there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from stages.checks.evidence import Evidence
from stages.checks.nouns import vocabulary
from stages.checks.phrases import Phrase
from stages.checks.statements import Statement

__all__ = ["EXISTENTIAL", "object_faults"]

UNNAMED = {"someone", "somebody"}

EXISTENTIAL = re.compile(r"^(?:is|are) there\b|^(?:can|do) (?:you|we|i) (?:also )?(?:see|spot|find)\b", re.IGNORECASE)
"""A question whose "yes" says that something is there."""


def object_faults(statement: Statement, evidence: Evidence) -> Iterator[tuple[int, int, str]]:
    """Yield the words and a message for each thing that is in no box, caption or transcript."""
    for phrase in statement.asserted():
        name = statement.sentence.text_of(phrase)
        if phrase.is_head and name not in UNNAMED and _is_unsupported(phrase, evidence):
            yield phrase.noun, phrase.end, f"{name!r} is in no box, caption or transcript"
    for phrase in _confirmed(statement):
        if _is_unsupported(phrase, evidence):
            name = statement.question.text_of(phrase)
            yield 0, 1, f"it confirms {name!r}, which is in no box, caption or transcript"


def _confirmed(statement: Statement) -> list[Phrase]:
    """Return what "yes" confirms."""
    words = statement.sentence.words
    if not statement.is_first or words[0].text != "yes" or not EXISTENTIAL.search(statement.question.text.strip()):
        return []
    return [phrase for phrase in statement.question.phrases if phrase.is_head]


def _is_unsupported(phrase: Phrase, evidence: Evidence) -> bool:
    return not evidence.supports(phrase) or _is_another_person(phrase, evidence)


def _is_another_person(phrase: Phrase, evidence: Evidence) -> bool:
    """Tell whether texts and labels name men but no woman, or grown-ups but no child, and the phrase says otherwise.

    A box of a person supports each of them where nothing tells which it is.
    """
    told = {kind for kind, things in _persons().items() if things & evidence.named}
    said = {kind for kind, things in _persons().items() if set(phrase.things) <= things}
    if not said or "mixed" in told:
        return False
    opposites = (("male", "female"), ("female", "male"), ("little", "grown"))
    return any(one in said and other in told and one not in told for one, other in opposites)


@cache
def _persons() -> dict[str, set[int]]:
    known = vocabulary()

    def kinds_of(*names: str) -> set[int]:
        roots = {thing for name in names for thing in known.find(name)}
        return {thing for thing in range(len(known.things)) if any(known.is_kind_of(thing, root) for root in roots)}

    male, female = kinds_of("man", "boy"), kinds_of("woman", "girl")
    return {
        "male": male, "female": female, "grown": kinds_of("man", "woman"), "little": kinds_of("child"),
        "mixed": kinds_of("couple", "family", "parent"),
    }
