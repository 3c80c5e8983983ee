"""Train the starter CLIP of the sample world from nothing: `python -m sample.train_clip`."""

from __future__ import annotations

import argparse
import copy
import json
import math
import random
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPModel, CLIPProcessor

from sample import HELD_OUT_SEEDS, TRAINING_SEED_START
from sample.scenes import Scene, make_scene
from sample.training.caption_edits import falsify, mirror
from sample.training.clip_metrics import measure
from sample.training.clip_model import PATCH_GRID, PatchHead, make_model, make_processor
from sample.training.patch_labels import label_patches
from sample.training.pictures import render_all
from sample.wording import captions

SCENES = 19_000
HELD_OUT = 1_000
STEPS = 5_000
BATCH = 64
PEAK_RATE = 1e-3
WARMUP_STEPS = 100
PATCH_WEIGHT = 1.0
MEASURE_EVERY = 200
FOLDER = Path(__file__).parent / "models" / "clip"


class Batches:
    """Random batches: pixels, true and false captions, patch labels. Half of the pictures are mirrored."""

    def __init__(self, pictures: np.ndarray, processor: CLIPProcessor) -> None:
        self._pictures = pictures
        self._scenes = [make_scene(TRAINING_SEED_START + index) for index in range(len(pictures))]
        self._tokenizer = processor.tokenizer
        self._mean = np.array(processor.image_processor.image_mean, dtype=np.float32) * 255
        self._std = np.array(processor.image_processor.image_std, dtype=np.float32) * 255
        self._rng = random.Random("clip batches")
        self._left: list[int] = []

    def draw(self, size: int) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """Pixels [size, 3, px, px]; tokens of size true, then size false captions; labels [size, patches, 5]."""
        if len(self._left) < size:
            self._left = self._rng.sample(range(len(self._scenes)), len(self._scenes))
        drawn, self._left = self._left[:size], self._left[size:]
        texts, pixels, labels = [], [], []
        for index in drawn:
            mirrored = self._rng.random() < 0.5
            step = -1 if mirrored else 1
            pixels.append((self._pictures[index][:, ::step] - self._mean) / self._std)
            labels.append(_mirror_labels(self._labels(index)) if mirrored else self._labels(index))
            texts.append([mirror(text) if mirrored else text for text in self._two_captions(self._scenes[index])])
        true, false = zip(*texts, strict=True)
        tokens = self._tokenizer([*true, *false], padding=True, return_tensors="pt")
        images = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous()
        return images, dict(tokens), torch.from_numpy(np.stack(labels))

    def _labels(self, index: int) -> np.ndarray:
        return label_patches(self._scenes[index], PATCH_GRID)

    def _two_captions(self, scene: Scene) -> tuple[str, str]:
        # Another seed words the same scene in another way.
        true = self._rng.choice(captions(replace(scene, seed=self._rng.randrange(2**31))))
        return true, falsify(true, scene, self._rng)


def _mirror_labels(labels: np.ndarray) -> np.ndarray:
    flipped = labels.reshape(PATCH_GRID, PATCH_GRID, -1)[:, ::-1] * np.array([1, 1, 1, -1, 1], dtype=np.float32)
    return flipped.reshape(labels.shape)


