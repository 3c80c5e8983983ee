"""How each kind of thing looks: one small drawing function a kind, on a square transparent tile.

Only the paint of a thing carries its colour; every accessory (wheels, stems, windows) is black, white or
grey, so that the colour named in a caption is the only colour there is to see.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

__all__ = ["FIGURES", "PALETTE", "Figure", "paint"]

RGB = tuple[int, int, int]
Point = tuple[float, float]

PALETTE: dict[str, RGB] = {
    "red": (218, 30, 36),
    "orange": (250, 132, 14),
    "yellow": (252, 222, 40),
    "green": (40, 160, 62),
    "blue": (36, 92, 222),
    "purple": (128, 46, 178),
    "pink": (250, 140, 196),
    "brown": (122, 70, 32),
}

INK: RGB = (28, 26, 34)
GREY: RGB = (128, 128, 134)
WHITE: RGB = (250, 250, 250)
TILE_PX = 256
OUTLINE_PX = 7


def _darker(colour: RGB) -> RGB:
    red, green, blue = (int(value * 0.78) for value in colour)
    return red, green, blue


class Pen:
    """Draws outlined shapes on a tile in coordinates from 0 to 1, y downwards."""

    def __init__(self, tile: Image.Image, colour: RGB) -> None:
        self._draw = ImageDraw.Draw(tile)
        self._scale = tile.width
        self.colour = colour
        self.shade = _darker(colour)

    def polygon(self, points: Sequence[Point], fill: RGB, outline_px: int = OUTLINE_PX) -> None:
        """Fill a closed outline given by its corners."""
        corners = [(x * self._scale, y * self._scale) for x, y in points]
        self._draw.polygon(corners, fill=fill)
        if outline_px:
            self._draw.line([*corners, corners[0], corners[1]], fill=INK, width=outline_px, joint="curve")

    def ellipse(
        self, x1: float, y1: float, x2: float, y2: float, fill: RGB, outline_px: int = OUTLINE_PX
    ) -> None:
        """Fill the ellipse that touches the four sides of a box."""
        box = [value * self._scale for value in (x1, y1, x2, y2)]
        self._draw.ellipse(box, fill=fill, outline=INK if outline_px else None, width=max(1, outline_px))

    def disc(self, x: float, y: float, radius: float, fill: RGB, outline_px: int = OUTLINE_PX) -> None:
        """Fill a circle about a centre."""
        self.ellipse(x - radius, y - radius, x + radius, y + radius, fill, outline_px)

    def rectangle(
        self, x1: float, y1: float, x2: float, y2: float, fill: RGB, outline_px: int = OUTLINE_PX
    ) -> None:
        """Fill an upright rectangle."""
        box = [value * self._scale for value in (x1, y1, x2, y2)]
        self._draw.rectangle(box, fill=fill, outline=INK if outline_px else None, width=max(1, outline_px))

    def line(self, points: Sequence[Point], colour: RGB = INK, width: float = 0.04) -> None:
        """Draw an open line; `width` is a share of the tile."""
        path = [(x * self._scale, y * self._scale) for x, y in points]
        self._draw.line(path, fill=colour, width=round(width * self._scale), joint="curve")

    def arc(
        self,
        x1: float,
        y1: float,
        x2: float,
        y2: float,
        start_deg: float,
        end_deg: float,
        colour: RGB = INK,
        width: float = 0.04,
    ) -> None:
        """Draw a piece of an ellipse, clockwise from three o'clock."""
        box = [value * self._scale for value in (x1, y1, x2, y2)]
        self._draw.arc(box, start_deg, end_deg, fill=colour, width=round(width * self._scale))

    def blob(self, circles: Sequence[tuple[float, float, float]], fill: RGB) -> None:
        """Fill the union of circles (x, y, radius) with one outline around all of them."""
        grown = OUTLINE_PX / self._scale
        for x, y, radius in circles:
            self.disc(x, y, radius, INK, 0)
        for x, y, radius in circles:
            self.disc(x, y, radius - grown, fill, 0)


