"""Sentences and questions about the world rather than about an image: "Zebras often live in herds"."""

from __future__ import annotations

import re
from collections.abc import Sequence

from stages.checks.phrases import Phrase, Sentence
from stages.checks.words import FUNCTION_WORDS, listed

__all__ = ["asks_about_the_world", "is_about_the_world", "is_generic"]

GENERAL = re.compile(
    r"\b(?:often|usually|typically|generally|commonly|normally|in general|tends? to|known (?:for|to)|"
    r"scientists|experts|researchers|studies|many (?:cultures|countries|people|riders|places)|"
    r"(?:some|most) people (?:feel|say|think|believe|like|prefer)|people (?:use|like|love|enjoy|need)|"
    r"(?<!other )(?<!this )(?<!that )(?<!another )(?:one|everyone|anyone|everybody) "
    r"(?:(?:can|could)(?! (?:\w+ )?(?:see|find|spot|make|notice|count)\b)|may|has|is|holds|wears|needs|would|must|"
    r"should|uses)|"
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


def is_generic(phrase: Phrase) -> bool:
    """Tell whether a phrase names a kind: "zebras"."""
    return phrase.is_bare and phrase.is_plural


def is_about_the_world(sentence: Sentence, texts: Sequence[str]) -> bool:
    """Tell whether a sentence is about the world: it says so, or begins like "Zebras live" or "Old clocks are"."""
    if GENERAL.search(sentence.text.lower()):
        return True
    subject = next((phrase for phrase in sentence.phrases if phrase.begin == 0), None)
    if subject is None or not is_generic(subject):
        return False
    place = _end_of_list(sentence, texts, subject)
    if texts[place : place + 2] == ["on", "a"] or texts[place : place + 2] == ["like", "this"]:
        place += 3
    if place < len(texts) and texts[place].endswith("ly"):
        place += 1
    verb = texts[place] if place < len(texts) else ""
    if verb in ("are", "can"):
        return _is_general_predicate(texts[place + 1 :])
    return verb in GENERAL_VERBS


def _end_of_list(sentence: Sentence, texts: Sequence[str], subject: Phrase) -> int:
    """Return the word after "plants, animals and people"."""
    end = subject.end
    for phrase in sentence.phrases:
        if phrase.begin > end and {*texts[end : phrase.begin]} <= {",", "and", "or"} and is_generic(phrase):
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


def asks_about_the_world(question: Sentence) -> bool:
    """Tell whether a question is about a kind of thing rather than about what is in the image."""
    text = question.text.strip().rstrip("?").lower()
    if not ABOUT_THE_WORLD.match(text) or re.search(r"\b(?:you see|are there|in the (?:image|picture|photo))\b", text):
        return False
    subject = next((phrase for phrase in question.phrases), None)
    return subject is not None and is_generic(subject) and subject.begin <= 3
