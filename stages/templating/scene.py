"""What captions, boxes and a spoken description settle about an image, and what they leave in doubt."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, cached_property, lru_cache
from itertools import combinations

from stages.checks import Context
from stages.checks.counts import MANY_BOXES, MIRRORED
from stages.checks.evidence import read_evidence
from stages.checks.nouns import vocabulary
from stages.checks.phrases import is_plural_form
from stages.checks.wording import mentions
from stages.checks.words import FUNCTION_WORDS, as_name
from stages.context import one_line
from stages.templating.points import Point
from stages.wordings import plural

__all__ = ["Edges", "Scene"]

Edges = Sequence[float]
"""[x1, y1, x2, y2], 0-1."""

PLAIN_NAME = re.compile(r"[^\W\d_]+(?:[ -][^\W\d_]+)*")
"""Labels that can stand in a sentence and in an ``alt`` attribute as they are: words of letters."""

SAME_THING = 0.8
"""Two boxes of a label may be of one thing where one holds so much of the other's area."""


class Scene:
    """One annotated image, its boxes by name: the label in lower case, on one line.

    Args:
        context: what is known of it; its boxes are not None.
        absent_labels: what the annotators looked for, so that without a box of it there is none.

    Attributes:
        boxes: name -> the edges of its boxes.
        names: names that can be asked about, sorted: plain words in the singular.
    """

    def __init__(self, context: Context, absent_labels: Sequence[str]) -> None:
        found: defaultdict[str, list[Edges]] = defaultdict(list)
        for box in context.boxes or ():
            found[_name(box["label"])].append(box["box"])
        self.boxes: Mapping[str, list[Edges]] = dict(found)
        self.names = [name for name in sorted(found) if _is_plain(name)]
        self._absent_labels = absent_labels
        self._evidence = read_evidence(context)

    def points(self, name: str) -> list[Point]:
        """Return the centres of a name's boxes, sorted by x then y; none where it has no box."""
        centres = [(round(50 * (x1 + x2), 1), round(50 * (y1 + y2), 1)) for x1, y1, x2, y2 in self.boxes.get(name, ())]
        return sorted(centres)

    def is_counted(self, name: str) -> bool:
        """Tell whether the boxes of a name are surely all there are of it, each of another thing.

        They are in doubt where there are ten or more (annotators stop, COCO marks the rest as a crowd); where two may
        be of one thing (one holds 0.8 of the other's area, or a text tells of a mirror); where another label can mean
        the same thing, a kind of it or what it is a kind of; and where a text tells of more.
        """
        edges = self.boxes[name]
        return (
            len(edges) < MANY_BOXES
            and not MIRRORED & self._evidence.words
            and not any(_may_be_same(one, other) for one, other in combinations(edges, 2))
            and not any(self._is_any(_meanings(name), _meanings(other)) for other in self.boxes if other != name)
            and not self._texts_tell_of_more(name, len(edges))
        )

    def has_several(self, name: str) -> bool:
        """Tell whether a name's boxes are surely of two things at least."""
        pairs = combinations(self.boxes[name], 2)
        return not MIRRORED & self._evidence.words and any(not _may_be_same(one, other) for one, other in pairs)

    @cached_property
    def absent(self) -> list[str]:
        """The names of ``absent_labels`` that nothing speaks for.

        Box, caption and transcript name neither them, nor a kind of them, nor what they are a kind of, by any of the
        names in the check's vocabulary; and they name nothing that implies them, or that they would imply: where there
        is a surfer, or surfing, there may be a surfboard.
        """
        said = " . ".join([*self.boxes, self._evidence.text])
        names = [name for name in dict.fromkeys(map(_name, self._absent_labels)) if _is_plain(name)]
        return [name for name in names if not _is_word_of(name, said) and not self._is_implied(name)]

    def _is_implied(self, name: str) -> bool:
        evidence, meanings = self._evidence, _meanings(name)
        is_implied = any(not evidence.vocabulary.things[thing].lenient and evidence.has(thing) for thing in meanings)
        is_hinted = any(self._is_told(thing) for meaning in meanings for thing in _implied().get(meaning, ()))
        return is_implied or is_hinted or self._is_any(meanings, evidence.named.union(*map(_meanings, self.boxes)))

    def _is_told(self, thing: int) -> bool:
        """Tell whether a thing is named, or a word that implies it though it is no thing: "surfing" of a surfer."""
        evidence = self._evidence
        signs = {word for word in evidence.vocabulary.things[thing].implied_by if not vocabulary().find(word)}
        return thing in evidence.named or not signs.isdisjoint(evidence.words)

    def _texts_tell_of_more(self, name: str, number: int) -> bool:
        evidence, meanings = self._evidence, _meanings(name)
        told = [max(numbers) for thing, numbers in evidence.numbers.items() if self._is_any(meanings, [thing])]
        is_one_of_many = number == 1 and self._is_any(meanings, evidence.many)
        is_crowd = self._is_any(meanings, evidence.told.intersection(vocabulary().find("crowd")))
        return is_one_of_many or is_crowd or max(told, default=0) > number

    def _is_any(self, things: Iterable[int], others: Iterable[int]) -> bool:
        """Tell whether one of the things is one of the others, a kind of it, or what it is a kind of."""
        is_kind_of = self._evidence.vocabulary.is_kind_of
        return any(is_kind_of(one, two) or is_kind_of(two, one) for two in others for one in things)


def _name(label: str) -> str:
    return one_line(label.replace("_", " ")).lower()


@lru_cache(maxsize=1 << 14)
def _is_plain(name: str) -> bool:
    """Tell whether a name can stand in the templates: no plural, no word like "other", none of the annotators' own."""
    is_plural = is_plural_form(name.rpartition(" ")[2]) and plural(name) != name
    is_noun = bool(PLAIN_NAME.fullmatch(name)) and name.partition(" ")[0] not in FUNCTION_WORDS
    return is_noun and not is_plural and not any(mentions(f"the {name}", "assistant"))


@lru_cache(maxsize=1 << 14)
def _meanings(name: str) -> tuple[int, ...]:
    """Return the things a name can mean; of one the vocabulary lacks, its last words: a "sports car" is a car."""
    words = as_name(name).split()
    found = (vocabulary().find(" ".join(words[start:])) for start in range(len(words)))
    return next(filter(None, found), ())


@cache
def _implied() -> Mapping[int, set[int]]:
    """Return the things that each thing implies: of a bicycle, a cyclist."""
    found: defaultdict[int, set[int]] = defaultdict(set)
    for number, thing in enumerate(vocabulary().things):
        for sign in (sign for name in thing.implied_by for sign in vocabulary().find(name)):
            found[sign].add(number)
    return found


def _is_word_of(name: str, said: str) -> bool:
    return bool(re.search(rf"\b({re.escape(name)}|{re.escape(plural(name))})\b", said))


def _may_be_same(one: Edges, other: Edges) -> bool:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    smaller = min((x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in (one, other))
    return width >= 0 and height >= 0 and width * height >= SAME_THING * smaller
