"""Wordings of the questions that no LLM writes, and the little English grammar they need."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence

__all__ = [
    "ABSENT", "BRIEF", "COUNTING", "DETAIL", "HORIZONTAL", "POINTING", "POINT_COUNT", "POINT_COUNTED", "POSITIONED",
    "PRESENCE", "PRESENT", "PRESENT_MANY", "RELATIVE", "VERTICAL", "drawn", "generator", "is_countable", "plural",
    "with_article",
]

BRIEF = (
    "Sum up this picture in one sentence.",
    "What does the image show, in short?",
    "Give a one-line description of the photo.",
    "Say in a few words what can be seen here.",
    "Write a short caption for this image.",
    "What is this a picture of? Keep it brief.",
    "Put the content of the image into a single sentence.",
    "Tell me quickly what is going on in this picture.",
    "How would you describe this image in one sentence?",
    "Name the essentials of this image, briefly.",
    "Give me the gist of this photo.",
)

DETAIL = (
    "Tell me everything you can see in this image.",
    "Describe this picture as fully as you can.",
    "Walk me through the whole image, with all its details.",
    "Write a long and careful description of what is shown.",
    "What is in this picture? Please leave nothing out.",
    "Describe the scene for somebody who cannot see it.",
    "Look closely at the image and describe what is where.",
    "Give a full account of this photo, from the whole to the details.",
)

COUNTING = (
    "How many {plural} are there?",
    "How many {plural} can you see in the image?",
    "Count the {plural} in this picture.",
    "What is the number of {plural} here?",
    "Please tell me how many {plural} the photo shows.",
)

POINTING = (
    "Point to the {plural}.",
    "Where are the {plural}? Mark each of them.",
    "Mark all {plural} in this picture.",
    "Show me every one of the {plural} here.",
    "Give the points of all {plural} in the image.",
)

POINT_COUNT = (
    "Count the {plural} by pointing to each of them.",
    "Point to every one of the {plural}, then say how many there are.",
    "Mark each of the {plural} in the image and give the total.",
    "How many {plural} are in the picture? Show each one before you answer.",
    "Tick off the {plural} one by one. What number do you get?",
)

POINT_COUNTED = ("{points}. {number}", "Here: {points}. {number}", "One by one: {points}. {number}")

PRESENCE = (
    "Is there {one} in the image?",
    "Can you see {one} here?",
    "Does the picture show {one}?",
    "Are there any {plural} in this photo?",
    "Do you see any {plural} in the picture?",
    "Would you find {one} in this image?",
)

PRESENT = ("Yes, there is {one}.", "Yes, {one} is visible.", "Yes, the image shows {one}.")

PRESENT_MANY = ("Yes, there are {plural}.", "Yes, {plural} are visible.", "Yes, the image shows {plural}.")

ABSENT = ("No, there is no {name}.", "No, there are no {plural}.", "No, no {name} is visible.")

RELATIVE = (
    "Where is the {name} in relation to the {other}?",
    "Where in the image is the {name}, compared with the {other}?",
    "Relative to the {other}, where is the {name}?",
    "How is the {name} placed with respect to the {other} in this picture?",
)

HORIZONTAL = (
    "Is the {name} to the left or to the right of the {other}?",
    "On which side of the {other} is the {name} in the image?",
)

VERTICAL = (
    "Is the {name} above or below the {other} in the image?",
    "Which is higher up in the picture, the {name} or the {other}?",
)

POSITIONED = {
    "left": ("to the left of", "left of"), "right": ("to the right of", "right of"),
    "above": ("above", "higher in the image than"), "below": ("below", "lower in the image than"),
}

IRREGULAR = {
    "person": "people", "man": "men", "woman": "women", "child": "children", "foot": "feet", "tooth": "teeth",
    "goose": "geese", "mouse": "mice", "ox": "oxen", "knife": "knives", "wife": "wives", "life": "lives",
    "leaf": "leaves", "shelf": "shelves", "bookshelf": "bookshelves", "wolf": "wolves", "loaf": "loaves",
    "scarf": "scarves", "calf": "calves", "half": "halves", "potato": "potatoes", "tomato": "tomatoes",
    "cactus": "cacti",
}

UNCHANGED = {"sheep", "fish", "deer", "moose", "bison", "salmon", "trout", "aircraft", "spacecraft"}

UNCOUNTABLE = {
    "scissors", "skis", "pants", "jeans", "shorts", "trousers", "glasses", "sunglasses", "goggles",
    "binoculars", "headphones", "tongs", "pliers", "clothes", "stairs", "broccoli", "food", "fruit",
    "furniture", "luggage", "grass", "water", "sand", "snow", "bread", "rice", "sky", "hair", "clothing",
    "jewelry", "equipment",
}
"""Names that are plural already, or of what is not counted."""

NO_MEN = {"human", "ottoman", "shaman", "talisman", "caiman", "roman", "german"}

VOWELS = ("a", "e", "i", "o", "u")
SPOKEN_WITH_CONSONANT = ("uni", "use", "usb", "uti", "ute", "uri", "uk", "ufo", "eu", "ewe", "one", "once")
SPOKEN_WITH_VOWEL = {"hour", "hourglass", "heirloom", "lcd", "led", "mp3", "rv", "suv", "x-ray", "xbox"}


def plural(name: str) -> str:
    """Return the plural of an English noun: of its last word, so "wine glass" becomes "wine glasses".

    A small table and the common rules: rarer irregular nouns, and names whose noun does not stand last
    ("bird of prey"), come out wrong.
    """
    head, space, noun = name.rpartition(" ")
    return f"{head}{space}{_plural_of_word(noun)}"


def is_countable(name: str) -> bool:
    """Tell whether "one" and "two" can be said of it, as far as the table knows."""
    return name.rpartition(" ")[2].lower() not in UNCOUNTABLE


def _plural_of_word(word: str) -> str:
    lower = word.lower()
    if lower in UNCHANGED | UNCOUNTABLE:
        return word
    if lower in IRREGULAR:
        return IRREGULAR[lower]
    if lower.endswith("man") and lower not in NO_MEN:
        return f"{word[:-2]}en"
    if lower.endswith(("s", "x", "z", "ch", "sh")):
        return f"{word}es"
    if lower.endswith("y") and lower[-2:-1] not in ("", *"aeiou"):
        return f"{word[:-1]}ies"
    return f"{word}s"


def with_article(name: str) -> str:
    """Return the name with "a" or "an", as its first word is spoken; rare exceptions come out wrong."""
    first = name.partition(" ")[0].lower()
    is_vowel = first.startswith(VOWELS) and not first.startswith(SPOKEN_WITH_CONSONANT)
    return f"{'an' if is_vowel or first in SPOKEN_WITH_VOWEL else 'a'} {name}"


def generator(*parts: object) -> random.Random:
    """Return a random generator seeded by the parts alone: the same on every machine and in every process."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return random.Random(digest)


def drawn(wordings: Sequence[str], *parts: object) -> str:
    """Return one of the wordings, the same one for the same parts."""
    return generator(*parts).choice(wordings)