def _ring(count: int, radius: float, turn_deg: float = -90.0, x: float = 0.5, y: float = 0.5) -> list[Point]:
    angles = [math.radians(turn_deg + 360.0 * step / count) for step in range(count)]
    return [(x + radius * math.cos(angle), y + radius * math.sin(angle)) for angle in angles]


def _circle(pen: Pen) -> None:
    pen.disc(0.5, 0.5, 0.48, pen.colour)


def _square(pen: Pen) -> None:
    pen.rectangle(0.04, 0.04, 0.96, 0.96, pen.colour)


def _triangle(pen: Pen) -> None:
    pen.polygon([(0.5, 0.05), (0.96, 0.93), (0.04, 0.93)], pen.colour)


def _star(pen: Pen) -> None:
    outer, inner = _ring(5, 0.48), _ring(5, 0.2, -54.0)
    pen.polygon([point for pair in zip(outer, inner, strict=True) for point in pair], pen.colour)


def _heart(pen: Pen) -> None:
    curve: list[Point] = []
    for step in range(60):
        t = 2 * math.pi * step / 60
        x = 16 * math.sin(t) ** 3
        y = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        curve.append((0.5 + x / 36, 0.46 - y / 36))
    pen.polygon(curve, pen.colour)


def _tree(pen: Pen) -> None:
    pen.rectangle(0.42, 0.74, 0.58, 0.97, GREY)
    pen.polygon([(0.5, 0.42), (0.9, 0.8), (0.1, 0.8)], pen.colour)
    pen.polygon([(0.5, 0.22), (0.83, 0.58), (0.17, 0.58)], pen.colour)
    pen.polygon([(0.5, 0.03), (0.74, 0.36), (0.26, 0.36)], pen.colour)


def _house(pen: Pen) -> None:
    pen.rectangle(0.64, 0.1, 0.77, 0.4, GREY)
    pen.rectangle(0.13, 0.45, 0.87, 0.96, pen.colour)
    pen.polygon([(0.5, 0.04), (0.97, 0.48), (0.03, 0.48)], pen.shade)
    pen.rectangle(0.24, 0.6, 0.44, 0.78, WHITE)
    pen.rectangle(0.56, 0.6, 0.76, 0.96, INK)


def _car(pen: Pen) -> None:
    pen.polygon([(0.2, 0.5), (0.32, 0.24), (0.66, 0.24), (0.8, 0.5)], WHITE)
    pen.line([(0.49, 0.24), (0.49, 0.5)])
    pen.polygon(
        [(0.03, 0.52), (0.14, 0.46), (0.84, 0.46), (0.97, 0.56), (0.97, 0.72), (0.03, 0.72)], pen.colour
    )
    pen.line([(0.3, 0.25), (0.68, 0.25)], pen.colour, 0.07)
    for x in (0.26, 0.75):
        pen.disc(x, 0.73, 0.14, INK)
        pen.disc(x, 0.73, 0.06, WHITE, 0)


def _boat(pen: Pen) -> None:
    pen.line([(0.48, 0.03), (0.48, 0.68)], INK, 0.05)
    pen.polygon([(0.54, 0.06), (0.92, 0.6), (0.54, 0.6)], WHITE)
    pen.polygon([(0.42, 0.16), (0.42, 0.6), (0.12, 0.6)], WHITE)
    pen.polygon([(0.02, 0.66), (0.98, 0.66), (0.8, 0.96), (0.2, 0.96)], pen.colour)


def _sun(pen: Pen) -> None:
    for tip, left, right in zip(
        _ring(10, 0.49), _ring(10, 0.35, -102.0), _ring(10, 0.35, -78.0), strict=True
    ):
        pen.polygon([tip, left, right], pen.colour, 4)
    pen.disc(0.5, 0.5, 0.28, pen.colour)
    for x in (0.41, 0.59):
        pen.disc(x, 0.45, 0.03, INK, 0)
    pen.arc(0.38, 0.42, 0.62, 0.64, 20, 160, INK, 0.03)


