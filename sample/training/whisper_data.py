"""Spoken descriptions to train the starter Whisper on: synthesised once, kept as log-mel frames in a cache."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import whisper.audio
from numpy.typing import NDArray

from sample.scenes import make_scene
from sample.speech import SAMPLE_RATE_HZ, VOICES, decode_audio, encode_ogg, speak
from sample.wording import spoken_description

__all__ = ["FLOOR_DEPTH", "Recording", "Sentence", "load_recordings", "record"]

# Whisper clips its log-mel 8 below the maximum and divides by 4 (`whisper.audio.log_mel_spectrogram`).
FLOOR_DEPTH = 2.0
# Shares of the training recordings that went through Opus, and that have noise in them.
OPUS_SHARE = 0.5
NOISE_SHARE = 0.3
SEEDS_PER_FILE = 100


@dataclass(frozen=True)
class Sentence:
    """One sentence of a recording; times in seconds from the recording's start."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Recording:
    """A spoken description: `mel` is (frames, 80) float16 at 100 frames a second, as Whisper computes it."""

    mel: NDArray[np.float16]
    sentences: tuple[Sentence, ...]


def record(text: str, rng: random.Random) -> tuple[NDArray[np.float32], tuple[Sentence, ...]] | None:
    """Speak `text` in a random voice, speed and pitch: 16 kHz audio and its sentences.

    None where the pauses do not show plainly where the sentences are.
    """
    audio = speak(text, rng.choice(VOICES), rng.randint(152, 188), rng.randint(30, 70))
    sentences = _find_sentences(text, audio)
    if sentences is None:
        return None
    if rng.random() < OPUS_SHARE:
        audio = decode_audio(encode_ogg(audio))
    if rng.random() < NOISE_SHARE:
        noise = np.random.default_rng(rng.randrange(2**32)).standard_normal(len(audio), dtype=np.float32)
        audio = audio + noise * float(np.abs(audio).max()) * 10 ** rng.uniform(-4, -2)
    return audio, sentences


def _find_sentences(text: str, audio: NDArray[np.float32]) -> tuple[Sentence, ...] | None:
    texts = [part.strip() + "." for part in text.split(".") if part.strip()]
    loud = np.flatnonzero(np.abs(audio) > 1e-3)
    gaps = np.diff(loud)
    between = np.sort(np.argsort(gaps)[len(gaps) - len(texts) + 1 :])
    if len(texts) > 1 and gaps[between].min() < 0.2 * SAMPLE_RATE_HZ:
        return None
    starts = [loud[0], *(loud[between + 1])]
    ends = [*(loud[between]), loud[-1]]
    return tuple(
        Sentence(text, round(start / SAMPLE_RATE_HZ, 3), round(end / SAMPLE_RATE_HZ, 3))
        for text, start, end in zip(texts, starts, ends, strict=True)
    )


def load_recordings(folder: Path, seeds: range) -> list[Recording]:
    """The spoken descriptions of the scenes `seeds`; what `folder` does not have yet is made and kept there."""
    folder.mkdir(parents=True, exist_ok=True)
    recordings: list[Recording] = []
    for first in range(seeds.start, seeds.stop, SEEDS_PER_FILE):
        path = folder / f"recordings-{first}.npz"
        if not path.exists():
            _write(path, list(_record_all(range(first, min(seeds.stop, first + SEEDS_PER_FILE)))))
        recordings += _read(path)
    return recordings


def _record_all(seeds: range) -> Iterator[Recording]:
    for seed in seeds:
        made = record(spoken_description(make_scene(seed)), random.Random(f"whisper recording {seed}"))
        if made is not None:
            mel = whisper.audio.log_mel_spectrogram(made[0]).numpy().T
            yield Recording(mel.astype(np.float16), made[1])


def _write(path: Path, recordings: Sequence[Recording]) -> None:
    index = [
        {"frames": len(recording.mel), "sentences": [asdict(sentence) for sentence in recording.sentences]}
        for recording in recordings
    ]
    unfinished = path.with_suffix(".part.npz")
    np.savez(unfinished, mel=np.concatenate([r.mel for r in recordings]), index=np.array(json.dumps(index)))
    unfinished.replace(path)


def _read(path: Path) -> Iterator[Recording]:
    with np.load(path) as stored:
        mel, index = stored["mel"], json.loads(str(stored["index"]))
    at = 0
    for entry in index:
        sentences = tuple(Sentence(**sentence) for sentence in entry["sentences"])
        yield Recording(mel[at : at + entry["frames"]], sentences)
        at += entry["frames"]
