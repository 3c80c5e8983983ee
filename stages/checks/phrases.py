"""Noun phrases in a sentence: what is named, in which number, and with how many.

No parser: a name of the vocabulary with the words that lead up to it. Where a word can be a noun and a verb
("watch"), what stands before it decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from stages.checks.nouns import Vocabulary
from stages.checks.quantities import COLLECTIONS, TUPLES, Quantity, quantity_before
from stages.checks.words import (
    ADVERBS,
    COLOURS,
    DETERMINERS,
    FUNCTION_WORDS,
    MODALS,
    PREPOSITIONS,
    PRONOUNS,
    Word,
    is_verb,
    lemmas,
    number,
    words,
)

__all__ = ["Phrase", "Sentence", "is_plural_form", "read_sentence"]

LONGEST_PHRASE = 7
"""Words before a noun that are looked at."""

ALWAYS_PLURAL = {"people", "folks", "cattle", "police", "children", "men", "women", "oxen", "geese", "sheep"}
OBJECT_STARTS = {"the", "a", "an", "him", "her", "his", "them", "it", "their", "its"}
NO_PLURAL = {"bus", "grass", "glass", "dress", "mattress", "canvas", "cactus", "tennis", "lens", "series", "news"}
BEFORE_TO = {"next", "close", "closer", "due", "attached", "opposite", "similar", "adjacent", "down", "up", "access"}


@dataclass(frozen=True)
class Phrase:
    """A noun with what belongs to it; places are indices of words in the sentence."""

    things: tuple[int, ...]
    """The things of the vocabulary it can mean."""
    begin: int
    """The first word: a determiner, a number, an adjective or the noun."""
    noun: int
    end: int
    """The word after the noun."""
    is_plural: bool
    is_head: bool
    """False where it only qualifies the noun that follows: ``glass`` in "a glass door"."""
    determiner: str
    """The determiner nearest to the noun, ``'s`` after an owner, or nothing."""
    quantity: Quantity | None

    @property
    def is_none(self) -> bool:
        """Tell whether it says that there are 0."""
        return self.quantity is not None and self.quantity.least == 0

    @property
    def is_bare(self) -> bool:
        """Tell whether it has neither determiner nor number."""
        return not self.determiner and self.quantity is None


@dataclass(frozen=True)
class Sentence:
    """A sentence, its words and the phrases in them, in order."""

    text: str
    words: list[Word]
    phrases: list[Phrase] = field(default_factory=list)

    def text_of(self, phrase: Phrase) -> str:
        """Return a phrase's noun as it is written, in lower case."""
        return " ".join(word.text for word in self.words[phrase.noun : phrase.end])

    def span(self, begin: int, end: int) -> tuple[int, int]:
        """Return the characters from one word up to another."""
        return self.words[begin].start, self.words[end - 1].end


def read_sentence(text: str, offset: int, vocabulary: Vocabulary) -> Sentence:
    """Return the sentence with its phrases; ``offset`` is where it begins in its turn."""
    found = words(text, offset)
    spans = _noun_spans(found, vocabulary)
    sentence = Sentence(text, found)
    taken: set[int] = set()
    for place, (noun, end, things) in enumerate(spans):
        begin, determiner = _left_edge(found, noun, taken)
        if end - noun == 1 and not _stands_as_noun(found, noun, begin, determiner, sentence, vocabulary):
            continue
        if end - noun == 1 and (_qualifies_colour(found, noun, determiner) or _counts(found, noun)):
            continue
        surface = found[end - 1].text
        follows = place + 1 < len(spans) and spans[place + 1][0] == end
        is_plural = is_plural_form(surface)
        does = bool(determiner) and not vocabulary.living.isdisjoint(things)
        is_head = not follows or _is_verb_after(found, end, is_plural, does)
        quantity = quantity_before(found, begin, noun)
        phrase = Phrase(things, begin, noun, end, is_plural, is_head, determiner, quantity)
        sentence.phrases.append(phrase)
        taken.update(range(noun, end))
    return sentence


def _noun_spans(found: Sequence[Word], vocabulary: Vocabulary) -> list[tuple[int, int, tuple[int, ...]]]:
    """Return the names of the vocabulary from left to right, the longest where several begin."""
    spans = []
    place = 0
    while place < len(found):
        longest = vocabulary.longest if found[place].text in vocabulary.first_words else 1
        for length in range(min(longest, len(found) - place), 0, -1):
            last = found[place + length - 1].text
            if not last[0].isalpha() or (length == 1 and not _can_be_noun(last)):
                continue
            name = last if length == 1 else " ".join(word.text for word in found[place : place + length])
            if things := vocabulary.find(name):
                spans.append((place, place + length, things))
                place += length - 1
                break
        place += 1
    return spans


