"""Left, right, above and below, of one thing to another and in the image, against the centres of the boxes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from stages.checks.evidence import Boxed, Evidence, Point
from stages.checks.phrases import Phrase, Sentence
from stages.checks.statements import Statement
from stages.checks.words import PREPOSITIONS

__all__ = ["position_faults"]

MARGIN = 0.02
"""How far a centre may lie on the wrong side of another, as a share of the image."""
HALF_MARGIN = 0.06
"""How far a centre may lie beyond the middle of the image, as a share of it."""

FRAME = {
    "image", "picture", "photo", "photograph", "frame", "shot", "snapshot", "scene", "view", "composition", "side",
    "half", "part", "edge", "corner", "top", "bottom", "middle", "center", "centre", "area", "end", "foreground",
    "background", "setting", "third", "distance", "place",
}
"""Names that belong to a place, and are not what is placed."""

OF = (
    r"(?:(?:on|to|at|by|in) )?(?:(?:the|its|their) )?(?:far |immediate |direct |very )?"
    r"(?P<side>left|right)(?:-hand)?(?: hand)?(?: side)? of"
)
LEVEL = r"(?P<level>above|below|beneath|underneath|under)(?! all else)"
HIGHER = r"(?P<higher>higher|lower)(?: up| down)?(?: in the (?:image|picture|photo|frame|scene))? than"
RELATION = re.compile(rf"\b(?:{OF}|{HIGHER}|{LEVEL})(?: (?:all|both|each|every one) of)? §(?P<other>\d+)§")
ITS_SIDE = re.compile(r"\b(?:to|on|at) its (?:immediate |far )?(?P<side>left|right)\b(?! of)")

DIRECTION = r"(?:far|very|extreme|upper|lower|top|bottom|left|right|left-hand|right-hand|hand|middle|center|centre)"
IN_FRAME = re.compile(
    rf"\b(?:on|in|at|to|along|near|towards?|occupies|fills|takes up|takes|occupy|fill)(?: only| just| over)? the"
    rf"(?P<where>(?:[ -]{DIRECTION})+)(?:[ -](?:side|half|part|edge|corner|third|area|section|portion|end))?"
    r"(?: of (?:the |this )?(?:image|picture|photo|photograph|frame|scene|shot))?"
    r"(?! of\b)(?=\s*(?:[,.;:!?()]|$|(?!(?:and|or) (?:left|right))[a-z§]))"
)
NOT_A_PLACE = re.compile(r"^ (?:track|direction|time|way|moment|place|order|angle|turn|hand|wing|lane|leg|foot|arm|ear|eye)\b")
ALL = {"all", "every", "each", "both"}


@dataclass(frozen=True)
class _Masked:
    """A sentence with §n§ for its phrases, and where each word of it was."""

    text: str
    places: list[int]
    """For each character, the index of its word."""


def position_faults(statement: Statement, evidence: Evidence) -> Iterator[tuple[int, int, str]]:
    """Yield the words and a message for each place that the boxes contradict."""
    sentence = statement.sentence
    asserted = statement.asserted()
    masked = _masked(sentence)
    for found in RELATION.finditer(masked.text):
        other = sentence.phrases[int(found["other"])]
        placed = _placed(masked, found, statement)
        name = found["side"] or found["level"] or found["higher"]
        if placed and (placed in asserted or placed is statement.antecedent) and other in asserted:
            yield from _relation(masked, found, placed, other, name, statement, evidence)
    for found in ITS_SIDE.finditer(masked.text):
        owner = statement.antecedent
        placed = _next_phrase(masked, found.end(), sentence)
        if owner and placed in asserted and placed is not None:
            yield from _relation(masked, found, placed, owner, found["side"], statement, evidence)
    for found in IN_FRAME.finditer(masked.text):
        if NOT_A_PLACE.match(masked.text[found.end() :]):
            continue
        placed = _placed(masked, found, statement)
        if placed and (placed in asserted or placed is statement.antecedent):
            yield from _frame(masked, found, placed, statement, evidence)


def _masked(sentence: Sentence) -> _Masked:
    """Return the sentence with a mark for each phrase that is not part of a place."""
    marks = {
        phrase.begin: (index, phrase) for index, phrase in enumerate(sentence.phrases)
        if sentence.text_of(phrase) not in FRAME and phrase.is_head
    }
    text, places, word = "", [], 0
    while word < len(sentence.words):
        if word in marks:
            index, phrase = marks[word]
            piece, following = f"§{index}§", phrase.end
        else:
            piece, following = sentence.words[word].text, word + 1
        text += piece + " "
        places += [word] * (len(piece) + 1)
        word = following
    return _Masked(text.rstrip(), places)


def _placed(masked: _Masked, found: re.Match[str], statement: Statement) -> Phrase | None:
    """Return what a place is said of: what follows it at the head of a clause, else what stands before it."""
    phrases = statement.sentence.phrases
    clause = re.split(r"[,;:—–]| while | whereas | but ", masked.text[: found.start()])[-1]
    if not clause.strip(" §") or clause.strip() in ("and", "over", "just", "also", "there", "further", "directly"):
        following = _next_phrase(masked, found.end(), statement.sentence)
        if following:
            return following
    before = [
        (phrases[int(mark[1])], mark.start()) for mark in re.finditer(r"§(\d+)§", clause)
    ]
    free = [phrase for phrase, start in before if not _follows_preposition(clause, start)]
    if free or before:
        return free[-1] if free else before[-1][0]
    if re.match(r"^\s*(?:it|they|he|she)\b", clause) or (not clause.strip() and statement.is_first):
        return statement.antecedent
    whole = [phrases[int(mark[1])] for mark in re.finditer(r"§(\d+)§", masked.text[: found.start()])]
    return whole[0] if len(whole) == 1 else None


def _follows_preposition(clause: str, start: int) -> bool:
    before = clause[:start].split()
    return bool(before) and before[-1] in PREPOSITIONS


def _next_phrase(masked: _Masked, start: int, sentence: Sentence) -> Phrase | None:
    following = re.search(r"§(\d+)§", masked.text[start:])
    return sentence.phrases[int(following[1])] if following else None


def _relation(
    masked: _Masked, found: re.Match[str], placed: Phrase, other: Phrase, name: str, statement: Statement,
    evidence: Evidence,
) -> Iterator[tuple[int, int, str]]:
    here, there = evidence.boxes_of(placed), evidence.boxes_of(other)
    if here is None or there is None or here.centres == there.centres:
        return
    is_right = COMPARISONS[name]
    every_other = _is_all(other, statement.sentence)

    def holds(centre: Point) -> bool:
        answers = [is_right(centre, reference) for reference in there.centres]
        return all(answers) if every_other else any(answers)

    if not _enough(placed, here, holds, statement):
        begin, end = masked.places[found.start()], masked.places[found.end() - 1] + 1
        yield begin, end, f"by the boxes it is not {name}"


def _frame(
    masked: _Masked, found: re.Match[str], placed: Phrase, statement: Statement, evidence: Evidence
) -> Iterator[tuple[int, int, str]]:
    here = evidence.boxes_of(placed)
    directions = [HALVES[word] for word in re.split(r"[ -]", found["where"]) if word in HALVES]
    if here is None or not directions:
        return
    if not _enough(placed, here, lambda centre: all(within(centre) for within in directions), statement):
        begin, end = masked.places[found.start()], masked.places[found.end() - 1] + 1
        yield begin, end, f"by the boxes it is not on the {found['where'].strip()}"


def _enough(placed: Phrase, boxed: Boxed, holds: Callable[[Point], bool], statement: Statement) -> bool:
    """Tell whether a place holds for as many boxes as the phrase speaks of."""
    holding = sum(map(holds, boxed.centres))
    if _is_all(placed, statement.sentence) and boxed.fit == "same":
        return holding == len(boxed.centres)
    if placed.quantity and not placed.quantity.is_vague:
        return holding >= min(placed.quantity.least, len(boxed.centres))
    if placed.is_plural and boxed.fit == "same" and placed.determiner:
        return 2 * holding >= len(boxed.centres)
    return holding > 0


def _is_all(phrase: Phrase, sentence: Sentence) -> bool:
    lead: Sequence[str] = [word.text for word in sentence.words[max(0, phrase.begin - 2) : phrase.noun]]
    return bool(ALL & set(lead))


def _beside(sign: int) -> Callable[[Point, Point], bool]:
    return lambda centre, reference: sign * (centre[0] - reference[0]) > -MARGIN


def _over(sign: int) -> Callable[[Point, Point], bool]:
    return lambda centre, reference: sign * (centre[1] - reference[1]) > -MARGIN


COMPARISONS: dict[str, Callable[[Point, Point], bool]] = {
    "left": _beside(-1), "right": _beside(1),
    "above": _over(-1), "higher": _over(-1),
    "below": _over(1), "beneath": _over(1), "underneath": _over(1), "under": _over(1), "lower": _over(1),
}

HALVES: dict[str, Callable[[Point], bool]] = {
    "left": lambda centre: centre[0] < 0.5 + HALF_MARGIN,
    "right": lambda centre: centre[0] > 0.5 - HALF_MARGIN,
    "top": lambda centre: centre[1] < 0.5 + HALF_MARGIN,
    "upper": lambda centre: centre[1] < 0.5 + HALF_MARGIN,
    "bottom": lambda centre: centre[1] > 0.5 - HALF_MARGIN,
    "lower": lambda centre: centre[1] > 0.5 - HALF_MARGIN,
}
