from __future__ import annotations

import hashlib
import io
from typing import Any

import imagehash
import numpy as np
import pytest
from pictures import DATA, encoded, needs_data, opened, psnr, rgb, scene, settings
from PIL import Image

from schemas.errors import Reject
from stages.decoding.images import finish

PLAIN = {
    "jpeg": encoded(scene(), "JPEG"),
    "png": encoded(scene(), "PNG"),
    "webp": encoded(scene(), "WEBP"),
}


def reason(data: bytes, **given: Any) -> str:
    with pytest.raises(Reject) as caught:
        finish(data, settings(**given))
    return caught.value.reason


@pytest.mark.parametrize("name", PLAIN)
def test_plain_image_is_kept_byte_for_byte(name: str) -> None:
    """A file that every trainer reads alike stays as it is, and is described."""
    data = PLAIN[name]
    image = finish(data, settings())
    assert image.data is data
    assert (image.format, image.width, image.height) == (name, 60, 40)
    assert (image.original_width, image.original_height) == (60, 40)
    assert image.sha256 == hashlib.sha256(data).hexdigest()
    assert imagehash.hex_to_hash(image.phash) - imagehash.phash(opened(data)) <= 2


@pytest.mark.parametrize(("mode", "only_if_bigger"), [("no", False), ("keep_ratio", True), ("border", True)])
def test_image_of_the_right_size_is_kept(mode: str, only_if_bigger: bool) -> None:
    """Resizing that would change nothing does not encode anew."""
    data = PLAIN["jpeg"]
    given = settings(image_size=60, resize_mode=mode, resize_only_if_bigger=only_if_bigger)
    assert finish(data, given).data is data


@pytest.mark.parametrize("format_", ["GIF", "BMP", "TIFF", "AVIF", "PPM"])
def test_other_formats_become_the_wanted_one(format_: str) -> None:
    """What trainers may not read is encoded anew, and looks the same."""
    image = finish(encoded(scene(), format_), settings(encode_format="png"))
    assert (image.format, opened(image.data).format) == ("png", "PNG")
    assert psnr(rgb(image.data), np.asarray(scene())) > (25 if format_ == "GIF" else 35)


@pytest.mark.parametrize(("name", "format_"), [("jpg", "jpeg"), ("png", "png"), ("webp", "webp")])
def test_encode_format_is_obeyed(name: str, format_: str) -> None:
    """Resized images come in the format asked for, and their declared size is their real one."""
    image = finish(PLAIN["png"], settings(image_size=20, encode_format=name))
    kept = opened(image.data)
    assert (image.format, (kept.format or "").lower()) == (format_, format_)
    assert (image.width, image.height) == kept.size == (30, 20)
    assert (image.original_width, image.original_height) == (60, 40)


def test_jpeg_is_encoded_as_img2dataset_does() -> None:
    """Quality 95 and chroma at half the resolution, which is OpenCV's default."""
    kept = opened(finish(PLAIN["png"], settings(image_size=20)).data)
    assert isinstance(kept, Image.Image)
    by_pillow = opened(encoded(scene(), "JPEG", quality=95, subsampling=2))
    assert kept.quantization == by_pillow.quantization  # type: ignore[attr-defined]
    assert kept.layer == by_pillow.layer  # type: ignore[attr-defined]


TURNS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How the camera's picture lies in the file: what undoes the orientation, the other way round."""


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("size", [0, 24])
def test_picture_is_turned_upright(format_: str, turn: int, size: int) -> None:
    """All eight EXIF orientations give the same upright picture, resized or not."""
    transposed = TURNS[turn]
    stored = scene() if transposed is None else scene().transpose(transposed)
    exif = Image.Exif()
    exif[0x0112] = turn
    options = {"quality": 95} if format_ in ("JPEG", "WEBP") else {}
    image = finish(encoded(stored, format_, exif=exif, **options), settings(image_size=size, encode_format="png"))
    assert (image.original_width, image.original_height) == (60, 40)
    assert (image.width, image.height) == ((36, 24) if size else (60, 40))
    upright = scene().resize((image.width, image.height), Image.Resampling.BOX)
    assert psnr(rgb(image.data), np.asarray(upright)) > 28
    assert opened(image.data).getexif().get(0x0112, 1) == 1


