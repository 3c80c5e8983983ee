"""Connectors: what carries a vision tower's patch features into a language model's embedding space.

A new one is a function in ``CONNECTORS`` and its name in ``ConnectorConfig.connector``.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

__all__ = ["CONNECTORS"]


def _linear(vision_width: int, language_width: int) -> nn.Module:
    """One affine map a patch (LLaVA, Liu et al. 2023)."""
    return nn.Linear(vision_width, language_width)


def _mlp2x_gelu(vision_width: int, language_width: int) -> nn.Module:
    """Two layers with a GELU between them (LLaVA-1.5, Liu et al. 2024)."""
    return nn.Sequential(
        nn.Linear(vision_width, language_width), nn.GELU(), nn.Linear(language_width, language_width)
    )


CONNECTORS: dict[str, Callable[[int, int], nn.Module]] = {"linear": _linear, "mlp2x_gelu": _mlp2x_gelu}
"""Name -> builder from (vision width, language width); shapes (..., vision) -> (..., language)."""
