from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_clip import CONTEXT, save_tiny_clip
from transformers import AutoImageProcessor, AutoTokenizer, CLIPModel

from schemas.errors import FatalError
from stages.models.clip import ClipScorer, load_clip, split_text

TEXTS = ["a cat", "two red dogs", "x", "the sky over it.", "a cat", "blue"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def scorer(folder: Path) -> ClipScorer:
    return load_clip(str(folder), "cpu", "float32")


def pictures(count: int) -> list[Image.Image]:
    generator = np.random.default_rng(0)
    return [
        Image.fromarray(generator.integers(0, 255, (20 + number, 30, 3), np.uint8)) for number in range(count)
    ]


def test_cosines_are_those_of_transformers(folder: Path, scorer: ClipScorer) -> None:
    """The model called plainly gives the same cosine for every pair, its logits being that times a scale."""
    images = pictures(3)
    model = CLIPModel.from_pretrained(folder).eval()
    tokens = AutoTokenizer.from_pretrained(folder)(TEXTS, padding=True, return_tensors="pt")
    pixels = AutoImageProcessor.from_pretrained(folder, backend="pil")(images=images, return_tensors="pt")
    with torch.inference_mode():
        logits = model(**tokens, **pixels).logits_per_image.numpy()
    expected = logits / float(model.logit_scale.detach().exp())
    assert scorer.embed_images(images) @ scorer.embed_texts(TEXTS).T == pytest.approx(expected, abs=1e-4)


def test_vectors_have_length_one(scorer: ClipScorer) -> None:
    """Dot products are cosines."""
    for vectors in (scorer.embed_images(pictures(2)), scorer.embed_texts(TEXTS)):
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-6)


def test_vectors_do_not_depend_on_the_batch(scorer: ClipScorer) -> None:
    """A row gives the same bits alone, among others and in another order."""
    images, texts = pictures(7), TEXTS
    together = scorer.embed_images(images)
    assert np.array_equal(together[::-1], scorer.embed_images(images[::-1]))
    assert np.array_equal(together[5:6], scorer.embed_images(images[5:6]))
    together = scorer.embed_texts(texts)
    assert np.array_equal(together[::-1], scorer.embed_texts(texts[::-1]))
    assert np.array_equal(together[5:6], scorer.embed_texts(texts[5:6]))


def test_full_batches_change_no_vector(folder: Path, scorer: ClipScorer) -> None:
    """Filling a pass up, as on a GPU, adds no row and moves none."""
    wide = load_clip(str(folder), "cpu", "float32")
    wide.rows = 4
    assert wide.embed_images(pictures(6)) == pytest.approx(scorer.embed_images(pictures(6)), abs=1e-5)
    assert wide.embed_texts(TEXTS) == pytest.approx(scorer.embed_texts(TEXTS), abs=1e-5)


def test_bfloat16_is_near(folder: Path, scorer: ClipScorer) -> None:
    """Half the precision moves cosines by less than a hundredth or two."""
    images = pictures(2)
    coarse = load_clip(str(folder), "cpu", "bfloat16")
    expected = scorer.embed_images(images) @ scorer.embed_texts(TEXTS).T
    assert coarse.embed_images(images) @ coarse.embed_texts(TEXTS).T == pytest.approx(expected, abs=0.05)


def test_long_texts_are_split_not_cut(scorer: ClipScorer) -> None:
    """Pieces fit the context, start and end included, and together hold every word."""
    text = "A red dog. It runs over a very green meadow in the sun! Why? Incomprehensibilities, that is why."
    pieces = scorer.split(text)
    assert all(len(piece) <= CONTEXT - 2 for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert pieces[0] == "A red dog."
    assert scorer.split("a cat") == ["a cat"]


def test_text_that_was_not_split_is_an_error(scorer: ClipScorer) -> None:
    """The scorer never cuts silently."""
    with pytest.raises(ValueError, match="split the text first"):
        scorer.embed_texts(["a" * CONTEXT])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One two. Three!", ["One two.", "Three!"]),
        ("one two three four", ["one two", "three four"]),
        ("abcdefghijklmnop", ["abcdefgh", "ijklmnop"]),
        ("\u4e00\u4e8c\u4e09\u56db\u4e94\u3002\u516d\u4e03\u516b\u4e5d\u5341\u3002",
         ["\u4e00\u4e8c\u4e09\u56db\u4e94\u3002", "\u516d\u4e03\u516b\u4e5d\u5341\u3002"]),
        ("first line\nsecond", ["first line", "second"]),
    ],
)
def test_split_prefers_sentences_then_words(text: str, expected: list[str]) -> None:
    """Texts split between sentences, in any script, else between words, else within one."""
    assert split_text(text, lambda piece: len(piece) <= 10) == expected


def test_model_that_does_not_load_is_named(tmp_path: Path) -> None:
    """A folder without a model ends in one line that names it."""
    with pytest.raises(FatalError, match="cannot load the CLIP model") as caught:
        load_clip(str(tmp_path), "cpu", "auto")
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
