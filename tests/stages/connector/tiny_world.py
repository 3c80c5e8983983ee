"""A tiny world for the connector: plain pictures, what can be said of them, and models that know nothing yet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import torch
from PIL import Image, ImageDraw
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from stages.connector import Connector, ConnectorConfig

TEMPLATE = (
    "{% for m in messages %}{{ '<s>' + m['role'] + '\\n' + m['content'] + '</s>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<s>assistant\\n' }}{% endif %}"
)
COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220), "white": (240, 240, 240)}
PLACES = ((4, 4), (20, 4), (4, 20), (20, 20))
SAID = (
    "user assistant What colour is it ? It is . How many dots are there There dot A picture with "
    "Describe the image 0 1 2 3 4 red green blue white"
)


def draw(colour: str, dots: int) -> Image.Image:
    """Draw black dots on a plain colour, 32 x 32."""
    image = Image.new("RGB", (32, 32), COLOURS[colour])
    for x, y in PLACES[:dots]:
        ImageDraw.Draw(image).rectangle((x, y, x + 8, y + 8), fill=(0, 0, 0))
    return image


def turns(*texts: str) -> list[dict[str, str]]:
    """Make a conversation of texts that the user and the assistant say in turn."""
    return [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(texts)]


def rows_about(sample: str, colour: str, dots: int) -> list[dict[str, Any]]:
    """Write the dataset's rows about one picture."""
    number = f"There is {dots} dot." if dots == 1 else f"There are {dots} dots."
    texts = {
        "brief": turns("Describe the image.", f"A {colour} picture with {dots} dots."),
        "counting": turns("How many dots are there?", number),
        "conversation": turns("What colour is it?", f"It is {colour}.", "How many dots are there?", number),
    }
    shared = {
        "id": sample, "images": [draw(colour, dots)], "captions": [f"a {colour} picture"], "boxes": [],
        "transcript": None, "license": None, "url": None, "clip_score": None, "provenance": "test",
    }
    return [{**shared, "kind": kind, "messages": messages} for kind, messages in texts.items()]


FEATURES = datasets.Features(
    {
        "id": datasets.Value("string"),
        "kind": datasets.Value("string"),
        "images": datasets.List(datasets.Image()),
        "messages": datasets.List({"role": datasets.Value("string"), "content": datasets.Value("string")}),
        "captions": datasets.List(datasets.Value("string")),
        "boxes": datasets.List({"label": datasets.Value("string"), "box": datasets.List(datasets.Value("float64"))}),
        "transcript": datasets.Value("string"),
        "license": datasets.Value("string"),
        "url": datasets.Value("string"),
        "clip_score": datasets.Value("float64"),
        "provenance": datasets.Value("string"),
    }
)


def save_dataset(folder: Path, **splits: list[dict[str, Any]]) -> str:
    """Save rows as a dataset with the pipeline's columns."""
    made = {name: datasets.Dataset.from_list(rows, features=FEATURES) for name, rows in splits.items()}
    datasets.DatasetDict(made).save_to_disk(folder)
    return str(folder)


def make_tokenizer(template: str | None = TEMPLATE) -> PreTrainedTokenizerFast:
    """Make a tokenizer of whole words."""
    pieces = dict.fromkeys(["<unk>", "<s>", "</s>", "\n", *SAID.split()])
    vocabulary = {piece: place for place, piece in enumerate(pieces)}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(r"\n|\w+|[^\w\s]"), "isolated"), pre_tokenizers.Split(" ", "removed")]
    )
    words.decoder = decoders.WordPiece(prefix="##")
    return PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="<unk>", bos_token="<s>", eos_token="</s>", chat_template=template
    )


def save_vision(folder: Path) -> str:
    """Save a CLIP with random weights that sees 16 patches of a 32-px image."""
    torch.manual_seed(0)
    shared = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {**shared, "vocab_size": 10, "bos_token_id": 0, "eos_token_id": 1}
    eyes = {**shared, "image_size": 32, "patch_size": 8}
    CLIPModel(CLIPConfig(text_config=text, vision_config=eyes, projection_dim=16)).save_pretrained(folder)
    side = {"height": 32, "width": 32}
    CLIPImageProcessorPil(size=side, crop_size=side, do_center_crop=False).save_pretrained(folder)
    return str(folder)


def save_language(folder: Path, template: str | None = TEMPLATE) -> str:
    """Save a Llama with random weights and a vocabulary of whole words."""
    torch.manual_seed(0)
    tokenizer = make_tokenizer(template)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=128, bos_token_id=1, eos_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@dataclass
class FinishedRun:
    """What the sink asks of a run."""

    folder: str
    name: str = "tiny"
    seed: int = 0

    def dataset(self) -> str:
        """Return the dataset's folder."""
        return self.folder


def config(vision: str, language: str, **changes: Any) -> ConnectorConfig:
    """Settings under which the tiny model learns within seconds."""
    settings: dict[str, Any] = {
        "use": "connector", "vision": vision, "language": language,
        "align": {"epochs": 1, "learning_rate": 1e-2, "batch": 16},
        "instruct": {"epochs": 8, "learning_rate": 1e-2, "batch": 16},
        "eval": {"bootstrap": 200, "new_tokens": 12},
    }
    return ConnectorConfig.model_validate(settings | changes)


def sink(vision: str, language: str, **changes: Any) -> Connector:
    """Make the sink, seeded."""
    made = Connector(config(vision, language, **changes))
    made.seed = 0
    return made
