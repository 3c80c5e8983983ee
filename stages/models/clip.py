"""Scores how well texts fit images, with a model of the CLIP or SigLIP families.

The score is the raw cosine of the two embeddings (Radford et al. 2021), the figure published thresholds mean; the
logits of transformers are that times exp(logit_scale). SigLIP also gives a probability that the two belong together,
sigmoid(cosine * exp(logit_scale) + logit_bias) (Zhai et al. 2023), without comparing with other texts.
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoConfig, AutoImageProcessor, AutoTokenizer, CLIPModel, Siglip2Model, SiglipModel

from schemas.errors import FatalError
from stages.models.clip_images import Inputs, decode, preparer
from stages.models.clip_passes import ON_CPU, ON_GPU, ONE_ROW, filled, places_matter, start_workers

__all__ = ["ClipScorer", "ImageTextScorer", "load_clip", "split_text"]

Vector = NDArray[np.float32]
SENTENCE_END: Final = re.compile(r"(?<=[.!?])\s+|(?<=[\u3002\uff01\uff1f])|\n+")
FAMILIES: Final = {"clip": CLIPModel, "siglip": SiglipModel, "siglip2": Siglip2Model}
"""``model_type`` of a model's config.json -> its class."""
TEXT_LENGTHS: Final = (16, 24, 32, 48)
"""Tokens a text is padded to for CLIP, where the model's whole context would be waste; SigLIP was trained on that."""


class ImageTextScorer(Protocol):
    """Puts images and texts into one space, in which the cosine says how well they fit; threads may share it."""

    def embed_images(self, images: Sequence[bytes]) -> Sequence[Vector | Exception]:
        """Return one vector of length 1 an encoded image, (size,), or what its decoder raised."""

    def embed_texts(self, texts: Sequence[str]) -> Sequence[Vector]:
        """Return one vector of length 1 a text, (size,); each text must fit the model's context."""

    def split(self, text: str) -> list[str]:
        """Return the text in pieces that fit the model's context: in one, if it does."""

    def probability(self, cosine: float) -> float | None:
        """Return how probable it is that image and text belong together; None from a model that cannot tell."""


