"""Which of the things that an answer names it says are there.

Not asserted is what stands in a question, after a negation ("no", "without", "instead of") or a hedge ("might",
"perhaps", "if") until the clause turns ("but", "while", ";"), a purpose or likeness ("for a trip", "like a dog"),
a quotation, or a sentence about the world rather than the image ("Zebras often live in herds").
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from stages.checks.generality import asks_about_the_world, is_about_the_world
from stages.checks.nouns import Vocabulary
from stages.checks.phrases import Phrase, Sentence, read_sentence
from stages.checks.words import sentences

__all__ = ["Standing", "Statement", "read_statements"]

Standing = Literal["asserted", "denied", "open"]

NEGATIONS = {"no", "not", "never", "without", "neither", "nor", "none", "nobody", "cannot", "nothing", "hardly"}
NEGATING_NOUNS = {"absence", "lack", "instead", "devoid", "free", "rather", "far", "away"}
HEDGES = {
    "might", "may", "could", "would", "should", "must", "perhaps", "maybe", "possibly", "probably", "presumably",
    "likely", "if", "whether", "unless", "whenever", "imagine", "suppose", "supposedly", "suggest", "suggests",
    "suggesting", "indicates", "indicating", "implies", "implying", "needed", "required", "recommended",
}
TURNS = {"but", "while", "whereas", "although", "though", "because", "however", "-", "(", ")", ":"}
RESEMBLES = {"look", "looks", "looking", "feel", "feels", "seem", "seems", "sound", "sounds", "shaped", "much"}
NOT_THERE = {"for", "like", "resembling", "resembles", "resemble", "called", "than"}
SHORT_NO = 3
"""Words of an answer's "not yet," or "not at all,": it negates nothing that follows."""
PROTECTS = {"protect", "protects", "protected", "protecting", "protection", "shield", "shields", "guard", "guards"}
QUOTATION = re.compile(r"\"([^\"]+)\"")
SEEN = re.compile(
    r"\b(?:can|could|may) (?:be|you|one|we|also|clearly|easily|even|just|still|see|find|make|spot|count|notice)\b"
    r"(?: (?:be|also|see|seen|find|found|make|made|spot|spotted|count|counted|observe|observed|notice|noticed))*"
)
@dataclass(frozen=True)
class Statement:
    """A sentence of an answer, with the standing of each of its phrases."""

    sentence: Sentence
    standings: list[Standing]
    antecedent: Phrase | None
    """What "it" or "they" means at its beginning, as far as one can tell."""
    question: Sentence
    """The last sentence of the question it answers."""
    is_first: bool

    def asserted(self) -> list[Phrase]:
        """Return the phrases that name what is said to be there."""
        return [phrase for phrase, standing in self._pairs() if standing == "asserted"]

    def denied(self) -> list[Phrase]:
        """Return the phrases that name what is said not to be there."""
        return [phrase for phrase, standing in self._pairs() if standing == "denied"]

    def _pairs(self) -> list[tuple[Phrase, Standing]]:
        return list(zip(self.sentence.phrases, self.standings, strict=True))


def read_statements(answer: str, question: str, vocabulary: Vocabulary) -> list[Statement]:
    """Return the sentences of an answer to a question."""
    asked = [read_sentence(text, 0, vocabulary) for _, text in sentences(question)]
    last_asked = asked[-1] if asked else Sentence("", [])
    is_general = asks_about_the_world(last_asked)
    antecedent = _topic(last_asked, vocabulary, last=True)
    statements: list[Statement] = []
    for offset, text in sentences(answer):
        sentence = read_sentence(text, offset, vocabulary)
        standings = _standings(sentence, offset, is_general)
        statements.append(Statement(sentence, standings, antecedent, last_asked, not statements))
        antecedent = _topic(sentence, vocabulary) or antecedent
    return statements


def _topic(sentence: Sentence, vocabulary: Vocabulary, *, last: bool = False) -> Phrase | None:
    named = [
        phrase for phrase in sentence.phrases
        if phrase.is_head and not all(vocabulary.things[thing].lenient for thing in phrase.things)
    ]
    return named[-1 if last else 0] if named else None


