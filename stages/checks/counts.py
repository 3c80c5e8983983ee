"""Numbers that contradict the boxes.

The boxes of a label are all there are of it, unless a text tells of many or there are so many that annotators stop.
"Two dogs" says at least two; "there are two dogs", "only two dogs" and the answer to "how many" say all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from stages.checks.evidence import Boxed, Evidence
from stages.checks.objects import EXISTENTIAL
from stages.checks.phrases import Phrase, Sentence
from stages.checks.quantities import Quantity
from stages.checks.statements import Statement
from stages.checks.words import number

__all__ = ["MANY_BOXES", "MIRRORED", "count_faults"]

LONGEST_NUMBER = 4
"""Words of an answer like "Just the one."."""
LEAD_WORDS = 3
"""Words before what a question asks for: "is there a"."""
MANY_BOXES = 10
"""From so many boxes of a label on, there may be more of it than there are boxes (COCO marks the rest as a crowd)."""

SCENE = r"(?:the|this) (?:\w+ )?(?:image|picture|photo|scene|photograph|view|shot|frame)"
SEEN = r"(?:seen|counted|visible|present|shown|made out|spotted|found|in view|in sight|in total|there|here)"
IN_ALL = re.compile(
    rf"^(?:(?:that |which |who )?(?:can|could|are|is|may)? ?(?:be )?{SEEN}|in (?:all|total|view|sight|{SCENE})|"
    r"altogether|all told)\b"
)
"""What follows a number of things that is said to be all there are."""
END = re.compile(r"^(?:[.!,;]|and\b|or\b|$)")
THERE = re.compile(r"\b(?:there(?:'s| is| are| were| was)|i (?:can )?(?:see|count|make out))\b[^.,;]{0,20}$")
"""What goes before it."""
OTHERS = re.compile(r"\b(?:other|more|another|besides)\b|of the $")
MIRRORED = {"mirror", "reflection", "reflect", "reflected"}
"""Where a text has these, one thing can have two boxes."""
HOW_MANY = re.compile(r"\bhow many\b", re.IGNORECASE)

NOT_THERE = re.compile(r"\bthere(?:'s| is| are| seems?| appears?|\b.*n't)\b|\b(?:see|spot|find|make out)\b")
AT_ALL = re.compile(rf"^(?:$|[.!,;]|(?:anywhere|here|visible|at all|to be seen|in {SCENE}|and|or)\b)")
NOT_SEEN = re.compile(rf"^(?:can|could|is|are|to) (?:be )?{SEEN}")
NOBODY = re.compile(
    r"\b(?:nobody|no one|no-one) (?:(?:is|can be|was|appears) )?(?:at all|around|in|on|at|seen|here|there|visible)\b"
)
ON_A_SEAT = re.compile(r"\b(?:bench|chair|seat|couch|sofa|horse|bed|bus|boat|train|car|table)(?:e?s)?\b")


@dataclass(frozen=True)
class _Claim:
    """A number said of a phrase: exactly, or as far as ``quantity`` goes."""

    quantity: Quantity
    is_all: bool


def count_faults(statement: Statement, evidence: Evidence) -> Iterator[tuple[int, int, str]]:
    """Yield the words and a message for each number that contradicts the boxes, or else the texts' numbers."""
    sentence = statement.sentence
    for phrase in [*statement.asserted(), *(phrase for phrase in statement.denied() if phrase.is_none)]:
        claim = _claim(phrase, statement)
        if claim is None or not phrase.is_head or _is_lenient(phrase, evidence):
            continue
        if fault := _fault(phrase, claim, evidence):
            yield phrase.begin, phrase.end, f"{sentence.text_of(phrase)!r}: {fault}"
    yield from _denials(statement, evidence)
    yield from _bare_number(statement, evidence)


def _is_lenient(phrase: Phrase, evidence: Evidence) -> bool:
    return any(evidence.vocabulary.things[thing].lenient for thing in phrase.things)


def _claim(phrase: Phrase, statement: Statement) -> _Claim | None:
    quantity = phrase.quantity
    if quantity is None:
        return None
    if quantity.is_part or phrase.determiner in ("the", "these", "those", "'s", "his", "her", "its", "their"):
        return _Claim(quantity, quantity.is_total and not quantity.is_part)
    before, after = _around(statement.sentence, phrase)
    if OTHERS.search(before):
        return _Claim(quantity, False)
    asked = statement.is_first and HOW_MANY.search(statement.question.text)
    is_ended = END.match(after) and (THERE.search(before) or (asked and not before))
    return _Claim(quantity, quantity.is_total or bool(IN_ALL.match(after) or is_ended))


