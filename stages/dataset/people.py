"""Who is a he and who is a she: gendered words beside occupations, counted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from stages.checks.words import listed, sentences, straight

__all__ = ["MEN", "WOMEN", "GenderCounts", "letters"]

LETTERS = re.compile(r"[^\W\d_]+")

WOMEN = listed(
    "she her hers herself woman women lady ladies girl girls female mother mothers wife bride daughter sister"
)
MEN = listed(
    "he him his himself man men gentleman gentlemen boy boys male father fathers husband groom son brother guy"
)
"""Words that tell a person's gender."""

OCCUPATIONS = listed(
    "accountant actor artist athlete author baker barber bartender builder butcher carpenter cashier chef cleaner "
    "clerk dancer dentist designer doctor driver electrician engineer farmer firefighter fisherman "
    "florist gardener hairdresser janitor journalist lawyer librarian lifeguard manager mechanic "
    "musician nurse officer painter photographer pilot plumber police politician priest professor receptionist "
    "reporter sailor scientist secretary shepherd singer soldier student surgeon tailor teacher technician vendor "
    "waiter waitress worker writer"
)
"""Words for what somebody does: single words that are hardly ever anything else, as "cook" and "model" are."""
ONE_OR_MORE = OCCUPATIONS.union(f"{occupation}s" for occupation in OCCUPATIONS)
"""What ``_singular`` finds an occupation in."""


class GenderCounts:
    """Counts sentences.

    Attributes:
        words: occurrences of words for women and for men (``women``, ``men``), wherever they stand.
        occupations: occupation -> sentences that name it, by the gendered words in the same sentence: ``women``,
            ``men``, ``both`` or ``neither``.
    """

    def __init__(self) -> None:
        self.words: Counter[str] = Counter()
        self.occupations: dict[str, Counter[str]] = {}

    def count(self, text: str, found: Sequence[str]) -> None:
        """Count a text's sentences; ``found`` are its words."""
        self.words["women"] += sum(map(WOMEN.__contains__, found))
        self.words["men"] += sum(map(MEN.__contains__, found))
        if not ONE_OR_MORE.isdisjoint(found):
            for _, sentence in sentences(straight(text)):
                self._count_sentence(letters(sentence))

    def add(self, other: GenderCounts) -> None:
        """Add what another has counted."""
        self.words.update(other.words)
        for occupation, beside in other.occupations.items():
            self.occupations.setdefault(occupation, Counter()).update(beside)

    def _count_sentence(self, found: Sequence[str]) -> None:
        women, men = not WOMEN.isdisjoint(found), not MEN.isdisjoint(found)
        beside = "both" if women and men else "women" if women else "men" if men else "neither"
        for occupation in OCCUPATIONS.intersection(map(_singular, found)):
            self.occupations.setdefault(occupation, Counter())[beside] += 1


def letters(text: str) -> list[str]:
    """Return the words of a text in lower case: runs of letters, without numbers and signs."""
    return LETTERS.findall(text.lower())


def _singular(word: str) -> str:
    return word if word in OCCUPATIONS else word.removesuffix("s")
