"""Settings of the reference model. The defaults are LLaVA's recipe (haotian-liu/LLaVA, scripts/)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.config import SPEED, Frozen, ModelRef, StageConfig

__all__ = ["ConnectorConfig", "EvalConfig", "RecipeConfig"]


class RecipeConfig(Frozen):
    """One stage of training."""

    epochs: int = Field(1, ge=0)
    """Passes over the stage's conversations; 0 leaves the stage out."""
    learning_rate: float = Field(gt=0)
    """Peak of the schedule: linear warm-up, then a cosine down to 0."""
    batch: int = Field(ge=1)
    """Conversations in one optimiser step, over all workers together."""


class EvalConfig(Frozen):
    """How thoroughly the finished model is measured on the validation split."""

    questions: int = Field(500, ge=1)
    """Held-out answers whose loss is measured."""
    ranking: int = Field(100, ge=1)
    """Of those, the answers that must pick the right image."""
    candidates: int = Field(4, ge=2)
    """Images an answer picks from, the right one among them: chance is one in so many."""
    generated: int = Field(100, ge=0)
    """Greedy answers to write for each of counting and pointing; 0 writes none."""
    new_tokens: int = Field(48, ge=1)
    """Tokens of a greedy answer at most."""
    bootstrap: int = Field(1000, ge=1)
    """Resamples behind each 95% interval."""


class ConnectorConfig(StageConfig):
    """Settings of the reference model: what it is made of, how it is trained, how it is measured."""

    vision: ModelRef
    """The vision tower: a CLIP folder or hub id. It is never trained."""
    language: ModelRef
    """The language model: a causal LM with a chat template."""
    connector: Literal["linear", "mlp2x_gelu"] = "mlp2x_gelu"
    """What carries patch features into the language model's embedding space."""
    vision_layer: int = -2
    """Hidden layer of the tower the patches are read from; -2 is the second to last. No class token."""
    max_tokens: int = Field(2048, ge=8)
    """Longest sequence, image and text; a longer conversation is cut after its last whole answer that fits."""
    align: RecipeConfig = RecipeConfig(epochs=1, learning_rate=1e-3, batch=256)
    """First stage: the connector alone, on one-turn descriptions."""
    instruct: RecipeConfig = RecipeConfig(epochs=1, learning_rate=2e-5, batch=128)
    """Second stage: connector and language model, on every conversation."""
    warmup: float = Field(0.03, ge=0, le=1)
    """Share of a stage's steps spent warming up."""
    weight_decay: float = Field(0.0, ge=0)
    """AdamW's decoupled decay."""
    clip_norm: float = Field(1.0, gt=0)
    """Gradients are scaled down to this norm where they are longer."""
    baselines: bool = True
    """Also train the language model alone on the same text, to compare with."""
    eval: EvalConfig = EvalConfig()
    """The measurements."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the arithmetic (weights stay float32); ``auto`` is bfloat16 on GPUs, float32 on CPUs."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; ``auto`` takes a GPU where there is one."""
    workers: Annotated[int, SPEED] = Field(1, ge=1)
    """Workers that share each batch, each with the stage's ``cpus`` and ``gpus``."""
    forward_rows: Annotated[int, SPEED] = Field(16, ge=1)
    """Conversations in one forward pass of a worker; a larger batch accumulates gradients."""
    cache_gb: Annotated[float, SPEED] = Field(4.0, ge=0)
    """Memory of a worker for image features, in GB; images that do not fit are encoded again when needed."""
