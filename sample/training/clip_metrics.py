"""How well a CLIP tells true captions from others, on scenes it has not seen."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import CLIPModel, CLIPProcessor

from sample.scenes import make_scene
from sample.training.caption_edits import falsify
from sample.wording import captions

__all__ = ["auc", "measure"]


def auc(positives: np.ndarray, negatives: np.ndarray) -> float:
    """The chance that a positive scores above a negative (area under the ROC curve; ties count half)."""
    ordered = np.sort(negatives)
    below = np.searchsorted(ordered, positives, "left") + np.searchsorted(ordered, positives, "right")
    return float(below.mean() / 2 / len(negatives))


@torch.inference_mode()
def measure(
    model: CLIPModel, processor: CLIPProcessor, seeds: Sequence[int], pictures: Sequence[Any]
) -> dict[str, float]:
    """Figures over one true, one false and one other scene's caption for each picture of a scene.

    `pictures` are anything the image processor takes, one a seed. The threshold keeps 95% of the true pairs.
    """
    scenes = [make_scene(seed) for seed in seeds]
    rng = random.Random("clip metrics")
    true = [rng.choice(captions(scene)) for scene in scenes]
    false = [falsify(text, scene, rng) for text, scene in zip(true, scenes, strict=True)]
    images = np.concatenate([_embed_images(model, processor, pictures[i : i + 64]) for i in range(0, len(scenes), 64)])
    matched = (images * _embed_texts(model, processor, true)).sum(1)
    changed = (images * _embed_texts(model, processor, false)).sum(1)
    others = _embed_texts(model, processor, true[1:] + true[:1])
    mismatched = (images * others).sum(1)
    threshold = float(np.quantile(matched, 0.05))
    return {
        "n": len(scenes),
        "auc": auc(matched, mismatched),
        "auc_one_word_changed": auc(matched, changed),
        "true_above_one_word_changed": float((matched > changed).mean()),
        "threshold": threshold,
        "mismatched_below_threshold": float((mismatched < threshold).mean()),
        "cosine_matched_mean": float(matched.mean()),
        "cosine_mismatched_mean": float(mismatched.mean()),
    }


def _embed_images(model: CLIPModel, processor: CLIPProcessor, pictures: Sequence[Any]) -> np.ndarray:
    pixels = processor.image_processor(images=list(pictures), return_tensors="pt")
    return _normalise(model.get_image_features(**pixels).pooler_output)


def _embed_texts(model: CLIPModel, processor: CLIPProcessor, texts: list[str]) -> np.ndarray:
    tokens = processor.tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    return _normalise(model.get_text_features(**tokens).pooler_output)


def _normalise(vectors: torch.Tensor) -> np.ndarray:
    return torch.nn.functional.normalize(vectors, dim=-1).numpy()
