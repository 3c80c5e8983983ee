"""What is told about a scene, as samples from the web tell it: some captions, maybe boxes, maybe speech."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, replace
from functools import cached_property

from sample.grammar import PLACES, describe
from sample.scenes import Group, Scene
from sample.wording import captions, spoken_description
from stages.context import FENCE, Box, user_message

__all__ = ["Context", "make_context"]

COMPLETE_SHARE, COMPLETE_SHARE_WITHOUT_BOXES = 0.9, 0.6
BOXES_SHARE = 0.7
SPOKEN_SHARE = 0.2


@dataclass(frozen=True)
class Context:
    """What is told about a scene. Other texts may only say what follows from it."""

    scene: Scene
    captions: tuple[str, ...]
    with_boxes: bool
    transcript: str | None
    complete: bool
    """Whether it names every group with count and colour."""

    def ask(self, kind: str) -> str:
        """The user message that asks for a kind of conversation, as the model's chat template shows it: unfenced."""
        boxes = [Box(label=thing.kind, box=thing.box) for thing in self.scene.things]
        asked = user_message(self.captions, boxes if self.with_boxes else None, self.transcript, kind)
        begin, end = FENCE
        return asked.replace(f"{begin}\n", "").replace(f"\n{end}", "")

    @cached_property
    def words(self) -> str:
        """All that is told in words, in small letters."""
        return "\n".join([*self.captions, self.transcript or ""]).lower()

    @property
    def tells_place(self) -> bool:
        """Whether the background is told."""
        return PLACES[self.scene.background] in self.words or "the background is" in self.words

    def tells_size(self, group: Group) -> bool:
        """Whether the size of a group is told."""
        noun = describe(group).split(" ", 1)[1]
        return f"{group.size} {noun}" in self.words or bool(re.search(rf"{noun} (is|are) {group.size}", self.words))

    def known_scene(self) -> Scene:
        """The scene without the groups that nobody mentions, where there are neither boxes nor a complete text."""
        if self.complete or self.with_boxes:
            return self.scene
        told = [group for group in self.scene.groups if describe(group).split(" ", 1)[1] in self.words]
        return replace(self.scene, things=tuple(thing for group in told for thing in group.things))


def make_context(scene: Scene, rng: random.Random) -> Context:
    """A random context: one to five captions, the other parts as often as in `sample/pairs.jsonl` or more."""
    five = captions(replace(scene, seed=rng.randrange(2**31)))
    with_boxes = rng.random() < BOXES_SHARE
    complete = rng.random() < (COMPLETE_SHARE if with_boxes else COMPLETE_SHARE_WITHOUT_BOXES)
    first = [rng.choice(five[:2])] if complete else []
    rest = [caption for caption in (five if complete else five[2:]) if caption not in first]
    count = rng.choice((1, 1, 1, 2, 2, 3, 5))
    chosen = [*first, *rng.sample(rest, min(len(rest), count - len(first)))]
    transcript = None
    if rng.random() < SPOKEN_SHARE:
        transcript = _as_heard(spoken_description(replace(scene, seed=rng.randrange(2**31))), rng)
        if rng.random() < 0.2:
            chosen = []
    rng.shuffle(chosen)
    whole = (complete and bool(chosen)) or transcript is not None
    return Context(scene, tuple(chosen), with_boxes, transcript, whole)


def _as_heard(text: str, rng: random.Random) -> str:
    """As a speech model may write it: sometimes without capitals or punctuation."""
    if rng.random() < 0.3:
        text = text.lower()
    return re.sub(r"[.,]", "", text) if rng.random() < 0.2 else text
