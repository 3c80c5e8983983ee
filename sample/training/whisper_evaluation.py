"""How well a Whisper checkpoint hears spoken descriptions that it was not trained on."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import whisper

from sample import HELD_OUT_SEEDS
from sample.scenes import make_scene
from sample.speech import VOICES, decode_audio, encode_ogg, speak
from sample.wording import spoken_description

__all__ = ["Errors", "evaluate", "words_of", "wrong_words"]


@dataclass(frozen=True)
class Errors:
    """Word errors of some transcripts; two of them add up with `+`."""

    descriptions: int = 0
    words: int = 0
    wrong: int = 0

    def __add__(self, other: Errors) -> Errors:
        return Errors(self.descriptions + other.descriptions, self.words + other.words, self.wrong + other.wrong)

    @property
    def rate(self) -> float:
        """Word error rate: 0 is perfect; more than 1 is possible."""
        return self.wrong / max(1, self.words)


def words_of(text: str) -> list[str]:
    """The words of a text, without case and punctuation."""
    return re.findall(r"[a-z0-9']+", text.lower())


def wrong_words(truth: Sequence[str], heard: Sequence[str]) -> int:
    """The fewest words to change, add or leave out to get from `heard` to `truth` (Levenshtein distance)."""
    row = list(range(len(heard) + 1))
    for i, said in enumerate(truth, 1):
        diagonal, row[0] = row[0], i
        for j, word in enumerate(heard, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (said != word))
    return row[-1]


def evaluate(checkpoint: Path, descriptions_per_voice: int) -> dict[str, Errors]:
    """Errors by voice on held-out descriptions, spoken as in the demo world and compressed as Ogg Opus."""
    model = whisper.load_model(str(checkpoint), device="cpu")
    seeds = iter(HELD_OUT_SEEDS)
    return {
        voice: sum((_errors(model, next(seeds), voice) for _ in range(descriptions_per_voice)), start=Errors())
        for voice in VOICES
    }


def _errors(model: whisper.Whisper, seed: int, voice: str) -> Errors:
    text = spoken_description(make_scene(seed))
    rng = random.Random(f"voice {seed}")
    samples = speak(text, voice, rng.randint(160, 180), rng.randint(35, 65))
    heard = model.transcribe(decode_audio(encode_ogg(samples)), condition_on_previous_text=False, fp16=False)
    truth = words_of(text)
    return Errors(1, len(truth), wrong_words(truth, words_of(str(heard["text"]))))
