"""``clip_score`` that writes down each embedding it makes; in configs ``tests.integration.logged_clip:NAME``."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from stages.clip_score import ClipScore, ClipScoreConfig
from stages.models.clip import ImageTextScorer


class LoggedClipScoreConfig(ClipScoreConfig):
    """Settings of ``clip_score``, and where to log."""

    log: str
    """A file that gets a line for every image (the SHA-256 of its bytes) and every text."""


class LoggedScorer:
    """A scorer that hands everything on to another one and logs it."""

    def __init__(self, scorer: ImageTextScorer, log: Path) -> None:
        self.scorer = scorer
        self.log = log

    def embed_images(self, images: Sequence[bytes]) -> Any:
        """Embed and log images."""
        self._write(f"image {hashlib.sha256(image).hexdigest()}" for image in images)
        return self.scorer.embed_images(images)

    def embed_texts(self, texts: Sequence[str]) -> Any:
        """Embed and log texts."""
        self._write(f"text {text}" for text in texts)
        return self.scorer.embed_texts(texts)

    def split(self, text: str) -> list[str]:
        """Split as the other does."""
        return self.scorer.split(text)

    def probability(self, cosine: float) -> float | None:
        """Tell what the other tells."""
        return self.scorer.probability(cosine)

    def _write(self, lines: Iterable[str]) -> None:
        with self.log.open("a") as log:
            log.writelines(f"{line}\n" for line in lines)


class LoggedClipScore(ClipScore):
    """The real stage with a logged scorer."""

    Config = LoggedClipScoreConfig

    def open(self) -> None:
        """Load the model and listen in."""
        super().open()
        self.scorer = LoggedScorer(self.scorer, Path(self.config.log))
