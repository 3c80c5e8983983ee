"""Words of English that the checks know by heart, and how a text is cut into sentences and words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

__all__ = [
    "ADVERBS", "AUXILIARIES", "COLOURS", "DETERMINERS", "FUNCTION_WORDS", "MODALS", "NUMBERS", "POSSESSIVES",
    "PREPOSITIONS", "PRONOUNS", "Word", "as_name", "is_verb", "lemmas", "listed", "number", "sentences", "straight",
    "words",
]

WORD = re.compile(r"\d{1,2}:\d{2}|\d+(?:[.,]\d+)*|[^\W\d_]+n't\b|[^\W\d_]+(?:-[^\W\d_]+)*|'s\b|[^\w\s]")
SENTENCE = re.compile(r"(?:[^.!?;\n]|[.!?;](?![\s\"')]|$)){1,600}[.!?;]*[\"')]*")
"""Cut after 600 characters: who writes on without a full stop shall not be read for minutes."""
STRAIGHT = str.maketrans("\u2018\u2019\u201c\u201d\u2013\u2014", "''\"\"-:")


def listed(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
)
NUMBERS = {word: value for value, word in enumerate(ONES)} | {
    "thirty": 30, "forty": 40, "fifty": 50, "hundred": 100, "thousand": 1000, "both": 2,
}

POSSESSIVES = listed("my your his her its our their whose")
DETERMINERS = POSSESSIVES | listed(
    "a an the this that these those another each every either neither some any no all half several many few "
    "multiple numerous various other such what which enough most more much"
)
PREPOSITIONS = listed(
    "about above across after against along alongside amid amidst among amongst around as at atop before behind "
    "below beneath beside besides between beyond by despite down during except for from in including inside into "
    "like near of off on onto opposite out outside over past per since through throughout to toward towards under "
    "underneath until up upon via with within without than"
)
PRONOUNS = listed(
    "i you he she it we they me him us them who whom that which this these those there here one ones nobody "
    "everyone everybody anyone anybody none himself herself itself themselves yourself"
)
AUXILIARIES = listed(
    "is are was were be been being am has have had having do does did can could may might must shall should will "
    "would cannot isn't aren't wasn't weren't don't doesn't didn't can't couldn't won't wouldn't hasn't haven't "
    "seem seems appear appears look looks remain remains"
)
CONJUNCTIONS = listed("and or but nor so yet while whereas although though because if when where unless whether")
ADVERBS = listed(
    "not also only just even very quite rather too still then now never always often usually sometimes perhaps "
    "maybe probably possibly presumably together apart away back ahead forward nearby well almost nearly exactly "
    "clearly partly fully yes how why"
)
MODALS = listed("can could may might must shall should will would cannot can't couldn't won't wouldn't")
FUNCTION_WORDS = DETERMINERS | PREPOSITIONS | PRONOUNS | AUXILIARIES | CONJUNCTIONS | ADVERBS


SHADES = {
    "red": "red crimson scarlet maroon burgundy reddish",
    "pink": "pink magenta fuchsia pinkish purple",
    "orange": "orange",
    "yellow": "yellow golden gold blond blonde yellowish mustard",
    "green": "green emerald olive lime turquoise teal greenish",
    "blue": "blue navy turquoise teal cyan azure indigo bluish",
    "purple": "purple violet lavender lilac mauve indigo purplish",
    "brown": "brown tan beige bronze chestnut khaki brownish",
    "tan": "tan beige cream khaki golden",
    "grey": "grey gray silver charcoal greyish grayish",
    "black": "black ebony blackish",
    "white": "white cream ivory whitish snow-white",
    "gold": "gold golden",
}
COLOURS = {
    name: frozenset(shade for shade, names in SHADES.items() if name in names.split())
    for name in {name for names in SHADES.values() for name in names.split()}
}
"""Names of colours, each with the shades it can be: those of "tan" and "beige" overlap."""


@dataclass(frozen=True)
class Word:
    """A word or a sign, in lower case."""

    text: str
    start: int
    end: int

    @property
    def is_sign(self) -> bool:
        """Tell whether it is punctuation."""
        return not self.text[0].isalnum() and self.text != "'s"


def straight(text: str) -> str:
    """Return a text with straight quotation marks, and hyphens and colons for dashes, as long as it was."""
    return text.translate(STRAIGHT)


def sentences(text: str) -> Iterator[tuple[int, str]]:
    """Yield where each sentence begins, and the sentence; a semicolon ends one too."""
    for found in SENTENCE.finditer(text):
        if found[0].strip():
            yield found.start(), found[0]


def words(text: str, offset: int = 0) -> list[Word]:
    """Return the words and signs of a text; ``offset`` is added to their places."""
    return [
        Word(found[0].lower(), found.start() + offset, found.end() + offset)
        for found in WORD.finditer(text)
    ]


def as_name(label: str) -> str:
    """Return an annotators' label as a sentence would have it: its words in lower case, a space between them."""
    return " ".join(word.text for word in words(straight(label.replace("_", " "))))


def number(word: str) -> int | None:
    """Return the number a word stands for, up to a million, if it does."""
    if word in NUMBERS:
        return NUMBERS[word]
    return int(word) if word.isdecimal() and len(word) <= 6 else None


@lru_cache(maxsize=1 << 16)
def lemmas(word: str) -> tuple[str, ...]:
    """Return the word and the nouns it can be a form of: "leaves" is of "leave" and of "leaf"."""
    import lemminflect

    guess = word.endswith("s")  # of words that its dictionary lacks only these are plurals
    return tuple(dict.fromkeys([word, *lemminflect.getLemma(word, "NOUN", lemmatize_oov=guess)]))


@lru_cache(maxsize=1 << 16)
def is_verb(word: str) -> bool:
    """Tell whether a dictionary has the word as a form of a verb."""
    import lemminflect

    return "VERB" in lemminflect.getAllLemmas(word)
