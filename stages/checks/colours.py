"""Colours: which word gives which thing its colour, and whether any text supports it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stages.checks.phrases import Phrase, Sentence
from stages.checks.words import COLOURS, FUNCTION_WORDS

if TYPE_CHECKING:
    from stages.checks.evidence import Evidence
    from stages.checks.statements import Statement

__all__ = ["Colour", "attached_colours", "colour_faults"]

TYPICAL = {
    "green": "plant vegetable forest field garden park mountain hedge frog broccoli",
    "white": "snow cloud milk ice",
    "black": "zebra",
    "orange": "carrot",
    "yellow": "banana",
    "grey": "elephant cloud",
    "blue": "ocean lake",
    "brown": "log",
}
"""Colours that things have unless somebody says otherwise; zebras are black and white."""

PICTURES = {"image", "picture", "photo", "photograph", "snapshot", "shot"}
"""A black and white one holds nothing black or white."""


@dataclass(frozen=True)
class Colour:
    """A colour word, its place in the sentence, and what it is said of, as far as one can tell."""

    place: int
    name: str
    shades: frozenset[str]
    phrase: Phrase | None
    is_predicate: bool
    """Said of what stands before it ("it is red") and not of a noun that follows."""


def attached_colours(sentence: Sentence) -> Iterator[Colour]:
    """Yield the colours of a sentence: of the noun they lead up to, else of the noun before them."""
    taken = {place for phrase in sentence.phrases for place in range(phrase.noun, phrase.end)}
    for place, word in enumerate(sentence.words):
        shades = COLOURS.get(word.text)
        if shades is None or place in taken:
            continue
        phrase, is_predicate = _coloured(sentence, place)
        yield Colour(place, word.text, shades, phrase, is_predicate)


def _coloured(sentence: Sentence, place: int) -> tuple[Phrase | None, bool]:
    """Return what a colour is said of, None where that is no word of the vocabulary."""
    chain = [phrase for phrase in sentence.phrases if phrase.begin <= place < phrase.noun]
    heads = [phrase for phrase in chain if phrase.is_head] or chain
    if heads:
        return heads[0], False
    following = [word for word in sentence.words[place + 1 :] if word.text not in COLOURS][:1]
    if following and not following[0].is_sign and following[0].text not in FUNCTION_WORDS | {"'s"}:
        return None, False
    before = [phrase for phrase in sentence.phrases if phrase.end <= place and phrase.is_head]
    return (before[-1] if before else None), True


def colour_faults(statement: Statement, evidence: Evidence) -> Iterator[tuple[int, int, str]]:
    """Yield the places and a message for each colour that no text supports."""
    asserted = statement.asserted()
    for colour in attached_colours(statement.sentence):
        phrase = colour.phrase
        if phrase is not None and (phrase not in asserted or statement.sentence.text_of(phrase) in PICTURES):
            continue
        if phrase is None and _is_open(statement, colour.place):
            continue
        antecedent = statement.antecedent if colour.is_predicate else None
        fault = _fault(colour, phrase or antecedent, evidence)
        if fault:
            yield colour.place, colour.place + 1, fault


def _is_open(statement: Statement, place: int) -> bool:
    phrases = zip(statement.sentence.phrases, statement.standings, strict=True)
    return any(standing != "asserted" for phrase, standing in phrases if phrase.begin <= place)


def _fault(colour: Colour, phrase: Phrase | None, evidence: Evidence) -> str | None:
    if not colour.shades & evidence.all_colours:
        if phrase is not None and _is_typical(colour, phrase, evidence):
            return None
        return f"no caption or transcript tells of {colour.name!r}"
    told = evidence.colours_of(phrase) if phrase is not None else set()
    if told and not colour.shades & told:
        return f"the captions or the transcript give it another colour than {colour.name!r}"
    return None


def _is_typical(colour: Colour, phrase: Phrase, evidence: Evidence) -> bool:
    known = evidence.vocabulary
    return any(
        known.is_kind_of(thing, typical)
        for shade in colour.shades for name in TYPICAL.get(shade, "").split()
        for typical in known.find(name) for thing in phrase.things
    )
