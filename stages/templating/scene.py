"""What captions, boxes and a spoken description settle about an image, and what they leave in doubt."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

from stages.checks import Context
from stages.checks.counts import MANY_BOXES, MIRRORED
from stages.checks.evidence import read_evidence
from stages.checks.nouns import vocabulary
from stages.checks.phrases import is_plural_form
from stages.checks.wording import mentions
from stages.checks.words import as_name
from stages.context import one_line
from stages.templating.points import Point
from stages.wordings import plural

__all__ = ["Edges", "Scene"]

Edges = Sequence[float]
"""[x1, y1, x2, y2], 0-1."""

PLAIN_NAME = re.compile(r"\w[\w' -]*")
"""Labels that can stand in a sentence and in an ``alt`` attribute as they are."""

SAME_THING = 0.8
"""Two boxes of a label may be of one thing where one holds so much of the other's area."""


class Scene:
    """One annotated image, its boxes by name: the label in lower case, on one line.

    Attributes:
        boxes: name -> the edges of its boxes.
        names: names that can be asked about, sorted: plain words in the singular.
    """

    def __init__(self, context: Context) -> None:
        found: defaultdict[str, list[Edges]] = defaultdict(list)
        for box in context.boxes or ():
            found[_name(box["label"])].append(box["box"])
        self.boxes: Mapping[str, list[Edges]] = dict(found)
        self.names = [name for name in sorted(found) if _is_plain(name)]
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
            and not any(self._are_related(name, other) for other in self.boxes if other != name)
            and not self._texts_tell_of_more(name, len(edges))
        )

    def has_several(self, name: str) -> bool:
        """Tell whether a name's boxes are surely of two things at least."""
        pairs = combinations(self.boxes[name], 2)
        return not MIRRORED & self._evidence.words and any(not _may_be_same(one, other) for one, other in pairs)

    def absent(self, labels: Iterable[str]) -> list[str]:
        """Return those of the labels that nothing speaks for.

        Box, caption and transcript name neither them, nor a kind of them, nor what they are a kind of, by any of the
        names in the check's vocabulary; and they name nothing that implies them.
        """
        said = " . ".join([*self.boxes, self._evidence.text])
        names = [name for name in dict.fromkeys(map(_name, labels)) if _is_plain(name)]
        return [name for name in names if not _is_word_of(name, said) and not self._is_implied(name)]

    def _is_implied(self, name: str) -> bool:
        known = self._evidence.vocabulary
        return any(
            any(known.is_kind_of(thing, other) or known.is_kind_of(other, thing) for other in self._evidence.named)
            or (not known.things[thing].lenient and self._evidence.has(thing))
            for thing in known.find(as_name(name))
        )

    def _are_related(self, name: str, other: str) -> bool:
        known = self._evidence.vocabulary
        for whole, head in ((name, other), (other, name)):
            if whole.endswith(f" {head}") and not vocabulary().find(as_name(whole)):  # a name of the annotators' own
                return True
        return any(
            known.is_kind_of(one, two) or known.is_kind_of(two, one)
            for one in known.find(as_name(name)) for two in known.find(as_name(other))
        )

    def _texts_tell_of_more(self, name: str, number: int) -> bool:
        evidence, known = self._evidence, self._evidence.vocabulary
        things = known.find(as_name(name))

        def is_meant(told: int) -> bool:
            return any(known.is_kind_of(told, thing) or known.is_kind_of(thing, told) for thing in things)

        told = [max(numbers) for thing, numbers in evidence.numbers.items() if is_meant(thing)]
        crowds = [thing for thing in known.find("crowd") if thing in evidence.told and is_meant(thing)]
        is_one_of_many = number == 1 and any(map(is_meant, evidence.many))
        return is_one_of_many or bool(crowds) or max(told, default=0) > number


def _name(label: str) -> str:
    return one_line(label.replace("_", " ")).lower()


def _is_plain(name: str) -> bool:
    """Tell whether a name can stand in the templates: no markup, no plural, no word of annotators."""
    is_plural = is_plural_form(name.rpartition(" ")[2]) and plural(name) != name
    return bool(PLAIN_NAME.fullmatch(name)) and not is_plural and not any(mentions(f"the {name}", "assistant"))


def _is_word_of(name: str, said: str) -> bool:
    return bool(re.search(rf"\b({re.escape(name)}|{re.escape(plural(name))})\b", said))


def _may_be_same(one: Edges, other: Edges) -> bool:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    smaller = min((x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in (one, other))
    return width >= 0 and height >= 0 and width * height >= SAME_THING * smaller
