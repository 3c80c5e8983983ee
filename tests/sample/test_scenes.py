"""The scenes of the sample world."""

from collections import Counter
from itertools import combinations

import pytest

from sample.scenes import BACKGROUNDS, COLOURS, KINDS, SIZES, Box, Scene, draw, make_scene

SCENES = [make_scene(seed) for seed in range(20_000, 20_400)]


def _overlap(a: Box, b: Box) -> float:
    wide = min(a[2], b[2]) - max(a[0], b[0])
    high = min(a[3], b[3]) - max(a[1], b[1])
    return max(0.0, wide) * max(0.0, high)


def test_a_seed_always_gives_the_same_scene_and_picture() -> None:
    """A scene and its pixels depend on nothing but the seed."""
    assert make_scene(20_007) == make_scene(20_007)
    assert draw(make_scene(20_007)).tobytes() == draw(make_scene(20_007)).tobytes()
    assert make_scene(20_007) != make_scene(20_008)


def test_a_negative_seed_is_refused() -> None:
    """A seed that belongs to no range is refused by value."""
    with pytest.raises(ValueError, match="-1"):
        make_scene(-1)


def test_the_world_is_as_large_as_promised() -> None:
    """There are enough kinds, eight colours, two sizes and enough backgrounds."""
    assert len(KINDS) >= 22
    assert len(COLOURS) == 8
    assert SIZES == ("small", "large")
    assert len(BACKGROUNDS) >= 7


@pytest.mark.parametrize("scene", SCENES[:60], ids=lambda scene: str(scene.seed))
def test_things_are_whole_visible_and_large_enough(scene: Scene) -> None:
    """Boxes lie inside the picture, none overlaps another, and none is too small to be recognised."""
    assert 1 <= len(scene.things) <= 6
    for thing in scene.things:
        x1, y1, x2, y2 = thing.box
        assert 0 <= x1 < x2 <= 1
        assert 0 <= y1 < y2 <= 1
        assert min((x2 - x1) * scene.width, (y2 - y1) * scene.height) >= 0.17 * min(scene.width, scene.height)
    assert all(_overlap(a.box, b.box) == 0 for a, b in combinations(scene.things, 2))


def test_groups_are_told_apart_by_kind_and_colour() -> None:
    """No scene has two groups of one kind and colour, and a group is of one size."""
    for scene in SCENES:
        names = [(group.kind, group.colour) for group in scene.groups]
        assert len(names) == len(set(names))
        assert sum(group.count for group in scene.groups) == len(scene.things)
        assert all(len({thing.size for thing in group.things}) == 1 for group in scene.groups)


def test_counts_one_to_four_are_all_common() -> None:
    """Counting is worth learning: no count from one to four is rare, and none is larger."""
    counts = Counter(group.count for scene in SCENES for group in scene.groups)
    assert set(counts) == {1, 2, 3, 4}
    assert min(counts.values()) > 0.1 * counts.total()


def test_a_picture_has_the_size_of_its_scene() -> None:
    """The drawing is RGB, of the scene's width and height."""
    picture = draw(SCENES[0])
    assert picture.mode == "RGB"
    assert picture.size == (SCENES[0].width, SCENES[0].height)


def test_a_box_fits_its_drawing() -> None:
    """Inside its box a thing changes the pixels; outside all boxes they are the bare background's."""
    scene = next(scene for scene in SCENES if scene.background == "plain" and len(scene.things) == 1)
    empty = Scene(scene.seed, scene.background, (), scene.width, scene.height)
    seen, bare = draw(scene), draw(empty)
    changed = [
        (x, y)
        for x in range(scene.width)
        for y in range(scene.height)
        if seen.getpixel((x, y)) != bare.getpixel((x, y))
    ]
    xs, ys = zip(*changed, strict=True)
    sides = (scene.width, scene.height) * 2
    box = [share * side for share, side in zip(scene.things[0].box, sides, strict=True)]
    assert [min(xs), min(ys), max(xs) + 1, max(ys) + 1] == pytest.approx(box, abs=1.5)