def _moon(pen: Pen) -> None:
    outer = [
        (0.46 + 0.46 * math.cos(math.radians(angle)), 0.5 + 0.46 * math.sin(math.radians(angle)))
        for angle in range(52, 309, 4)
    ]
    inner = [
        (0.68 + 0.366 * math.cos(math.radians(angle)), 0.5 + 0.366 * math.sin(math.radians(angle)))
        for angle in range(260, 99, -4)
    ]
    pen.polygon(outer + inner, pen.colour)


def _cloud(pen: Pen) -> None:
    circles = [(0.2, 0.58, 0.18), (0.4, 0.42, 0.22), (0.64, 0.46, 0.2), (0.82, 0.6, 0.16), (0.5, 0.6, 0.18)]
    pen.blob(circles, pen.colour)


def _person(pen: Pen) -> None:
    for x in (0.4, 0.6):
        pen.line([(x, 0.62), (x, 0.96)], INK, 0.11)
    for hand in ((0.1, 0.42), (0.9, 0.42)):
        pen.line([(0.5, 0.36), hand], INK, 0.12)
        pen.line([(0.5, 0.36), hand], pen.colour, 0.075)
        pen.disc(*hand, 0.055, WHITE, 4)
    pen.polygon([(0.35, 0.3), (0.65, 0.3), (0.73, 0.72), (0.27, 0.72)], pen.colour)
    pen.disc(0.5, 0.17, 0.15, WHITE)
    for x in (0.45, 0.55):
        pen.disc(x, 0.15, 0.022, INK, 0)
    pen.arc(0.43, 0.13, 0.57, 0.25, 20, 160, INK, 0.025)


def _cat(pen: Pen) -> None:
    pen.polygon([(0.1, 0.04), (0.46, 0.28), (0.12, 0.55)], pen.colour)
    pen.polygon([(0.9, 0.04), (0.54, 0.28), (0.88, 0.55)], pen.colour)
    pen.ellipse(0.07, 0.2, 0.93, 0.95, pen.colour)
    for x in (0.33, 0.67):
        pen.ellipse(x - 0.09, 0.41, x + 0.09, 0.61, WHITE, 5)
        pen.ellipse(x - 0.035, 0.43, x + 0.035, 0.59, INK, 0)
    pen.polygon([(0.44, 0.66), (0.56, 0.66), (0.5, 0.74)], INK, 0)
    for side in (-1, 1):
        for drop in (0.66, 0.78):
            pen.line([(0.5 + side * 0.14, 0.72), (0.5 + side * 0.48, drop)], INK, 0.025)


def _dog(pen: Pen) -> None:
    pen.line([(0.16, 0.5), (0.04, 0.2)], INK, 0.11)
    pen.line([(0.16, 0.5), (0.05, 0.23)], pen.colour, 0.06)
    for x in (0.14, 0.29, 0.5, 0.64):
        pen.rectangle(x, 0.6, x + 0.11, 0.93, pen.colour)
    pen.ellipse(0.09, 0.4, 0.8, 0.74, pen.colour)
    pen.ellipse(0.72, 0.26, 0.98, 0.48, pen.colour)
    pen.disc(0.7, 0.3, 0.19, pen.colour)
    pen.disc(0.95, 0.33, 0.04, INK, 0)
    pen.ellipse(0.5, 0.14, 0.64, 0.52, pen.shade)
    pen.disc(0.75, 0.25, 0.035, INK, 0)


def _fish(pen: Pen) -> None:
    pen.polygon([(0.3, 0.5), (0.02, 0.24), (0.08, 0.5), (0.02, 0.76)], pen.shade)
    pen.polygon([(0.42, 0.3), (0.6, 0.12), (0.72, 0.32)], pen.shade)
    pen.ellipse(0.2, 0.24, 0.98, 0.76, pen.colour)
    pen.arc(0.46, 0.26, 0.72, 0.74, -60, 60, INK, 0.03)
    pen.disc(0.83, 0.44, 0.065, WHITE, 4)
    pen.disc(0.84, 0.44, 0.03, INK, 0)