def load_clip(model: str, device: str, dtype: str, workers: int = 1) -> ClipScorer:
    """Load a CLIP, SigLIP or SigLIP 2 model from a folder or the hub.

    Args:
        model: folder or hub id.
        device: ``auto``, ``cpu`` or ``cuda``.
        dtype: ``auto``, ``float32`` or ``bfloat16``.
        workers: CPU cores to use.

    Raises:
        FatalError: in one line, naming the model.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        model_type = AutoConfig.from_pretrained(model).model_type
        if model_type not in FAMILIES:
            raise ValueError(f"its model_type is none of {', '.join(FAMILIES)}, but {model_type}")
        # The PIL backend is the one that is always there, so scores do not depend on what is installed.
        images: Any = AutoImageProcessor.from_pretrained(model, backend="pil")
        tokenizer: Any = AutoTokenizer.from_pretrained(model)
        network: Any = FAMILIES[model_type].from_pretrained(model, dtype=torch.float32).eval()
        return ClipScorer(network, tokenizer, images, device, _dtype(dtype, device), workers)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise FatalError(f"cannot load the CLIP model {model}: {reason}") from error


def _dtype(name: str, device: str) -> torch.dtype:
    if name == "auto":
        fast = torch.cpu.get_capabilities()
        name = "bfloat16" if device != "cpu" or fast.get("amx_bf16") or fast.get("avx512_bf16") else "float32"
    return torch.bfloat16 if name == "bfloat16" else torch.float32


class ClipScorer:
    """A CLIP, SigLIP or SigLIP 2 model of transformers as an ``ImageTextScorer``.

    Args:
        network: the model in float32, in which SigLIP's scale and bias stay.
        tokenizer: its tokenizer.
        images: its image processor, with the Pillow backend.
        device: where it shall run.
        dtype: what it shall compute in.
        workers: threads that decode, prepare and, on a CPU, compute.
    """

    def __init__(
        self, network: Any, tokenizer: Any, images: Any, device: str, dtype: torch.dtype, workers: int
    ) -> None:
        self.sigmoid = _sigmoid_of(network)
        self.network = network.to(device, dtype)
        self.tokenizer = tokenizer
        self.tokenizing = threading.Lock()  # it keeps the padding it was last asked for
        self.prepare = preparer(images)
        self.context = int(network.config.text_config.max_position_embeddings)
        shorter = TEXT_LENGTHS if self.sigmoid is None else ()
        self.lengths = [*(length for length in shorter if length < self.context), self.context]
        on_cpu = self.network.device.type == "cpu"
        self.workers = start_workers(workers if on_cpu else workers + 1)
        self.passes = ON_CPU if on_cpu else ON_GPU
        if on_cpu and self.workers.submit(places_matter, self.network, self._heights()).result():
            self.passes = ONE_ROW

    def embed_images(self, images: Sequence[bytes]) -> list[Vector | Exception]:
        """Return one vector of length 1 an encoded image, (size,), or what its decoder raised."""
        count = self.passes.images
        chunks = [images[start : start + count] for start in range(0, len(images), count)]
        return [row for rows in self.workers.map(self._embed_encoded, chunks) for row in rows]

    def embed_texts(self, texts: Sequence[str]) -> list[Vector]:
        """Return one vector of length 1 a text, (size,); each text must fit the model's context."""
        by_length: dict[int, list[int]] = {}
        for index, length in enumerate(self._padded_lengths(texts)):
            by_length.setdefault(length, []).append(index)
        passes = []
        for length, indices in sorted(by_length.items()):
            count = self.passes.texts(length)
            passes += [(length, indices[start : start + count]) for start in range(0, len(indices), count)]
        embedded = [
            self.workers.submit(self._embed_tokens, self._padded([texts[index] for index in indices], length), length)
            for length, indices in passes
        ]
        found = {
            index: vector
            for (_, indices), future in zip(passes, embedded, strict=True)
            for index, vector in zip(indices, future.result(), strict=True)
        }
        return [found[index] for index in range(len(texts))]

    def split(self, text: str) -> list[str]:
        """Return the text in pieces that fit the model's context: in one, if it does."""
        return split_text(text, lambda piece: self._tokens([piece])[0] <= self.context)

    def probability(self, cosine: float) -> float | None:
        """Return SigLIP's probability that image and text belong together; None for CLIP."""
        if self.sigmoid is None:
            return None
        scale, bias = self.sigmoid
        return (1 + math.tanh((cosine * scale + bias) / 2)) / 2  # the sigmoid, which no logit overflows

    def _tokens(self, texts: Sequence[str]) -> list[int]:
        """Count each text's tokens, start and end included."""
        with self.tokenizing:
            return [len(ids) for ids in self.tokenizer(list(texts), verbose=False)["input_ids"]]

    def _padded_lengths(self, texts: Sequence[str]) -> list[int]:
        counts = self._tokens(texts) if texts else []
        if counts and max(counts) > self.context:
            raise ValueError(f"{max(counts)} tokens do not fit the model's {self.context}: split the text first")
        return [next(length for length in self.lengths if count <= length) for count in counts]

    def _padded(self, texts: Sequence[str], length: int) -> list[Inputs]:
        with self.tokenizing:
            tokens = self.tokenizer(list(texts), padding="max_length", max_length=length, return_tensors="pt")
        names = tokens.keys() & {"input_ids", "attention_mask"}  # not every tokenizer gives a mask
        return [{name: tokens[name][row] for name in names} for row in range(len(texts))]

    def _embed_encoded(self, images: Sequence[bytes]) -> list[Vector | Exception]:
        """Decode, prepare and embed the images of one pass."""
        outcomes: list[Inputs | Exception] = [self._prepared(image) for image in images]
        rows = [outcome for outcome in outcomes if not isinstance(outcome, Exception)]
        vectors = iter(self._embed(self.network.get_image_features, rows, self.passes.images))
        return [outcome if isinstance(outcome, Exception) else next(vectors) for outcome in outcomes]

    def _prepared(self, image: bytes) -> Inputs | Exception:
        try:
            return self.prepare(decode(image))
        except Exception as error:  # decoders raise anything, and the other images of the pass are sound
            return error

    def _embed_tokens(self, rows: Sequence[Inputs], length: int) -> list[Vector]:
        return self._embed(self.network.get_text_features, rows, self.passes.texts(length))

    @torch.inference_mode()
    def _embed(self, embed: Callable[..., Any], rows: Sequence[Inputs], count: int) -> list[Vector]:
        """Run one pass of the model, and bring its vectors to length 1."""
        if not rows:
            return []
        inputs = {
            name: values.to(self.network.device, self.network.dtype if values.is_floating_point() else None)
            for name, values in filled(rows, count).items()
        }
        vectors = embed(**inputs).pooler_output[: len(rows)]
        return list(torch.nn.functional.normalize(vectors.float(), dim=-1).cpu().numpy())

    def _heights(self) -> set[int]:
        """Return how many rows the matrix products of a pass have."""
        patches = self.network.vision_model.embeddings.position_embedding.num_embeddings
        texts = [self.passes.texts(length) for length in self.lengths]
        products = [count * length for count, length in zip(texts, self.lengths, strict=True)]
        return {self.passes.images, self.passes.images * patches, *texts, *products}


def _sigmoid_of(network: Any) -> tuple[float, float] | None:
    """Return scale and bias of SigLIP's logits; CLIP has no bias, and its logits are only good for comparing texts."""
    if not hasattr(network, "logit_bias"):
        return None
    return math.exp(float(network.logit_scale.detach())), float(network.logit_bias.detach())


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
