"""Words, repetition and kind of a caption."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

__all__ = ["measure_caption"]

WORD = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]|[^\s\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]+")
"""What stands between white space; of Chinese and Japanese, which have none, each character."""
URL = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)
FILE_NAME = re.compile(
    r"[^\s/\\]{1,200}\.(?:jpe?g|png|gif|webp|bmp|tiff?|heic|heif|avif|svg|psd|raw|cr2|nef)"
    r"|(?:img|dsc|dscn|dscf|dcim|pict|pxl|mvc|wp|vid|image|photo|screenshot)[-_ ]?\d[\d_-]{2,}",
    re.IGNORECASE,
)
NO_LANGUAGE = "zxx"
PROBABILITY_DECIMALS = 4


def measure_caption(caption: str) -> dict[str, Any]:
    """Return what is known of a caption, by the name of the list column it goes into.

    ``caption_words`` and ``caption_characters`` are counts (without white space at the ends), ``caption_repetition``
    the share of words that stood in the caption before, whatever their case. ``caption_form`` is ``url``,
    ``file_name`` or ``text``. ``caption_language`` is an ISO 639 code, with its probability; null where no letter is.
    """
    text = caption.strip()
    words = [word.casefold() for word in WORD.findall(text)]
    language, probability = _language(text)
    return {
        "caption_words": len(words),
        "caption_characters": len(text),
        "caption_repetition": 1 - len(set(words)) / len(words) if words else 0.0,
        "caption_form": _form(text),
        "caption_language": language,
        "caption_language_probability": probability,
    }


def _form(text: str) -> str:
    without = URL.sub("", text)
    if without != text and not any(sign.isalpha() for sign in without):
        return "url"
    return "file_name" if FILE_NAME.fullmatch(text) else "text"


def _language(text: str) -> tuple[str | None, float | None]:
    if not any(sign.isalpha() for sign in text):
        return None, None
    language, probability = _identifier().classify(text)
    return (None, None) if language == NO_LANGUAGE else (str(language), round(float(probability), PROBABILITY_DECIMALS))


@cache
def _identifier() -> LanguageIdentifier:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
