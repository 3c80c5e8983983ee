"""Bootstrap intervals: how much a figure would move, had other samples been held out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["Estimate", "Resampler"]

Estimate = dict[str, float]
"""``value``, and ``low`` and ``high`` of its 95% interval."""


class Resampler:
    """Percentile bootstrap over clusters (Efron and Tibshirani 1993): answers about one sample stay together.

    Args:
        clusters: the sample each answer is about.
        resamples: how often to draw as many samples as there are, with replacement.
        seed: decides the draws; the same for every figure, so that differences are paired.
    """

    def __init__(self, clusters: Sequence[str], resamples: int, seed: int) -> None:
        names, self._cluster = np.unique(np.asarray(clusters), return_inverse=True)
        random = np.random.default_rng(seed)
        self._draws = random.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)

    def mean(self, values: NDArray[np.float64], weights: NDArray[np.float64] | None = None) -> Estimate:
        """Return sum(values) / sum(weights); weights are 1 by default, so that it is the mean."""
        weights = np.ones(len(values)) if weights is None else weights
        clusters = self._draws.shape[1]
        tops = self._draws @ np.bincount(self._cluster, values, clusters)
        bottoms = self._draws @ np.bincount(self._cluster, weights, clusters)
        low, high = np.percentile(tops / bottoms, [2.5, 97.5])
        return {"value": float(values.sum() / weights.sum()), "low": float(low), "high": float(high)}
