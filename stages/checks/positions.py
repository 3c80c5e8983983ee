"""Left, right, above and below, of one thing to another and in the image, against the centres of the boxes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from stages.checks.evidence import Boxed, Evidence
from stages.checks.phrases import Phrase, Sentence
from stages.checks.places import COMPARISONS, HALVES, Point, in_halves
from stages.checks.statements import Statement
from stages.checks.words import PREPOSITIONS, number

__all__ = ["position_faults"]

FRAME = {
    "image", "picture", "photo", "photograph", "frame", "shot", "snapshot", "scene", "view", "composition", "side",
    "half", "part", "edge", "corner", "top", "bottom", "middle", "center", "centre", "area", "end", "foreground",
    "background", "setting", "distance", "place",
}
"""Names that belong to a place, and are not what is placed."""

IMAGE = r"(?:image|picture|photo|photograph|frame|scene|shot|view)"
OF = (
    r"(?:(?:on|to|at|by|in) )?(?:(?:the|its|their) )?(?:far |immediate |direct |very )?"
    r"(?P<side>left|right)(?:-hand)?(?: hand)?(?: side)? of"
)
LEVEL = r"(?P<level>above|below|beneath|underneath|under)"
HIGHER = rf"(?P<higher>higher|lower)(?: up| down)?(?: in the {IMAGE})? than"
RELATION = re.compile(rf"\b(?:{OF}|{HIGHER}|{LEVEL})(?: (?:all|both|each|every one) of)? §(?P<other>\d+)§")
ITS_SIDE = re.compile(r"\b(?:to|on|at) its (?:immediate |far )?(?P<side>left|right)\b(?! of)")

WHERE = r"(?:far|very|extreme|upper|lower|top|bottom|left|right|left-hand|right-hand|hand|middle|center|centre)"
IN_FRAME = re.compile(
    rf"\b(?:on|in|at|to|along|near|towards?|occup(?:y|ies)|fills?|takes? up)(?: only| just| over)? the"
    rf"(?P<where>(?:[ -]{WHERE})+)(?:[ -](?P<part>side|half|part|edge|corner|third|area|section|portion|end))?"
    rf"(?: of (?:the |this )?{IMAGE})?(?! of\b)"
    r"(?! (?:track|direction|time|way|moment|order|angle|turn|hand|wing|lane|leg|foot|arm|ear|eye)\b)"
)
OPPOSITES = re.compile(r"\bleft\b.*\bright\b|\bright\b.*\bleft\b")
EDGE = {"far", "extreme", "edge", "corner", "very"}

CLAUSE = re.compile(r"[,;:-]| while | whereas | but ")
LEADS_IN = {"", "and", "look", "over", "just", "also", "there", "further", "directly", "right", "immediately"}
SOME = {"one", "another", "other", "others", "some", "several", "many", "few"}
ALL = {"all", "every", "each", "both"}


@dataclass(frozen=True)
class _Placed:
    """What a place is said of, and of how many of it at least where a pronoun like "one" or "two" says so."""

    phrase: Phrase
    least: int | None = None


@dataclass(frozen=True)
class _Masked:
    """A sentence with §n§ for its phrases, and for each character the words it stands for, from and to."""

    text: str
    places: list[tuple[int, int]]

    def span(self, found: re.Match[str]) -> tuple[int, int]:
        """Return the words of a match."""
        return self.places[found.start()][0], self.places[found.end() - 1][1]


def position_faults(statement: Statement, evidence: Evidence) -> Iterator[tuple[int, int, str]]:
    """Yield the words and a message for each place that the boxes contradict."""
    masked = _masked(statement.sentence)
    yield from _relations(masked, statement, evidence)
    yield from _halves(masked, statement, evidence)


def _masked(sentence: Sentence) -> _Masked:
    """Return the sentence with a mark for each phrase that is not part of a place."""
    marks = {
        phrase.begin: (index, phrase) for index, phrase in enumerate(sentence.phrases)
        if sentence.text_of(phrase) not in FRAME and phrase.is_head
    }
    text, word = "", 0
    places: list[tuple[int, int]] = []
    while word < len(sentence.words):
        index, phrase = marks.get(word, (-1, None))
        piece = sentence.words[word].text if phrase is None else f"§{index}§"
        end = word + 1 if phrase is None else phrase.end
        text += piece + " "
        places += [(word, end)] * (len(piece) + 1)
        word = end
    return _Masked(text.rstrip(), places)


def _relations(masked: _Masked, statement: Statement, evidence: Evidence) -> Iterator[tuple[int, int, str]]:
    asserted = statement.asserted()
    for found in RELATION.finditer(masked.text):
        name = found["side"] or found["level"] or found["higher"]
        other = statement.sentence.phrases[int(found["other"])]
        placed = _placed(masked, found, statement)
        is_there = other in asserted or found["higher"]  # "than" alone does not make it open
        if placed is None or not is_there or not _is_said(placed, statement):
            continue
        if not _is_beside(placed, other, name, statement, evidence):
            yield *masked.span(found), f"by the boxes it is not {name}"
    for found in ITS_SIDE.finditer(masked.text):
        owner, following = statement.antecedent, _next_phrase(masked, found.end(), statement.sentence)
        if owner is None or following not in asserted or following is None:
            continue
        if not _is_beside(_Placed(following), owner, found["side"], statement, evidence):
            yield *masked.span(found), f"by the boxes it is not {found['side']}"


def _is_beside(placed: _Placed, other: Phrase, name: str, statement: Statement, evidence: Evidence) -> bool:
    """Tell whether the boxes allow that one thing lies there, seen from the other; what has no box may."""
    here, there = evidence.boxes_of(placed.phrase), evidence.boxes_of(other)
    if here is None or there is None or here.centres == there.centres:
        return True
    compare = COMPARISONS[name]
    quantify = all if _is_all(other, statement.sentence) else any
    return _holds(
        placed, here, lambda centre: quantify(compare(centre, reference) for reference in there.centres), statement
    )


def _halves(masked: _Masked, statement: Statement, evidence: Evidence) -> Iterator[tuple[int, int, str]]:
    for found in IN_FRAME.finditer(masked.text):
        where = found["where"].split()
        names = [name for name in where if name in HALVES]
        placed = _placed(masked, found, statement)
        here = evidence.boxes_of(placed.phrase) if placed else None
        if placed is None or here is None or not names or not _is_said(placed, statement):
            continue
        if here.fit == "narrower" and OPPOSITES.search(masked.text):
            continue  # "the man on the left, the woman on the right": of the two, not of the image
        at_edge = bool(EDGE & {*where, found["part"]})
        if not _holds(placed, here, lambda centre: in_halves(centre, names, at_edge=at_edge), statement):  # noqa: B023
            yield *masked.span(found), f"by the boxes it is not in the {' '.join(names)} of the image"


def _is_said(placed: _Placed, statement: Statement) -> bool:
    phrases = statement.sentence.phrases
    return placed.phrase not in phrases or placed.phrase in statement.asserted()


def _placed(masked: _Masked, found: re.Match[str], statement: Statement) -> _Placed | None:
    """Return what a place is said of: what follows it at the head of a clause, else what stands before it."""
    phrases = statement.sentence.phrases
    before = masked.text[: found.start()]
    clause = CLAUSE.split(before)[-1]
    if clause.strip() in LEADS_IN and (following := _next_phrase(masked, found.end(), statement.sentence)):
        return _Placed(following)
    marks = [(phrases[int(mark[1])], mark.start()) for mark in re.finditer(r"§(\d+)§", clause)]
    free = [phrase for phrase, start in marks if not _follows_preposition(clause, start)]
    some = [word for word in clause.split() if word in SOME or number(word) is not None]
    earlier = [phrases[int(mark)] for mark in re.findall(r"§(\d+)§", before)]
    if marks and not (some and clause.split()[-1] in some):
        return _Placed(free[-1] if free else marks[-1][0])
    topic = earlier[0] if earlier else statement.antecedent
    if topic is not None and some:
        return _Placed(topic, number(some[-1]) or 1)
    if statement.antecedent and (re.match(r"\s*(?:it|they|he|she)\b", clause) or not before.strip()):
        return _Placed(statement.antecedent)
    return _Placed(earlier[0]) if len(earlier) == 1 else None


def _follows_preposition(clause: str, start: int) -> bool:
    before = clause[:start].split()
    return bool(before) and before[-1] in PREPOSITIONS


def _next_phrase(masked: _Masked, start: int, sentence: Sentence) -> Phrase | None:
    following = re.search(r"§(\d+)§", masked.text[start:])
    return sentence.phrases[int(following[1])] if following else None


def _holds(placed: _Placed, boxed: Boxed, is_there: Callable[[Point], bool], statement: Statement) -> bool:
    """Tell whether a place holds for as many boxes as are spoken of."""
    phrase, holding, boxes = placed.phrase, sum(map(is_there, boxed.centres)), len(boxed.centres)
    if placed.least is not None:
        return holding >= min(placed.least, boxes)
    if _is_all(phrase, statement.sentence) and boxed.fit == "same":
        return holding == boxes
    if phrase.quantity and not phrase.quantity.is_vague:
        return holding >= min(phrase.quantity.least, boxes)
    if phrase.is_plural and boxed.fit == "same" and phrase.determiner:
        return 2 * holding >= boxes
    return holding > 0


def _is_all(phrase: Phrase, sentence: Sentence) -> bool:
    return any(word.text in ALL for word in sentence.words[max(0, phrase.begin - 2) : phrase.noun])
