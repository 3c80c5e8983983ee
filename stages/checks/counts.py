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

__all__ = ["count_faults"]

MANY_BOXES = 10
"""From so many boxes of a label on, there may be more of it than there are boxes (COCO marks the rest as a crowd)."""

IN_ALL = re.compile(
    r"^(?:(?:that|which|who)? ?(?:can|could|are|is|may) ?(?:be)? ?(?:seen|counted|visible|present|shown|made out|spotted|"
    r"found|in view|in sight|in total|there|here)|in (?:all|total|view|sight|(?:the|this) "
    r"(?:image|picture|photo|scene|photograph))|altogether|all told|here|visible|present)\b"
)
"""What follows a number of things that is said to be all there are."""
END = re.compile(r"^(?:[.!,;]|and\b|or\b|$)")

THERE = re.compile(r"\b(?:there(?:'s| is| are| were| was)|i (?:can )?(?:see|count|make out|can make out)|i see)\b[^.,;]{0,20}$")
EVERYWHERE = re.compile(r"^(?:(?:are|is|was|were) )?(?:\w+ )?(?:in|at|on|here|there|anywhere|to|visible|seen|present|[.!?,;]|$)")
NOBODY = re.compile(r"\b(?:nobody|no one|no-one|not (?:a soul|anybody|anyone))\b(?=[^.;,]*)")


@dataclass(frozen=True)
class _Claim:
    """A number said of a phrase: exactly, or as far as ``quantity`` goes."""

    quantity: Quantity
    is_all: bool


def count_faults(statement: Statement, evidence: Evidence) -> Iterator[tuple[int, int, str]]:
    """Yield the words and a message for each number that contradicts the boxes, or else the texts' numbers."""
    sentence = statement.sentence
    for phrase in statement.asserted():
        claim = _claim(phrase, statement)
        if claim and phrase.is_head and not _is_lenient(phrase, evidence) and (fault := _fault(phrase, claim, evidence)):
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
    if before.endswith("of the ") or re.search(r"\b(?:other|more|another|besides)\b", before):
        return _Claim(quantity, False)
    asked = statement.is_first and re.search(r"\bhow many\b", statement.question.text.lower())
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
        return _against_texts(phrase, claim, evidence, told) if boxed is None else None
    return _against_boxes(phrase, claim, boxed, evidence)


def _against_boxes(phrase: Phrase, claim: _Claim, boxed: Boxed, evidence: Evidence) -> str | None:
    quantity, there = claim.quantity, len(boxed.centres)
    slack = max(1, quantity.least // 4) if quantity.bound == "about" else 0
    is_open = there >= MANY_BOXES or evidence.are_many(phrase)
    if quantity.bound == "at most":
        return None
    if quantity.least - slack > there and not (is_open and quantity.is_vague):
        vague_many = is_open and there >= MANY_BOXES
        return None if vague_many else f"the boxes show {there}"
    if claim.is_all and quantity.bound == "exactly" and boxed.fit == "same" and quantity.least + slack < there:
        return f"the boxes show {there}"
    return None


def _against_texts(phrase: Phrase, claim: _Claim, evidence: Evidence, told: set[int]) -> str | None:
    """Return what is wrong with the number of a thing that is in no box but counted in a text."""
    quantity = claim.quantity
    if not told or quantity.bound != "exactly" or quantity.is_part or quantity.least <= max(told):
        return None
    return f"a text tells of {max(told)}"


def _denials(statement: Statement, evidence: Evidence) -> Iterator[tuple[int, int, str]]:
    """Yield denials of what has boxes: "there is no dog", "nobody is in sight", "No." """
    sentence = statement.sentence
    for phrase in statement.denied():
        if not _denies_existence(sentence, phrase):
            continue
        boxed = evidence.boxes_of(phrase)
        if boxed and boxed.fit == "same":
            yield phrase.begin, phrase.end, f"{sentence.text_of(phrase)!r}: the boxes show {len(boxed.centres)}"
    lowered = sentence.text.lower()
    persons = evidence.boxes_of_things(evidence.vocabulary.find("person"))
    if persons and NOBODY.search(lowered) and re.search(
        r"\b(?:nobody|no one|no-one) (?:is|can be|was|appears)? ?(?:at all|around|here|there|in|on|at|visible|seen|present)\b",
        lowered,
    ) and not re.search(r"\b(?:bench|chair|seat|couch|sofa|horse|bed|bus|boat|train|car)s?\b", lowered):
        yield 0, 1, f"nobody is said to be there: the boxes show {len(persons.centres)}"
    if statement.is_first and sentence.words[0].text == "no" and EXISTENTIAL.search(statement.question.text.strip()):
        for phrase in statement.question.phrases:
            boxed = evidence.boxes_of(phrase)
            rest = statement.question.words[phrase.end :]
            if boxed and boxed.fit == "same" and len(rest) <= 4 and phrase.is_head and phrase.begin <= 3:
                yield 0, 1, f"it denies {statement.question.text_of(phrase)!r}: the boxes show {len(boxed.centres)}"


def _denies_existence(sentence: Sentence, phrase: Phrase) -> bool:
    """Tell "there is no dog" and "no dog can be seen" from "no dog wears a collar" and "it is not a dog"."""
    before, after = _around(sentence, phrase)
    if phrase.determiner not in ("no", "a", "an", "any"):
        return False
    there = re.search(r"\bthere(?:'s| is| are|\b.*n't| seem| seems| appear| appears)\b|\b(?:see|spot|find|make out)\b", before)
    if there:
        return bool(re.match(r"^(?:$|[.!,;]|(?:anywhere|here|visible|at all|to be seen|in (?:the|this) (?:\w+ )?"
                             r"(?:image|picture|photo|scene|view|shot|frame))\b|and\b|or\b)", after))
    seen = re.match(r"^(?:(?:can|could|is|are|to) (?:be )?)(?:seen|visible|found|shown|present|spotted|made out|there|here)", after)
    return bool(seen) and phrase.determiner == "no"


def _bare_number(statement: Statement, evidence: Evidence) -> Iterator[tuple[int, int, str]]:
    """Yield a number that answers "how many" alone."""
    words = [word for word in statement.sentence.words if not word.is_sign]
    asked = re.search(r"\bhow many\b", statement.question.text.lower())
    if not asked or not statement.is_first or not 1 <= len(words) <= 4 or statement.sentence.phrases:
        return
    values = [value for word in words if (value := number(word.text)) is not None]
    counted = next((phrase for phrase in statement.question.phrases if phrase.is_head), None)
    if counted is None or len(values) != 1:
        return
    fault = _fault(counted, _Claim(Quantity(values[0]), is_all=True), evidence)
    if fault:
        yield 0, len(statement.sentence.words), fault
