"""Write down what is said in recordings."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from schemas.columns import SOURCE
from schemas.config import ModelRef, StageConfig
from schemas.errors import Reject
from stages.base import Stage, rows_to_table

if TYPE_CHECKING:
    from stages.models.whisper import Transcriber

__all__ = ["SEGMENT", "Transcribe", "TranscribeConfig"]

SEGMENT = pa.struct(
    [
        ("start", pa.float32()),
        ("end", pa.float32()),
        ("text", pa.string()),
        ("avg_logprob", pa.float32()),
        ("no_speech_prob", pa.float32()),
    ]
)
"""A stretch of speech, ``start`` and ``end`` in seconds."""


class TranscribeConfig(StageConfig):
    """Settings of ``transcribe``."""

    model: ModelRef
    """A Whisper checkpoint file, or whisper's name for a model: ``tiny``, ``small.en``, ``turbo`` ..."""
    language: str | None = None
    """Code or English name of the language spoken; null detects it, clip by clip."""
    no_speech_threshold: float = Field(0.6, ge=0, le=1)
    """A window likelier than this to hold no speech is skipped, if its text is improbable too."""
    logprob_threshold: float = -1.0
    """Text with a lower average log-probability is improbable: tried again at a higher temperature."""
    compression_ratio_threshold: float = Field(2.4, gt=0)
    """Text that compresses better than this repeats itself: tried again at a higher temperature."""
    condition_on_previous_text: bool = False
    """Show the model what it wrote for the window before: smoother text, but mistakes loop."""
    max_audio_s: float = Field(600.0, gt=0)
    """Longest recording, in seconds."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the model runs; ``auto``: on the GPU if the actor has one."""


class Transcribe(Stage[TranscribeConfig]):
    """Adds a transcript, its language and segments, and the recording's length in seconds.

    A row without a recording goes on with the first transcript that came with it, or with nulls.
    """

    name = "transcribe"
    Config = TranscribeConfig
    consumes = pa.schema([("audio_bytes", pa.large_binary())])
    optional = pa.schema([SOURCE.field("transcripts")])
    produces = pa.schema(
        [
            ("transcript", pa.string()),
            ("transcript_language", pa.string()),
            ("transcript_segments", pa.list_(SEGMENT)),
            ("audio_seconds", pa.float32()),
        ]
    )
    reasons: ClassVar[Mapping[str, str]] = {
        "audio_decode_error": "the recording is broken, cut short or no sound file",
        "audio_empty": "the recording holds no sound",
        "audio_too_long": "the recording is longer than max_audio_s",
        "no_speech": "the model finds nothing that is said",
    }
    transcriber: Transcriber

    def model_files(self) -> Sequence[str]:
        """Return the Whisper model."""
        return [self.config.model]

    def open(self) -> None:
        """Load the model; raises FatalError."""
        from stages.models.whisper import Guards, load_whisper

        config = self.config
        guards = Guards(
            no_speech_threshold=config.no_speech_threshold,
            logprob_threshold=config.logprob_threshold,
            compression_ratio_threshold=config.compression_ratio_threshold,
            condition_on_previous_text=config.condition_on_previous_text,
        )
        self.transcriber = load_whisper(config.model, config.device, config.language, guards)

    def process(self, batch: pa.Table) -> pa.Table:
        """Transcribe row by row."""
        rows = batch.select(["audio_bytes", "transcripts"]).to_pylist()
        return rows_to_table([self._outcome(row) for row in rows], self.produces)

    def _outcome(self, row: Mapping[str, Any]) -> dict[str, Any] | Reject:
        if row["audio_bytes"] is None:
            given = row["transcripts"] or [None]
            return {"transcript": given[0]}
        try:
            return self._transcribed(row["audio_bytes"])
        except Reject as reject:
            return reject

    def _transcribed(self, data: bytes) -> dict[str, Any]:
        from stages.audio import SAMPLE_RATE, decode_audio

        samples = decode_audio(data, self.config.max_audio_s)
        found = self.transcriber.transcribe(samples, _seed(self.seed, data))
        seconds = samples.size / SAMPLE_RATE
        self.counts["audio_seconds"] += round(seconds)
        if not found.text:
            raise Reject("no_speech", f"{seconds:.1f} s of sound")
        return {
            "transcript": found.text,
            "transcript_language": found.language,
            "transcript_segments": [asdict(segment) for segment in found.segments],
            "audio_seconds": seconds,
        }


def _seed(run_seed: int, data: bytes) -> int:
    """Give every recording its own seed, so that its text does not depend on what was transcribed before."""
    return int.from_bytes(hashlib.sha256(f"{run_seed}:".encode() + data).digest()[:8], "big") >> 1
