"""Scenes of the sample world: what is in them, decided by a seed, and how they are drawn.

A scene is a background and one to six things. Things come in groups that share kind, colour and size, and a
scene never has two groups of the same kind and colour, so "the red boats" always means one group.
"""

import random
from dataclasses import dataclass

from PIL import Image

from sample.backdrops import BACKDROPS, paint_backdrop
from sample.figures import FIGURES, PALETTE, paint

__all__ = [
    "BACKGROUNDS",
    "COLOURS",
    "KINDS",
    "SIZES",
    "Box",
    "Group",
    "Scene",
    "Size",
    "Thing",
    "draw",
    "make_scene",
]

Box = tuple[float, float, float, float]
Size = str

KINDS: tuple[str, ...] = tuple(FIGURES)
COLOURS: tuple[str, ...] = tuple(PALETTE)
SIZES: tuple[Size, ...] = ("small", "large")
BACKGROUNDS: tuple[str, ...] = tuple(BACKDROPS)

SIDES_PX: tuple[int, ...] = (224, 256, 288, 320, 352, 384)
# The square root of a thing's area, as a share of the picture's shorter side.
SIDE_SHARES: dict[Size, tuple[float, float]] = {"small": (0.225, 0.26), "large": (0.35, 0.43)}
# How many things in each group of a scene. Listed so that the counts 1 to 4 come about equally often.
GROUPINGS: tuple[tuple[int, ...], ...] = (
    (1,), (2,), (3,), (4,), (3,), (4,),
    (1, 1), (1, 2), (1, 3), (1, 4), (2, 2), (2, 3), (2, 4), (3, 3), (4, 2), (3, 2), (4, 1), (3, 1),
    (1, 1, 1), (1, 2, 3), (2, 2, 2), (1, 1, 4), (4, 1, 1), (3, 1, 2),
)  # fmt: skip
GAP = 0.012
EDGE = 0.01


@dataclass(frozen=True)
class Thing:
    """One drawn thing. `box` is (x1, y1, x2, y2), 0 to 1, top-left and bottom-right, tight to the drawing."""

    kind: str
    colour: str
    size: Size
    box: Box

    @property
    def centre(self) -> tuple[float, float]:
        """The middle of the box, (x, y), 0 to 1."""
        x1, y1, x2, y2 = self.box
        return (x1 + x2) / 2, (y1 + y2) / 2


@dataclass(frozen=True)
class Group:
    """All things of a scene that share kind and colour (and therefore size)."""

    kind: str
    colour: str
    size: Size
    things: tuple[Thing, ...]

    @property
    def count(self) -> int:
        """How many things there are."""
        return len(self.things)


@dataclass(frozen=True)
class Scene:
    """A whole picture; `width` and `height` in pixels."""

    seed: int
    background: str
    things: tuple[Thing, ...]
    width: int
    height: int

    @property
    def groups(self) -> tuple[Group, ...]:
        """The things by kind and colour, in the order in which they first appear."""
        members: dict[tuple[str, str], list[Thing]] = {}
        for thing in self.things:
            members.setdefault((thing.kind, thing.colour), []).append(thing)
        return tuple(
            Group(kind, colour, things[0].size, tuple(things)) for (kind, colour), things in members.items()
        )


def _choose_groups(rng: random.Random) -> list[tuple[str, str, Size, int]]:
    chosen: list[tuple[str, str, Size, int]] = []
    for count in rng.choice(GROUPINGS):
        kind, colour = rng.choice(KINDS), rng.choice(COLOURS)
        if chosen and rng.random() < 0.2:
            kind = chosen[-1][0]  # the same kind in another colour: only the colour tells them apart
        while any((kind, colour) == earlier[:2] for earlier in chosen):
            colour = rng.choice(COLOURS)
        chosen.append((kind, colour, rng.choice(SIZES), count))
    return chosen


def _place(
    groups: list[tuple[str, str, Size, int]], width: int, height: int, rng: random.Random
) -> tuple[Thing, ...] | None:
    placed: list[Thing] = []
    shorter = min(width, height)
    # The large go first: they are the hardest to fit.
    for kind, colour, size, count in sorted(groups, key=lambda group: group[2]):
        for _ in range(count):
            aspect = FIGURES[kind].aspect * rng.uniform(0.95, 1.05)
            side_px = rng.uniform(*SIDE_SHARES[size]) * shorter
            wide, high = side_px * aspect**0.5 / width, side_px / aspect**0.5 / height
            box = _free_spot(wide, high, [thing.box for thing in placed], rng)
            if box is None:
                return None
            placed.append(Thing(kind, colour, size, box))
    return tuple(placed)


def _free_spot(wide: float, high: float, taken: list[Box], rng: random.Random) -> Box | None:
    for _ in range(40):
        x, y = rng.uniform(EDGE, 1 - EDGE - wide), rng.uniform(EDGE, 1 - EDGE - high)
        box = (round(x, 4), round(y, 4), round(x + wide, 4), round(y + high, 4))
        if all(_apart(box, other) for other in taken):
            return box
    return None


def _apart(a: Box, b: Box) -> bool:
    return a[2] + GAP < b[0] or b[2] + GAP < a[0] or a[3] + GAP < b[1] or b[3] + GAP < a[1]


def make_scene(seed: int) -> Scene:
    """The scene of a seed: always the same one. No two boxes overlap.

    Raises ValueError for a negative seed.
    """
    if seed < 0:
        raise ValueError(f"seed must not be negative, got {seed}")
    rng = random.Random(f"scene {seed}")
    width, height = rng.choice(SIDES_PX), rng.choice(SIDES_PX)
    background = rng.choice(BACKGROUNDS)
    groups = _choose_groups(rng)
    for attempt in range(1_000):
        if attempt == 12:  # too much to fit: the last resort is to make everything small
            groups = [(kind, colour, "small", count) for kind, colour, _, count in groups]
        things = _place(groups, width, height, rng)
        if things is not None:
            return Scene(seed, background, things, width, height)
    raise ValueError(f"no room for the things of scene {seed}")


def draw(scene: Scene) -> Image.Image:
    """Draw a scene as an RGB image of `scene.width` by `scene.height` pixels.

    Drawn at twice the size and shrunk, so edges are smooth. Shade and tilt vary a little from thing to thing,
    by the scene's seed.
    """
    rng = random.Random(f"drawing {scene.seed}")
    canvas = paint_backdrop(scene.background, (2 * scene.width, 2 * scene.height), rng)
    for thing in scene.things:
        left, top, right, bottom = (
            round(share * side)
            for share, side in zip(thing.box, (canvas.width, canvas.height) * 2, strict=True)
        )
        shade = rng.randrange(-14, 15)
        red, green, blue = (max(0, min(255, value + shade)) for value in PALETTE[thing.colour])
        figure = paint(thing.kind, (red, green, blue), rng.uniform(-9.0, 9.0), right - left, bottom - top)
        canvas.paste(figure, (left, top), figure)
    return canvas.reduce(2)
