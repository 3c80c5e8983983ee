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

from stages.checks.nouns import Vocabulary
from stages.checks.phrases import Phrase, Sentence, read_sentence
from stages.checks.words import FUNCTION_WORDS, listed, sentences

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
NOT_THERE = {"for", "like", "resembling", "resembles", "resemble", "called", "than"}
PROTECTS = {"protect", "protects", "protected", "protecting", "protection", "shield", "shields", "guard", "guards"}
QUOTATION = re.compile(r"\"([^\"]+)\"")
SEEN = re.compile(
    r"\b(?:can|could|may) (?:be|you|one|we|also|clearly|easily|even|just|still|see|find|make|spot|count|notice)\b"
    r"(?: (?:be|also|see|seen|find|found|make|made|spot|spotted|count|counted|observe|observed|notice|noticed))*"
)
GENERAL = re.compile(
    r"\b(?:often|usually|typically|generally|commonly|normally|mostly|in general|tends? to|known (?:for|to)|"
    r"scientists|experts|researchers|studies|many (?:cultures|countries|people|riders|places)|"
    r"(?:some|most) people (?:feel|say|think|believe|like|prefer|use|find|are)|people (?:use|like|love|enjoy|need)|"
    r"(?:one|everyone|anyone|everybody) (?:can|could|may|has|is|holds|wears|needs|would|must|should|uses)|"
    r"what one|when (?:one|you|people))\b"
)
GENERAL_VERBS = listed(
    "have has eat live need use protect like love help provide require serve mean make keep leave offer allow tend "
    "rely depend belong enjoy prefer know become come feed grow give work cost cause form contain consist include "
    "act can may do absorb reduce improve save symbolize represent attract produce evolved confuse reach vary range "
    "think are"
)
ABOUT_THE_WORLD = re.compile(
    r"^(?:what|why|where|how|when|which|do|does|are|can|would|should) (?:often |usually )?"
    r"(?:(?:do|does|are|can|would) )?(?:such |other )?(?!there\b|you\b|they\b|we\b|it\b)(\w+)(?: \w+)*$"
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
    is_general = _asks_about_the_world(last_asked)
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
    open_ = is_general or texts[-1:] == ["?"] or _is_general(sentence, texts)
    seen = [_places(sentence, offset, found) for found in SEEN.finditer(sentence.text.lower())]
    quoted = [_places(sentence, offset, found) for found in QUOTATION.finditer(sentence.text)]
    denied = _scopes(texts, [place for place in range(len(texts)) if _negates(texts, place)])
    hedges = [
        place for place, text in enumerate(texts)
        if text in HEDGES and not any(place in places for places in seen)
    ]
    hedged = _scopes(texts, hedges)
    found: list[Standing] = []
    for phrase in sentence.phrases:
        if open_ or phrase.noun in hedged or any(phrase.noun in places for places in quoted):
            found.append("open")
        elif phrase.noun in denied or phrase.determiner in ("no", "neither") or phrase.is_none:
            found.append("denied")
        elif _is_likeness(texts, phrase) or (_is_indefinite(phrase) and _precedes(texts, phrase, hedges)):
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
            if texts[index] in TURNS:
                break
            inside.add(index)
    return inside


def _precedes(texts: Sequence[str], phrase: Phrase, hedges: Sequence[int]) -> bool:
    """Tell whether a hedge follows in the same clause."""
    return any(phrase.noun < hedge and not TURNS & set(texts[phrase.noun : hedge]) for hedge in hedges)


def _is_generic(phrase: Phrase) -> bool:
    return phrase.is_bare and phrase.is_plural


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


def _is_general(sentence: Sentence, texts: Sequence[str]) -> bool:
    """Tell whether a sentence is about the world: it says so, or begins like "Zebras live" or "Old clocks are"."""
    if GENERAL.search(sentence.text.lower()):
        return True
    subject = next((phrase for phrase in sentence.phrases if phrase.begin == 0), None)
    if subject is None or not _is_generic(subject):
        return False
    place = _end_of_list(sentence, texts, subject)
    if texts[place : place + 2] == ["on", "a"] or texts[place : place + 2] == ["like", "this"]:
        place += 3
    verb = texts[place] if place < len(texts) else ""
    if verb in ("are", "can"):
        return _is_general_predicate(texts[place + 1 :])
    return verb in GENERAL_VERBS


def _end_of_list(sentence: Sentence, texts: Sequence[str], subject: Phrase) -> int:
    """Return the word after "plants, animals and people"."""
    end = subject.end
    for phrase in sentence.phrases:
        if phrase.begin > end and {*texts[end : phrase.begin]} <= {",", "and", "or"} and _is_generic(phrase):
            end = phrase.end
    return end


def _is_general_predicate(rest: Sequence[str]) -> bool:
    """Tell "are social animals" and "can be used" from "are grazing", "are in the field" and "can be seen"."""
    if not rest:
        return False
    if rest[0] == "be":
        return rest[1:2] in (["used"], ["dangerous"], ["trained"], ["very"])
    if rest[0].endswith(("ing", "ed")) or rest[0] in ("seen", "shown", "here", "there", "visible", "present"):
        return False
    return rest[0] not in FUNCTION_WORDS or rest[0] in ("a", "an", "among", "not", "very")


def _asks_about_the_world(question: Sentence) -> bool:
    """Tell whether a question is about a kind of thing rather than about what is in the image."""
    text = question.text.strip().rstrip("?").lower()
    if not ABOUT_THE_WORLD.match(text) or re.search(r"\b(?:you see|are there|in the (?:image|picture|photo))\b", text):
        return False
    subject = next((phrase for phrase in question.phrases), None)
    return subject is not None and _is_generic(subject) and subject.begin <= 3
