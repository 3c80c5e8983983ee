"""Models of CLIP and SigLIP of a few thousand random weights, in folders as the hub's models are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    PreTrainedTokenizerFast,
    Siglip2Config,
    Siglip2ImageProcessorPil,
    Siglip2Model,
    SiglipConfig,
    SiglipImageProcessorPil,
    SiglipModel,
)

__all__ = ["CONTEXT", "FAMILIES", "save_tiny_clip", "save_tiny_siglip", "save_tiny_siglip2"]

CONTEXT = 20
"""Tokens a text may have, start and end included."""
START, END = "<start>", "<end>"
TOWER = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
TEXT = {"vocab_size": 100, "max_position_embeddings": CONTEXT, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}


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
    """Write model, tokenizer and image processor of a CLIP model into ``folder``."""
    config = CLIPConfig(
        text_config={**TOWER, **TEXT}, vision_config={**TOWER, "image_size": 16, "patch_size": 4}, projection_dim=8
    )
    size = {"height": 16, "width": 16}
    return _save(folder, CLIPModel, config, CLIPImageProcessorPil(size=size, crop_size=size))


def save_tiny_siglip(folder: Path) -> Path:
    """Write model, tokenizer and image processor of a SigLIP model into ``folder``."""
    config = SiglipConfig(
        text_config={**TOWER, **TEXT, "projection_size": 16},
        vision_config={**TOWER, "image_size": 16, "patch_size": 4},
    )
    return _save(folder, SiglipModel, config, SiglipImageProcessorPil(size={"height": 16, "width": 16}))


def save_tiny_siglip2(folder: Path) -> Path:
    """Write model, tokenizer and image processor of a SigLIP 2 model (native aspect ratio) into ``folder``."""
    config = Siglip2Config(
        text_config={**TOWER, **TEXT, "projection_size": 16},
        vision_config={**TOWER, "num_patches": 16, "patch_size": 4},
    )
    return _save(folder, Siglip2Model, config, Siglip2ImageProcessorPil(patch_size=4, max_num_patches=16))


def _save(folder: Path, family: Any, config: Any, images: Any) -> Path:
    torch.set_num_threads(1)  # in so small a model threads only wait for each other
    torch.manual_seed(0)
    family(config).save_pretrained(folder)
    _tokenizer().save_pretrained(folder)
    images.save_pretrained(folder)
    return folder


FAMILIES = {"clip": save_tiny_clip, "siglip": save_tiny_siglip, "siglip2": save_tiny_siglip2}
