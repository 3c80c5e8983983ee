"""What is behind the things: one drawing function a background, pale or dull so that things stand out."""

import random
from collections.abc import Callable

from PIL import Image, ImageDraw

__all__ = ["BACKDROPS", "paint_backdrop"]

RGB = tuple[int, int, int]


def _gradient(size: tuple[int, int], top: RGB, bottom: RGB) -> Image.Image:
    ramp = Image.linear_gradient("L").crop((0, 0, 1, 256))
    column = Image.composite(Image.new("RGB", ramp.size, bottom), Image.new("RGB", ramp.size, top), ramp)
    return column.resize(size, Image.Resampling.BILINEAR)  # one column, widened: much faster


def _lower(image: Image.Image, from_share: float, top: RGB, bottom: RGB) -> int:
    """Cover the lower part of the image with a gradient; returns the pixel row where it starts."""
    start = int(image.height * from_share)
    image.paste(_gradient((image.width, image.height - start), top, bottom), (0, start))
    return start


def _dots(
    draw: ImageDraw.ImageDraw,
    rng: random.Random,
    area: tuple[int, int, int, int],
    count: int,
    radius: int,
    fill: RGB,
) -> None:
    for _ in range(count):
        x, y = rng.randrange(area[0], area[2]), rng.randrange(area[1], area[3])
        draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=fill)


def _field(size: tuple[int, int], rng: random.Random) -> Image.Image:
    image = _gradient(size, (176, 216, 244), (224, 240, 250))
    start = _lower(image, rng.uniform(0.36, 0.46), (150, 204, 112), (104, 168, 76))
    draw = ImageDraw.Draw(image)
    for _ in range(120):
        x, y = rng.randrange(size[0]), rng.randrange(start + 6, size[1])
        draw.line([x, y, x + rng.choice((-4, 4)), y - 14], fill=(84, 142, 62), width=3)
    return image


def _beach(size: tuple[int, int], rng: random.Random) -> Image.Image:
    image = _gradient(size, (150, 214, 246), (226, 246, 252))
    sea = _lower(image, rng.uniform(0.26, 0.34), (70, 170, 196), (132, 212, 220))
    sand = _lower(image, rng.uniform(0.56, 0.66), (244, 224, 170), (226, 196, 134))
    draw = ImageDraw.Draw(image)
    draw.line([0, sand, size[0], sand], fill=(250, 250, 250), width=9)
    for y in range(sea + 16, sand - 10, 26):
        for _ in range(4):
            x = rng.randrange(size[0])
            draw.line([x, y, x + 60, y], fill=(190, 232, 238), width=4)
    _dots(draw, rng, (0, sand + 10, size[0], size[1]), 90, 2, (190, 158, 100))
    return image


def _night_sky(size: tuple[int, int], rng: random.Random) -> Image.Image:
    image = _gradient(size, (10, 12, 40), (44, 44, 92))
    draw = ImageDraw.Draw(image)
    _dots(draw, rng, (0, 0, *size), 70, 2, (220, 220, 236))
    _dots(draw, rng, (0, 0, *size), 20, 4, (250, 250, 250))
    return image


def _snow(size: tuple[int, int], rng: random.Random) -> Image.Image:
    image = _gradient(size, (150, 160, 180), (196, 204, 218))
    _lower(image, rng.uniform(0.5, 0.6), (248, 250, 255), (226, 234, 246))
    _dots(ImageDraw.Draw(image), rng, (0, 0, *size), 130, 5, (255, 255, 255))
    return image


