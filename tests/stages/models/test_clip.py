from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_clip import CONTEXT, FAMILIES
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer, BertConfig

from schemas.errors import FatalError
from stages.models.clip import ClipScorer, load_clip, split_text
from stages.models.clip_passes import ONE_ROW, places_matter

TEXTS = ["a cat", "two red dogs", "x", "the sky over it.", "a cat", "blue"]


@pytest.fixture(scope="module", params=FAMILIES)
def folder(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    return FAMILIES[request.param](tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def scorer(folder: Path) -> ClipScorer:
    return load_clip(str(folder), "cpu", "float32", workers=2)


def pictures(count: int) -> list[Image.Image]:
    """Return pictures of several sizes whose neighbouring pixels are alike, as in photographs."""
    generator = np.random.default_rng(0)
    coarse = [generator.integers(0, 255, (5, 7, 3), np.uint8) for _ in range(count)]
    return [Image.fromarray(pixels).resize((30, 20 + number)) for number, pixels in enumerate(coarse)]


def encoded(images: list[Image.Image]) -> list[bytes]:
    """Return the pictures as PNG files."""
    buffers = [io.BytesIO() for _ in images]
    for image, buffer in zip(images, buffers, strict=True):
        image.save(buffer, "PNG")
    return [buffer.getvalue() for buffer in buffers]


def cosines(scorer: ClipScorer, images: list[Image.Image], texts: list[str]) -> np.ndarray:
    """Return the cosine of each image (row) and text (column)."""
    return np.stack(scorer.embed_images(encoded(images))) @ np.stack(scorer.embed_texts(texts)).T


def plain_logits(folder: Path, images: list[Image.Image]) -> tuple[np.ndarray, float, float]:
    """Return the logits, scale and bias that the model gives when it is called as its documentation says."""
    model = AutoModel.from_pretrained(folder).eval()
    padding = {} if model.config.model_type == "clip" else {"max_length": CONTEXT}
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokens = tokenizer(TEXTS, padding="max_length" if padding else True, return_tensors="pt", **padding)
    names = ("input_ids", "attention_mask")
    pixels = AutoImageProcessor.from_pretrained(folder, backend="pil")(images=images, return_tensors="pt")
    with torch.inference_mode():
        logits = model(**{name: tokens[name] for name in names}, **pixels).logits_per_image.numpy()
    bias = float(model.logit_bias.detach()) if hasattr(model, "logit_bias") else 0.0
    return logits, math.exp(float(model.logit_scale.detach())), bias


def test_cosines_are_those_of_transformers(folder: Path, scorer: ClipScorer) -> None:
    """The model called plainly gives the same cosine for every pair: its logits are that, scaled and shifted."""
    images = pictures(11)
    logits, scale, bias = plain_logits(folder, images)
    found = cosines(scorer, images, TEXTS)
    assert np.ptp(found) > 0.05
    assert found == pytest.approx((logits - bias) / scale, abs=2e-3)


def test_siglip_tells_a_probability(folder: Path, scorer: ClipScorer) -> None:
    """SigLIP's is the sigmoid of the logits of transformers; CLIP has none."""
    images = pictures(3)
    logits, _, _ = plain_logits(folder, images)
    found = [[scorer.probability(float(cosine)) for cosine in row] for row in cosines(scorer, images, TEXTS)]
    if "siglip" in folder.name:
        assert np.array(found) == pytest.approx(1 / (1 + np.exp(-logits)), abs=2e-3)
    else:
        assert {told for row in found for told in row} == {None}


def test_vectors_have_length_one(scorer: ClipScorer) -> None:
    """Dot products are cosines."""
    for vectors in (scorer.embed_images(encoded(pictures(2))), scorer.embed_texts(TEXTS)):
        assert np.linalg.norm(np.stack(vectors), axis=1) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_vectors_do_not_depend_on_neighbours_or_workers(folder: Path, dtype: str) -> None:
    """A row gives the same bits alone, among others, in another order and with another number of workers."""
    images, texts = encoded(pictures(19)), [*TEXTS, *(f"{number} more" for number in range(15))]
    several, one = load_clip(str(folder), "cpu", dtype, workers=3), load_clip(str(folder), "cpu", dtype)
    for rows, embed, alone in (
        (images, several.embed_images, one.embed_images),
        (texts, several.embed_texts, one.embed_texts),
    ):
        together = np.stack(embed(rows))
        assert np.array_equal(together[::-1], np.stack(embed(rows[::-1])))
        assert np.array_equal(together, np.stack([alone([row])[0] for row in rows]))


def test_full_passes_change_no_vector(folder: Path, scorer: ClipScorer) -> None:
    """Filling a pass up adds no row and moves none."""
    single = load_clip(str(folder), "cpu", "float32")
    single.passes = ONE_ROW
    assert cosines(single, pictures(9), TEXTS) == pytest.approx(cosines(scorer, pictures(9), TEXTS), abs=1e-5)


def test_broken_image_costs_no_other(scorer: ClipScorer) -> None:
    """An image that no decoder takes gives its error, the others of its pass their vectors."""
    images = encoded(pictures(3))
    sound = scorer.embed_images(images)
    [first, error, third] = scorer.embed_images([images[0], images[1][:80], images[2]])
    assert isinstance(error, Exception)
    assert np.array_equal(first, sound[0])
    assert np.array_equal(third, sound[2])
    assert isinstance(scorer.embed_images([b"no image"])[0], Exception)


def test_bfloat16_is_near(folder: Path, scorer: ClipScorer) -> None:
    """Half the precision moves cosines by no more than 0.02."""
    coarse = load_clip(str(folder), "cpu", "bfloat16")
    assert cosines(coarse, pictures(11), TEXTS) == pytest.approx(cosines(scorer, pictures(11), TEXTS), abs=0.02)


def test_threads_of_others_stay(folder: Path) -> None:
    """Workers compute with one thread each, and torch elsewhere, also in threads to come, with as many as before."""
    torch.set_num_threads(2)
    try:
        scorer = load_clip(str(folder), "cpu", "float32", workers=2)
        assert set(scorer.workers.map(lambda _: torch.get_num_threads(), range(8))) == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


class Uneven(torch.nn.Linear):
    """A product whose last bits depend on the row's place, as those that threads share may."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Move every row but the first by a little."""
        moved = super().forward(input)
        moved[1:] *= 1 + 2**-20
        return moved


def test_products_that_depend_on_places_are_noticed() -> None:
    """A machine that gives a row other bits in another place is found out, here by a layer that does."""
    even = torch.nn.Sequential(torch.nn.Linear(24, 16), torch.nn.Linear(16, 24))
    assert not places_matter(even, {8, 400})
    assert places_matter(torch.nn.Sequential(*even, Uneven(24, 24)), {8, 400})


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_no_place_matters_in_the_shapes_of_a_real_model(dtype: str) -> None:
    """In one thread, the products of a ViT-B/32's shapes give copies of a row the same bits in every place."""
    torch.set_num_threads(1)
    layers = [torch.nn.Linear(*shape) for shape in ((768, 768), (768, 3072), (3072, 768), (512, 2048), (2048, 512))]
    assert not places_matter(torch.nn.Sequential(*layers).to(getattr(torch, dtype)), {8, 231, 240, 256, 400})


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


def test_model_of_another_family_is_named(tmp_path: Path) -> None:
    """A model that embeds no images ends in one line that says what it should be."""
    BertConfig().save_pretrained(tmp_path)
    with pytest.raises(FatalError, match="its model_type is none of clip, siglip, siglip2, but bert"):
        load_clip(str(tmp_path), "cpu", "auto")


def test_model_that_does_not_load_is_named(tmp_path: Path) -> None:
    """A folder without a model ends in one line that names it."""
    with pytest.raises(FatalError, match="cannot load the CLIP model") as caught:
        load_clip(str(tmp_path), "cpu", "auto")
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
