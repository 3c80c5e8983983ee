"""The language a text is written in."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

__all__ = ["foreign_language", "language_of"]

SURE = 0.5
"""How probable another language must be: below it a text is too short to tell."""
NO_LANGUAGE = "zxx"


def foreign_language(text: str, language: str) -> str | None:
    """Return the ISO 639 code of a text's language where it surely is not ``language``."""
    found = language_of(text)
    return found if found != language else None


def language_of(text: str) -> str | None:
    """Return the ISO 639 code of the language a text surely is in; None where it has no words or too few to tell."""
    if not any(sign.isalpha() for sign in text):
        return None
    found, probability = _identifier().classify(text)
    return str(found) if found != NO_LANGUAGE and probability >= SURE else None


@cache
def _identifier() -> LanguageIdentifier:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
