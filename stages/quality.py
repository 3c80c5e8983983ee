"""``quality``: measure images and captions, and reject what is out of bounds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import Field, model_validator

from schemas.columns import SOURCE
from schemas.config import StageConfig
from schemas.errors import Reject
from stages.base import Stage, rejected, rows_to_table

__all__ = ["Quality", "QualityConfig"]

Row = Mapping[str, Any]


class QualityConfig(StageConfig):
    """Settings of ``quality``: a bound that is null rejects nothing."""

    preset: str | None = None
    """Bounds that others have published: ``datacomp_basic``, ``laion_400m``, ``laion_2b_en``
    (``stages/presets/*.yaml``). A bound set beside it overrides the preset's."""
    min_side: int | None = Field(None, ge=1)
    """Least shorter side of the image, in pixels."""
    max_aspect: float | None = Field(None, ge=1)
    """Most times the longer side may be as long as the shorter one."""
    min_megapixels: float | None = Field(None, ge=0)
    """Least millions of pixels."""
    max_megapixels: float | None = Field(None, gt=0)
    """Most millions of pixels."""
    min_bytes: int | None = Field(None, ge=1)
    """Least size of the image as kept, encoded, in bytes."""
    min_sharpness: float | None = Field(None, ge=0)
    """Least variance of the Laplacian; what is blurred has little. It depends on what is shown: look at yours first."""
    min_contrast: float | None = Field(None, ge=0)
    """Least standard deviation of the grey levels (0-255); images of one colour have next to none."""
    require_caption: bool = False
    """Reject samples without a caption. Otherwise the bounds of captions leave them alone."""
    min_words: int | None = Field(None, ge=0)
    """Least words of a caption. A sample is rejected where none of its captions keeps all bounds of captions."""
    max_words: int | None = Field(None, ge=1)
    """Most words of a caption."""
    min_characters: int | None = Field(None, ge=0)
    """Least characters of a caption."""
    max_characters: int | None = Field(None, ge=1)
    """Most characters of a caption."""
    max_repetition: float | None = Field(None, ge=0, le=1)
    """Most share of a caption's words that stood in it before."""
    captions_in_words: bool = False
    """Reject captions that are only a URL or the name of a file."""
    languages: list[str] = []
    """ISO 639-1 codes of the languages a caption may be in; empty: any."""
    language_certainty: float = Field(0.5, ge=0, le=1)
    """A caption is in another language only where that is at least so probable: few words are hard to tell."""

    @model_validator(mode="before")
    @classmethod
    def _over_the_preset(cls, data: Any) -> Any:
        from stages.presets import read_preset

        if not isinstance(data, dict) or not isinstance(data.get("preset"), str):
            return data
        return {**read_preset(data["preset"]), **data}

    @model_validator(mode="after")
    def _bounds_in_order(self) -> QualityConfig:
        for what in ("megapixels", "words", "characters"):
            least, most = getattr(self, f"min_{what}"), getattr(self, f"max_{what}")
            if least is not None and most is not None and least > most:
                raise ValueError(f"min_{what} = {least:g} is above max_{what} = {most:g}: nothing can pass")
        return self


class Quality(Stage[QualityConfig]):
    """Adds measures of image and captions, and rejects by bounds on them.

    ``aspect`` is the longer side over the shorter one. The columns of captions are lists with one value a caption.
    Measures are there for rejected rows too, and null where there is nothing to measure; without bounds nothing is
    rejected, and ``filter`` can decide.
    """

    name = "quality"
    Config = QualityConfig
    seeded = False
    consumes = pa.schema([("image_bytes", pa.large_binary()), ("width", pa.int32()), ("height", pa.int32()),
                          SOURCE.field("captions")])
    produces = pa.schema([
        ("shorter_side", pa.int32()), ("aspect", pa.float32()), ("megapixels", pa.float32()),
        ("image_file_bytes", pa.int64()), ("sharpness", pa.float32()), ("contrast", pa.float32()),
        ("caption_words", pa.list_(pa.int32())), ("caption_characters", pa.list_(pa.int32())),
        ("caption_repetition", pa.list_(pa.float32())), ("caption_form", pa.list_(pa.string())),
        ("caption_language", pa.list_(pa.string())), ("caption_language_probability", pa.list_(pa.float32())),
    ])
    reasons: ClassVar[Mapping[str, str]] = {
        "too_small": "the shorter side is below min_side",
        "odd_aspect": "the image is longer and narrower than max_aspect",
        "too_few_pixels": "the image has less than min_megapixels",
        "too_many_pixels": "the image has more than max_megapixels",
        "small_file": "the image file is below min_bytes",
        "blurred": "the sharpness is below min_sharpness",
        "uniform": "the contrast is below min_contrast",
        "no_caption": "there is no caption",
        "caption_too_short": "less than min_words or min_characters",
        "caption_too_long": "more than max_words or max_characters",
        "caption_repeats_itself": "more repetition than max_repetition",
        "caption_no_words": "the caption is a URL or the name of a file",
        "caption_language": "the caption is in none of languages",
    }

    def process(self, batch: pa.Table) -> pa.Table:
        """Measure every row, then judge it."""
        rows = batch.select(self.consumes.names).to_pylist()
        return rows_to_table([self._row(row) for row in rows], self.produces)

    def _row(self, row: Row) -> dict[str, Any]:
        from stages.measures.caption import measure_caption

        image = {} if row["image_bytes"] is None else _measure_image(row)
        captions = [measure_caption(text) for text in row["captions"] or () if text and text.strip()]
        lists = {name: [caption[name] for caption in captions] for name in captions[0]} if captions else {}
        reject = self._image_fault(image) if image else None
        reject = reject or self._captions_fault(captions)
        return {**image, **lists, **(rejected(reject) if reject else {})}

    def _image_fault(self, image: Row) -> Reject | None:
        """Return the first bound the image breaks."""
        bounds = self.config
        rules = [
            ("too_small", "shorter_side", bounds.min_side, None),
            ("odd_aspect", "aspect", None, bounds.max_aspect),
            ("too_few_pixels", "megapixels", bounds.min_megapixels, None),
            ("too_many_pixels", "megapixels", None, bounds.max_megapixels),
            ("small_file", "image_file_bytes", bounds.min_bytes, None),
            ("blurred", "sharpness", bounds.min_sharpness, None),
            ("uniform", "contrast", bounds.min_contrast, None),
        ]
        return _first_broken(rules, image)

    def _captions_fault(self, captions: Sequence[Row]) -> Reject | None:
        """Return what is wrong with the caption that breaks a bound last; None if one breaks none."""
        if not captions:
            return Reject("no_caption") if self.config.require_caption else None
        faults = [self._caption_fault(caption) for caption in captions]
        if None in faults:
            return None
        order = list(self.reasons)
        return max((fault for fault in faults if fault), key=lambda fault: order.index(fault.reason))

    def _caption_fault(self, caption: Row) -> Reject | None:
        bounds = self.config
        rules = [
            ("caption_too_short", "caption_words", bounds.min_words, None),
            ("caption_too_short", "caption_characters", bounds.min_characters, None),
            ("caption_too_long", "caption_words", None, bounds.max_words),
            ("caption_too_long", "caption_characters", None, bounds.max_characters),
            ("caption_repeats_itself", "caption_repetition", None, bounds.max_repetition),
        ]
        return _first_broken(rules, caption) or next(self._other_faults(caption), None)

    def _other_faults(self, caption: Row) -> Iterator[Reject]:
        if self.config.captions_in_words and caption["caption_form"] != "text":
            yield Reject("caption_no_words", caption["caption_form"])
        language, probability = caption["caption_language"], caption["caption_language_probability"]
        allowed = self.config.languages
        if allowed and language not in (None, *allowed) and probability >= self.config.language_certainty:
            yield Reject("caption_language", f"{language} ({probability:.2f})")


def _measure_image(row: Row) -> dict[str, Any]:
    from stages.measures.image import grey_levels

    data, width, height = row["image_bytes"], row["width"], row["height"]
    return {
        "shorter_side": min(width, height),
        "aspect": max(width, height) / min(width, height),
        "megapixels": width * height / 1e6,
        "image_file_bytes": len(data),
        **grey_levels(data, width, height),
    }


def _first_broken(rules: Sequence[tuple[str, str, float | None, float | None]], measured: Row) -> Reject | None:
    """Return the first of some rules (reason, measure, least, most) that does not hold."""
    for reason, measure, least, most in rules:
        value = measured[measure]
        if (least is not None and value < least) or (most is not None and value > most):
            bound = f"below {least:g}" if least is not None else f"above {most:g}"
            return Reject(reason, f"{measure} = {value:.4g}, {bound}")
    return None
