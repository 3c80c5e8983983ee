"""What the demo world holds: 300 rows, and which of them are in trouble. Pure: nothing is drawn or written.

Row n shows the scene of seed n, except a duplicate, which shows the scene of an earlier row once more.
A mismatched caption comes from a scene that is in no row and shares no kind of thing with the row's own.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sample import DEMO_SEEDS, PORT
from sample.scenes import Scene, make_scene
from sample.wording import captions

__all__ = ["Row", "Trouble", "plan_rows"]

Trouble = Literal[
    "mismatched_caption",
    "duplicate",
    "dead_link",
    "truncated_image",
    "html_page",
    "slow_host",
    "opted_out",
]

ROWS = 300
SPOKEN = 48
FIVE_CAPTIONS = 60
UNUSED_PORT = 8499
WORLD_SEED = 2024
TROUBLES: dict[Trouble, int] = {
    "mismatched_caption": 36,
    "duplicate": 15,
    "dead_link": 9,
    "truncated_image": 2,
    "html_page": 2,
    "slow_host": 2,
    "opted_out": 2,
}
REFUSED_LINKS = 2
LICENSES = ("CC-BY-4.0", "CC0-1.0", "CC-BY-SA-4.0")
FIRST_DONOR_SEED = 1_000


@dataclass(frozen=True)
class Row:
    """One row of the source table and the truth about it; `of` is the id of the row a duplicate repeats."""

    id: str
    scene: Scene
    image_url: str
    captions: tuple[str, ...]
    with_boxes: bool
    spoken: bool
    license: str
    trouble: Trouble | None = None
    of: str | None = None

    def source(self) -> dict[str, Any]:
        """The row as users' pipelines read it: a line of pairs.jsonl."""
        row: dict[str, Any] = {"id": self.id, "image_url": self.image_url, "captions": list(self.captions)}
        if self.with_boxes:
            row["boxes"] = [{"label": thing.kind, "box": list(thing.box)} for thing in self.scene.things]
        if self.spoken:
            row["audio_url"] = f"http://127.0.0.1:{PORT}/audio/{self.id}.ogg"
        return row | {"license": self.license}

    def truth(self) -> dict[str, Any]:
        """What is wrong with the row, if anything: a line of truth.jsonl."""
        return {"id": self.id, "trouble": self.trouble, "of": self.of}


def _row_id(number: int) -> str:
    return f"scene-{number:04d}"


def plan_rows() -> list[Row]:
    """All rows of the demo world, in order; always the same."""
    rng = random.Random(WORLD_SEED)
    numbers = list(range(1, ROWS + 1))
    troubles = _assign_troubles(numbers, rng)
    sound = [number for number in numbers if number not in troubles]
    spoken = set(rng.sample(sound, SPOKEN))
    generous = set(rng.sample(numbers, FIVE_CAPTIONS))
    refused = [number for number, trouble in troubles.items() if trouble == "dead_link"][:REFUSED_LINKS]
    originals: set[int] = set()
    rows = []
    for number in numbers:
        trouble = troubles.get(number)
        shown = number
        if trouble == "duplicate":
            shown = rng.choice([other for other in sound if other < number and other not in originals])
            originals.add(shown)
        scene = make_scene(shown)
        with_boxes = trouble != "mismatched_caption" and rng.random() < 0.74
        told = _donor(scene, number) if trouble == "mismatched_caption" else scene
        rows.append(
            Row(
                id=_row_id(number),
                scene=scene,
                image_url=_image_url(number, trouble, number in refused),
                captions=_choose_captions(captions(told), number in generous, with_boxes, rng),
                with_boxes=with_boxes,
                spoken=number in spoken,
                license=rng.choice(LICENSES),
                trouble=trouble,
                of=_row_id(shown) if trouble == "duplicate" else None,
            )
        )
    return rows


def _assign_troubles(numbers: Sequence[int], rng: random.Random) -> dict[int, Trouble]:
    # The first rows stay sound, so that every duplicate has rows before it to repeat.
    shuffled = rng.sample(numbers[40:], len(numbers) - 40)
    assigned: dict[int, Trouble] = {}
    for trouble, count in TROUBLES.items():
        for _ in range(count):
            assigned[shuffled.pop()] = trouble
    return assigned


def _donor(scene: Scene, number: int) -> Scene:
    """A scene of no row that has no kind of thing and not even the background in common with this one."""
    kinds = {thing.kind for thing in scene.things}
    for seed in range(FIRST_DONOR_SEED + 10 * number, DEMO_SEEDS.stop):
        donor = make_scene(seed)
        if donor.background != scene.background and kinds.isdisjoint(thing.kind for thing in donor.things):
            return donor
    raise ValueError(f"no scene differs enough from scene {scene.seed}")


def _image_url(number: int, trouble: Trouble | None, refused: bool) -> str:
    name = f"{_row_id(number)}.jpg"
    if trouble == "slow_host":
        return f"http://localhost:{PORT}/slow/{name}"
    return f"http://127.0.0.1:{UNUSED_PORT if refused else PORT}/images/{name}"


def _choose_captions(
    five: Sequence[str], generous: bool, with_boxes: bool, rng: random.Random
) -> tuple[str, ...]:
    if generous:
        return tuple(five)
    count = rng.choice((1, 1, 2, 2, 3))
    # The first two are complete. Rows with boxes mostly get one, for text about colours rests on it.
    complete = rng.random() < (0.9 if with_boxes else 0.3)
    first = [rng.choice(five[:2])] if complete else []
    rest = [caption for caption in five if caption not in first]
    chosen = first + rng.sample(rest, count - len(first))
    return tuple(rng.sample(chosen, len(chosen)))
