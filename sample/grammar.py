"""Small true phrases about a scene: numbers, plurals, groups, where things are."""

from collections.abc import Sequence

from sample.scenes import Group, Scene

__all__ = [
    "BACKGROUND_NAMES",
    "NUMBERS",
    "PLACES",
    "as_sentence",
    "describe",
    "find_region",
    "find_relation",
    "find_relations",
    "groups_of_kind",
    "is_or_are",
    "join_list",
    "noun_in_number",
    "plural",
    "refer",
    "tell_region",
    "totals_by_kind",
    "with_count",
]

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six")
PLURALS = {"person": "people", "fish": "fish"}
PLACES: dict[str, str] = {
    "grass field": "in a grass field",
    "beach": "on a beach",
    "night sky": "in the night sky",
    "snow": "in the snow",
    "city street": "on a city street",
    "room": "in a room",
    "plain": "on a plain background",
    "desert": "in the desert",
    "under water": "under water",
    "brick wall": "in front of a brick wall",
}
BACKGROUND_NAMES: dict[str, str] = {
    "grass field": "a grass field",
    "beach": "a beach with sand and sea",
    "night sky": "a dark night sky",
    "snow": "a place full of snow",
    "city street": "a city street",
    "room": "a room with a wall and a floor",
    "plain": "plain and empty",
    "desert": "a desert with hills of sand",
    "under water": "the water under the sea",
    "brick wall": "a brick wall",
}
# Two middles must differ by this share of the picture before "left of" or "above" is said.
CLEAR = 0.1


def plural(kind: str) -> str:
    """More than one of a kind."""
    return PLURALS.get(kind, kind + "s")


def noun_in_number(kind: str, count: int) -> str:
    """The kind as one, or as many."""
    return kind if count == 1 else plural(kind)


def with_count(words: str, count: int) -> str:
    """A noun with its adjectives, in the right number already, after "a", "an" or a number word."""
    if count == 1:
        return ("an " if words[0] in "aeiou" else "a ") + words
    return f"{NUMBERS[count]} {words}"


def describe(group: Group, sized: bool = False) -> str:
    """A group by count and colour, such as "three red boats", and by size when asked."""
    size = f"{group.size} " if sized else ""
    return with_count(f"{size}{group.colour} {noun_in_number(group.kind, group.count)}", group.count)


def refer(group: Group, scene: Scene, coloured: bool = True) -> str:
    """The group, so that it cannot be another one: with its colour where its kind comes in two colours."""
    twins = sum(other.kind == group.kind for other in scene.groups)
    colour = f"{group.colour} " if coloured or twins > 1 else ""
    return f"the {colour}{noun_in_number(group.kind, group.count)}"


def join_list(parts: Sequence[str]) -> str:
    """Parts in one phrase: "a, b and c"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def as_sentence(text: str) -> str:
    """The text with a capital letter and a full stop."""
    return text[0].upper() + text[1:] + "."


def is_or_are(count: int) -> str:
    """The verb for a count."""
    return "is" if count == 1 else "are"


def totals_by_kind(scene: Scene) -> dict[str, int]:
    """How many things of each kind there are, whatever their colour."""
    totals: dict[str, int] = {}
    for thing in scene.things:
        totals[thing.kind] = totals.get(thing.kind, 0) + 1
    return totals


def groups_of_kind(scene: Scene, kind: str) -> list[Group]:
    """The groups of a kind: one for each of its colours."""
    return [group for group in scene.groups if group.kind == kind]


def find_relation(a: Group, b: Group) -> str | None:
    """Where all of `a` is, seen from all of `b`; None where it is not plain."""
    ax, ay = zip(*(thing.centre for thing in a.things), strict=True)
    bx, by = zip(*(thing.centre for thing in b.things), strict=True)
    if max(ax) + CLEAR < min(bx):
        return "to the left of"
    if min(ax) - CLEAR > max(bx):
        return "to the right of"
    if max(ay) + CLEAR < min(by):
        return "above"
    if min(ay) - CLEAR > max(by):
        return "below"
    return None


def find_region(group: Group) -> str | None:
    """Which part of the picture holds every middle of the group; None where they are spread out."""
    xs, ys = zip(*(thing.centre for thing in group.things), strict=True)
    row = "top" if max(ys) < 0.38 else "bottom" if min(ys) > 0.62 else ""
    column = "left" if max(xs) < 0.38 else "right" if min(xs) > 0.62 else ""
    if row and column:
        return f"in the {row} {column}"
    if row:
        return f"at the {row}"
    if column:
        return f"on the {column}"
    if all(0.36 < value < 0.64 for value in (*xs, *ys)):
        return "near the middle"
    return None


def find_relations(scene: Scene) -> list[tuple[Group, str, Group]]:
    """Every plain relation between two groups, each from both sides."""
    found = ((a, find_relation(a, b), b) for a in scene.groups for b in scene.groups if a is not b)
    return [(a, relation, b) for a, relation, b in found if relation is not None]


def tell_region(group: Group, scene: Scene) -> str:
    """A true statement about where a group is, even where its things are spread out."""
    region = find_region(group)
    if region is None:
        return (
            f"{refer(group, scene)} are in different places"
            if group.count > 1
            else f"{refer(group, scene)} is not in a corner"
        )
    return f"{refer(group, scene)} {is_or_are(group.count)} {region}"