def _around(sentence: Sentence, phrase: Phrase) -> tuple[str, str]:
    begin, end = sentence.words[phrase.begin].start, sentence.words[phrase.end - 1].end
    first = sentence.words[0].start
    lead = len(sentence.text) - len(sentence.text.lstrip())
    text = sentence.text.lstrip().lower() if lead else sentence.text.lower()
    return text[: begin - first], text[end - first :].lstrip()


def _fault(phrase: Phrase, claim: _Claim, evidence: Evidence) -> str | None:
    quantity = claim.quantity
    boxed = evidence.boxes_of(phrase)
    told = evidence.numbers_of(phrase)
    if quantity.bound == "exactly" and quantity.least in told:
        return None
    if boxed is None or boxed.fit == "wider":
        return _against_texts(quantity, told) if boxed is None else None
    return _against_boxes(phrase, claim, boxed, evidence)


def _against_boxes(phrase: Phrase, claim: _Claim, boxed: Boxed, evidence: Evidence) -> str | None:
    quantity, there = claim.quantity, len(boxed.centres)
    slack = max(1, quantity.least // 4) if quantity.bound == "about" else 0
    if quantity.bound == "at most":
        return None
    if quantity.least - slack > there:
        is_told = there >= MANY_BOXES or (quantity.is_vague and evidence.are_many(phrase))
        return None if is_told else f"the boxes show {there}"
    if MIRRORED & evidence.words:
        return None
    if claim.is_all and quantity.bound == "exactly" and boxed.fit == "same" and quantity.least + slack < there:
        return f"the boxes show {there}"
    return None


def _against_texts(quantity: Quantity, told: set[int]) -> str | None:
    """Return what is wrong with the number of a thing that is in no box but counted in a text."""
    if not told or quantity.bound != "exactly" or quantity.is_part or quantity.least <= max(told):
        return None
    return f"a text tells of {max(told)}"


def _denials(statement: Statement, evidence: Evidence) -> Iterator[tuple[int, int, str]]:
    """Yield denials of what has boxes: "there is no dog", "nobody is in sight", "no"."""
    sentence, asked = statement.sentence, statement.question
    for phrase in statement.denied():
        if _denies_existence(sentence, phrase) and (there := _boxes(phrase, evidence)):
            yield phrase.begin, phrase.end, f"{sentence.text_of(phrase)!r}: the boxes show {there}"
    persons = evidence.boxes_of_things(evidence.vocabulary.find("person"))
    lowered = sentence.text.lower()
    if persons and NOBODY.search(lowered) and not ON_A_SEAT.search(lowered):
        yield 0, 1, f"nobody is said to be there: the boxes show {len(persons.centres)}"
    if statement.is_first and sentence.words[0].text == "no" and EXISTENTIAL.search(asked.text.strip()):
        for phrase in asked.phrases:
            is_whole = phrase.begin <= LEAD_WORDS and AT_ALL.match(_around(asked, phrase)[1].rstrip("?"))
            if phrase.is_head and is_whole and (there := _boxes(phrase, evidence)):
                yield 0, 1, f"it denies {asked.text_of(phrase)!r}: the boxes show {there}"


def _boxes(phrase: Phrase, evidence: Evidence) -> int:
    """Return how many boxes have a label that means the same as the phrase."""
    boxed = evidence.boxes_of(phrase)
    return len(boxed.centres) if boxed and boxed.fit == "same" else 0


def _denies_existence(sentence: Sentence, phrase: Phrase) -> bool:
    """Tell "there is no dog" and "no dog can be seen" from "no dog wears a collar" and "it is not a dog"."""
    before, after = _around(sentence, phrase)
    if phrase.determiner not in ("no", "a", "an", "any"):
        return False
    if NOT_THERE.search(before):
        return bool(AT_ALL.match(after))
    return phrase.determiner == "no" and bool(NOT_SEEN.match(after))


def _bare_number(statement: Statement, evidence: Evidence) -> Iterator[tuple[int, int, str]]:
    """Yield a number that answers "how many" alone."""
    words = [word for word in statement.sentence.words if not word.is_sign]
    is_answer = statement.is_first and bool(HOW_MANY.search(statement.question.text))
    if not is_answer or len(words) > LONGEST_NUMBER or statement.sentence.phrases:
        return
    values = [value for word in words if (value := number(word.text)) is not None]
    counted = next((phrase for phrase in statement.question.phrases if phrase.is_head), None)
    if counted is None or len(values) != 1:
        return
    fault = _fault(counted, _Claim(Quantity(values[0]), is_all=True), evidence)
    if fault:
        yield 0, len(statement.sentence.words), fault
