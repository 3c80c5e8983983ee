"""A stage that says what a transcriber and a chat model might, so that the page has everything to show."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from schemas.columns import CONVERSATIONS
from stages.base import Stage, rows_to_table
from stages.transcribe import SEGMENT

SEGMENTS = [
    {"start": 0.0, "end": 2.0, "text": " At first I see circles.", "avg_logprob": -0.1, "no_speech_prob": 0.0},
    {"start": 2.0, "end": 9.0, "text": " They are blue.", "avg_logprob": -0.1, "no_speech_prob": 0.0},
]
FINDINGS = [
    {"type": "count", "turn": 1, "start": 12, "end": 22, "message": "the boxes show 1"},
    {"type": "object", "turn": 1, "start": 18, "end": 22, "message": "<b>no</b> dogs"},
]
MESSAGES = [
    {"role": "user", "content": "What is there? <script>document.title = 'hit'</script>"},
    {"role": "assistant", "content": "\U0001f415 there are three dogs. <img src=x onerror=\"document.title='hit'\">"},
]
"""A dog sits before the finding: Python counts it as one character, a browser as two."""


class Said(Stage[Any]):
    """Adds a conversation with findings to every row, and a transcript where there is a recording."""

    name = "said"
    consumes = pa.schema([("audio_bytes", pa.large_binary())])
    produces = pa.schema(
        [("talk", CONVERSATIONS), ("transcript", pa.string()), ("transcript_segments", pa.list_(SEGMENT))]
    )

    def process(self, batch: pa.Table) -> pa.Table:
        """Say the same of every row."""
        talk = [{"kind": "conversation", "messages": MESSAGES, "provenance": "probe", "findings": FINDINGS}]
        heard = {
            "transcript": "".join(segment["text"] for segment in SEGMENTS).strip(), "transcript_segments": SEGMENTS,
        }
        has_sound = batch["audio_bytes"].is_valid().to_pylist()
        return rows_to_table([{"talk": talk, **(heard if sound else {})} for sound in has_sound], self.produces)
