"""What is known of an image, in the vocabulary's terms: what is there, how often, where, and in which colour."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from stages.checks.colours import attached_colours
from stages.checks.finding import Context
from stages.checks.nouns import Vocabulary, vocabulary
from stages.checks.phrases import Phrase, Sentence, read_sentence
from stages.checks.words import as_name, lemmas, sentences, straight
from stages.context import one_line

__all__ = ["Boxed", "Evidence", "read_evidence"]

Point = tuple[float, float]


@dataclass(frozen=True)
class Boxed:
    """The boxes a name can mean."""

    centres: list[Point]
    """Centres of the boxes, 0-1."""
    fit: Literal["same", "narrower", "wider"]
    """Whether the annotators' label means the same, more (``person`` for "woman"), or less (``dog`` for "animal")."""


@dataclass
class Evidence:
    """What captions, boxes and transcript say."""

    vocabulary: Vocabulary
    text: str
    """Captions and transcript, in lower case."""
    is_known: bool
    """False where nothing at all is known of the image."""
    boxed: dict[int, list[Point]] = field(default_factory=dict)
    named: set[int] = field(default_factory=set)
    """What is named, by a label or in a text."""
    told: set[int] = field(default_factory=set)
    """What is named in a text."""
    numbers: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    """Numbers of things that a text tells."""
    many: set[int] = field(default_factory=set)
    """Of what a text tells that there are several."""
    colours: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    all_colours: set[str] = field(default_factory=set)
    words: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Work out what follows from what is named."""
        self._kinds: set[int] | None = None

    def supports(self, phrase: Phrase) -> bool:
        """Tell whether one of the things a phrase can mean is there."""
        return any(self.has(thing) for thing in phrase.things)

    def has(self, thing: int) -> bool:
        """Tell whether a thing is named, is what something named is a kind of, or is implied."""
        known = self.vocabulary.things[thing]
        if known.lenient or thing in self._all_kinds():
            return True
        if any(self.vocabulary.is_covered(thing, other) for other in known.kinds_of if other in self.named):
            return True
        return any(self._mentions(name) for name in known.implied_by)

    def boxes_of(self, phrase: Phrase) -> Boxed | None:
        """Return the boxes that a phrase can mean, or None where no label does."""
        return self.boxes_of_things(phrase.things)

    def boxes_of_things(self, things: Iterable[int]) -> Boxed | None:
        """Return the boxes of the first of these things that has any."""
        found = [boxed for thing in things if (boxed := self._boxes_of_thing(thing))]
        return min(found, key=lambda boxed: ("same", "narrower", "wider").index(boxed.fit)) if found else None

    def numbers_of(self, phrase: Phrase) -> set[int]:
        """Return the numbers that texts tell of a thing, its kinds, or what it is a kind of."""
        return {number for thing, told in self.numbers.items() if self._is_related(thing, phrase) for number in told}

    def are_many(self, phrase: Phrase) -> bool:
        """Tell whether a text says that there are several of a thing."""
        return any(self._is_related(thing, phrase) for thing in self.many)

    def colours_of(self, phrase: Phrase) -> set[str]:
        """Return the shades that texts give a thing or its kinds."""
        return {shade for thing, told in self.colours.items() if self._is_related(thing, phrase) for shade in told}

    def tells_of(self, phrase: Phrase) -> bool:
        """Tell whether a text names the thing."""
        return any(self._is_related(thing, phrase) for thing in self.told)

    def _is_related(self, thing: int, phrase: Phrase) -> bool:
        kind_of = self.vocabulary.is_kind_of
        return any(kind_of(thing, other) or kind_of(other, thing) for other in phrase.things)

    def _all_kinds(self) -> set[int]:
        if self._kinds is None:
            things = self.vocabulary.things
            self._kinds = {kind for thing in self.named for kind in (thing, *things[thing].kinds_of)}
        return self._kinds

    def _mentions(self, name: str) -> bool:
        things = self.vocabulary.senses.get(name)
        if things:
            return any(thing in self._all_kinds() for thing in things) or name in self.words
        return name in self.words if " " not in name else name in self.text

    def _boxes_of_thing(self, thing: int) -> Boxed | None:
        if thing in self.boxed:
            return Boxed(self._centres(thing), "same")
        kinds = [label for label in self.boxed if self.vocabulary.is_kind_of(label, thing)]
        if kinds:
            return Boxed([centre for label in kinds for centre in self.boxed[label]], "wider")
        wider = [label for label in self.vocabulary.things[thing].kinds_of if label in self.boxed]
        return Boxed(self.boxed[wider[0]], "narrower") if wider else None

    def _centres(self, thing: int) -> list[Point]:
        labels = [label for label in self.boxed if self.vocabulary.is_kind_of(label, thing)]
        return [centre for label in labels for centre in self.boxed[label]]


def read_evidence(context: Context) -> Evidence:
    """Return what is known of an image; not to be changed, as it is kept for its next conversation."""
    boxes = tuple((box["label"], tuple(box["box"])) for box in context.boxes or ())
    return _read((*context.captions, context.transcript), boxes)


@lru_cache(maxsize=64)
def _read(said: tuple[str | None, ...], boxes: tuple[tuple[str, tuple[float, ...]], ...]) -> Evidence:
    texts = [straight(one_line(text or "")) for text in said]
    labels = [as_name(label) for label, _ in boxes]
    known = vocabulary().with_names(labels)
    evidence = Evidence(known, " . ".join(texts).lower(), bool(labels) or any(texts))
    for label, (_, (x1, y1, x2, y2)) in zip(labels, boxes, strict=True):
        for thing in known.find(label) if label else ():
            evidence.boxed.setdefault(thing, []).append(((x1 + x2) / 2, (y1 + y2) / 2))
            evidence.named.add(thing)
    for each in texts:
        for offset, sentence in sentences(each):
            _add_sentence(evidence, read_sentence(sentence, offset, known))
    return evidence


def _add_numbers(evidence: Evidence, sentence: Sentence) -> None:
    """Add each number and, for "two red boats and a blue boat", their sum."""
    told: defaultdict[int, list[int]] = defaultdict(list)
    for phrase in sentence.phrases:
        exact = phrase.quantity.least if phrase.quantity and not phrase.quantity.is_vague else None
        number = 1 if phrase.determiner in ("a", "an") and not phrase.is_plural else exact
        for thing in phrase.things if number else ():
            told[thing].append(number or 1)
    for thing, numbers in told.items():
        if numbers != [1]:
            evidence.numbers[thing].update([*numbers, sum(numbers)])


def _add_sentence(evidence: Evidence, sentence: Sentence) -> None:
    for word in sentence.words:
        evidence.words.update(lemmas(word.text))
        evidence.words.update(word.text.split("-"))
    _add_numbers(evidence, sentence)
    for phrase in sentence.phrases:
        evidence.named.update(phrase.things)
        evidence.told.update(phrase.things)
        for end in range(phrase.noun + 2, phrase.end):  # an ice cream store tells of ice cream
            part = " ".join(word.text for word in sentence.words[phrase.noun : end])
            evidence.named.update(evidence.vocabulary.find(part))
        if phrase.is_plural and (phrase.quantity is None or phrase.quantity.is_vague):
            evidence.many.update(phrase.things)
    for colour in attached_colours(sentence):
        evidence.all_colours |= colour.shades
        for thing in colour.phrase.things if colour.phrase else ():
            evidence.colours[thing] |= colour.shades
