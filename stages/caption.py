"""``caption``: one dense caption from what people said while they looked at an image, written by an LLM.

After PixMo-Cap (Deitke et al. 2024, allenai/molmo): one or several transcripts become one caption.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from schemas.columns import CONVERSATIONS, SOURCE
from schemas.errors import Reject
from stages.checks import Context
from stages.context import caption_message, one_line
from stages.replies import Kind
from stages.written import Outcomes, Written, WrittenConfig

__all__ = ["Caption", "CaptionConfig"]

TYPICAL_WORDS = 180
"""How long a transcript is about: people speak for 60 to 90 seconds."""


class CaptionConfig(WrittenConfig):
    """Settings of ``caption``."""

    def asked_kinds(self) -> list[Kind]:
        """Return the one kind there is."""
        return ["caption"]


class Caption(Written[CaptionConfig]):
    """Asks an LLM for one caption from a sample's transcripts, checks it against them, and asks once more if need be.

    A row without transcripts goes on with nulls.
    """

    name = "caption"
    Config = CaptionConfig
    consumes = pa.schema([SOURCE.field("transcripts")])
    optional = pa.schema([("transcript", pa.string())])
    produces = pa.schema([("dense_caption", pa.string()), ("caption_conversations", CONVERSATIONS)])

    def estimate(self, rows: int, sample: pa.Table) -> Mapping[str, float]:
        """Return calls, tokens and dollars; where no row has a transcript yet, as if each got one of usual length."""
        known = sample.to_pylist()
        if not any(map(_transcripts, known)):
            expected = [{**row, "transcript": "word " * TYPICAL_WORDS} for row in known]
            sample = pa.Table.from_pylist(expected, schema=sample.schema)
        return super().estimate(rows, sample)

    def said_nothing(self, row: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return nulls for a row of which nobody said anything."""
        return None if _transcripts(row) else dict.fromkeys(self.produces.names)

    def question(self, row: Mapping[str, Any], kind: Kind) -> str:
        """Return the transcripts."""
        return caption_message(_transcripts(row))

    def known(self, row: Mapping[str, Any]) -> Context:
        """Return the transcripts: what they do not tell must not be in the caption."""
        return Context(captions=_transcripts(row))

    def gathered(self, outcomes: Outcomes) -> dict[str, Any] | Reject:
        """Return the caption, also as a conversation of kind ``caption``, or why there is none."""
        outcome = outcomes["caption"]
        if isinstance(outcome, Reject):
            return outcome
        return {"dense_caption": outcome["messages"][-1]["content"], "caption_conversations": [outcome]}


def _transcripts(row: Mapping[str, Any]) -> Sequence[str]:
    """Return what was said about a sample, each once."""
    said = (one_line(text or "") for text in [*(row["transcripts"] or []), row["transcript"]])
    return [text for text in dict.fromkeys(said) if text]
