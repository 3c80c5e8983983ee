"""Similar vectors: all pairs of a few, nearly all of many, in cells."""

from __future__ import annotations

import numpy as np
import pytest

from stages.duplicates import cosine
from stages.duplicates.cosine import Vectors, similar_pairs


def drawn(count: int, size: int = 16) -> Vectors:
    """Return random vectors of length 1."""
    vectors = np.random.default_rng(0).normal(size=(count, size))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


def found(vectors: Vectors, threshold: float) -> set[tuple[int, int]]:
    """Return the pairs that are found, each in order."""
    return {
        (min(pair), max(pair)) for left, right in similar_pairs(vectors, np.arange(len(vectors)), threshold)
        for pair in zip(left.tolist(), right.tolist(), strict=True)
    }


def test_few_are_all_compared() -> None:
    """Up to a cell's size the pairs are exactly those above the threshold, over all blocks of the product."""
    vectors = drawn(3000)
    cosines = vectors.astype(np.float32) @ vectors.astype(np.float32).T
    expected = {(int(left), int(right)) for left, right in np.argwhere(cosines >= 0.8) if left < right}
    assert found(vectors, 0.8) == expected
    assert len(expected) > 100


def test_many_in_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut into some hundred cells, nearly all planted copies are found."""
    monkeypatch.setattr(cosine, "CELL", 64)
    monkeypatch.setattr(cosine, "LARGE", 768)
    vectors = drawn(8000)
    copies = vectors[:1000] + np.random.default_rng(1).normal(size=(1000, 16)) * 0.03
    copies /= np.linalg.norm(copies, axis=1, keepdims=True)
    together = np.concatenate([vectors, copies.astype(np.float16)])
    pairs = found(together, 0.95)
    assert sum((row, 8000 + row) in pairs for row in range(1000)) >= 990


def test_vectors_that_do_not_come_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of equal vectors, which no clustering cuts, are compared in stretches and not all with all."""
    monkeypatch.setattr(cosine, "CELL", 32)
    monkeypatch.setattr(cosine, "LARGE", 128)
    vectors = np.repeat(drawn(1), 3000, axis=0)
    pairs = found(vectors, 0.99)
    assert len({right for _, right in pairs}) > 2800
    assert len(pairs) < 3000 * 3 * 128
