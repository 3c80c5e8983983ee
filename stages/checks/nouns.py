"""The names of things that can be seen, and which of them speak for which others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from stages.checks.words import lemmas

__all__ = ["NOUNS_FILE", "Thing", "Vocabulary", "vocabulary"]

NOUNS_FILE = Path(__file__).with_name("nouns.txt")


@dataclass(frozen=True)
class Thing:
    """One line of ``nouns.txt``, which explains the marks."""

    name: str
    kinds_of: tuple[int, ...] = ()
    """What it is a kind of: its parent, its parent's parent, and so on."""
    broad: bool = False
    strict: bool = False
    lenient: bool = False
    implied_by: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Things by number, and the things each name can mean."""

    things: Sequence[Thing]
    senses: Mapping[str, tuple[int, ...]]
    living: frozenset[int]
    """Persons and animals."""
    first_words: frozenset[str]
    """The words that names of several words begin with."""
    longest: int
    """The most words a name has."""

    def find(self, name: str) -> tuple[int, ...]:
        """Return the things a name can mean, its last word in either number; none where it is not known."""
        head, space, last = name.rpartition(" ")
        senses = self.senses
        found = [things for lemma in lemmas(last) if (things := senses.get(f"{head}{space}{lemma}"))]
        if len(found) == 1:
            return found[0]
        return tuple(dict.fromkeys(thing for things in found for thing in things))

    def with_names(self, names: Iterable[str]) -> Vocabulary:
        """Return a vocabulary that knows these names too, each as a thing of its own."""
        new = [name for name in dict.fromkeys(names) if name and not self.find(name)]
        if not new:
            return self
        return replace(
            self,
            things=[*self.things, *map(Thing, new)],
            senses={**self.senses, **{name: (len(self.things) + place,) for place, name in enumerate(new)}},
            first_words=self.first_words | _first_words(new),
            longest=max(self.longest, _longest(new)),
        )

    def is_kind_of(self, thing: int, other: int) -> bool:
        """Tell whether a thing is the other or a kind of it."""
        return thing == other or other in self.things[thing].kinds_of

    def is_covered(self, thing: int, other: int) -> bool:
        """Tell whether the other's name is used so broadly that it is used for ``thing`` as well."""
        kinds_of = self.things[thing].kinds_of
        if not self.things[other].broad or other not in kinds_of:
            return False
        between = [thing, *kinds_of[: kinds_of.index(other)]]
        return not any(self.things[each].strict for each in between)


@cache
def vocabulary() -> Vocabulary:
    """Return the vocabulary of ``nouns.txt``."""
    things: list[Thing] = []
    senses: defaultdict[str, list[int]] = defaultdict(list)
    parents: list[tuple[int, int]] = []
    for line in NOUNS_FILE.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        indent = len(line) - len(line.lstrip())
        parents = [parent for parent in parents if parent[0] < indent]
        kinds_of = tuple(thing for _, thing in reversed(parents))
        parents.append((indent, len(things)))
        for names, thing in _read(line.strip(), kinds_of):
            for name in names:
                senses[name].append(len(things))
            things.append(thing)
    roots = {thing for name in ("person", "animal") for thing in senses[name]}
    living = frozenset(number for number, thing in enumerate(things) if roots & {number, *thing.kinds_of})
    numbers = {name: tuple(found) for name, found in senses.items()}
    return Vocabulary(things, numbers, living, _first_words(numbers), _longest(numbers))


def _first_words(names: Iterable[str]) -> frozenset[str]:
    return frozenset(name.split()[0] for name in names if " " in name)


def _longest(names: Iterable[str]) -> int:
    return max(name.count(" ") for name in names) + 1


def _read(line: str, kinds_of: tuple[int, ...]) -> list[tuple[list[str], Thing]]:
    """Return the things of a line with their names; what is never reported is a thing a name."""
    names, _, implied = line.partition(" < ")
    lenient = names.startswith("~")
    implied_by = tuple(implied.split(", ")) if implied else ()
    found = []
    for group in names.removeprefix("~").replace(", ", "; " if lenient else ", ").split("; "):
        first, *others = group.split(", ")
        broad, strict = first.endswith(" *"), first.endswith(" !")
        first = first.removesuffix(" *").removesuffix(" !")
        found.append(([first, *others], Thing(first, kinds_of, broad, strict, lenient, implied_by)))
    return found
