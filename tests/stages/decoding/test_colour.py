from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from pictures import DATA, encoded, needs_data, opened, psnr, rgb, scene, settings
from PIL import Image, ImageCms

from stages.decoding.images import finish


def finished(data: bytes, **given: object) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    image = finish(data, settings(encode_format="png", **given))
    kept = opened(image.data)
    assert kept.mode == "RGB"
    return rgb(image.data)


@pytest.mark.parametrize("mode", ["1", "L", "P"])
def test_other_modes_look_the_same_in_rgb(mode: str) -> None:
    """Black and white, grey and palette pictures become RGB of the same look."""
    picture = scene().convert(mode)
    assert (finished(encoded(picture, "PNG")) == np.asarray(picture.convert("RGB"))).all()


def test_grey_jpeg_becomes_rgb() -> None:
    """A grey photograph is encoded with three equal channels."""
    picture = scene().convert("L")
    assert psnr(finished(encoded(picture, "JPEG", quality=95)), np.asarray(picture.convert("RGB"))) > 40


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_transparency_shows_white(mode: str) -> None:
    """What is transparent is white, what is opaque keeps its colour, and half is half."""
    picture = Image.new("LA", (3, 1))
    picture.putdata([(0, 0), (0, 255), (0, 128)])
    data = encoded(picture.convert(mode), "PNG" if mode != "PA" else "TIFF") if mode != "PA" else palette()
    assert finished(data)[0, :, 0].tolist() == [255, 0, 127]


def palette() -> bytes:
    """Make a palette PNG of three blacks: transparent, opaque and half transparent."""
    picture = Image.new("P", (3, 1))
    picture.putpalette([0, 0, 0] * 3)
    picture.putdata([0, 1, 2])
    return encoded(picture, "PNG", transparency=bytes([0, 255, 128]))


def test_transparent_colour_shows_white() -> None:
    """One colour of an RGB picture may be declared transparent."""
    picture = Image.new("RGB", (2, 1), "red")
    picture.putpixel((1, 0), (0, 0, 255))
    assert finished(encoded(picture, "PNG", transparency=(255, 0, 0)))[0].tolist() == [[255] * 3, [0, 0, 255]]


def test_transparent_gif_shows_white() -> None:
    """The transparent index of a GIF is white, not whatever colour it has."""
    picture = Image.new("P", (2, 1))
    picture.putpalette([255, 0, 0, 0, 0, 255])
    picture.putdata([0, 1])
    assert finished(encoded(picture, "GIF", transparency=0))[0].tolist() == [[255] * 3, [0, 0, 255]]


@pytest.mark.parametrize("format_", ["PNG", "TIFF"])
def test_sixteen_bits_become_eight(format_: str) -> None:
    """A grey picture of 16 bits keeps its tones instead of turning white."""
    levels = np.linspace(0, 65535, 64).round().astype(np.uint16).reshape(8, 8)
    tones = finished(encoded(Image.fromarray(levels), format_))[:, :, 1]
    assert np.abs(tones.astype(float) - levels / 257).max() <= 0.51


def test_sixteen_bit_colour_is_not_kept() -> None:
    """An RGB file of 16 bits a sample is not 8-bit RGB, whatever mode Pillow calls it."""
    import cv2

    levels = np.full((8, 8, 3), 0x8000, np.uint16)
    data = cv2.imencode(".png", levels)[1].tobytes()
    assert finish(data, settings(encode_format="png")).data != data
    assert set(finished(data).ravel().tolist()) == {128}


@pytest.mark.parametrize(("white", "dtype"), [(1.0, "float32"), (255.0, "float32"), (1000.0, "float32"),
                                              (65535, "int32"), (1_000_000, "int32")])
def test_open_ranges_are_scaled(white: float, dtype: str) -> None:
    """Floats and 32-bit integers, which do not say what white is, keep their tones."""
    levels = (np.linspace(0, 1, 64).reshape(8, 8) * white).astype(dtype)
    tones = finished(encoded(Image.fromarray(levels), "TIFF"))[:, :, 0]
    top = 65535 if white == 1000.0 else white
    assert np.abs(tones - levels / top * 255).max() <= 1


def test_cmyk_without_profile_is_readable() -> None:
    """Adobe's inverted CMYK JPEG shows the colours it was made of."""
    assert psnr(finished(encoded(scene().convert("CMYK"), "JPEG", quality=95)), np.asarray(scene())) > 30


def wide_gamut() -> bytes:
    """Take a display's or camera's profile that differs from sRGB from a real photograph."""
    for path in sorted((DATA / "photos").glob("*.jpg")):
        profile = Image.open(path).info.get("icc_profile")
        if profile and b"Adobe RGB" in profile:
            return bytes(profile)
    pytest.skip("no photograph with an Adobe RGB profile")


@needs_data
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("size", [0, 20])
def test_profile_is_turned_into_srgb(format_: str, size: int) -> None:
    """Colours of Adobe RGB come out as the sRGB of the same look, and the profile is gone."""
    profile = wide_gamut()
    options = {"lossless": True} if format_ == "WEBP" else {"quality": 100, "subsampling": 0}
    data = encoded(scene(), format_, icc_profile=profile, **(options if format_ in ("JPEG", "WEBP") else {}))
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    right = ImageCms.profileToProfile(scene(), source, ImageCms.createProfile("sRGB"))
    assert right is not None
    assert psnr(np.asarray(right), np.asarray(scene())) < 30
    image = finish(data, settings(encode_format="png", image_size=size))
    expected = np.asarray(right.resize((image.width, image.height), Image.Resampling.BOX))
    assert psnr(rgb(image.data), expected) > 33
    assert "icc_profile" not in opened(image.data).info


def test_srgb_profile_changes_nothing() -> None:
    """A picture that says it is sRGB is kept."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = encoded(scene(), "PNG", icc_profile=profile)
    assert finish(data, settings()).data is data


@pytest.mark.parametrize("profile", [b"broken", bytes(200)])
def test_broken_profile_is_ignored(profile: bytes) -> None:
    """A sound picture with a broken profile is still a picture."""
    data = encoded(scene(), "PNG", icc_profile=profile)
    assert finish(data, settings()).data is data


def test_profile_of_another_colour_space_is_ignored() -> None:
    """A profile for Lab in an RGB picture says nothing."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    data = encoded(scene(), "PNG", icc_profile=profile)
    assert finish(data, settings()).data is data


def test_data_folder_is_outside_the_project() -> None:
    """The tests copy no photograph."""
    assert Path(__file__).parents[3] not in DATA.parents
