from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from numpy.typing import NDArray
from pictures import DATA, Array, needs_data, psnr, scene
from PIL import Image, ImageCms

from stages.decoding.colour import to_srgb
from stages.decoding.shaper import shaper_of

D50 = (0.9642, 1.0, 0.8249)
WIDE = ((0.515, 0.241, -0.001), (0.292, 0.692, 0.042), (0.157, 0.067, 0.784))
"""Display P3's red, green and blue, as CIE XYZ adapted to D50."""


def fixed(*numbers: float) -> bytes:
    return struct.pack(f">{len(numbers)}i", *(round(number * 65536) for number in numbers))


def profile(curve: bytes) -> bytes:
    """Write a version 4 display profile with these primaries and one curve for all three."""
    xyz = [b"XYZ \0\0\0\0" + fixed(*colour) for colour in (*WIDE, D50)]
    names = (b"rXYZ", b"gXYZ", b"bXYZ", b"wtpt", b"rTRC", b"gTRC", b"bTRC")
    tags = dict(zip(names, [*xyz, curve, curve, curve], strict=True))
    start = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        table += struct.pack(">4sII", name, start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(">I4sI4s4s4s", start + len(body), b"", 0x04200000, b"mntr", b"RGB ", b"XYZ ")
    return (head + bytes(12) + b"acsp" + bytes(28) + fixed(*D50)).ljust(128, b"\0") + table + body


TABLE = np.rint(65535 * np.linspace(0, 1, 1024) ** 1.8).astype(">u2").tobytes()
CURVES = {
    "linear": b"curv" + struct.pack(">II", 0, 0),
    "gamma": b"curv" + struct.pack(">IIHH", 0, 1, 563, 0),
    "table": b"curv" + struct.pack(">II", 0, 1024) + TABLE,
    "parametric gamma": b"para" + struct.pack(">IHH", 0, 0, 0) + fixed(2.2),
    "as sRGB": b"para" + struct.pack(">IHH", 0, 3, 0) + fixed(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045),
}


def by_little_cms(picture: Image.Image, data: bytes) -> NDArray[np.uint8]:
    """Return (height, width, 3) in sRGB."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(data))
    turned = ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert turned is not None
    return np.asarray(turned)


def bgr(picture: Image.Image) -> Array:
    return np.ascontiguousarray(np.asarray(picture)[:, :, ::-1])


@pytest.mark.parametrize("name", CURVES)
def test_shaper_gives_what_little_cms_gives(name: str) -> None:
    """Each kind of curve comes out within one level of Little CMS, and is not sRGB as it stands."""
    data = profile(CURVES[name])
    shaper = shaper_of(data)
    assert shaper is not None
    right = by_little_cms(scene(), data)
    assert psnr(right, np.asarray(scene())) < 45
    assert np.abs(shaper(bgr(scene()))[:, :, ::-1].astype(int) - right).max() <= 1


def test_large_picture_is_turned_whole() -> None:
    """A picture turned in several pieces has no seams."""
    data = profile(CURVES["table"])
    large = scene(700, 300)
    turned = to_srgb(bgr(large), data, "RGB")[:, :, ::-1]
    assert np.abs(turned.astype(int) - by_little_cms(large, data)).max() <= 1


def test_other_curves_are_left_to_little_cms() -> None:
    """A curve the shaper does not know changes the time it takes, not the colours."""
    data = profile(b"para" + struct.pack(">IHH", 0, 1, 0) + fixed(2.2, 0.9, 0.1))
    assert shaper_of(data) is None
    assert (to_srgb(bgr(scene()), data, "RGB")[:, :, ::-1] == by_little_cms(scene(), data)).all()


def test_shaper_that_differs_is_not_used() -> None:
    """A curve that Little CMS reads otherwise, here one that falls off at the top, is Little CMS's to apply."""
    points = np.array([0, 65535, 0], ">u2").tobytes()
    data = profile(b"curv" + struct.pack(">II", 0, 3) + points + b"\0\0")
    turned = to_srgb(bgr(scene()), data, "RGB")[:, :, ::-1]
    assert np.abs(turned.astype(int) - by_little_cms(scene(), data)).max() <= 1


@needs_data
def test_profiles_of_photographs_are_turned_alike() -> None:
    """Photographs with a profile of a camera or a display come out above 60 dB of what Little CMS gives."""
    seen = 0
    for path in sorted((DATA / "photos").glob("*.jpg")):
        picture = Image.open(path)
        data = picture.info.get("icc_profile")
        if data and b"sRGB" not in data:
            small = picture.convert("RGB").resize((96, 64))
            assert psnr(to_srgb(bgr(small), data, "RGB")[:, :, ::-1], by_little_cms(small, data)) > 60
            seen += 1
    assert seen > 5