def _street(size: tuple[int, int], rng: random.Random) -> Image.Image:
    image = _gradient(size, (206, 214, 222), (230, 232, 234))
    draw = ImageDraw.Draw(image)
    road = int(size[1] * rng.uniform(0.6, 0.68))
    left = 0
    while left < size[0]:
        width = rng.randrange(70, 130)
        top = int(size[1] * rng.uniform(0.06, 0.36))
        grey = rng.randrange(140, 184)
        draw.rectangle([left, top, left + width, road], fill=(grey, grey, grey + 8))
        for x in range(left + 12, left + width - 20, 30):
            for y in range(top + 14, road - 20, 36):
                draw.rectangle([x, y, x + 13, y + 18], fill=(222, 226, 220))
        left += width + 4
    _lower(image, road / size[1], (92, 92, 98), (70, 70, 76))
    middle = (road + size[1]) // 2
    for x in range(0, size[0], 90):
        draw.rectangle([x, middle - 5, x + 48, middle + 5], fill=(240, 240, 240))
    return image


def _room(size: tuple[int, int], rng: random.Random) -> Image.Image:
    image = _gradient(size, (238, 226, 206), (228, 214, 194))
    draw = ImageDraw.Draw(image)
    for x in range(rng.randrange(40), size[0], 56):
        draw.rectangle([x, 0, x + 22, size[1]], fill=(222, 206, 182))
    start = _lower(image, rng.uniform(0.68, 0.76), (176, 142, 108), (146, 114, 84))
    draw.rectangle([0, start - 10, size[0], start + 4], fill=(250, 248, 242))
    for x in range(-size[0], 2 * size[0], 110):
        draw.line(
            [size[0] // 2 + (x - size[0] // 2) // 2, start + 6, x, size[1]], fill=(124, 96, 70), width=3
        )
    return image


def _plain(size: tuple[int, int], rng: random.Random) -> Image.Image:
    level = rng.randrange(228, 250)
    return _gradient(size, (level, level, level), (level - 14, level - 14, level - 12))


def _desert(size: tuple[int, int], rng: random.Random) -> Image.Image:
    image = _gradient(size, (252, 226, 184), (254, 240, 214))
    draw = ImageDraw.Draw(image)
    for base, fill in ((0.5, (232, 194, 140)), (0.64, (220, 178, 120)), (0.8, (206, 160, 102))):
        centre, spread = rng.uniform(0.1, 0.9) * size[0], size[0] * rng.uniform(0.7, 1.1)
        top = base * size[1]
        draw.rectangle([0, int(top + 30), size[0], size[1]], fill=fill)
        draw.ellipse([centre - spread, top, centre + spread, top + 2 * size[1]], fill=fill)
    return image


def _under_water(size: tuple[int, int], rng: random.Random) -> Image.Image:
    image = _gradient(size, (112, 204, 216), (18, 92, 122))
    draw = ImageDraw.Draw(image)
    for _ in range(26):
        x, y, radius = rng.randrange(size[0]), rng.randrange(size[1]), rng.randrange(5, 13)
        draw.ellipse([x - radius, y - radius, x + radius, y + radius], outline=(214, 244, 248), width=3)
    for y in range(20, size[1] // 3, 40):
        for _ in range(3):
            x = rng.randrange(size[0])
            draw.arc([x, y, x + 70, y + 22], 200, 340, fill=(206, 242, 244), width=4)
    return image


def _brick_wall(size: tuple[int, int], rng: random.Random) -> Image.Image:
    image = Image.new("RGB", size, (232, 228, 224))
    draw = ImageDraw.Draw(image)
    for row, y in enumerate(range(0, size[1], 34)):
        for x in range(-70 * (row % 2) // 2, size[0], 70):
            shift = rng.randrange(-10, 11)
            draw.rectangle([x + 3, y + 3, x + 66, y + 30], fill=(196 + shift, 172 + shift, 166 + shift))
    return image


BACKDROPS: dict[str, Callable[[tuple[int, int], random.Random], Image.Image]] = {
    "grass field": _field,
    "beach": _beach,
    "night sky": _night_sky,
    "snow": _snow,
    "city street": _street,
    "room": _room,
    "plain": _plain,
    "desert": _desert,
    "under water": _under_water,
    "brick wall": _brick_wall,
}


def paint_backdrop(name: str, size: tuple[int, int], rng: random.Random) -> Image.Image:
    """Draw a background by its name, in pixels (width, height), as an RGB image."""
    return BACKDROPS[name](size, rng)
