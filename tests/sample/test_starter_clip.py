"""The starter CLIP, as it lies in the repository."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CLIPModel, CLIPProcessor

from sample import HELD_OUT_SEEDS
from sample.scenes import draw, make_scene
from sample.training.caption_edits import GROUP, falsify, mirror
from sample.training.clip_metrics import auc, measure
from sample.training.clip_model import PATCH_GRID
from sample.training.patch_labels import label_patches
from sample.wording import captions

FOLDER = Path(__file__).resolve().parents[2] / "sample" / "models" / "clip"
UNSEEN = HELD_OUT_SEEDS[-60:]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def model() -> CLIPModel:
    return CLIPModel.from_pretrained(FOLDER, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def processor() -> CLIPProcessor:
    return CLIPProcessor.from_pretrained(FOLDER)


def test_it_tells_true_captions_from_those_of_other_scenes(model: CLIPModel, processor: CLIPProcessor) -> None:
    """On unseen scenes, drawn and processed as in a run, a true caption nearly always scores higher."""
    pictures = [draw(make_scene(seed)) for seed in UNSEEN]
    assert measure(model, processor, UNSEEN, pictures)["auc"] >= 0.95


def test_any_text_can_be_read(model: CLIPModel, processor: CLIPProcessor) -> None:
    """Text of any script and length gets a finite embedding, and its end token stands at the end only."""
    texts = ["a naïve café — 日本 🙂", "word " * 400, ""]
    tokens = processor.tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    assert tokens["input_ids"].shape == (3, 77)
    ends = tokens["input_ids"] == model.config.text_config.eos_token_id
    assert not (ends & (tokens["attention_mask"] == 1))[:, :-1].any(dim=1)[1]
    assert int((ends & (tokens["attention_mask"] == 1))[0].sum()) == 1
    assert model.get_text_features(**tokens).pooler_output.isfinite().all()


def test_a_connector_gets_one_feature_a_patch(model: CLIPModel, processor: CLIPProcessor) -> None:
    """The layer before the last gives 64 patch features after the class token."""
    pixels = processor.image_processor(images=[draw(make_scene(UNSEEN[0]))], return_tensors="pt")
    with torch.inference_mode():
        features = model.vision_model(**pixels, output_hidden_states=True).hidden_states[-2]
    assert features.shape == (1, 1 + PATCH_GRID**2, model.config.vision_config.hidden_size)


def test_a_falsified_caption_names_a_group_that_is_not_there() -> None:
    """Every change of a group gives a count, colour or kind that the scene does not have."""
    rng = random.Random(0)
    for seed in UNSEEN:
        scene = make_scene(seed)
        for caption in captions(scene):
            false = falsify(caption, scene, rng)
            assert false.lower() != caption.lower()
            assert GROUP.search(false)


def test_a_mirrored_caption_swaps_sides() -> None:
    """Left and right change places; nothing else does."""
    assert mirror("a cat to the left of a dog") == "a cat to the right of a dog"
    assert mirror("a cat above a dog") == "a cat above a dog"


def test_every_thing_has_a_patch_that_holds_its_middle() -> None:
    """Patch labels hold one middle a thing, and the way from a patch to it leads there."""
    for seed in UNSEEN:
        scene = make_scene(seed)
        labels = label_patches(scene, PATCH_GRID)
        assert labels.shape == (PATCH_GRID**2, 5)
        middles = np.flatnonzero(labels[:, 2])
        own = (np.stack([middles % PATCH_GRID, middles // PATCH_GRID], axis=1) + 0.5) / PATCH_GRID
        pointed = own + labels[middles, 3:]
        centres = np.array([thing.centre for thing in scene.things])
        away = np.abs(pointed[:, None] - centres[None]).max(axis=2)
        assert (away.min(axis=1) < 1e-3).all()
        assert len(middles) >= len(scene.things) - 1


def test_auc_is_the_chance_that_a_positive_ranks_higher() -> None:
    """Known small cases: perfect, reversed, tied."""
    assert auc(np.array([2.0, 3.0]), np.array([0.0, 1.0])) == 1.0
    assert auc(np.array([0.0]), np.array([1.0])) == 0.0
    assert auc(np.array([1.0]), np.array([1.0])) == 0.5
