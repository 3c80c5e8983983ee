"""How many: the number in a noun phrase and before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from stages.checks.words import Word, listed, number

__all__ = ["COLLECTIONS", "TUPLES", "Quantity", "quantity_before"]

Bound = Literal["exactly", "about", "at least", "at most"]

TUPLES = {"pair": 2, "couple": 2, "duo": 2, "trio": 3, "quartet": 4, "dozen": 12}
PAIRED = listed(
    "skis shoes boots socks gloves mittens glasses sunglasses goggles scissors pants trousers jeans shorts sneakers "
    "sandals slippers headphones eyes hands feet legs ears wings horns poles pajamas tights leggings chopsticks"
)
"""Things of which a pair is one."""

MANY = {"several": 3, "many": 3, "numerous": 3, "various": 2, "multiple": 2, "few": 2, "dozens": 12, "hundreds": 100}
COLLECTIONS = listed(
    "group bunch herd flock crowd row line number lot lots plenty handful variety collection pack set series fleet "
    "pile stack team swarm array cluster"
)
ONLY = {"only", "just", "exactly", "single", "lone", "sole", "solitary", "precisely"}
ABOUT = {"about", "around", "nearly", "almost", "roughly", "approximately", "some"}
PART = {"other", "another", "more", "additional", "further", "remaining"}


@dataclass(frozen=True)
class Quantity:
    """A number of things: ``least`` of them, or a number around or beyond it."""

    least: int
    bound: Bound = "exactly"
    is_total: bool = False
    """Said to be all there are: "only two", "a lone"."""
    is_part: bool = False
    """Said of some among more: "two of the", "two other"."""

    @property
    def is_vague(self) -> bool:
        """Tell whether it only means "more than one"."""
        return self.bound == "at least"


def quantity_before(found: Sequence[Word], begin: int, noun: int) -> Quantity | None:
    """Return the quantity of the noun at ``noun``, whose phrase begins at ``begin``."""
    inside = [word.text for word in found[begin:noun]]
    before = [word.text for word in found[max(0, begin - 4) : begin]]
    is_part = bool(PART & set(inside))
    if before[-1:] == ["of"] and len(before) > 1:
        return _partitive(inside, before[:-1], found[noun].text)
    value = _value(inside)
    if value is None:
        lone = {"single", "lone", "sole", "solitary"} & set(inside) or inside[:2] == ["the", "only"]
        return Quantity(1, is_total=True) if lone else _many(inside, is_part)
    is_total = bool(ONLY & {*inside, *before[-1:]})
    return Quantity(value, _bound(inside, before), is_total, is_part)


def _partitive(inside: list[str], before: list[str], noun: str) -> Quantity | None:
    """Return the quantity of "a pair of dogs", "two of the dogs", "a herd of ten cows", "a total of four"."""
    value = _value(inside)
    if value is not None:
        return Quantity(value, is_total=before[-1] == "total")
    amount = before[-1]
    if amount in TUPLES and noun not in PAIRED:
        return Quantity(TUPLES[amount], "about" if amount == "couple" else "exactly")
    if amount in MANY or amount in COLLECTIONS:
        return Quantity(MANY.get(amount, 2), "at least", is_part="the" in inside)
    share = number(amount)
    if share is not None and ("the" in inside or "these" in inside or "them" in inside):
        return Quantity(share, is_part=True)
    return _many(inside, is_part=True)


def _value(inside: list[str]) -> int | None:
    """Return the number among the words of a phrase."""
    for place, word in enumerate(inside):
        if word == "dozen":
            return 6 if inside[max(0, place - 2) : place] == ["half", "a"] else 12
        if word == "couple":
            return 2
        value = number(word)
        if value is not None:
            following = number(inside[place + 1]) if place + 1 < len(inside) else None
            return value * 12 if inside[place + 1 : place + 2] == ["dozen"] else following or value
    return None


def _many(inside: list[str], is_part: bool) -> Quantity | None:
    for word in inside:
        if word in MANY:
            return Quantity(MANY[word], "at least", is_part=is_part)
    return None


def _bound(inside: list[str], before: list[str]) -> Bound:
    """Return what "about", "more than" and their like make of a number."""
    lead = " ".join(before[-2:])
    if before[-1:] and (before[-1] in ABOUT or "couple" in inside):
        return "about"
    if lead.endswith(("more than", "at least", "over")):
        return "at least"
    return "at most" if lead.endswith(("less than", "fewer than", "up to", "at most")) else "exactly"
