"""Train the starter Whisper of the sample world from nothing: `python -m sample.train_whisper`."""

from __future__ import annotations

import argparse
import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from sample import TRAINING_SEED_START
from sample.scenes import make_scene
from sample.training.whisper_data import Recording, load_recordings
from sample.training.whisper_examples import IGNORED, Batch, draw_batch
from sample.training.whisper_model import CompactWhisper, export
from sample.wording import spoken_description

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Phase:
    """Part of the training: how many steps, of how many pieces, of up to how many sentences."""

    steps: int
    batch: int
    most_sentences: int
    full_window: bool = False


PHASES = (
    Phase(1200, 24, 1),
    Phase(1000, 16, 3),
    Phase(600, 8, 8),
    Phase(250, 6, 8, full_window=True),
)
PEAK_RATE = 2e-3
WARM_UP = 150
CTC_WEIGHT = 0.5


def known_tokens(seeds: Sequence[int]) -> list[int]:
    """The tokenizer's ids that spoken descriptions of these scenes are made of, and the special ids."""
    tokenizer = CompactWhisper([]).tokenizer
    special = {tokenizer.eot, tokenizer.sot, tokenizer.no_speech, tokenizer.no_timestamps}
    texts = (spoken_description(make_scene(seed)) for seed in seeds)
    return sorted(special.union(*(tokenizer.encode(" " + text) for text in texts)))


def loss_of(model: CompactWhisper, batch: Batch) -> tuple[Tensor, Tensor]:
    """The decoder's cross-entropy and the encoder's CTC loss (Graves et al. 2006, used in training only)."""
    audio = model.encode(batch.mel, batch.offsets)
    logits = model.decode(batch.ids, audio)
    text = functional.cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORED)
    said = [number for number, ids in enumerate(batch.spoken) if ids]
    scores = model.ctc(audio[said]).log_softmax(-1).transpose(0, 1)
    ctc = functional.ctc_loss(
        scores,
        torch.tensor([token for ids in batch.spoken for token in ids]),
        batch.lengths[said],
        torch.tensor([len(batch.spoken[number]) for number in said]),
        blank=len(model.tokens),
        zero_infinity=True,
    )
    return text, ctc


def train(model: CompactWhisper, recordings: Sequence[Recording], phases: Sequence[Phase], to: Path) -> None:
    """Train through all phases with a cosine learning rate; exports every 200 steps."""
    rng = random.Random("whisper training")
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, betas=(0.9, 0.98), weight_decay=0.01)
    total, step, began = sum(phase.steps for phase in phases), 0, time.monotonic()
    sums: list[tuple[float, float]] = []
    for phase in phases:
        for _ in range(phase.steps):
            for group in optimizer.param_groups:
                group["lr"] = (
                    PEAK_RATE
                    * min(1.0, (step + 1) / WARM_UP)
                    * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / total)))
                )
            batch = draw_batch(model, recordings, rng, phase.batch, phase.most_sentences, phase.full_window)
            text, ctc = loss_of(model, batch)
            optimizer.zero_grad()
            (text + CTC_WEIGHT * ctc).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            step += 1
            sums.append((text.item(), ctc.item()))
            if step % 25 == 0:
                a, b = (sum(x) / len(sums) for x in zip(*sums))
                print(
                    f"step {step}/{total} text {a:.3f} ctc {b:.3f} {time.monotonic() - began:.0f} s, {time.process_time():.0f} s of CPU",
                    flush=True,
                )
                sums.clear()
            if step % 200 == 0:
                export(model, to)
    export(model, to)