def _standings(sentence: Sentence, offset: int, is_general: bool) -> list[Standing]:
    texts = [word.text for word in sentence.words]
    open_ = is_general or texts[-1:] == ["?"] or is_about_the_world(sentence, texts)
    seen = [_places(sentence, offset, found) for found in SEEN.finditer(sentence.text.lower())]
    quoted = [_places(sentence, offset, found) for found in QUOTATION.finditer(sentence.text)]
    denied = _scopes(texts, [place for place in range(len(texts)) if _negates(texts, place)])
    hedges = [
        place for place, text in enumerate(texts)
        if text in HEDGES and not any(place in places for places in seen)
    ]
    likes = [place for place in range(1, len(texts)) if texts[place] == "like" and texts[place - 1] in RESEMBLES]
    hedged = _scopes(texts, [*hedges, *likes])
    found: list[Standing] = []
    for phrase in sentence.phrases:
        before = sentence.phrases[len(found) - 1] if found else None
        if before and not before.is_head and before.end == phrase.begin:  # "no fruit stall": one name
            found.append(found[-1])
        elif open_ or phrase.noun in hedged or any(phrase.noun in places for places in quoted):
            found.append("open")
        elif phrase.noun in denied or phrase.determiner in ("no", "neither") or phrase.is_none:
            found.append("denied")
        elif (
            _is_likeness(texts, phrase) or _is_with_open(texts, phrase, sentence, found)
            or (_is_indefinite(phrase) and _precedes(texts, phrase, hedges))
        ):
            found.append("open")
        else:
            found.append("asserted")
    return found


def _places(sentence: Sentence, offset: int, found: re.Match[str]) -> range:
    """Return the indices of the words within a match."""
    begin, end = found.start() + offset, found.end() + offset
    inside = [place for place, word in enumerate(sentence.words) if begin <= word.start and word.end <= end]
    return range(inside[0], inside[-1] + 1) if inside else range(0)


def _negates(texts: Sequence[str], place: int) -> bool:
    word = texts[place]
    after = texts[place + 1] if place + 1 < len(texts) else ""
    if word.endswith("n't"):
        return True
    if word in NEGATIONS:
        return after not in (",", ".", "only", "doubt", "just", "far", "until", "")
    return word in NEGATING_NOUNS and after in ("of", "than", "from")


def _scopes(texts: Sequence[str], places: Sequence[int]) -> set[int]:
    """Return the words from each place to where the clause turns."""
    inside: set[int] = set()
    for place in places:
        for index in range(place + 1, len(texts)):
            if texts[index] in TURNS or (place == 0 and index <= SHORT_NO and texts[index] == ","):
                break
            inside.add(index)
    return inside


def _is_with_open(texts: Sequence[str], phrase: Phrase, sentence: Sentence, found: Sequence[Standing]) -> bool:
    """Tell whether it is joined to one that is open: "for bikes and pedestrians"."""
    if not found or found[-1] != "open":
        return False
    before = sentence.phrases[len(found) - 1]
    return texts[before.end : phrase.begin] in (["and"], ["or"]) and _is_likeness(texts, before)


def _precedes(texts: Sequence[str], phrase: Phrase, hedges: Sequence[int]) -> bool:
    """Tell whether a hedge follows in the same clause."""
    return any(phrase.noun < hedge and not TURNS & set(texts[phrase.noun : hedge]) for hedge in hedges)


def _is_indefinite(phrase: Phrase) -> bool:
    return phrase.is_bare or phrase.determiner in ("a", "an")


def _is_likeness(texts: Sequence[str], phrase: Phrase) -> bool:
    before = texts[phrase.begin - 1] if phrase.begin else ""
    if before == "as":
        is_well = texts[max(0, phrase.begin - 2)] == "well"
        return _is_indefinite(phrase) and phrase.quantity is None and not is_well
    if texts[max(0, phrase.begin - 1) : phrase.end] in (["at", "the", "camera"], ["into", "the", "camera"]):
        return True
    if before in ("against", "from") and PROTECTS & {*texts[max(0, phrase.begin - 5) : phrase.begin]}:
        return True
    return before in NOT_THERE or texts[max(0, phrase.begin - 2) : phrase.begin] == ["such", "as"]