def _bird(pen: Pen) -> None:
    for x in (0.46, 0.58):
        pen.line([(x, 0.72), (x, 0.95), (x + 0.09, 0.95)], INK, 0.035)
    pen.polygon([(0.26, 0.58), (0.02, 0.44), (0.06, 0.68)], pen.shade)
    pen.ellipse(0.18, 0.4, 0.78, 0.82, pen.colour)
    pen.disc(0.72, 0.36, 0.17, pen.colour)
    pen.polygon([(0.86, 0.3), (0.99, 0.38), (0.86, 0.44)], GREY, 4)
    pen.polygon([(0.58, 0.56), (0.34, 0.08), (0.22, 0.56)], pen.shade)
    pen.disc(0.76, 0.33, 0.035, INK, 0)


def _flower(pen: Pen) -> None:
    pen.line([(0.5, 0.4), (0.5, 0.97)], INK, 0.06)
    pen.polygon([(0.5, 0.88), (0.74, 0.68), (0.78, 0.84)], GREY)
    pen.polygon([(0.5, 0.88), (0.26, 0.68), (0.22, 0.84)], GREY)
    for x, y in _ring(6, 0.2, -90.0, 0.5, 0.33):
        pen.disc(x, y, 0.13, pen.colour, 6)
    pen.disc(0.5, 0.33, 0.12, WHITE, 6)


def _cup(pen: Pen) -> None:
    for x in (0.28, 0.42, 0.56):
        pen.line([(x, 0.3), (x + 0.05, 0.22), (x - 0.02, 0.14), (x + 0.03, 0.05)], GREY, 0.04)
    pen.disc(0.76, 0.58, 0.2, INK, 0)
    pen.disc(0.76, 0.58, 0.17, pen.colour, 0)
    pen.disc(0.76, 0.58, 0.115, INK, 0)
    pen.disc(0.76, 0.58, 0.09, WHITE, 0)
    pen.polygon([(0.1, 0.36), (0.78, 0.36), (0.68, 0.94), (0.2, 0.94)], pen.colour)
    pen.ellipse(0.1, 0.29, 0.78, 0.43, WHITE)


def _clock(pen: Pen) -> None:
    for x in (0.22, 0.78):
        pen.disc(x, 0.13, 0.12, pen.shade)
        pen.line([(0.5, 0.55), (x, 0.96)], INK, 0.08)
    pen.disc(0.5, 0.53, 0.41, pen.colour)
    pen.disc(0.5, 0.53, 0.28, WHITE, 5)
    for x, y in _ring(4, 0.22, -90.0, 0.5, 0.53):
        pen.disc(x, y, 0.022, INK, 0)
    pen.line([(0.5, 0.34), (0.5, 0.53), (0.64, 0.61)], INK, 0.05)


def _balloon(pen: Pen) -> None:
    pen.line([(0.5, 0.68), (0.56, 0.76), (0.44, 0.86), (0.52, 0.97)], INK, 0.035)
    pen.polygon([(0.5, 0.62), (0.6, 0.73), (0.4, 0.73)], pen.shade)
    pen.ellipse(0.2, 0.03, 0.8, 0.68, pen.colour)
    pen.ellipse(0.3, 0.12, 0.44, 0.3, WHITE, 0)


