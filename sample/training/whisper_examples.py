"""Batches to train the starter Whisper: pieces of recordings, short or whole, with their tokens and times."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sample.training.whisper_data import FLOOR_DEPTH, Recording, Sentence
from sample.training.whisper_model import FRAMES_PER_POSITION, CompactWhisper

__all__ = ["IGNORED", "NOWHERE", "Batch", "draw_batch"]

IGNORED = -100
NOWHERE = -1.0
POSITION_S = 0.02
WINDOW = 1500
FRAMES_PER_SECOND = 100
SILENT_SHARE = 0.03
DIGITAL_SILENCE = -1.5  # what `whisper.audio.log_mel_spectrogram` gives for zeros
UNTIMED_SHARE = 0.12


@dataclass(frozen=True)
class Batch:
    """`mel` (batch, 80, frames), `offsets` (batch,) positions, `ids` and `targets` (batch, length) compact ids,
    `places` (batch, length) where in the audio each target is said, in positions from its start (or NOWHERE),
    `spoken` the text's compact ids on their own (for CTC), `lengths` (batch,) of the audio in positions."""

    mel: Tensor
    offsets: Tensor
    ids: Tensor
    targets: Tensor
    places: Tensor
    spoken: list[list[int]]
    lengths: Tensor


@dataclass(frozen=True)
class _Piece:
    mel: NDArray[np.float32]  # (frames, 80)
    sentences: tuple[Sentence, ...]  # times from the piece's start


