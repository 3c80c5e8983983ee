"""Train the starter language model of the sample world from nothing: `python -m sample.train_language_model`."""

from __future__ import annotations

import argparse
import copy
import json
import math
import random
import time
from itertools import chain, islice
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from sample import HELD_OUT_SEEDS, TRAINING_SEED_START
from sample.training.chats import stream_chats
from sample.training.lm_batches import NOTHING, Batch, stream_batches
from sample.training.lm_metrics import measure_replies
from sample.training.lm_model import make_language_model, make_tokenizer

STEPS = 9_000
BATCH_TOKENS = 1_600
LONGEST = 420
PEAK_RATE = 3e-3
WARMUP_STEPS = 100
MEASURE_EVERY = 1_000
HELD_OUT_BATCHES = 20
FOLDER = Path(__file__).parent / "models" / "lm"


def token_losses(model: LlamaForCausalLM, batch: Batch) -> Tensor:
    """Minus the log-likelihood of each token but the first: [chats, tokens - 1]."""
    embed = model.get_input_embeddings()
    seconds = embed(batch.seconds.clamp(min=0)) * (batch.seconds != NOTHING).unsqueeze(-1)
    logits = model(inputs_embeds=(embed(batch.ids) + seconds)[:, :-1], use_cache=False).logits
    return functional.cross_entropy(logits.transpose(1, 2), batch.ids[:, 1:], reduction="none")


class Trainer:
    """The model, its optimiser, and how much it has seen."""

    def __init__(self, model: LlamaForCausalLM, steps: int) -> None:
        self.model = model
        self.tokens_seen = 0
        weights = list(model.parameters())
        groups = [
            {"params": [weight for weight in weights if weight.ndim > 1], "weight_decay": 0.1},
            {"params": [weight for weight in weights if weight.ndim <= 1], "weight_decay": 0.0},
        ]
        self._optimiser = torch.optim.AdamW(groups, lr=PEAK_RATE, betas=(0.9, 0.95))
        self._schedule = torch.optim.lr_scheduler.LambdaLR(self._optimiser, lambda step: rate_share(step, steps))

    def step(self, batch: Batch) -> float:
        """One step of the optimiser; returns the mean loss of what the assistant says."""
        losses, shares = token_losses(self.model, batch), batch.weights[:, 1:]
        self._optimiser.zero_grad()
        torch.autograd.backward((losses * shares).sum() / shares.sum())
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self._optimiser.step()
        self._schedule.step()
        self.tokens_seen += int((shares > 0).sum())
        return float(losses[shares == 1].detach().mean())


def rate_share(step: int, steps: int) -> float:
    """Linear warm-up, then a cosine down to a fiftieth."""
    return min((step + 1) / WARMUP_STEPS, 0.02 + 0.98 * (1 + math.cos(math.pi * step / steps)) / 2)


@torch.inference_mode()
def measure_perplexity(model: LlamaForCausalLM, batches: list[Batch]) -> float:
    """The perplexity of what the assistant says."""
    total, count = 0.0, 0
    for batch in batches:
        said = batch.weights[:, 1:] == 1
        total += float(token_losses(model, batch)[said].sum())
        count += int(said.sum())
    return math.exp(total / count)


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write weights as float16, config, generation config, tokenizer and chat template."""
    copy.deepcopy(model).half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def report(figures: dict[str, float], model: LlamaForCausalLM, folder: Path) -> None:
    """Write the figures beside the model's folder."""
    facts = {
        **{name: round(value, 4) for name, value in figures.items()},
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "folder_mb": round(sum(file.stat().st_size for file in folder.iterdir()) / 1e6, 2),
        "hardware": "1 core of a 2-core cloud CPU",
    }
    folder.with_suffix(".json").write_text(json.dumps(facts, indent=2) + "\n")


def main() -> None:
    """Train, measure and save, with a line every so many steps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--out", type=Path, default=FOLDER)
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    started = time.monotonic()

    chats = stream_chats(TRAINING_SEED_START, random.Random("lm chats"))
    sample = list(islice(chats, 3_000))
    tokenizer = make_tokenizer(message["content"] for chat in sample for message in chat)
    unseen = stream_chats(HELD_OUT_SEEDS.start, random.Random("lm held out"))
    held_out = stream_batches(unseen, tokenizer, BATCH_TOKENS, LONGEST, random.Random(0))
    held_out_batches = list(islice(held_out, HELD_OUT_BATCHES))
    trainer = Trainer(make_language_model(tokenizer), options.steps)
    batches = stream_batches(chain(sample, chats), tokenizer, BATCH_TOKENS, LONGEST, random.Random("lm batches"))
    for step, batch in enumerate(islice(batches, options.steps), 1):
        loss = trainer.step(batch)
        minutes = (time.monotonic() - started) / 60
        if step % 50 == 0:
            print(f"step {step}: loss {loss:.3f}, {trainer.tokens_seen:,} tokens, {minutes:.1f} min", flush=True)
        if step % MEASURE_EVERY == 0 or step == options.steps:
            save(trainer.model, tokenizer, options.out)
            # The last figures are over more contexts: generating takes its time.
            seeds = HELD_OUT_SEEDS[-60:] if step == options.steps else HELD_OUT_SEEDS[-15:]
            figures, examples = measure_replies(trainer.model, tokenizer, seeds)
            figures["perplexity"] = measure_perplexity(trainer.model, held_out_batches)
            figures |= {"steps": step, "tokens_seen": trainer.tokens_seen, "minutes": minutes}
            print(json.dumps(figures), *examples[:3], sep="\n", flush=True)
            report(figures, trainer.model, options.out)


if __name__ == "__main__":
    main()