def _umbrella(pen: Pen) -> None:
    pen.line([(0.5, 0.03), (0.5, 0.84)], INK, 0.05)
    pen.arc(0.5, 0.74, 0.72, 0.97, 0, 180, INK, 0.06)
    dome = [
        (0.5 + 0.47 * math.cos(math.radians(angle)), 0.55 + 0.45 * math.sin(math.radians(angle)))
        for angle in range(180, 361, 6)
    ]
    scallops = [
        (0.97, 0.55),
        (0.86, 0.47),
        (0.66, 0.55),
        (0.5, 0.47),
        (0.34, 0.55),
        (0.14, 0.47),
        (0.03, 0.55),
    ]
    pen.polygon(dome + scallops, pen.colour)
    for x in (0.34, 0.66):
        pen.line([(0.5, 0.1), (x, 0.55)], INK, 0.025)


def _mushroom(pen: Pen) -> None:
    pen.polygon([(0.36, 0.5), (0.64, 0.5), (0.72, 0.96), (0.28, 0.96)], WHITE)
    cap = [
        (0.5 + 0.47 * math.cos(math.radians(angle)), 0.56 + 0.5 * math.sin(math.radians(angle)))
        for angle in range(180, 361, 6)
    ]
    pen.polygon(cap, pen.colour)
    for x, y, radius in ((0.27, 0.42, 0.075), (0.5, 0.26, 0.09), (0.73, 0.42, 0.075)):
        pen.disc(x, y, radius, WHITE, 0)


def _key(pen: Pen) -> None:
    for width, fill in ((0.16, INK), (0.1, pen.colour)):
        pen.line([(0.4, 0.4), (0.93, 0.4)], fill, width)
        grown = 0.0 if fill == pen.colour else 0.03
        for x in (0.72, 0.88):
            pen.rectangle(x - 0.045 - grown, 0.38, x + 0.045 + grown, 0.6 + grown, fill, 0)
    pen.disc(0.26, 0.4, 0.24, pen.colour)
    pen.disc(0.24, 0.4, 0.1, WHITE)


@dataclass(frozen=True)
class Figure:
    """How to draw a kind, and the usual width of its drawing divided by the height."""

    draw: Callable[[Pen], None]
    aspect: float


FIGURES: dict[str, Figure] = {
    "circle": Figure(_circle, 1.0),
    "square": Figure(_square, 1.0),
    "triangle": Figure(_triangle, 1.05),
    "star": Figure(_star, 1.05),
    "heart": Figure(_heart, 1.1),
    "tree": Figure(_tree, 0.86),
    "house": Figure(_house, 1.0),
    "car": Figure(_car, 1.4),
    "boat": Figure(_boat, 1.05),
    "sun": Figure(_sun, 1.0),
    "moon": Figure(_moon, 0.8),
    "cloud": Figure(_cloud, 1.4),
    "person": Figure(_person, 0.86),
    "cat": Figure(_cat, 1.0),
    "dog": Figure(_dog, 1.2),
    "fish": Figure(_fish, 1.4),
    "bird": Figure(_bird, 1.1),
    "flower": Figure(_flower, 0.75),
    "cup": Figure(_cup, 1.0),
    "clock": Figure(_clock, 1.0),
    "balloon": Figure(_balloon, 0.72),
    "umbrella": Figure(_umbrella, 1.0),
    "mushroom": Figure(_mushroom, 1.0),
    "key": Figure(_key, 1.4),
}


def paint(kind: str, colour: RGB, turn_deg: float, width_px: int, height_px: int) -> Image.Image:
    """Draw one thing to fill a box of `width_px` by `height_px` exactly: an RGBA image of that size.

    The drawing is turned by `turn_deg` about its middle, cut to what is visible, and stretched to the box,
    so a box always fits its thing tightly.
    """
    tile = Image.new("RGBA", (TILE_PX, TILE_PX), (*INK, 0))
    FIGURES[kind].draw(Pen(tile, colour))
    turned = tile.rotate(turn_deg, Image.Resampling.BILINEAR, expand=True)
    visible = turned.getchannel("A").getbbox()
    if visible is None:
        raise ValueError(f"the drawing of {kind!r} is empty")
    return turned.crop(visible).resize((width_px, height_px), Image.Resampling.BICUBIC)
