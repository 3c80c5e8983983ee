"""Points are written as Molmo's models write them, and read back by the connector."""

from __future__ import annotations

import random

import pytest

from stages.connector.tasks import points
from stages.templating.points import NONE, Point, PointFormat, points_text


@pytest.mark.parametrize(
    ("form", "places", "text"),
    [
        ("pixmo", [], "There are none."),
        ("molmo2", [], "There are none."),
        ("pixmo", [(5.0, 100.0)], '<point x="5.0" y="100.0" alt="cup">cup</point>'),
        ("molmo2", [(5.0, 100.0)], '<points coords="1 1 050 1000">cup</points>'),
        ("pixmo", [(0.0, 7.3), (10.5, 2.0)], '<points x1="0.0" y1="7.3" x2="10.5" y2="2.0" alt="cup">cup</points>'),
        ("molmo2", [(0.0, 7.3), (10.5, 2.0)], '<points coords="1 1 000 073 2 105 020">cup</points>'),
    ],
)
def test_formats(form: PointFormat, places: list[Point], text: str) -> None:
    """PixMo: 0-100 with one decimal; Molmo2: image, then number, x and y of each point, 0-1000, three digits."""
    assert points_text("cup", places, form) == text


@pytest.mark.parametrize("form", ["pixmo", "molmo2"])
def test_formats_parse_back(form: PointFormat) -> None:
    """Whatever is written is read back exactly."""
    rng = random.Random(0)
    for number in range(30):
        places = sorted((round(rng.uniform(0, 100), 1), round(rng.uniform(0, 100), 1)) for _ in range(number))
        assert points(points_text("cup", places, form)) == (places if places else points(NONE) or [])