def draw_batch(
    model: CompactWhisper,
    recordings: Sequence[Recording],
    rng: random.Random,
    size: int,
    most_sentences: int,
    full_window: bool,
) -> Batch:
    """`size` random pieces of up to `most_sentences`; whole 30-second windows or no longer than the longest."""
    pieces = [_draw_piece(recordings, rng, most_sentences) for _ in range(size)]
    longest = max(len(piece.mel) for piece in pieces) // FRAMES_PER_POSITION
    positions = WINDOW if full_window else min(WINDOW, longest + rng.randint(2, 20))
    mel = np.stack([_pad(piece.mel, positions * FRAMES_PER_POSITION) for piece in pieces])
    offsets = [rng.randint(0, WINDOW - positions) if rng.random() < 0.7 else 0 for _ in pieces]
    sequences: list[_Sequence] = []
    spoken = []
    for piece, offset in zip(pieces, offsets, strict=True):
        text = [_text_ids(model, sentence.text) for sentence in piece.sentences]
        sequences.append(_sequence(model, piece, text, offset, rng.random() < UNTIMED_SHARE))
        spoken.append([token for sentence in text for token in sentence])
    return Batch(
        torch.from_numpy(mel).transpose(1, 2),
        torch.tensor(offsets),
        _stack([sequence.ids for sequence in sequences], 0),
        _stack([sequence.targets for sequence in sequences], IGNORED),
        _stack([sequence.places for sequence in sequences], NOWHERE),
        spoken,
        torch.tensor([min(positions, len(piece.mel) // FRAMES_PER_POSITION) for piece in pieces]),
    )


def _draw_piece(recordings: Sequence[Recording], rng: random.Random, most_sentences: int) -> _Piece:
    """Sentences that follow each other, cut out in the pauses around them; now and then silence instead."""
    recording = rng.choice(recordings)
    silent = rng.random() < SILENT_SHARE
    count = min(rng.randint(max(1, most_sentences // 2), most_sentences), len(recording.sentences))
    first = rng.randint(0, len(recording.sentences) - count)
    chosen = recording.sentences[first : first + count]
    start, end = _cut(recording.sentences, first, first + count, rng)
    mel = np.asarray(recording.mel[start:end], dtype=np.float32)
    lead = rng.randint(0, 80) if rng.random() < 0.25 else 0
    floor = mel.max() - FLOOR_DEPTH
    mel = np.concatenate([np.full((lead, mel.shape[1]), floor, dtype=np.float32), mel])
    if silent:
        level = rng.choice((DIGITAL_SILENCE, rng.uniform(-1.2, 0.0)))
        return _Piece(_disturb(np.full_like(mel, level), rng, silent), ())
    shift = (lead - start) / FRAMES_PER_SECOND
    sentences = tuple(Sentence(s.text, s.start_s + shift, s.end_s + shift) for s in chosen)
    return _Piece(_disturb(mel, rng, silent), sentences)


def _cut(sentences: Sequence[Sentence], first: int, stop: int, rng: random.Random) -> tuple[int, int]:
    """The frames from somewhere in the pause before sentence `first` to somewhere in the one before `stop`."""
    start_s, end_s = sentences[first].start_s, sentences[stop - 1].end_s
    earliest = sentences[first - 1].end_s + 0.02 if first else 0.0
    latest = sentences[stop].start_s - 0.02 if stop < len(sentences) else end_s + 0.3
    start = rng.uniform(max(earliest, start_s - 0.3), start_s)
    end = rng.uniform(end_s, min(latest, end_s + 0.3))
    return int(start * FRAMES_PER_SECOND), int(end * FRAMES_PER_SECOND) + 1


def _disturb(mel: NDArray[np.float32], rng: random.Random, silent: bool) -> NDArray[np.float32]:
    """Another loudness and, at times, a noise floor: both are plain additions in log-mel."""
    if rng.random() < 0.3:
        generator = np.random.default_rng(rng.randrange(2**32))
        top = float(mel.max()) if not silent else float(mel.max()) + FLOOR_DEPTH
        tilt = np.linspace(0, rng.uniform(-0.4, 0.4), mel.shape[1], dtype=np.float32)
        noise = generator.normal(top - rng.uniform(0.9, 1.8), 0.08, mel.shape).astype(np.float32) + tilt
        mel = np.maximum(mel, noise)
    return mel + np.float32(rng.uniform(-0.15, 0.1))


def _pad(mel: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
    floor = mel.max() - FLOOR_DEPTH
    return np.pad(mel[:frames], ((0, max(0, frames - len(mel))), (0, 0)), constant_values=floor)


def _text_ids(model: CompactWhisper, text: str) -> list[int]:
    return [model.compact_id(token) for token in model.tokenizer.encode(" " + text)]


@dataclass(frozen=True)
class _Sequence:
    """What the decoder reads, what it has to say after each, and about where in the audio (in positions) that is."""

    ids: list[int]
    targets: list[int]
    places: list[float]


def _sequence(
    model: CompactWhisper, piece: _Piece, text: Sequence[Sequence[int]], offset: int, untimed: bool
) -> _Sequence:
    """Whisper's own format (Radford et al. 2022, section 2.3)."""
    tokenizer = model.tokenizer
    start, end = model.compact_id(tokenizer.sot), model.compact_id(tokenizer.eot)
    zero = model.compact_id(tokenizer.timestamp_begin)
    if not piece.sentences:
        return _Sequence([start, zero], [model.compact_id(tokenizer.no_speech), end], [NOWHERE, NOWHERE])
    said: list[int] = []
    places: list[float] = []
    for sentence, tokens in zip(piece.sentences, text, strict=True):
        first, last = sentence.start_s / POSITION_S, sentence.end_s / POSITION_S
        times = [zero + min(WINDOW, offset + round(at)) for at in (first, last)]
        said += tokens if untimed else [times[0], *tokens, times[1]]
        inside = _places(model, tokens, first, last)
        places += inside if untimed else [first, *inside, last]
    if untimed:
        ids = [start, model.compact_id(tokenizer.no_timestamps), *said]
        return _Sequence(ids, [IGNORED, *said, end], [NOWHERE, *places, places[-1]])
    return _Sequence([start, *said], [*said, end], [*places, places[-1]])


def _places(model: CompactWhisper, tokens: Sequence[int], first: float, last: float) -> list[float]:
    """About where each token of a sentence is said: its share of the letters is its share of the time."""
    letters = np.array([len(model.tokenizer.decode([model.tokens[token]])) for token in tokens])
    middles = (np.cumsum(letters) - letters / 2) / letters.sum()
    return [float(first + share * (last - first)) for share in middles]


def _stack(rows: Sequence[Sequence[float]], fill: float) -> Tensor:
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[fill] * (longest - len(row))] for row in rows])
