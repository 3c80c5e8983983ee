"""Score how well each caption fits its image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from schemas.columns import SOURCE
from schemas.config import SPEED, ModelRef, StageConfig
from schemas.errors import Reject
from stages.base import Stage, rows_to_table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from stages.models.clip import ImageTextScorer

    Vector = NDArray[np.float32]

__all__ = ["ClipScore", "ClipScoreConfig"]

DECIMALS = 5


class ClipScoreConfig(StageConfig):
    """Settings of ``clip_score``."""

    model: ModelRef
    """A CLIP, SigLIP or SigLIP 2 model: a folder in Hugging Face's layout, or a hub id
    (``openai/clip-vit-base-patch32``, ``google/siglip2-base-patch16-naflex``)."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the model runs; ``auto``: on the GPU if the actor has one."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision; ``auto``: bfloat16 on a GPU and on CPUs that compute in it, else float32."""
    batch_rows: Annotated[int, SPEED] = Field(256, ge=1)
    """Rows handed to the stage at once; between them a GPU may wait."""


class ClipScore(Stage[ClipScoreConfig]):
    """Adds the raw cosine of each caption and the image, the best of them, and the image's embedding.

    From SigLIP models also the probability that the best caption belongs to the image, null from others.

    A caption longer than the model's context is scored piece by piece (sentences, or parts of one), and its
    score is their mean: nothing is cut. Scores have 5 decimals. A blank caption has no score.
    ``image_embedding`` has length 1.
    """

    name = "clip_score"
    version = 2
    Config = ClipScoreConfig
    consumes = pa.schema([("image_bytes", pa.large_binary()), SOURCE.field("captions")])
    produces = pa.schema(
        [
            ("clip_score", pa.float32()),
            ("clip_scores", pa.list_(pa.float32())),
            ("best_caption", pa.int32()),
            ("clip_probability", pa.float32()),
            ("image_embedding", pa.list_(pa.float16())),
        ]
    )
    reasons: ClassVar[Mapping[str, str]] = {
        "no_image": "there is no image to score",
        "no_caption": "there is no caption to score",
    }
    parts_at_once = 2
    scorer: ImageTextScorer

    def model_files(self) -> Sequence[str]:
        """Return the CLIP model."""
        return [self.config.model]

    def open(self) -> None:
        """Load the model; raises FatalError."""
        from stages.models.clip import load_clip

        config = self.config
        self.scorer = load_clip(config.model, config.device, config.dtype, max(1, int(config.cpus)))

    def process(self, batch: pa.Table) -> pa.Table:
        """Embed all images and all caption pieces of the batch, then compare row by row."""
        rows = batch.select(["image_bytes", "captions"]).to_pylist()
        outcomes: list[dict[str, Any] | Exception] = [_unscorable(row) or {} for row in rows]
        wanted = [index for index, outcome in enumerate(outcomes) if not isinstance(outcome, Reject)]
        images = self.scorer.embed_images([rows[index]["image_bytes"] for index in wanted])
        pieces = [[self._pieces(caption) for caption in rows[index]["captions"]] for index in wanted]
        unique = list(dict.fromkeys(piece for row in pieces for caption in row for piece in caption))
        texts = dict(zip(unique, self.scorer.embed_texts(unique), strict=True))
        self.counts["texts"] += len(unique)
        for index, image, captions in zip(wanted, images, pieces, strict=True):
            outcomes[index] = image if isinstance(image, Exception) else self._values(image, captions, texts)
        return rows_to_table(outcomes, self.produces)

    def _pieces(self, caption: str | None) -> list[str]:
        return self.scorer.split(caption) if caption and caption.strip() else []

    def _values(
        self, image: Vector, captions: Sequence[Sequence[str]], texts: Mapping[str, Vector]
    ) -> dict[str, Any]:
        """Score one image's captions, each given as its pieces; among equals the first is the best."""
        scores = [_mean_cosine(image, [texts[piece] for piece in pieces]) for pieces in captions]
        score, before = max((score, -index) for index, score in enumerate(scores) if score is not None)
        return {
            "clip_score": score,
            "clip_scores": scores,
            "best_caption": -before,
            "clip_probability": self.scorer.probability(score),
            "image_embedding": image.astype("float16"),
        }


def _unscorable(row: Mapping[str, Any]) -> Reject | None:
    if row["image_bytes"] is None:
        return Reject("no_image")
    if not any(text and text.strip() for text in row["captions"] or ()):
        return Reject("no_caption")
    return None


def _mean_cosine(image: Vector, texts: Sequence[Vector]) -> float | None:
    if not texts:
        return None
    cosines = [float((image.astype("float64") * text).sum()) for text in texts]
    return round(sum(cosines) / len(cosines), DECIMALS)
