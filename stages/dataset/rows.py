"""What a dataset row holds: one row per conversation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from schemas.columns import CONVERSATIONS

if TYPE_CHECKING:
    from datasets import Features

__all__ = ["MEANINGS", "ROW_COLUMNS", "conversation_columns", "features", "has_conversation"]

ROW_COLUMNS = (
    "id", "image_url", "audio_url", "captions", "boxes", "license", "image_bytes", "transcript", "clip_score",
    "duplicate_cluster",
)
"""What a dataset row takes from a sample beside its conversations, where the run has it."""

MEANINGS = {
    "id": "of the sample; rows about one sample share it",
    "kind": "of conversation",
    "images": "the picture, or none",
    "messages": "`user` and `assistant` in turn, the user first; plain text without image tokens",
    "captions": "texts that came with the picture",
    "boxes": "`label` and `box`: x1, y1, x2, y2 from the upper left corner, 0 to 1",
    "transcript": "of the spoken description",
    "license": "of the picture, as the source states it",
    "url": "of the picture, or else of the recording",
    "clip_score": "cosine of picture and best caption",
    "provenance": "who wrote the conversation, with the prompt's version",
    "duplicate_cluster": "id of the first of the samples that are alike",
    "findings": "what the check found: `type`, `turn` (message, from 0), characters `start` to `end`, `message`; "
                "null where it was not checked",
}
"""What each column holds, for the card."""


def features() -> Features:
    """Return the dataset's features (DESIGN 6); TRL's ``SFTTrainer`` takes ``images`` and ``messages`` as they are."""
    from datasets import Features, Image, List, Value

    return Features(
        {
            "id": Value("string"),
            "kind": Value("string"),
            "images": List(Image()),
            "messages": List({"role": Value("string"), "content": Value("string")}),
            "captions": List(Value("string")),
            "boxes": List({"label": Value("string"), "box": List(Value("float64"))}),
            "transcript": Value("string"),
            "license": Value("string"),
            "url": Value("string"),
            "clip_score": Value("float32"),
            "provenance": Value("string"),
            "duplicate_cluster": Value("string"),
            "findings": List(
                {
                    "type": Value("string"), "turn": Value("int32"), "start": Value("int32"), "end": Value("int32"),
                    "message": Value("string"),
                }
            ),
        }
    )


def conversation_columns(schema: pa.Schema) -> list[str]:
    """Return the columns that hold conversations, whatever stage wrote them."""
    return [field.name for field in schema if field.type == CONVERSATIONS]


def has_conversation(sample: dict[str, Any], columns: list[str]) -> bool:
    """Tell whether anybody wrote a conversation about the sample."""
    return any(sample[column] for column in columns)