def _can_be_noun(word: str) -> bool:
    return word not in FUNCTION_WORDS or word in {"outside", "inside", "someone", "somebody"}


def _left_edge(found: Sequence[Word], noun: int, taken: set[int]) -> tuple[int, str]:
    """Return where the phrase of a noun begins, and its nearest determiner."""
    begin, determiner = noun, ""
    for place in range(noun - 1, max(-1, noun - 1 - LONGEST_PHRASE), -1):
        word = found[place].text
        if word == "'s":
            return (begin, determiner) if determiner else (place, word)
        if word in DETERMINERS or number(word) is not None or word in ("dozen", "couple", "only"):
            if word in DETERMINERS and word not in ("other", "more", "few", "such"):
                determiner = determiner or word
        elif word == "and" and begin < noun and found[begin].text in COLOURS and found[place - 1].text in COLOURS:
            pass
        elif determiner or found[place].is_sign or word in FUNCTION_WORDS or place in taken:
            break
        begin = place
    return begin, determiner


def is_plural_form(surface: str) -> bool:
    """Tell whether a noun as it is written may be a plural."""
    if surface in ALWAYS_PLURAL:
        return True
    return surface not in NO_PLURAL and not surface.endswith("ss") and len(lemmas(surface)) > 1


def _is_verb_after(found: Sequence[Word], place: int, is_plural: bool, is_animate: bool) -> bool:
    """Tell whether the word after a noun is a verb rather than the noun that it qualifies."""
    word = found[place].text
    return is_verb(word) and (is_plural or word.endswith("ing") or (is_animate and word.endswith("s")))


def _takes_object(found: Sequence[Word], noun: int, begin: int, determiner: str) -> bool:
    """Tell the verb in "and watch the match" and "her speed suits the snow": an object follows."""
    following = found[noun + 1].text if noun + 1 < len(found) else ""
    if following not in OBJECT_STARTS:
        return False
    is_bare = not determiner and begin == noun and noun > 0 and not found[noun - 1].is_sign
    before = found[noun - 1].text
    is_after_subject = begin < noun - 1 and found[noun].text.endswith("s") and before not in FUNCTION_WORDS
    return (is_bare and before not in PREPOSITIONS) or (bool(determiner) and is_after_subject)


def _counts(found: Sequence[Word], noun: int) -> bool:
    """Tell whether a word only counts: "a couple of zebras", "a stack of books"."""
    return found[noun].text in COLLECTIONS | TUPLES.keys() and noun + 1 < len(found) and found[noun + 1].text == "of"


def _qualifies_colour(found: Sequence[Word], noun: int, determiner: str) -> bool:
    """Tell whether a word is part of a colour rather than a noun: "jet black", "an orange plate", "it is orange"."""
    following = found[noun + 1].text if noun + 1 < len(found) else ""
    if noun and number(found[noun - 1].text) is not None:
        determiner = determiner or found[noun - 1].text
    if following in COLOURS and determiner in ("", "a", "an"):
        return True
    return found[noun].text in COLOURS and (not determiner or (bool(following) and following not in FUNCTION_WORDS
                                                               and not found[noun + 1].is_sign))


def _stands_as_noun(
    found: Sequence[Word], noun: int, begin: int, determiner: str, sentence: Sentence, vocabulary: Vocabulary
) -> bool:
    """Tell a noun from a verb of the same form by what stands before it."""
    word = found[noun].text
    if is_verb(word) and _takes_object(found, noun, begin, determiner):
        return False
    if not is_verb(word) or (determiner and determiner not in ("that", "which", "what")):
        return True
    if begin < noun and number(found[begin].text) is not None:
        return True
    if begin == 0 or found[begin - 1].is_sign:
        return True
    before = found[begin - 1].text
    last = sentence.phrases[-1] if sentence.phrases else None
    if last and last.end == begin == noun:
        return not (last.is_plural or (not vocabulary.living.isdisjoint(last.things) and word.endswith(("s", "ing"))))
    if before == "to":
        return is_plural_form(word) or (begin > 1 and found[begin - 2].text in BEFORE_TO)
    if found[noun - 1].text.endswith("ly") or (begin == noun and before in ADVERBS):
        return False
    if before in PREPOSITIONS:
        return True
    return before not in PRONOUNS | MODALS | {"do", "does", "did"} and not word.endswith("ing")
