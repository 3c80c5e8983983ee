from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from transformers import CLIPImageProcessorPil, Siglip2ImageProcessorPil, SiglipImageProcessorPil, ViTImageProcessorPil

from stages.models.clip_images import decode, preparer
from tests.integration.real_data import DATA, needs_real_data, records

PROCESSORS: dict[str, Callable[[], Any]] = {
    "clip": CLIPImageProcessorPil,
    "clip without crop": lambda: CLIPImageProcessorPil(size={"height": 96, "width": 96}, do_center_crop=False),
    "clip with padding": lambda: CLIPImageProcessorPil(size={"shortest_edge": 50}, crop_size=64),
    "clip without resize": lambda: CLIPImageProcessorPil(do_resize=False),
    "clip without normalisation": lambda: CLIPImageProcessorPil(do_normalize=False),
    "siglip": SiglipImageProcessorPil,
    "siglip bilinear": lambda: SiglipImageProcessorPil(resample=Image.Resampling.BILINEAR),
    "siglip lanczos": lambda: SiglipImageProcessorPil(resample=Image.Resampling.LANCZOS),
    "siglip2": Siglip2ImageProcessorPil,
    "siglip2 large": lambda: Siglip2ImageProcessorPil(max_num_patches=1024),
    "another": lambda: ViTImageProcessorPil(size={"height": 32, "width": 32}),
}
SIZES = [
    (224, 224), (640, 480), (480, 640), (333, 500), (225, 223), (224, 400), (1, 1), (3, 2), (17, 400), (900, 20),
    (1200, 1600),
]
"""Width and height."""


@pytest.fixture(params=PROCESSORS)
def processor(request: pytest.FixtureRequest) -> Any:
    return PROCESSORS[request.param]()


def photograph(size: tuple[int, int]) -> np.ndarray:
    """Return soft shapes with hard edges and some noise, RGB."""
    generator = np.random.default_rng(size[0])
    coarse = Image.fromarray(generator.integers(0, 256, (6, 6, 3), np.uint8))
    soft = np.array(coarse.resize(size, Image.Resampling.BICUBIC)).astype(int)
    soft[size[1] // 3 : size[1] // 2, size[0] // 4 :] = (255, 0, 128)
    return (soft + generator.integers(-8, 9, soft.shape)).clip(0, 255).astype(np.uint8)


def level_of(processor: Any) -> np.ndarray:
    """Return what one level of 255 is in each channel of the result, (3,)."""
    step = processor.rescale_factor if processor.do_rescale else 1.0
    return np.array([step / std if processor.do_normalize else step for std in processor.image_std])


def by_channel(values: np.ndarray, like: str) -> np.ndarray:
    """Bring pixels or patches to (values, 3)."""
    return values.reshape(-1, 3) if like == "patches" else np.moveaxis(values, 0, -1).reshape(-1, 3)


def differences(processor: Any, pixels: np.ndarray) -> np.ndarray:
    """Return by how many levels each value differs from the processor's; other tensors must be its very own."""
    expected = {name: values[0].numpy() for name, values in
                processor(images=Image.fromarray(pixels), return_tensors="pt").items()}
    found = {name: values.numpy() for name, values in preparer(processor)(pixels).items()}
    assert {name: values.shape for name, values in found.items()} == {
        name: values.shape for name, values in expected.items()}
    for name in expected.keys() - {"pixel_values"}:
        assert np.array_equal(found[name], expected[name])
        assert found[name].dtype == expected[name].dtype
    assert found["pixel_values"].dtype == expected["pixel_values"].dtype
    like = "patches" if "spatial_shapes" in expected else "planes"
    apart = np.abs(by_channel(found["pixel_values"], like) - by_channel(expected["pixel_values"], like))
    return apart / level_of(processor)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_pixels_are_the_processors(processor: Any, size: tuple[int, int]) -> None:
    """For pictures of any shape the values are the processor's own, but for rounding in the resampling."""
    apart = differences(processor, photograph(size))
    assert apart.max() < 2.01
    assert (apart > 0.01).mean() < 0.03
    assert (apart > 1.01).mean() < 0.001


@needs_real_data
def test_photographs_are_the_processors() -> None:
    """Of a real photograph's values less than one in a hundred differs, and by one level of 255."""
    for processor in (CLIPImageProcessorPil(), SiglipImageProcessorPil(), Siglip2ImageProcessorPil()):
        for photo in records("photos.jsonl")[:20]:
            apart = differences(processor, decode((DATA / photo["image"]).read_bytes()))
            assert apart.max() < 1.01
            assert (apart > 0.01).mean() < 0.01


def test_what_is_not_resized_is_exactly_the_processors() -> None:
    """Without resampling there is nothing to round: cropping, padding and colours are bit by bit the same."""
    for size in ((224, 224), (300, 250), (100, 90)):
        assert differences(CLIPImageProcessorPil(do_resize=False), photograph(size)).max() == 0
    assert differences(SiglipImageProcessorPil(), photograph((224, 224))).max() == 0


@needs_real_data
def test_jpeg_is_decoded_as_pillow_does() -> None:
    """OpenCV gives the same pixels."""
    for photo in records("photos.jsonl"):
        path = DATA / photo["image"]
        assert np.array_equal(decode(path.read_bytes()), np.asarray(Image.open(path).convert("RGB")))


@pytest.mark.parametrize(("mode", "kind"), [("RGB", "JPEG"), ("L", "JPEG"), ("CMYK", "JPEG"), ("P", "PNG"),
                                            ("RGB", "WEBP"), ("RGBA", "PNG")])
def test_any_image_is_decoded_to_rgb(mode: str, kind: str) -> None:
    """Every mode and format gives what Pillow's conversion gives."""
    buffer = io.BytesIO()
    Image.fromarray(photograph((61, 43))).convert(mode).save(buffer, kind)
    assert np.array_equal(decode(buffer.getvalue()), np.asarray(Image.open(buffer).convert("RGB")))


def test_image_cut_short_is_an_error(tmp_path: Path) -> None:
    """Half a JPEG is not half a score."""
    buffer = io.BytesIO()
    Image.fromarray(photograph((200, 200))).save(buffer, "JPEG")
    with pytest.raises(OSError, match="truncated"):
        decode(buffer.getvalue()[:-300])