def contrast(images: Tensor, texts: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """CLIP's loss with one false caption more for each picture, plus SigLIP's on the same cosines.

    `images` [n, width] and `texts` [2n, width] are unit vectors; the first n texts are the true ones. CLIP's
    softmax (Radford et al. 2021, arXiv:2103.00020) only ranks; the sigmoid (Zhai et al. 2023, arXiv:2303.15343)
    makes the raw cosine comparable between pictures, so that one threshold serves them all.
    """
    logits = scale.exp() * images @ texts.T
    n = len(images)
    target = torch.arange(n)
    ranking = functional.cross_entropy(logits, target) + functional.cross_entropy(logits[:, :n].T, target)
    signs = -torch.ones_like(logits)
    signs[target, target] = 1
    weights = torch.where(signs > 0, 1.0, 1 / 8)
    absolute = -(weights * functional.logsigmoid(signs * (logits + bias))).sum() / n
    return ranking / 2 + absolute / 2


class Trainer:
    """The model with what only training needs: the patch head, the sigmoid's bias, the optimiser."""

    def __init__(self, model: CLIPModel, steps: int) -> None:
        self.model = model
        self._head = PatchHead()
        self._bias = nn.Parameter(torch.tensor(-5.0))
        weights = [*model.parameters(), *self._head.parameters(), self._bias]
        decayed = [weight for weight in weights if weight.ndim > 1]
        others = [weight for weight in weights if weight.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}]
        self._optimiser = torch.optim.AdamW(groups, lr=PEAK_RATE, betas=(0.9, 0.98))
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimiser,
            lambda step: min((step + 1) / WARMUP_STEPS, 0.02 + 0.98 * (1 + math.cos(math.pi * step / steps)) / 2),
        )
        self._weights = weights

    def step(self, pixels: Tensor, tokens: dict[str, Tensor], labels: Tensor) -> tuple[float, float]:
        """One step of the optimiser; returns the contrastive and the patch loss."""
        seen = self.model.vision_model(pixel_values=pixels, output_hidden_states=True)
        read = self.model.text_model(**tokens)
        images = functional.normalize(self.model.visual_projection(seen.pooler_output), dim=-1)
        texts = functional.normalize(self.model.text_projection(read.pooler_output), dim=-1)
        contrastive = contrast(images, texts, self.model.logit_scale, self._bias)
        patch = self._head(seen.hidden_states[-2][:, 1:], labels)
        self._optimiser.zero_grad()
        (contrastive + PATCH_WEIGHT * patch).backward()
        nn.utils.clip_grad_norm_(self._weights, 1.0)
        self._optimiser.step()
        self._schedule.step()
        with torch.no_grad():
            self.model.logit_scale.clamp_(max=math.log(100))
        return float(contrastive), float(patch)


def save(model: CLIPModel, processor: CLIPProcessor, folder: Path) -> None:
    """Write weights as float16, config, tokenizer and image processor."""
    copy.deepcopy(model).half().save_pretrained(folder)
    processor.save_pretrained(folder)
    processor.image_processor.save_pretrained(folder)  # also where AutoImageProcessor looks


def main() -> None:
    """Render, train, measure and save, with a line of JSON every so many steps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--processes", type=int, default=1, help="for drawing the scenes")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "showtell-sample")
    parser.add_argument("--out", type=Path, default=FOLDER)
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    started = time.monotonic()

    seeds = range(TRAINING_SEED_START, TRAINING_SEED_START + SCENES)
    held_out = HELD_OUT_SEEDS[:HELD_OUT]
    unseen = render_all(held_out, options.cache, options.processes)
    pictures = render_all(seeds, options.cache, options.processes)
    processor = make_processor(text for seed in seeds[:4_000] for text in captions(make_scene(seed)))
    trainer = Trainer(make_model(processor.tokenizer), options.steps)
    batches = Batches(pictures, processor)
    for step in range(1, options.steps + 1):
        losses = trainer.step(*batches.draw(BATCH))
        if step % 50 == 0:
            minutes = (time.monotonic() - started) / 60
            print(f"step {step}: contrastive {losses[0]:.3f}, patch {losses[1]:.3f}, {minutes:.1f} min", flush=True)
        if step % MEASURE_EVERY == 0 or step == options.steps:
            figures = measure(trainer.model, processor, held_out, list(unseen))
            minutes = (time.monotonic() - started) / 60
            print(json.dumps(figures), flush=True)
            save(trainer.model, processor, options.out)
            report(figures, trainer.model, step, minutes, options.out)


def report(figures: dict[str, float], model: CLIPModel, step: int, minutes: float, folder: Path) -> None:
    """Write the figures beside the model's folder."""
    size = sum(file.stat().st_size for file in folder.iterdir())
    facts = {
        **{name: round(value, 4) for name, value in figures.items()},
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "folder_mb": round(size / 1e6, 2),
        "steps": step,
        "images_seen": step * BATCH,
        "minutes": round(minutes, 1),
        "hardware": "1 core of a 2-core cloud CPU",
    }
    folder.with_suffix(".json").write_text(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    main()
