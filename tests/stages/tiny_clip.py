"""A CLIP model of a few thousand random weights, in a folder as the hub's models are."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, PreTrainedTokenizerFast

__all__ = ["CONTEXT", "save_tiny_clip"]

CONTEXT = 20
"""Tokens a text may have, start and end included."""
START, END = "<start>", "<end>"


def _tokenizer() -> PreTrainedTokenizerFast:
    """Make a tokenizer with one token a character."""
    vocabulary = {START: 0, END: 1, **{chr(code): code - 30 for code in range(32, 127)}}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {END}", special_tokens=[(START, 0), (END, 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=START, eos_token=END, pad_token=END, unk_token="?"
    )


def save_tiny_clip(folder: Path) -> Path:
    """Write model, tokenizer and image processor into ``folder``."""
    tower = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {"vocab_size": 100, "max_position_embeddings": CONTEXT, "bos_token_id": 0, "eos_token_id": 1,
            "pad_token_id": 1}
    config = CLIPConfig(
        text_config={**tower, **text},
        vision_config={**tower, "image_size": 16, "patch_size": 4},
        projection_dim=8,
    )
    torch.set_num_threads(1)  # in so small a model threads only wait for each other
    torch.manual_seed(0)
    CLIPModel(config).save_pretrained(folder)
    _tokenizer().save_pretrained(folder)
    size = {"height": 16, "width": 16}
    CLIPImageProcessorPil(size=size, crop_size=size).save_pretrained(folder)
    return folder
