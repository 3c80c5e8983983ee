"""The vision tower: a frozen CLIP whose patch features are what the language model sees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from transformers import AutoImageProcessor, CLIPVisionModel
from transformers.utils import logging

from schemas.errors import FatalError

__all__ = ["Pictures", "VisionTower", "load_tower"]

GREY = (127, 127, 127)


class VisionTower(nn.Module):
    """A CLIP image encoder read at one hidden layer, without the class token (LLaVA's recipe).

    Attributes:
        width: size of one patch feature.
        patches: features an image gives.
    """

    def __init__(self, network: Any, processor: Any, layer: int) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)
        self.processor = processor
        self.layer = layer
        self.width: int = network.config.hidden_size
        self.patches: int = (network.config.image_size // network.config.patch_size) ** 2

    def train(self, mode: bool = True) -> VisionTower:
        """Stay in evaluation mode, whatever the model around it does."""
        return self

    @torch.inference_mode()
    def encode(self, images: Sequence[Image.Image]) -> Tensor:
        """Return the patch features of images: (images, patches, width), float16, on the CPU."""
        squares = [self._whole(image.convert("RGB")) for image in images]
        pixels = self.processor(images=squares, return_tensors="pt")["pixel_values"]
        hidden = self.network(pixels.to(self.network.device), output_hidden_states=True).hidden_states
        features: Tensor = hidden[self.layer][:, 1:].half().cpu()
        return features

    def _whole(self, image: Image.Image) -> Image.Image:
        """Pad to a square where the processor would cut the sides off (LLaVA-1.5's ``pad``)."""
        if not self.processor.do_center_crop or image.width == image.height:
            return image
        side = max(image.size)
        mean = tuple(int(255 * value) for value in self.processor.image_mean)
        square = Image.new("RGB", (side, side), mean)
        square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
        return square

    def save(self, folder: str) -> None:
        """Save weights and image processor, to be loaded with ``load_tower``."""
        self.network.save_pretrained(folder)
        self.processor.save_pretrained(folder)


def load_tower(reference: str, layer: int) -> VisionTower:
    """Load the image encoder of a CLIP folder or hub id, to be read at a hidden layer (-2: second to last).

    Raises:
        FatalError: in one line, naming the model.
    """
    try:
        # The PIL backend is always there, so features do not depend on what is installed.
        processor: Any = AutoImageProcessor.from_pretrained(reference, backend="pil")
        network = _load_quietly(reference)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise FatalError(f"cannot load the vision tower {reference}: {reason}") from error
    layers = network.config.num_hidden_layers
    if not -layers - 1 <= layer <= layers:
        raise FatalError(f"vision_layer {layer}: the vision tower {reference} has {layers} layers")
    return VisionTower(network, processor, layer)


def _load_quietly(reference: str) -> Any:
    """Load the image half of a CLIP without a warning about each weight of the text half."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        network, info = CLIPVisionModel.from_pretrained(
            reference, dtype=torch.float32, output_loading_info=True
        )
    finally:
        logging.set_verbosity(verbosity)
    if info["missing_keys"]:
        raise ValueError("it holds no CLIP image encoder")
    return network


class Pictures:
    """Features of the samples' images, each computed once as long as they fit into memory.

    Args:
        tower: encodes them.
        open_image: sample id -> its image.
        cache_gb: bytes to keep, in 10^9; later images are encoded again whenever they are needed.
    """

    def __init__(self, tower: VisionTower, open_image: Callable[[str], Image.Image], cache_gb: float) -> None:
        self.tower = tower
        self._open = open_image
        self._kept: dict[str, Tensor] = {}
        self._room = int(cache_gb * 1e9 / (2 * tower.patches * tower.width))

    def features(self, samples: Sequence[str]) -> Tensor:
        """Return (samples, patches, width), float16, on the CPU."""
        missing = [sample for sample in dict.fromkeys(samples) if sample not in self._kept]
        fresh: dict[str, Tensor] = {}
        if missing:
            encoded = self.tower.encode([self._open(sample) for sample in missing])
            fresh = dict(zip(missing, encoded, strict=True))
        self._keep(fresh)
        return torch.stack([self._kept[s] if s in self._kept else fresh[s] for s in samples])

    def _keep(self, fresh: dict[str, Tensor]) -> None:
        for sample, features in fresh.items():
            if len(self._kept) < self._room:
                self._kept[sample] = features.clone()

    def blank(self) -> Tensor:
        """Return the features of a grey image, (patches, width)."""
        side = self.tower.network.config.image_size
        return self.tower.encode([Image.new("RGB", (side, side), GREY)])[0]
