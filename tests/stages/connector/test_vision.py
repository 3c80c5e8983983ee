from __future__ import annotations

import torch
from PIL import Image
from tiny_world import draw

from stages.connector.vision import Pictures, load_tower


def test_each_image_is_opened_once(vision: str) -> None:
    """Features are kept: the tower is frozen, so an image gives the same ones in every epoch."""
    opened: list[str] = []

    def open_image(sample: str) -> Image.Image:
        opened.append(sample)
        return draw("red", int(sample))

    pictures = Pictures(load_tower(vision, -2), open_image, cache_gb=1)
    first = pictures.features(["1", "2", "1"])
    again = pictures.features(["2", "1"])
    assert opened == ["1", "2"]
    assert torch.equal(first[0], first[2])
    assert torch.equal(again, first[[1, 0]])


def test_images_beyond_the_cache_are_encoded_again(vision: str) -> None:
    """With room for one image only, features stay the same, whatever is kept."""
    tower = load_tower(vision, -2)
    one_image_gb = 2 * tower.patches * tower.width / 1e9
    roomy = Pictures(tower, lambda sample: draw("blue", int(sample)), cache_gb=1)
    tight = Pictures(tower, lambda sample: draw("blue", int(sample)), cache_gb=one_image_gb * 1.01)
    for samples in (["1", "2"], ["3", "2"], ["1"]):
        assert torch.allclose(tight.features(samples), roomy.features(samples), atol=1e-2)


def test_cropping_processor_still_sees_the_whole_image(vision: str) -> None:
    """Where the processor would cut the sides off a wide image, it is padded, so its ends are seen."""
    tower = load_tower(vision, -2)
    tower.processor.do_center_crop = True
    tower.processor.size = {"shortest_edge": 32}
    wide, ends = Image.new("RGB", (96, 32), "white"), Image.new("RGB", (96, 32), "white")
    ends.paste((0, 0, 0), (0, 0, 20, 32))
    features = tower.encode([wide, ends])
    assert not torch.allclose(features[0], features[1], atol=1e-2)


def test_blank_image_is_nobodys(vision: str) -> None:
    """The grey image has features of its own."""
    pictures = Pictures(load_tower(vision, -2), lambda sample: draw("red", 2), cache_gb=1)
    assert pictures.blank().shape == pictures.features(["a"])[0].shape
    assert not torch.allclose(pictures.blank(), pictures.features(["a"])[0], atol=1e-2)