def test_cropping_happens_after_turning() -> None:
    """A sideways picture is cropped where its upright copy would be."""
    exif = Image.Exif()
    exif[0x0112] = 6
    given = settings(image_size=21, resize_mode="center_crop", encode_format="png")
    sideways = finish(encoded(scene().transpose(Image.Transpose.ROTATE_90), "PNG", exif=exif), given)
    assert np.abs(rgb(sideways.data).astype(int) - rgb(finish(PLAIN["png"], given).data)).max() <= 1


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "empty"),
        (b"<html>Not here</html>", "not_an_image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "not_an_image"),
        (PLAIN["jpeg"][:20], "decode_error"),
        (PLAIN["jpeg"][: len(PLAIN["jpeg"]) // 2], "truncated_image"),
        (PLAIN["png"][: len(PLAIN["png"]) // 2], "truncated_image"),
        (b"BM" + bytes(60), "decode_error"),
    ],
)
def test_bad_bytes_have_a_reason(data: bytes, expected: str) -> None:
    """What is no image, or not all of one, is named."""
    assert reason(data) == expected


@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["baseline", "progressive"])
def test_no_cut_jpeg_passes(options: dict[str, Any]) -> None:
    """A photograph cut anywhere is rejected, although OpenCV would fill the rest with grey."""
    random = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(random), "JPEG", **options)
    for length in range(3, len(data) - 2, len(data) // 40):
        assert reason(data[:length]) in ("truncated_image", "decode_error"), length


def test_bytes_behind_a_jpeg_do_no_harm() -> None:
    """A complete photograph with something behind its end is a photograph."""
    data = PLAIN["jpeg"] + b"tail"
    assert finish(data, settings()).data is data


def test_only_listed_formats_are_opened() -> None:
    """A format that the settings do not name is no image."""
    assert reason(PLAIN["png"], image_formats=["jpeg"]) == "not_an_image"
    assert finish(PLAIN["jpeg"], settings(image_formats=["jpeg"])).format == "jpeg"


def test_pixels_are_counted_before_decoding() -> None:
    """Too large an image is not decoded, whatever its bytes; nor is a small one enlarged to too large a one."""
    assert reason(PLAIN["png"], max_pixels=2399) == "too_many_pixels"
    assert finish(PLAIN["png"], settings(max_pixels=2400)).width == 60
    cut = encoded(Image.new("RGB", (5000, 5000)), "PNG")[:60]
    assert reason(cut, max_pixels=1000) == "too_many_pixels"
    line = encoded(Image.new("RGB", (2000, 1)), "PNG")
    assert reason(line, image_size=1000, resize_only_if_bigger=False) == "too_many_pixels"


def test_bomb_is_refused() -> None:
    """A few bytes that claim a gigantic picture are a bomb."""
    data = bytearray(encoded(scene(), "BMP"))
    data[18:26] = (60_000).to_bytes(4, "little") * 2
    assert reason(bytes(data)) == "decode_bomb"


def test_size_beyond_a_format_is_a_reject() -> None:
    """What the encoder cannot hold costs the row only."""
    assert reason(encoded(Image.new("RGB", (17_000, 1)), "BMP"), encode_format="webp") == "decode_error"


def animation(format_: str) -> bytes:
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
    options = {"lossless": True} if format_ == "WEBP" else {}
    return encoded(frames[0], format_, save_all=True, append_images=frames[1:], **options)


@pytest.mark.parametrize("format_", ["GIF", "WEBP", "PNG", "TIFF"])
def test_first_frame_of_an_animation_is_taken(format_: str) -> None:
    """Of several frames the first is encoded as a still picture."""
    image = finish(animation(format_), settings())
    kept = opened(image.data)
    assert getattr(kept, "n_frames", 1) == 1
    assert np.abs(rgb(image.data).astype(int) - (255, 0, 0)).max() < 10


def test_picture_before_others_in_a_jpeg_is_kept() -> None:
    """JPEG readers see the first picture of an MPO, so its bytes stay."""
    data = encoded(scene(), "MPO", save_all=True, append_images=[scene()])
    assert opened(data).format == "MPO"
    image = finish(data, settings())
    assert image.data is data
    assert image.format == "jpeg"


def test_phash_is_of_the_resized_picture() -> None:
    """The hash is of the very pixels that are encoded."""
    image = finish(PLAIN["png"], settings(image_size=20, encode_format="png"))
    assert image.phash == str(imagehash.phash(opened(image.data)))


@needs_data
def test_photographs_are_finished_the_same_way_each_time() -> None:
    """Real photographs keep their proportions and content, and the same bytes give the same result."""
    for path in sorted((DATA / "photos").glob("*.jpg"))[:12]:
        data = path.read_bytes()
        image = finish(data, settings(image_size=224))
        assert finish(data, settings(image_size=224)) == image
        assert min(image.width, image.height) == 224
        original = Image.open(io.BytesIO(data)).convert("RGB")
        assert (image.original_width, image.original_height) == original.size
        whole = imagehash.phash(original)
        assert imagehash.hex_to_hash(image.phash) - whole <= 6
