"""Train the starter Whisper of the sample world from nothing: `python -m sample.train_whisper`.

Took 62 minutes on a shared core of a 2-core cloud CPU, and some minutes more for espeak-ng to make the recordings;
goes on where it was stopped. Three aids are meant to make so short a training enough: encoder heads that start out
looking at their neighbours, a CTC loss on the encoder, and cross-attention that is shown about where each word is said.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from sample import TRAINING_SEED_START
from sample.scenes import make_scene
from sample.training.whisper_data import Recording, load_recordings
from sample.training.whisper_evaluation import Errors, evaluate
from sample.training.whisper_examples import IGNORED, NOWHERE, Batch, draw_batch
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
    Phase(900, 16, 1),
    Phase(600, 8, 3),
    Phase(1200, 4, 8),
    Phase(80, 3, 8, full_window=True),
)
SEEDS = range(TRAINING_SEED_START, TRAINING_SEED_START + 1_500)
HELD_OUT = 60
PEAK_RATE = 2e-3
WARM_UP = 150
# Of the decoder's cross-entropy, the encoder's CTC loss and the guided heads' misses.
LOSS_WEIGHTS = torch.tensor([1.0, 0.5, 1.0])
NEAR_POSITIONS = 12.0


def known_tokens(seeds: range) -> list[int]:
    """The tokenizer's ids that spoken descriptions of these scenes are made of, and the special ids."""
    tokenizer = CompactWhisper([]).tokenizer
    special = {tokenizer.eot, tokenizer.sot, tokenizer.no_speech, tokenizer.no_timestamps}
    texts = (spoken_description(make_scene(seed)) for seed in seeds)
    return sorted(special.union(*(tokenizer.encode(" " + text) for text in texts)))


def loss_of(model: CompactWhisper, batch: Batch) -> Tensor:
    """The decoder's cross-entropy, the encoder's CTC loss (Graves et al. 2006) and `_miss`: (3,)."""
    audio = model.encode(batch.mel, batch.offsets)
    logits, looks = model.decode(batch.ids, audio)
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
    return torch.stack([text, ctc, _miss(looks, batch.places)])


def _miss(looks: Tensor, places: Tensor) -> Tensor:
    """The share of the guided heads' attention that is not near where the next token is said (guided attention,
    Tachibana et al. 2017, with times in place of the diagonal).
    """
    distance = torch.arange(looks.shape[-1]) - places[:, :, None]
    away = 1 - torch.exp(-0.5 * (distance / NEAR_POSITIONS) ** 2)
    return (looks * away[:, None]).sum(-1).mean(1)[places != NOWHERE].mean()


def train(
    model: CompactWhisper,
    recordings: Sequence[Recording],
    held_out: Sequence[Recording],
    state_file: Path,
    to: Path,
) -> float:
    """Train through all `PHASES`, from where `state_file` left off if it is there; returns the seconds it took."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, betas=(0.9, 0.98), weight_decay=0.01)
    plan = [phase for phase in PHASES for _ in range(phase.steps)]
    first, seconds = _resume(model, optimizer, state_file)
    began = time.monotonic() - seconds
    sums = torch.zeros(3)
    for step in range(first, len(plan)):
        for group in optimizer.param_groups:
            group["lr"] = _rate(step, len(plan))
        losses = loss_of(model, _draw(model, recordings, plan[step], f"step {step}"))
        optimizer.zero_grad()
        (losses @ LOSS_WEIGHTS).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        sums += losses.detach()
        if (step + 1) % 25 == 0:
            _report(step + 1, "training", sums / 25, time.monotonic() - began)
            sums.zero_()
        if (step + 1) % 100 == 0 or step + 1 == len(plan):
            with torch.no_grad():
                batches = [_draw(model, held_out, plan[step], f"held out {number}") for number in range(3)]
                losses = torch.stack([loss_of(model, batch) for batch in batches]).mean(0)
            seconds = time.monotonic() - began
            _report(step + 1, "held out", losses, seconds)
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            torch.save(state | {"step": step + 1, "seconds": seconds}, state_file)
            export(model, to)
    return time.monotonic() - began


def _draw(model: CompactWhisper, recordings: Sequence[Recording], phase: Phase, seed: str) -> Batch:
    rng = random.Random(seed)
    return draw_batch(model, recordings, rng, phase.batch, phase.most_sentences, phase.full_window)


def _rate(step: int, total: int) -> float:
    fallen = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / total))
    return PEAK_RATE * min(1.0, (step + 1) / WARM_UP) * fallen


def _resume(model: CompactWhisper, optimizer: torch.optim.Optimizer, state_file: Path) -> tuple[int, float]:
    """Load the state if there is one; the steps and the seconds that are behind it."""
    if not state_file.exists():
        return 0, 0.0
    state = torch.load(state_file)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"]), float(state["seconds"])


def _report(step: int, what: str, losses: Tensor, seconds: float) -> None:
    text, ctc, miss = losses.tolist()
    print(f"{seconds:6.0f} s, step {step} {what}: text {text:.3f}, ctc {ctc:.3f}, miss {miss:.3f}", flush=True)


def measure(checkpoint: Path, descriptions_per_voice: int) -> dict[str, Any]:
    """Print and return the word error rates of a checkpoint on held-out descriptions."""
    by_voice = evaluate(checkpoint, descriptions_per_voice)
    errors = sum(by_voice.values(), start=Errors())
    for voice, of_voice in by_voice.items():
        print(f"{voice}: word error rate {of_voice.rate:.3f} of {of_voice.descriptions} descriptions")
    print(f"all: word error rate {errors.rate:.3f} of {errors.words} words")
    return {
        "word_error_rate": round(errors.rate, 4),
        "word_error_rate_by_voice": {voice: round(of_voice.rate, 4) for voice, of_voice in by_voice.items()},
        "n_descriptions": errors.descriptions,
        "n_words": errors.words,
        "checkpoint_mb": round(checkpoint.stat().st_size / 1e6, 2),
    }


def main() -> None:
    """Make the recordings, train, write the checkpoint, and its figures beside it."""
    parser = argparse.ArgumentParser(prog="python -m sample.train_whisper", description="Train the starter Whisper.")
    parser.add_argument("--to", type=Path, default=HERE / "models" / "whisper.pt", help="the checkpoint to write")
    cache = HERE.parent / "runs" / "starter_whisper"
    parser.add_argument("--cache", type=Path, default=cache, help="for recordings (0.3 GB) and to go on from")
    parser.add_argument("--descriptions", type=int, default=20, help="how many per voice to measure with")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    recordings = load_recordings(options.cache, SEEDS)
    model = CompactWhisper(known_tokens(SEEDS))
    seconds = train(model, recordings[:-HELD_OUT], recordings[-HELD_OUT:], options.cache / "state.pt", options.to)
    figures = measure(options.to, options.descriptions) | {
        "steps": sum(phase.steps for phase in PHASES),
        "training_minutes": round(seconds / 60, 1),
        "hardware": "1 core of a 2-core cloud CPU",
    }
    options.to.with_suffix(".json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
