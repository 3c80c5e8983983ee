"""quality: measures of images and captions, and a reason for each bound."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from PIL import Image, ImageFilter
from pydantic import ValidationError

import stages.presets
from stages.quality import Quality, QualityConfig

PRESETS = sorted(Path(stages.presets.__file__).parent.glob("*.yaml"))


def picture(width: int, height: int, *, blur: float = 0, level: int | None = None) -> bytes:
    """Return a PNG of coloured noise, blurred, or of one grey level."""
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    image = Image.fromarray(noise if level is None else np.full_like(noise, level))
    buffer = io.BytesIO()
    image.filter(ImageFilter.GaussianBlur(blur)).save(buffer, "PNG")
    return buffer.getvalue()


def judged(captions: Sequence[str | None] | None, image: bytes | None = None, **settings: Any) -> dict[str, Any]:
    """Return what the stage makes of one sample."""
    stage = Quality(QualityConfig.model_validate({"use": "quality", **settings}))
    width, height = Image.open(io.BytesIO(image)).size if image else (None, None)
    row = {"id": "a", "image_bytes": image, "width": width, "height": height, "captions": captions}
    batch = pa.Table.from_pylist([row], pa.schema([("id", pa.string()), *stage.consumes]))
    (result,) = stage.process(batch).to_pylist()
    return dict(result)


def test_measures_of_an_image() -> None:
    """Sides, pixels and bytes are counted; sharpness and contrast tell noise from blur and from one colour."""
    sharp = judged(["a"], picture(300, 200))
    assert (sharp["shorter_side"], sharp["aspect"], sharp["megapixels"]) == (200, 1.5, pytest.approx(0.06))
    assert sharp["image_file_bytes"] == len(picture(300, 200))
    blurred, flat = judged(["a"], picture(300, 200, blur=3)), judged(["a"], picture(300, 200, level=7))
    assert sharp["sharpness"] > 100 * blurred["sharpness"] > 0
    assert (flat["sharpness"], flat["contrast"]) == (0, 0)
    assert sharp["contrast"] > 30


def test_a_large_image_is_measured_at_one_size() -> None:
    """A picture and the same one at four times its size have nearly the same sharpness."""
    small = Image.open(io.BytesIO(picture(512, 384, blur=2)))
    buffer = io.BytesIO()
    small.resize((2048, 1536), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=95)
    assert judged(["a"], buffer.getvalue())["sharpness"] == pytest.approx(
        judged(["a"], picture(512, 384, blur=2))["sharpness"], rel=0.25
    )


def test_measures_of_captions() -> None:
    """Each caption has its words, characters, repetition, form and language, in lists of one length."""
    values = judged(["  A dog and a cat on the green grass ", "ein Hund auf der Wiese vor dem Haus", None, " "])
    assert values["caption_words"] == [9, 8]
    assert values["caption_characters"] == [34, 35]
    assert values["caption_repetition"] == [pytest.approx(1 / 9), 0]
    assert values["caption_form"] == ["text", "text"]
    assert values["caption_language"] == ["en", "de"]
    assert all(0.5 < probability <= 1 for probability in values["caption_language_probability"])
    assert values["_reason"] is None
    assert judged(["\u732b\u304c\u5bdd\u3066\u3044\u308b"])["caption_words"] == [6]
    assert judged(["1234"])["caption_language"] == [None]


FORMS = {
    "https://example.com/a.jpg": "url", "www.example.com - ": "url", "see https://example.com": "text",
    "IMG_2034.JPG": "file_name", "dsc00123": "file_name", "sunset-beach_300x200.png": "file_name",
    "photo 20190304_112233": "file_name", "a jpg": "text", "photo of a dog": "text", "Image 1": "text",
    "He left. png": "text",
}


@pytest.mark.parametrize(("caption", "form"), FORMS.items(), ids=FORMS)
def test_captions_that_are_no_words(caption: str, form: str) -> None:
    """URLs and names of files are told from words."""
    assert judged([caption])["caption_form"] == [form]


NOISE = picture(300, 200)
GOOD = "a brown dog runs over the green grass"

BROKEN: dict[str, tuple[dict[str, Any], Sequence[str], bytes | None, str]] = {
    "too_small": ({"min_side": 201}, [GOOD], NOISE, "shorter_side = 200, below 201"),
    "odd_aspect": ({"max_aspect": 1.4}, [GOOD], NOISE, "aspect = 1.5, above 1.4"),
    "too_few_pixels": ({"min_megapixels": 0.1}, [GOOD], NOISE, "megapixels = 0.06, below 0.1"),
    "too_many_pixels": ({"max_megapixels": 0.05}, [GOOD], NOISE, "megapixels = 0.06, above 0.05"),
    "small_file": ({"min_bytes": 10**6}, [GOOD], NOISE, "below 1e+06"),
    "blurred": ({"min_sharpness": 100}, [GOOD], picture(300, 200, blur=4), "below 100"),
    "uniform": ({"min_contrast": 1}, [GOOD], picture(300, 200, level=200), "contrast = 0, below 1"),
    "no_caption": ({"require_caption": True}, [], NOISE, ""),
    "caption_too_short": ({"min_words": 3}, ["a dog"], NOISE, "caption_words = 2, below 3"),
    "caption_too_long": ({"max_characters": 5}, [GOOD], NOISE, "caption_characters = 37, above 5"),
    "caption_repeats_itself": ({"max_repetition": 0.5}, ["dog dog dog dog"], NOISE, "caption_repetition = 0.75"),
    "caption_no_words": ({"captions_in_words": True}, ["IMG_2034.JPG"], NOISE, "file_name"),
    "caption_language": ({"languages": ["en"]}, ["ein Hund auf der Wiese"], NOISE, "de (0.99)"),
}


@pytest.mark.parametrize(("reason", "case"), BROKEN.items(), ids=BROKEN)
def test_each_bound_has_its_reason(
    reason: str, case: tuple[Mapping[str, Any], Sequence[str], bytes | None, str]
) -> None:
    """A broken bound rejects with its reason and the value, and keeps the measures; without the bound it is none."""
    settings, captions, image, detail = case
    values = judged(captions, image, **settings)
    assert values["_reason"] == reason
    assert detail in (values["_detail"] or "")
    assert values["shorter_side"] == 200
    assert judged(captions, image)["_reason"] is None


def test_every_reason_is_tested() -> None:
    """No reason is without a case."""
    assert set(BROKEN) == set(Quality.reasons)


def test_bounds_themselves_pass() -> None:
    """A value equal to its bound is within it."""
    settings = {"min_side": 200, "max_aspect": 1.5, "min_words": 8, "max_words": 8, "max_repetition": 0}
    assert judged([GOOD], NOISE, **settings)["_reason"] is None


def test_one_good_caption_is_enough() -> None:
    """A sample is rejected only where each caption breaks a bound, for the reason of the one that came furthest."""
    bounds = {"min_words": 3, "languages": ["en"]}
    assert judged(["dog", GOOD], **bounds)["_reason"] is None
    assert judged(["dog", "ein Hund auf der Wiese"], **bounds)["_reason"] == "caption_language"


def test_what_is_not_there_is_not_judged() -> None:
    """A sample without an image, or without a caption, has nulls there and passes the bounds on it."""
    values = judged(None, min_side=200, min_words=3)
    assert values["_reason"] is None
    assert values["shorter_side"] is None
    assert values["caption_words"] is None


def test_short_captions_of_uncertain_language_pass() -> None:
    """Two words are no proof of another language, unless one wants to be strict."""
    assert judged(["red car"], languages=["de"])["_reason"] is None
    assert judged(["red car"], languages=["de"], language_certainty=0)["_reason"] == "caption_language"


@pytest.mark.parametrize("file", PRESETS, ids=lambda file: file.stem)
def test_presets_are_settings(file: Path) -> None:
    """A preset sets what its file says, and own bounds override it."""
    bounds = yaml.safe_load(file.read_text())
    config = QualityConfig.model_validate({"use": "quality", "preset": file.stem})
    assert {name: getattr(config, name) for name in bounds} == bounds
    config = QualityConfig.model_validate({"use": "quality", "preset": file.stem, "min_characters": 1})
    assert config.min_characters == 1


def test_datacomp_basic() -> None:
    """DataComp's basic filter keeps a 200-pixel image with three English words, and nothing below."""
    basic = {"preset": "datacomp_basic"}
    assert judged(["the brown dog"], NOISE, **basic)["_reason"] is None
    assert judged(["the dog"], NOISE, **basic)["_reason"] == "caption_too_short"
    assert judged(["the brown dog"], picture(199, 199), **basic)["_reason"] == "too_small"
    assert judged(["the brown dog"], picture(601, 200), **basic)["_reason"] == "odd_aspect"
    assert judged([], NOISE, **basic)["_reason"] == "no_caption"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"preset": "datacomp"}, "there is no datacomp .did you mean datacomp_basic"),
        ({"min_words": 5, "max_words": 4}, "nothing can pass"), ({"max_aspect": 0.5}, "greater than or equal to 1"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], said: str) -> None:
    """An unknown preset and bounds that nothing can keep are refused with the config."""
    with pytest.raises(ValidationError, match=said):
        QualityConfig.model_validate({"use": "quality", **settings})
