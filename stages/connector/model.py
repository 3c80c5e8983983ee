"""The reference model: a frozen CLIP tower, a connector, a causal language model (LLaVA, Liu et al. 2023)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from schemas.errors import FatalError
from stages.connector.chat_format import IGNORED, IMAGE, ChatFormat
from stages.connector.connectors import CONNECTORS
from stages.connector.vision import VisionTower, load_tower

__all__ = ["VisionLanguageModel", "answer", "assemble", "load", "load_language"]


class VisionLanguageModel(nn.Module):
    """Reads images and text, writes text.

    Args:
        tower: image -> patch features.
        connector: patch features -> embeddings of the language model.
        language: a transformers causal language model.
        chat: its tokenizer and chat template.
        connector_name: the connector's name in ``CONNECTORS``, kept for saving.
    """

    def __init__(
        self, tower: VisionTower, connector: nn.Module, language: Any, chat: ChatFormat, connector_name: str
    ) -> None:
        super().__init__()
        self.tower = tower
        self.connector = connector
        self.language = language
        self.chat = chat
        self.connector_name = connector_name

    @property
    def device(self) -> torch.device:
        """Where the language model is."""
        device: torch.device = self.language.device
        return device

    def embed(self, tokens: Tensor, features: Tensor | None) -> Tensor:
        """Return input embeddings (rows, length, width): of token ids, and of features where ``IMAGE`` stands.

        Args:
            tokens: (rows, length).
            features: (rows, patches, vision width), or None where no row has an image.
        """
        embeddings: Tensor = self.language.get_input_embeddings()(tokens.clamp(min=0))
        if features is None:
            return embeddings
        patches = self.connector(features.to(self.device, torch.float32)).to(embeddings.dtype)
        return embeddings.masked_scatter((tokens == IMAGE).unsqueeze(-1), patches)

    def forward(self, tokens: Tensor, labels: Tensor, features: Tensor | None) -> Tensor:
        """Return the loss of each labelled token in nats, (labelled tokens,), row by row.

        Rows are padded on the right, where causal attention never looks, so no mask is needed; and logits
        are computed only where a label follows.
        """
        tokens, labels = tokens.to(self.device), labels.to(self.device)
        learnt = labels[:, 1:] != IGNORED
        before_learnt = nn.functional.pad(learnt, (0, 1))
        logits = self.language(
            inputs_embeds=self.embed(tokens, features), logits_to_keep=before_learnt, use_cache=False
        ).logits
        return cross_entropy(logits.float(), labels[:, 1:][learnt], reduction="none")

    @torch.inference_mode()
    def write(
        self, prompts: Sequence[NDArray[np.int32]], features: Tensor | None, new_tokens: int
    ) -> list[str]:
        """Continue prompts greedily, up to the end of the answer or ``new_tokens``.

        Args:
            prompts: token ids, ``IMAGE`` where features go.
            features: (prompts, patches, vision width), or None where no prompt has an image.
        """
        longest = max(map(len, prompts))
        tokens = torch.zeros((len(prompts), longest), dtype=torch.long)
        mask = torch.zeros_like(tokens)
        for row, prompt in enumerate(prompts):
            tokens[row, longest - len(prompt) :] = torch.from_numpy(prompt.astype(np.int64))
            mask[row, longest - len(prompt) :] = 1
        greedy = GenerationConfig(
            max_new_tokens=new_tokens, do_sample=False, eos_token_id=self.chat.stop, pad_token_id=self.chat.stop
        )
        written = self.language.generate(
            inputs_embeds=self.embed(tokens.to(self.device), features),
            attention_mask=mask.to(self.device),
            generation_config=greedy,
        )
        return [self.chat.decode(row[row != self.chat.stop]) for row in written.cpu().numpy()]

    def save(self, folder: str) -> None:
        """Save everything ``load`` needs: connector, language model, tokenizer and vision tower."""
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        weights = {name: value.detach().cpu().contiguous() for name, value in self.connector.state_dict().items()}
        save_file(weights, path / "connector.safetensors")
        self.language.save_pretrained(path / "language")
        self.chat.tokenizer.save_pretrained(path / "language")
        self.tower.save(str(path / "vision"))
        config = {"connector": self.connector_name, "vision_layer": self.tower.layer, "patches": self.tower.patches}
        (path / "config.json").write_text(json.dumps(config, indent=1))


def assemble(vision: str, vision_layer: int, language: str, connector: str) -> VisionLanguageModel:
    """Put a model together from a vision tower, a language model (folders or hub ids) and a fresh connector.

    Raises:
        FatalError: one of them does not load, or has no usable chat template.
    """
    tower = load_tower(vision, vision_layer)
    tokenizer, network = load_language(language)
    width = network.get_input_embeddings().embedding_dim
    bridge = CONNECTORS[connector](tower.width, width)
    return VisionLanguageModel(tower, bridge, network, ChatFormat(tokenizer, tower.patches), connector)


def load_language(reference: str) -> tuple[Any, Any]:
    """Load tokenizer and causal language model, in float32, from a folder or hub id; raises FatalError."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(reference)
        return tokenizer, AutoModelForCausalLM.from_pretrained(reference, dtype=torch.float32)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise FatalError(f"cannot load the language model {reference}: {reason}") from error


def load(folder: str) -> VisionLanguageModel:
    """Load a saved model, on the CPU, ready to answer."""
    path = Path(folder)
    config = json.loads((path / "config.json").read_text())
    model = assemble(
        str(path / "vision"), config["vision_layer"], str(path / "language"), config["connector"]
    )
    model.connector.load_state_dict(load_file(path / "connector.safetensors"))
    return model.eval()


def answer(model: VisionLanguageModel, image: Image.Image, question: str, new_tokens: int = 256) -> str:
    """Return the model's greedy answer to a question about an image."""
    features = model.tower.encode([image])
    return model.write([model.chat.question(question)], features, new_tokens)[0]
