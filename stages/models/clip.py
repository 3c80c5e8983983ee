"""Scores how well texts fit images, with a CLIP model.

The score is the raw cosine of the two embeddings (Radford et al. 2021), the figure published thresholds mean;
transformers' logits are that times exp(logit_scale).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL.Image import Image
from transformers import AutoImageProcessor, AutoTokenizer, CLIPModel

from schemas.errors import FatalError

__all__ = ["ClipScorer", "ImageTextScorer", "load_clip", "split_text"]

Embeddings = NDArray[np.float32]
SENTENCE_END: Final = re.compile(r"(?<=[.!?])\s+|(?<=[\u3002\uff01\uff1f])|\n+")
TEXT_LENGTHS: Final = (16, 32)
"""Tokens a text is padded to, where the model's whole context would be waste."""
ON_CPU: Final = 1
ON_GPU: Final = 64
"""Rows of one forward pass, always full: a matrix product's last bits depend on its shape, on a CPU on the
row's place too, and a sample's score must not depend on what is scored beside it."""


class ImageTextScorer(Protocol):
    """Puts images and texts into one space, in which the cosine says how well they fit."""

    def embed_images(self, images: Iterable[Image]) -> Embeddings:
        """Return one vector of length 1 an RGB image, (images, size)."""

    def embed_texts(self, texts: Sequence[str]) -> Embeddings:
        """Return one vector of length 1 a text, (texts, size); each text must fit the model's context."""

    def split(self, text: str) -> list[str]:
        """Return the text in pieces that fit the model's context: in one, if it does."""


def load_clip(model: str, device: str, dtype: str) -> ClipScorer:
    """Load a CLIP model from a folder or the hub.

    Args:
        model: folder or hub id.
        device: ``auto``, ``cpu`` or ``cuda``.
        dtype: ``auto``, ``float32`` or ``bfloat16``.

    Raises:
        FatalError: in one line, naming the model.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        # The PIL backend is the one that is always there, so scores do not depend on what is installed.
        images: Any = AutoImageProcessor.from_pretrained(model, backend="pil")
        tokenizer: Any = AutoTokenizer.from_pretrained(model)
        network: Any = CLIPModel.from_pretrained(model, dtype=_dtype(dtype, device))
        return ClipScorer(network.to(device).eval(), tokenizer, images)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise FatalError(f"cannot load the CLIP model {model}: {reason}") from error


def _dtype(name: str, device: str) -> torch.dtype:
    if name == "auto":
        fast = torch.cpu.get_capabilities()
        name = "bfloat16" if device != "cpu" or fast.get("amx_bf16") or fast.get("avx512_bf16") else "float32"
    return torch.bfloat16 if name == "bfloat16" else torch.float32


class ClipScorer:
    """A CLIP model of transformers as an ``ImageTextScorer``."""

    def __init__(self, network: Any, tokenizer: Any, images: Any) -> None:
        self.network = network
        self.tokenizer = tokenizer
        self.images = images
        self.context = int(network.config.text_config.max_position_embeddings)
        self.rows = ON_CPU if network.device.type == "cpu" else ON_GPU

    def embed_images(self, images: Iterable[Image]) -> Embeddings:
        """Return one vector of length 1 an RGB image, (images, size)."""
        # One by one, for a batch of large photographs is too much to hold at once.
        shrunk = [self.images(images=image, return_tensors="pt")["pixel_values"] for image in images]
        pixels = torch.cat(shrunk).to(self.network.dtype)
        return self._in_full_batches(lambda some: self.network.get_image_features(pixel_values=some), pixels)

    def embed_texts(self, texts: Sequence[str]) -> Embeddings:
        """Return one vector of length 1 a text, (texts, size); each text must fit the model's context."""
        lengths = [self._padded_length(text) for text in texts]
        vectors = np.zeros((len(texts), self.network.config.projection_dim), np.float32)
        for length in sorted(set(lengths)):
            chosen = [index for index, its in enumerate(lengths) if its == length]
            vectors[chosen] = self._embed_padded([texts[index] for index in chosen], length)
        return vectors

    def split(self, text: str) -> list[str]:
        """Return the text in pieces that fit the model's context: in one, if it does."""
        return split_text(text, lambda piece: self._tokens(piece) <= self.context)

    def _tokens(self, text: str) -> int:
        """Count the text's tokens, start and end included."""
        return len(self.tokenizer(text, verbose=False)["input_ids"])

    def _padded_length(self, text: str) -> int:
        tokens = self._tokens(text)
        if tokens > self.context:
            raise ValueError(f"{tokens} tokens do not fit the model's {self.context}: split the text first")
        return next((length for length in TEXT_LENGTHS if tokens <= length < self.context), self.context)

    def _embed_padded(self, texts: Sequence[str], length: int) -> Embeddings:
        tokens = self.tokenizer(list(texts), padding="max_length", max_length=length, return_tensors="pt")
        return self._in_full_batches(
            lambda ids, mask: self.network.get_text_features(input_ids=ids, attention_mask=mask),
            tokens["input_ids"],
            tokens["attention_mask"],
        )

    @torch.inference_mode()
    def _in_full_batches(self, embed: Callable[..., Any], *inputs: torch.Tensor) -> Embeddings:
        """Run the model over all rows, each pass filled up with copies of its last row, and normalise."""
        found = []
        for start in range(0, len(inputs[0]), self.rows):
            parts = [tensor[start : start + self.rows] for tensor in inputs]
            real = len(parts[0])
            full = [torch.cat([part, part[-1:].expand(self.rows - real, *part.shape[1:])]) for part in parts]
            vectors = embed(*[part.to(self.network.device) for part in full]).pooler_output[:real]
            found.append(torch.nn.functional.normalize(vectors.float(), dim=-1).cpu().numpy())
        return np.concatenate(found)


def split_text(text: str, fits: Callable[[str], bool]) -> list[str]:
    """Split a text that does not fit: into sentences, a sentence into halves of its words, a word likewise.

    Nothing is dropped but the white space between pieces.
    """
    if fits(text) or len(text) < 2:
        return [text]
    parts = [part for part in SENTENCE_END.split(text) if part.strip()]
    if len(parts) == 1:
        words = text.split()
        units, glue = (words, " ") if len(words) > 1 else (list(words[0]), "")
        middle = len(units) // 2
        parts = [glue.join(units[:middle]), glue.join(units[middle:])]
    return [piece for part in parts for piece in split_text(part, fits)]
