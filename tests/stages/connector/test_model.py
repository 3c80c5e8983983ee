from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_world import draw

from schemas.errors import FatalError
from stages.connector.chat_format import IMAGE
from stages.connector.connectors import CONNECTORS
from stages.connector.data import collate, load_splits, read_examples
from stages.connector.model import VisionLanguageModel, answer, assemble, load


@pytest.fixture(scope="module")
def model(vision: str, language: str) -> VisionLanguageModel:
    torch.manual_seed(0)
    return assemble(vision, -2, language, "mlp2x_gelu").eval()


@pytest.mark.parametrize("name", sorted(CONNECTORS))
def test_saved_model_is_the_same_model(name: str, vision: str, language: str, tmp_path: Path) -> None:
    """Saved and loaded again, from its own folder alone, a model gives equal logits."""
    torch.manual_seed(0)
    model = assemble(vision, -2, language, name).eval()
    model.save(str(tmp_path))
    again = load(str(tmp_path))
    features = model.tower.encode([draw("red", 2)])
    tokens = torch.from_numpy(model.chat.question("What colour is it?")).long().unsqueeze(0)
    assert torch.equal(features, again.tower.encode([draw("red", 2)]))
    first, second = (each.language(inputs_embeds=each.embed(tokens, features)).logits for each in (model, again))
    assert torch.equal(first, second)


def test_features_stand_where_the_image_is(model: VisionLanguageModel) -> None:
    """Embeddings hold the connector's output at the image's positions, in order, and words elsewhere."""
    features = model.tower.encode([draw("red", 2), draw("blue", 1)])
    tokens = torch.from_numpy(model.chat.question("What colour is it?")).long().repeat(2, 1)
    embedded = model.embed(tokens, features)
    is_image = tokens == IMAGE
    assert is_image.sum() == 2 * 16
    assert torch.allclose(embedded[is_image], model.connector(features.float()).flatten(0, 1))
    words = model.language.get_input_embeddings()(tokens[~is_image])
    assert torch.equal(embedded[~is_image], words)


def test_loss_is_the_language_models_own(model: VisionLanguageModel, dataset: str) -> None:
    """Padded side by side, each answer token has the loss it has alone, by the library's full computation."""
    train, _ = load_splits(dataset)
    examples = read_examples(train, model.chat, 100)[0][:3]
    batch = collate(examples)
    losses = model(batch.tokens, batch.labels, model.tower.encode([train.image(s) for s in batch.samples]))
    expected = []
    for example in examples:
        alone = collate([example])
        embedded = model.embed(alone.tokens, model.tower.encode([train.image(example.sample)]))
        expected.append(model.language(inputs_embeds=embedded, labels=alone.labels).loss * example.text.answer_tokens)
    assert torch.isclose(losses.sum(), torch.stack(expected).sum(), rtol=1e-5)
    assert len(losses) == sum(example.text.answer_tokens for example in examples)


def test_tower_reads_the_layer_asked_for_without_class_token(model: VisionLanguageModel) -> None:
    """Features are the hidden states before the tower's last layer, one a patch."""
    image = draw("green", 3)
    pixels = model.tower.processor(images=[image], return_tensors="pt")["pixel_values"]
    hidden = model.tower.network(pixels, output_hidden_states=True).hidden_states
    assert torch.equal(model.tower.encode([image]), hidden[1][:, 1:].half())
    assert not any(weight.requires_grad for weight in model.tower.parameters())


def test_written_batch_equals_written_alone(model: VisionLanguageModel) -> None:
    """Greedy answers do not depend on the questions that are asked beside them."""
    questions = ["What colour is it?", "How many dots are there in the picture?", "Describe it."]
    images = [draw("red", 1), draw("blue", 2), draw("green", 3)]
    together = model.write([model.chat.question(q) for q in questions], model.tower.encode(images), 6)
    assert together == [answer(model, image, q, 6) for image, q in zip(images, questions, strict=True)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vision": "LANGUAGE"}, "cannot load the vision tower"),
        ({"vision_layer": 3}, "has 2 layers"),
        ({"language": "VISION"}, "cannot load the language model"),
        ({"language": "/nowhere"}, "cannot load the language model /nowhere"),
    ],
)
def test_model_that_does_not_load_is_fatal(
    changes: dict[str, str], message: str, vision: str, language: str
) -> None:
    """A wrong model stops the run with one line that names it."""
    folders = {"VISION": vision, "LANGUAGE": language}
    settings = {"vision": vision, "vision_layer": -2, "language": language, "connector": "linear"}
    settings |= {key: folders.get(value, value) for key, value in changes.items()}
    with pytest.raises(FatalError, match=message) as caught:
        assemble(**settings)
    assert "\n" not in str(caught.value)
