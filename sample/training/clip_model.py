"""The starter CLIP: its tokenizer, its image processor and the model before training."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel, CLIPProcessor, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from sample.scenes import COLOURS, KINDS
from sample.training.pictures import PICTURE_PX

__all__ = ["PATCH_GRID", "PatchHead", "make_model", "make_processor"]

PATCH_PX = 12
PATCH_GRID = PICTURE_PX // PATCH_PX
VISION_WIDTH, VISION_LAYERS = 160, 5
TEXT_WIDTH, TEXT_LAYERS = 96, 2
MLP_RATIO = 3
CONTEXT = 77
VOCABULARY = 900


def make_processor(captions: Iterable[str]) -> CLIPProcessor:
    """A processor whose byte-level BPE is trained on captions; it can spell any other text.

    The whole picture is squashed to a square: nothing is cut off that a caption may name.
    """
    # Unknown signs must not become the end token, which is where the text tower reads off its result.
    untrained = CLIPTokenizer(unk_token="<|startoftext|>")
    tokenizer = untrained.train_new_from_iterator(captions, VOCABULARY, show_progress=False)
    tokenizer.model_max_length = CONTEXT
    side = {"height": PICTURE_PX, "width": PICTURE_PX}
    return CLIPProcessor(CLIPImageProcessorPil(size=side, crop_size=side, do_center_crop=False), tokenizer)


def make_model(tokenizer: CLIPTokenizer) -> CLIPModel:
    """An untrained CLIP for that tokenizer."""
    shared = {"num_attention_heads": 4, "hidden_act": "gelu", "projection_dim": 128}
    text = {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": CONTEXT,
        "hidden_size": TEXT_WIDTH,
        "intermediate_size": MLP_RATIO * TEXT_WIDTH,
        "num_hidden_layers": TEXT_LAYERS,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {
        "image_size": PICTURE_PX,
        "patch_size": PATCH_PX,
        "hidden_size": VISION_WIDTH,
        "intermediate_size": MLP_RATIO * VISION_WIDTH,
        "num_hidden_layers": VISION_LAYERS,
    }
    return CLIPModel(CLIPConfig(text_config=text | shared, vision_config=vision | shared, projection_dim=128))


class PatchHead(nn.Module):
    """Reads what, where and how many off the patch features; only there in training.

    It looks at the layer before the last, which is the one a connector takes its visual tokens from.
    """

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(VISION_WIDTH, 1 + len(KINDS) + 1 + len(COLOURS) + 3)

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """The mean loss of features [batch, patches, width] against `label_patches` [batch, patches, 5]."""
        sizes = [1 + len(KINDS), 1 + len(COLOURS), 1, 2]
        kind, colour, holds_middle, to_middle = self.out(features).flatten(0, 1).split(sizes, dim=-1)
        flat = labels.flatten(0, 1)
        covered = flat[:, :1] > 0
        distance = (to_middle - flat[:, 3:] * PATCH_GRID).abs() * covered
        loss: Tensor = (
            nn.functional.cross_entropy(kind, flat[:, 0].long())
            + nn.functional.cross_entropy(colour, flat[:, 1].long())
            + nn.functional.binary_cross_entropy_with_logits(holds_middle[:, 0], flat[:, 2])
            + distance.sum() / (2 * covered.sum())
        )
        return loss
