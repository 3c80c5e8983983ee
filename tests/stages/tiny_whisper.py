"""Whisper checkpoints of random weights, small enough to run in a moment."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch
from whisper.model import ModelDimensions, Whisper

__all__ = ["save_tiny_whisper"]


def save_tiny_whisper(path: Path, multilingual: bool = True) -> Path:
    """Write a checkpoint file; without ``multilingual`` it is one for English only."""
    dims = ModelDimensions(
        n_mels=80, n_audio_ctx=1500, n_audio_state=8, n_audio_head=1, n_audio_layer=1,
        n_vocab=51865 if multilingual else 51864, n_text_ctx=16, n_text_state=8, n_text_head=1, n_text_layer=1,
    )
    torch.set_num_threads(1)  # in so small a model threads only wait for each other
    torch.manual_seed(0)
    model = Whisper(dims)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    torch.save({"dims": asdict(dims), "model_state_dict": model.state_dict()}, path)
    return path
